"""The network that learned features come from: small enough for minutes of a CPU, at any size of picture."""

from collections.abc import Iterable
from math import ceil, log2

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, relu

from .contract import digest

SEEN = 64  # pixels of a side: larger pictures are averaged down to at most so many


class Residual(nn.Module):
    """He et al. 2016: two convolutions beside a way past them.  (B, seen, H, W) -> (B, made, H, W)."""

    def __init__(self, seen: int, made: int):
        super().__init__()
        self.first, self.norm1 = nn.Conv2d(seen, made, 3, padding=1, bias=False), nn.BatchNorm2d(made)
        self.second, self.norm2 = nn.Conv2d(made, made, 3, padding=1, bias=False), nn.BatchNorm2d(made)
        self.past = nn.Conv2d(seen, made, 1) if seen != made else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return relu(self.past(x) + self.norm2(self.second(relu(self.norm1(self.first(x))))))


class Settled(nn.Module):
    """A network to features (B, d).  `settle` makes those of given samples 0 in the mean and 1 in the mean of their
    variances, and names it."""

    name, kind = "unsettled", "learned"

    def __init__(self, takes: tuple[int, ...], d: int):
        super().__init__()
        self.takes, self.d = takes, d
        self.register_buffer("mean", torch.zeros(d))
        self.register_buffer("spread", torch.ones(()))

    def standard(self, features: Tensor) -> Tensor:
        return (features - self.get_buffer("mean")) / self.get_buffer("spread")

    @torch.no_grad()
    def settle(self, batches: Iterable[Tensor]) -> None:
        f = torch.cat([self.eval()(x) for x in batches])
        self.get_buffer("mean").copy_(f.mean(0))
        self.get_buffer("spread").copy_(f.var(0).mean().sqrt().clamp_min(1e-6))
        self.settled()

    def settled(self) -> None:
        self.eval().requires_grad_(False)
        self.name = f"{self.kind}-{'x'.join(map(str, self.takes))}-{digest(self)}"


class Encoder(Settled):
    """(B, ..., channels, size, size) in [-1, 1], frames taken as further channels, to features (B, d), d ≤ 128."""

    def __init__(self, channels: int, size: int):
        shrink = 2 ** max(0, ceil(log2(size / SEEN)))
        side = ceil(ceil(size / shrink) / (2 if size > 16 else 1))
        widths = [32, *(min(32 * 2**i, 128) for i in range(max(1, ceil(log2(side / 4))) + 1))]
        super().__init__((channels, size, size), widths[-1])
        self.shrink = shrink
        self.stem = nn.Conv2d(channels, 32, 3, 2 if size > 16 else 1, 1)
        self.stages = nn.ModuleList([Residual(a, b) for a, b in zip(widths, widths[1:])])

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1, -3).float()
        if x.shape[1:] != self.takes:
            raise ValueError(f"{self.name} takes {self.takes} a sample, not {tuple(x.shape[1:])}")
        x = self.stem(avg_pool2d(x, self.shrink, ceil_mode=True) if self.shrink > 1 else x)
        for i, stage in enumerate(self.stages):
            x = stage(avg_pool2d(x, 2, ceil_mode=True) if i else x)
        return self.standard(x.mean((2, 3)))


class Reader(Encoder):
    """An encoder that learns to tell classes; `logits` says which."""

    kind = "classifier"

    def __init__(self, channels: int, size: int, classes: int):
        super().__init__(channels, size)
        self.last = nn.Linear(self.d, classes)

    def logits(self, features: Tensor) -> Tensor:
        """(B, classes), of features (B, d) as it made them."""
        return self.last(features * self.get_buffer("spread") + self.get_buffer("mean"))
