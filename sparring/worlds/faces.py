"""Anime-like faces, drawn by the program at any size: endless, colourful, and known in every attribute."""

from collections.abc import Sequence

import torch
from torch import Tensor

from sparring.chance import generator, seed_of
from sparring.spaces import Image, Spec
from sparring.worlds import faces_judge
from sparring.worlds.faces_captions import UNSEEN, tell, understood
from sparring.worlds.faces_paint import JITTER, paint
from sparring.worlds.faces_words import ATTRIBUTES, describe

BLOCK = 64  # faces drawn from one seed: face i depends on nothing but i


class Faces:
    """Faces of seven independent, uniform attributes, 24 pixels wide or more; stored as bytes (N, 3, size, size)."""

    name = "faces"
    about = "drawn faces with known attributes and captions"
    examples = (20_000, 2_000)

    def __init__(self, size: int | None = None):
        size = 32 if size is None else size
        if size < 24:
            raise ValueError(f"faces of size {size}: too small to know a face by; 24 pixels is the least, 32 is usual")
        self.size, self.spec = size, Spec(Image(3, size))

    def parameters(self, n: int, seed: int, heldout: bool = False) -> tuple[dict[str, Tensor], Tensor]:
        """The attributes, each (n,), and the jitters (n, len(JITTER)) of what `draw` gives for the same arguments."""
        split, kinds = "heldout" if heldout else "train", [len(names) for names in ATTRIBUTES.values()]
        chance = []
        for block in range(-(-n // BLOCK)):
            chance.append(
                torch.rand(BLOCK, len(kinds) + len(JITTER), generator=generator(self.name, split, seed, block))
            )
        chance = torch.cat([*chance, torch.empty(0, len(kinds) + len(JITTER))])[:n]
        attributes = [(chance[:, i] * k).long().clamp_max(k - 1) for i, k in enumerate(kinds)]
        return dict(zip(ATTRIBUTES, attributes)), chance[:, len(kinds) :]

    def attributes(self, n: int, seed: int, heldout: bool = False) -> dict[str, Tensor]:
        """The index (n,) in `ATTRIBUTES` of each attribute of what `draw` gives for the same arguments."""
        return self.parameters(n, seed, heldout)[0]

    def describe(self, attributes: dict[str, Tensor], seed: int) -> list[str]:
        """A caption in varied English words for each face of these attributes; see `faces_words.describe`."""
        return describe(attributes, seed)

    def draw(self, n: int, seed: int, heldout: bool = False) -> tuple[Tensor, None]:
        """n faces; those of training and held-out come from unrelated streams."""
        whole = -(-n // BLOCK) * BLOCK  # whole blocks: the last bits of a face must not depend on its company
        attributes, jitter = self.parameters(whole, seed, heldout)
        x = torch.empty(whole, 3, self.size, self.size, dtype=torch.uint8)
        step = max(1, min(BLOCK, BLOCK * 32**2 // self.size**2))
        for i in range(0, whole, step):
            part = slice(i, i + step)
            x[part] = (
                paint({k: value[part] for k, value in attributes.items()}, jitter[part], self.size).round_().byte()
            )
        return x[:n], None

    def read(self, x: Tensor) -> dict[str, Tensor]:
        """Whether each sample (N, 3, size, size) is a `valid` face, and its attributes; see `faces_judge.read`."""
        return faces_judge.read(x)

    def judge(self, x: Tensor, c: Sequence[str] | None = None) -> dict[str, float]:
        """How many samples (N, 3, size, size) are faces, how even their colours are, and how well they fit captions c
        (N,); see `faces_judge.judge` and `faces_captions.obeyed`."""
        return faces_judge.judge(x, c)

    def captions(self, n: int, seed: int, heldout: bool = False) -> list[list[str]]:
        """Three captions in English and one in Chinese for each face that `draw` gives for the same arguments."""
        return tell(self.attributes(n, seed, heldout), seed_of(self.name, "heldout" if heldout else "train", seed))

    def seen(self, n: int, seed: int) -> list[bool]:
        """Which faces of `draw(n, seed)` may be trained on from captions: others show what is kept for the test."""
        a = self.attributes(n, seed)
        return [pair not in UNSEEN for pair in zip(a["hair"].tolist(), a["eyes"].tolist())]

    def variety(self, x: Tensor, caption: str, seed: int = 0) -> float:
        """How far samples x (N, 3, size, size) of one caption lie apart, over how far real faces do that fit it."""
        attributes, jitter = self.parameters(len(x), seed, heldout=True)
        real = paint(
            attributes | {k: torch.full((len(x),), v) for k, v in understood(caption).items()}, jitter, self.size
        )
        apart = lambda y: torch.pdist(y.float().flatten(1)).mean().item()
        return apart(x) / apart(real)
