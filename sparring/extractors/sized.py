"""Pictures at the size that a network takes, by a named rule: the rule moves a measure as much as many a model does.

Bytes in, floats out, (B, C, H, W) from 0 to 255 both; the result is not rounded.
"""

from collections.abc import Callable
from math import floor

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from .contract import ExtractorError, batch_of

Resize = Callable[[Tensor, int], Tensor]


def clean(x: Tensor, side: int) -> Tensor:
    """Bicubic with antialiasing, clipped; Parmar et al. 2022 (clean-fid).  Pillow's, on floats."""
    return interpolate(x, size=(side, side), mode="bicubic", antialias=True).clamp(0, 255)


def tf1(x: Tensor, side: int) -> Tensor:
    """Bilinear between the four pixels around (i H / side, j W / side), as TensorFlow 1 did for the first FIDs.

    Without antialiasing, and half a pixel off: what is shrunk is full of holes, and moved.
    """
    rows, columns = (_between(n, side).to(x) for n in x.shape[2:])
    return rows @ x @ columns.T


def none(x: Tensor, side: int) -> Tensor:
    """As they are."""
    return x


def _between(n: int, side: int) -> Tensor:
    """The weights of n pixels at each of `side` places, (side, n)."""
    weights = torch.zeros(side, n, dtype=torch.float64)
    for i in range(side):
        place = i * n / side
        low = floor(place)
        weights[i, low] += low + 1 - place
        weights[i, min(low + 1, n - 1)] += place - low
    return weights


RESIZES: dict[str, Resize] = {"clean": clean, "tf1": tf1, "none": none}


class Sized(nn.Module):
    """An extractor of pictures with a `side` of its own, given pictures of any size in [-1, 1] by a rule of resizing.

    Pictures are first made bytes, as real ones are stored; gray ones are given three equal channels if it takes three.
    """

    def __init__(self, inner: nn.Module, resize: str) -> None:
        super().__init__()
        self.inner, self.rule = inner, RESIZES[resize]
        self.side, self.channels = int(inner.side), getattr(inner, "channels", None)  # type: ignore[arg-type]
        self.batch = batch_of(inner)
        self.name, self.kept = f"{inner.name}-{resize}", getattr(inner, "kept", True)
        self.resize = resize
        if hasattr(inner, "logits"):
            self.logits = inner.logits

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != 4:
            raise ExtractorError(f"{self.name} looks at pictures (B, C, H, W), not at {tuple(x.shape)}")
        if self.channels not in (None, x.shape[1]):
            if x.shape[1] != 1:
                raise ExtractorError(f"{self.name} takes {self.channels} channels, and these have {x.shape[1]}")
            x = x.expand(-1, self.channels, -1, -1)
        x = (x.float() * 127.5 + 127.5).round().clamp(0, 255)
        return self.inner(self.rule(x, self.side) / 127.5 - 1)
