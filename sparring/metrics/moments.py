"""Means and covariances, of sets or of streams, merged in any order and over any processes."""

from functools import reduce
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .. import parallel
from .bank import one_source
from .measure import features


class Moments(NamedTuple):
    """What is left of a set of features when only its first two moments matter.  All in float64.

    `merge` makes sets out of parts, in any order: batches of a stream, or the shares of several processes.
    """

    n: int
    mean: Tensor  # (d,)
    scatter: Tensor  # (d, d), the sum of (x - mean)(x - mean)ᵀ

    @property
    def cov(self) -> Tensor:
        return self.scatter / (self.n - 1)


def moments(x: Tensor, block: int = 4096) -> Moments:
    """The moments of x (n, d), n >= 1, a block of rows at a time."""

    def of(x: Tensor) -> Moments:
        x = x.double()
        mean = x.mean(0)
        return Moments(len(x), mean, gram(x - mean))

    return reduce(merge, map(of, x.split(block)))


def merge(a: Moments, b: Moments) -> Moments:
    """The moments of both sets together.  Chan, Golub & LeVeque 1983."""
    if not a.n or not b.n:
        return b if b.n else a
    n = a.n + b.n
    step = b.mean - a.mean
    scatter = torch.addr(a.scatter, step, step, alpha=a.n * b.n / n).add_(b.scatter)
    return Moments(n, a.mean + step * (b.n / n), scatter)


def gram(x: Tensor, block: int = 256) -> Tensor:
    """xᵀx of x (n, d), each product of two columns once."""
    d = x.shape[1]
    if d <= block:
        return x.T @ x

    out = x.new_empty(d, d)
    for i in range(0, d, block):
        strip = x[:, i : i + block].T @ x[:, i:]
        out[i : i + block, i:] = strip
        out[i:, i : i + block] = strip.T
    return out


class RunningMoments:
    """The moments of features (n, d) that stream by; `now` is what they are so far.

    d: features of a sample; source: the extractor and resize they come from, in words.
    """

    def __init__(self, d: int, source: str = "") -> None:
        self.d, self.source = d, source
        self.now = Moments(0, torch.zeros(d, dtype=torch.float64), torch.zeros(d, d, dtype=torch.float64))

    def update(self, x: Tensor) -> "RunningMoments":
        """Puts features x (b, d) in, b >= 0."""
        x = features(x, "the batch", least=0).cpu()
        if x.shape[1] != self.d:
            raise ValueError(f"features of shape {tuple(x.shape)} for moments of {self.d} each; give (b, {self.d})")
        if len(x):
            self.now = merge(self.now, moments(x))
        return self

    def merge(self, other: "RunningMoments") -> "RunningMoments":
        """Puts in what the other has seen."""
        self.source = one_source(self, other)
        self.now = merge(self.now, other.now)
        return self

    def all_reduce(self, group: Any = None) -> "RunningMoments":
        """Puts in what all processes have seen; two messages, empty ones allowed."""
        n, mean, scatter = self.now
        sums = parallel.total(torch.cat([torch.tensor([float(n)], dtype=torch.float64), n * mean]), group)
        whole = sums[1:] / sums[0].clamp_min(1)

        step = mean - whole
        scatter = parallel.total(torch.addr(scatter, step, step, alpha=float(n)), group)
        self.now = Moments(int(sums[0]), whole, scatter)
        return self

    def state_dict(self) -> dict[str, Any]:
        """What has been seen, as tensors and plain values."""
        return {**self.now._asdict(), "source": self.source}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        self.source = saved["source"]
        self.now = Moments(saved["n"], saved["mean"], saved["scatter"])

    def __len__(self) -> int:
        return self.now.n
