"""Captions as points: what an encoder that does not learn, the user's own, says of a text."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..names import RequestError, find, nearest
from ..spaces import Vector
from . import cache as caches

Encode = Callable[[list[str]], Any]  # texts -> (n, dim) floats: an array, a tensor, or lists
PART = 64  # captions at once


@dataclass(frozen=True)
class Frozen:
    """Captions in the numbers of an encoder; has what a `Vocabulary` has."""

    name: str  # module:name of a function texts -> (n, dim), or the folder of a text model
    space: Vector
    encoder: Encode = field(repr=False, compare=False)
    said: dict[bytes, str] = field(default_factory=dict, repr=False, compare=False)  # captions by their points

    known: tuple[str, ...] = ()

    def encode(self, caption: str) -> np.ndarray:
        """(dim,) float32; of an empty caption zeros."""
        return self.rows([caption])[0]

    def rows(self, captions: Sequence[str]) -> np.ndarray:
        """(n, dim) float32, one a caption; the same captions are asked once."""
        different = [c for c in dict.fromkeys(captions) if c.strip()]
        points = numbers(self.encoder, different, self.name)
        self.said.update((point.tobytes(), caption) for point, caption in zip(points, different))
        place = {caption: i for i, caption in enumerate(different)}
        rows = np.zeros((len(captions), self.space.dim), np.float32)
        for i, caption in enumerate(captions):
            if caption in place:
                rows[i] = points[place[caption]]
        return rows

    def decode(self, row: Any) -> str:
        """The caption whose point this is; nothing of another point."""
        return self.said.get(np.asarray(row, np.float32).tobytes(), "")

    def unknown(self, caption: str) -> dict[str, list[str]]:
        """An encoder takes any words."""
        return {}

    def reads(self, word: str) -> bool:
        return True

    def unread(self, caption: str) -> str:
        return ""

    def card(self) -> dict[str, Any]:
        return {"encoder": self.name}


def learn(name: str, captions: Sequence[str], cache: Path | None, progress: Callable[[int, int], object]) -> Frozen:
    """The encoder of that name, each caption asked once and kept, and the space of what it says.

    Points are centred and divided by their spread, so that both players get numbers of unit size.
    """
    encoder = named(name)
    different = [c for c in dict.fromkeys(captions) if c.strip()]
    few = numbers(encoder, different[:4], name)
    if not np.allclose(few, numbers(encoder, different[:4], name), rtol=1e-3, atol=1e-3):
        raise RequestError(f"encoder {name!r} says another thing each time; it must not draw: use its eval mode")

    def build(aside: Path) -> None:
        parts = []
        for i in range(0, len(different), PART):
            parts.append(numbers(encoder, different[i : i + PART], name))
            progress(min(i + PART, len(different)), len(different))
        np.save(aside / "points.npy", np.concatenate(parts))

    folder, temporary, _ = caches.writable(cache or caches.home())
    key = caches.key("encoded", name, different, np.round(few, 2).tolist())
    points = caches.kept(folder, key, build, lambda place: np.load(place / "points.npy"))
    del temporary
    center, scale = (float(f"{v:.3g}") for v in (points.mean(), points.std()))
    known = {caption: point for caption, point in zip(different, points)}
    missing = lambda texts: texts and any(text not in known for text in texts)
    once = lambda texts: numbers(encoder, texts, name) if missing(texts) else [known[text] for text in texts]
    return Frozen(name, Vector(points.shape[1], center, scale or 1.0), once)


def of_card(card: dict[str, Any], space: Vector) -> Frozen:
    """The encoder that a generator was trained with."""
    return Frozen(card["encoder"], space, named(card["encoder"]))


def numbers(encode: Encode, texts: list[str], name: str) -> np.ndarray:
    """What an encoder says of texts, (n, dim) float32; RequestError where that is no such thing."""
    if not texts:
        return np.zeros((0, 0), np.float32)
    said: Any = encode(list(texts))
    said = np.asarray(said.detach().cpu().float() if hasattr(said, "detach") else said, dtype=np.float32)
    if said.ndim != 2 or len(said) != len(texts) or not np.isfinite(said).all():
        what = f"shape {said.shape}" if said.ndim != 2 or len(said) != len(texts) else "numbers that are not finite"
        raise RequestError(f"encoder {name!r} gave {what} for {len(texts)} texts; it must give (n, dim) finite floats")
    return said


def named(name: str) -> Encode:
    """module:name of a function, or the folder of a text model in the form of `transformers`."""
    if Path(name).is_dir():
        return of_folder(Path(name))
    if ":" in name:
        return find({}, name, "encoder")
    near = nearest(name, map(str, Path(name).parent.glob("*")))
    raise RequestError(f"encoder {name!r} is no folder here{near}; give a folder, or module:name of texts -> (n, dim)")


def of_folder(folder: Path) -> Encode:
    """A text model on disk: its own text features if it has such (CLIP), else the mean of its last states.

    Only local files and only safetensors are read; no code of theirs is run.
    """
    try:
        from transformers import AutoModel, AutoTokenizer  # type: ignore[import-not-found]
    except ImportError as error:
        raise RequestError(
            f"encoder {str(folder)!r} is read by transformers, which is not here ({error}): pip install "
            "'sparring[encoder]', or give module:name of a function of your own, texts -> (n, dim)"
        ) from error
    import torch

    try:
        cut = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        model = AutoModel.from_pretrained(folder, local_files_only=True, use_safetensors=True).eval()
    except (OSError, ValueError) as error:
        why = str(error).splitlines()[0]
        raise RequestError(
            f"encoder {str(folder)!r} cannot be read: {why}; it needs config.json, a tokenizer and model.safetensors"
        ) from error

    @torch.no_grad()
    def encode(texts: list[str]) -> Any:
        words = cut(texts, padding=True, truncation=True, return_tensors="pt")
        if hasattr(model, "get_text_features"):
            return model.get_text_features(**words)
        there = words["attention_mask"][..., None].float()
        return (model(**words).last_hidden_state * there).sum(1) / there.sum(1).clamp_min(1)

    return encode
