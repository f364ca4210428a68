"""Features learned in minutes from the training examples alone: from two looks at each, or from their classes.

The same examples, seed, machine and number of threads give the same network.
"""

import time
from collections.abc import Callable
from math import ceil, cos, log2, pi

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, cross_entropy, mse_loss, relu

from ..chance import seeded
from ..data.split import Split
from ..spaces import Space
from .contract import ExtractorError, digest, planes
from .views import view

STEPS, BATCH, RATE, WARM = 400, 128, 3e-3, 20
FEWEST = 40  # steps, whatever the limit of time
SEEN = 64  # pixels of a side: larger pictures are averaged down

Loss = Callable[[Tensor, Tensor | None], Tensor]


class Residual(nn.Module):
    """He et al. 2016: two convolutions beside a way past them.  (B, seen, H, W) -> (B, made, H, W)."""

    def __init__(self, seen: int, made: int):
        super().__init__()
        self.first, self.norm1 = nn.Conv2d(seen, made, 3, padding=1, bias=False), nn.BatchNorm2d(made)
        self.second, self.norm2 = nn.Conv2d(made, made, 3, padding=1, bias=False), nn.BatchNorm2d(made)
        self.past = nn.Conv2d(seen, made, 1) if seen != made else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return relu(self.past(x) + self.norm2(self.second(relu(self.norm1(self.first(x))))))


class Encoder(nn.Module):
    """(B, ..., channels, size, size) in [-1, 1], frames taken as further channels, to features (B, d), d ≤ 128.

    `settle` gives it a name, and features whose mean is 0 and whose mean variance is 1 over the examples.
    """

    name = "unsettled"

    def __init__(self, channels: int, size: int):
        super().__init__()
        self.takes = (channels, size, size)
        self.shrink = 2 ** max(0, ceil(log2(size / SEEN)))
        self.stem = nn.Conv2d(channels, 32, 3, 2 if size > 16 else 1, 1)
        side = ceil(ceil(size / self.shrink) / self.stem.stride[0])
        widths = [32, *(min(32 * 2**i, 128) for i in range(max(1, ceil(log2(side / 4))) + 1))]
        self.stages = nn.ModuleList([Residual(a, b) for a, b in zip(widths, widths[1:])])
        self.d = widths[-1]
        self.register_buffer("mean", torch.zeros(self.d))
        self.register_buffer("spread", torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1, -3)
        if x.shape[1:] != self.takes:
            raise ValueError(f"{self.name} takes {self.takes} a sample, not {tuple(x.shape[1:])}")
        x = self.stem(avg_pool2d(x, self.shrink, ceil_mode=True) if self.shrink > 1 else x)
        for i, stage in enumerate(self.stages):
            x = stage(avg_pool2d(x, 2, ceil_mode=True) if i else x)
        return (x.mean((2, 3)) - self.get_buffer("mean")) / self.get_buffer("spread")

    def settle(self, name: str, batches) -> "Encoder":
        self.eval().requires_grad_(False)
        f = torch.cat([self(x) for x in batches])
        self.get_buffer("mean").copy_(f.mean(0))
        self.get_buffer("spread").copy_(f.var(0).mean().sqrt())
        return self


def vicreg(a: Tensor, b: Tensor) -> Tensor:
    """Bardes, Ponce, LeCun 2022: two looks (B, d) alike, every feature alive, no two the same."""

    def alive(z: Tensor) -> Tensor:
        return relu(1 - (z.var(0) + 1e-4).sqrt()).mean()

    def apart(z: Tensor) -> Tensor:
        covariance = z.T.cov()
        return (covariance.square().sum() - covariance.diag().square().sum()) / z.shape[1]

    return 25 * mse_loss(a, b) + 12.5 * (alive(a) + alive(b)) + apart(a) + apart(b)
