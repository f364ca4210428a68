"""Analysis by synthesis: a sample is a face if the face that is read from it, drawn again, is the sample.

A small network reads every attribute and jitter from a sample.  The face of these is drawn three times: whole, without
eyes, without mouth.  The first must explain the sample everywhere; what it has more than the others must be there.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv2d, interpolate, max_pool2d, pad

from sparring.worlds.faces_captions import obeyed
from sparring.worlds.faces_paint import JITTER, paint
from sparring.worlds.faces_words import ATTRIBUTES

SIZE = 32  # faces are read at this size
WEIGHTS = Path(__file__).with_name("faces_reader.safetensors")  # fitted by benchmarks/faces_reader.py
KINDS = tuple(map(len, ATTRIBUTES.values()))
TURNS = [JITTER.index(name) for name in ("cloth_hue", "accent_hue", "teeth_turn")]  # that close upon themselves

# Of a valid face.  Beside each: what all but one real face in 200 reach | what the best 5 % of the bad ones reach
LEAST = {
    "left_eye": 0.55,  # 0.82 | 0.10  without eyes
    "right_eye": 0.55,  # 0.78 | 0.10
    "mouth": 0.4,  # 0.67 | 0.15  without mouth
    "sharp": 0.36,  # 0.65 | 0.09  blurred
    "alike": 0.4,  # 0.64 | 0.14  upside down
    "fine": 0.125,  # 0.89 | 0.11  enlarged from 32 to 64
}
MOST = {
    "error": 14.0,  # 10.3 | 15.3  averaged in pairs
    "worst": 48.0,  # 36.9 | 55.7  of two halves
    "left_rest": 0.75,  # 0.44 | 0.91  without eyes
    "right_rest": 0.75,  # 0.39 | 0.91
    "mouth_rest": 1.0,  # 0.54 | 0.73  without mouth: `mouth` tells these, here another's mouth is meant
}


class Eye(nn.Sequential):
    """Sees faces (B, 3, 32, 32) in [-1, 1]; tells scores of each attribute, jitters, and turns as (cos, sin)."""

    def __init__(self):
        layer = lambda i, o, stride=1, k=3: (nn.Conv2d(i, o, k, stride, k // 2), nn.SiLU())
        super().__init__(
            *(*layer(3, 24, 2), *layer(24, 48, 2), *layer(48, 64), *layer(64, 96, 2), *layer(96, 36, k=1)),
            *(nn.Flatten(), nn.Linear(576, sum(KINDS) + len(JITTER) + 2 * len(TURNS))),
        )

    def scores(self, x: Tensor) -> tuple[list[Tensor], Tensor, Tensor]:
        """Scores of each attribute [(B, K)], jitters (B, len(JITTER)), turns (B, 2, len(TURNS)) of faces, 0 to 255."""
        scores, jitter, turns = self(x / 127.5 - 1).split([sum(KINDS), len(JITTER), 2 * len(TURNS)], 1)
        return list(scores.split(KINDS, 1)), jitter + 0.5, turns.unflatten(1, (2, len(TURNS)))

    def read(self, x: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """The attributes (B,) and jitters (B, len(JITTER)) with which `paint` draws these faces, 0 to 255, again."""
        scores, jitter, turns = self.scores(x)
        jitter[:, TURNS] = torch.atan2(turns[:, 1], turns[:, 0]) / (2 * torch.pi) % 1
        return {name: s.argmax(1) for name, s in zip(ATTRIBUTES, scores)}, jitter.clamp_(0, 1)


@lru_cache
def eye() -> Eye:
    """The fitted eye."""
    seeing = Eye()
    seeing.load_state_dict({name: w.float() for name, w in load_file(WEIGHTS).items()})
    return seeing.requires_grad_(False).eval()


def sized(x: Tensor, size: int) -> Tensor:
    """Pictures at another size: the exact mean over areas when smaller, bilinear when larger."""
    if size >= (old := x.shape[-1]):
        return x if size == old else interpolate(x, size=(size, size), mode="bilinear")
    edge = torch.arange(size + 1) * (old / size)
    within = lambda i: (edge[:, None] - i).clamp(0, 1)  # of old pixel i, how much is before each edge
    share = within(torch.arange(old)).diff(dim=0) * (size / old)
    return share @ x @ share.T


def detail(x: Tensor) -> Tensor:
    """What a picture has beyond its 3 × 3 binomial mean."""
    tap = x.new_tensor([0.25, 0.5, 0.25])
    z = pad(x, (1, 1, 1, 1), mode="replicate").flatten(0, 1)[:, None]
    return x - conv2d(conv2d(z, tap.view(1, 1, 1, 3)), tap.view(1, 1, 3, 1)).view_as(x)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum((1, 2, 3))


def measure(x: Tensor, attributes: dict[str, Tensor], jitter: Tensor) -> dict[str, Tensor]:
    """How well the face of these attributes and jitters explains the sample x (B, 3, H, H), 0 to 255; each (B,).

    error       root mean square of what is left unexplained, in steps of 255, of means over 4 × 4 pixels
    worst       the same over 2 × 2, in the worst window of a quarter of the side
    left_eye, right_eye, mouth  how much of it is there: 1 if whole, 0 if none
    left_rest, right_rest, mouth_rest  what is left unexplained where it should be, over its own energy
    sharp       how much of the detail that should be is there, in place
    alike       correlation of the details
    fine        above 32 pixels: energy of the detail along edges, less that of flat parts, over what it should be
    """
    size = min(x.shape[-1], SIZE)
    small = sized(x, size)
    face, blind, mute = (paint(attributes, jitter, size, without) for without in ((), ("eyes",), ("mouth",)))
    rest = small - face
    square = rest.square()
    d, e = detail(small), detail(face)
    told = {
        "error": avg_pool2d(rest, 4).square().mean((1, 2, 3)).sqrt(),
        "worst": avg_pool2d(avg_pool2d(rest, 2).square().mean(1, keepdim=True), size // 8, size // 16)
        .amax((1, 2, 3))
        .sqrt(),
        "sharp": _dot(d, e) / _dot(e, e),
        "alike": _dot(d, e) / (_dot(d, d) * _dot(e, e) + 1).sqrt(),
    }

    middle = ((jitter[:, 0] * 0.16 - 0.08 + 1) * size / 2)[:, None, None, None]
    left = (torch.arange(size) + 0.5 < middle).float()
    for eye_, mouth_, of, other in (
        ("left_eye", "left_rest", left, blind),
        ("right_eye", "right_rest", 1 - left, blind),
        ("mouth", "mouth_rest", torch.ones(1, 1, 1, 1), mute),
    ):
        more = (face - other) * of
        energy, where = _dot(more, more) + 1, more.abs().sum(1, keepdim=True) > 0
        told[eye_] = _dot(small - other, more) / energy
        told[mouth_] = _dot(square, where) / energy

    if (full := min(x.shape[-1], 128)) > SIZE:
        d, e = detail(sized(x, full)).square().mean(1, keepdim=True), detail(paint(attributes, jitter, full))
        e = e.square().mean(1, keepdim=True)
        reach = full // 32 * 2 + 1
        near = max_pool2d(e, reach, 1, reach // 2) > 25
        mean = lambda q, where: _dot(q, where) / where.sum((1, 2, 3)).clamp_min(1)
        told["fine"] = (mean(d, near) - mean(d, ~near)) / (mean(e, near) - mean(e, ~near)).clamp_min(1)
    return told


def _parts(x: Tensor) -> Iterator[Tensor]:
    """A few samples at a time, as floats: what a processor's cache holds."""
    if x.ndim != 4 or x.shape[1] != 3 or x.shape[2] != x.shape[3] or x.shape[2] < 24:
        raise ValueError(
            f"samples of shape {tuple(x.shape)} are no faces: these are (N, 3, size, size), 24 or more wide"
        )
    for part in x.detach().cpu().split(max(1, 64 * SIZE**2 // x.shape[2] ** 2)):
        yield part.float()


@torch.no_grad()
def read(x: Tensor) -> dict[str, Tensor]:
    """Whether each sample (N, 3, size, size) in bytes is a `valid` face (N,), and the index (N,) of each attribute."""
    found = []
    for part in _parts(x):
        attributes, jitter = eye().read(sized(part, SIZE))
        told = measure(part, attributes, jitter)
        valid = torch.stack(
            [told[k] >= least for k, least in LEAST.items() if k in told]
            + [told[k] <= most for k, most in MOST.items()]
        ).all(0)
        found.append({"valid": valid, **attributes})
    names = ("valid", *ATTRIBUTES)
    return {k: torch.cat([f[k] for f in found] or [torch.empty(0, dtype=torch.long)]) for k in names}


def judge(x: Tensor, captions: Sequence[str] | None = None) -> dict[str, float]:
    """What samples (N, 3, size, size) in bytes are, and how well they fit their captions, if given; see `obeyed`.

    valid        fraction that are faces; .99 or more of real ones
    NAME_tv      total variation between that attribute's histogram over valid samples and the truth, which is uniform;
                 1 if none is valid.  N real ones have about .4 √(K / N) of K colours
    hair_colours, eye_colours  how many colours have a quarter of their due share, or more, of the valid samples
    """
    found = read(x)
    valid = found["valid"].bool()
    truth = {"valid": valid.double().mean().item() if len(valid) else 0.0}
    share = {}
    for name, values in ATTRIBUTES.items():
        share[name] = found[name][valid].bincount(minlength=len(values)) / max(1, int(valid.sum())) * len(values)
        truth[f"{name}_tv"] = (share[name] - 1).abs().mean().item() / 2 if valid.any() else 1.0
    if captions is not None:
        truth |= obeyed(found, captions)
    return truth | {
        f"{k}_colours": float((share[name] >= 0.25).sum()) for k, name in (("hair", "hair"), ("eye", "eyes"))
    }
