"""The pair that learns quickly on a CPU: convolve, then enlarge, in G; strided convolutions without norms in D."""

from collections.abc import Callable
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, relu

from ..priors import Prior
from ..spaces import Spec
from .blocks import LEAK, MinibatchStd, PixelNorm, image, packed, pyramid
from .conditions import How, Join, Projection

KERNEL = 3  # of the critic: 4 would be symmetric, and slower

Norm = Literal["batch", "pixel", "none"]
NORMS: dict[str, Callable[[int], nn.Module]] = {
    "batch": nn.BatchNorm2d,
    "pixel": lambda channels: PixelNorm(),
    "none": lambda channels: nn.Identity(),
}


def widths(size: int, width: int) -> list[int]:
    """Channels at each side from the coarsest: `width` from 32 pixels on, doubled at each half of it, at most 8x."""
    return [width * min(8, max(size, 32) // side) for side in pyramid(size)]


class Generator(nn.Module):
    """(B, prior.dim) and c to pictures (B, C, H, W) in [-1, 1].

    Each stage convolves before it enlarges, so that only the last convolution works at full size.
    norm: "batch" shares statistics over the batch; "pixel" leaves samples independent of each other; or "none".
    In a short trial "pixel" fell to one mode of eight, unless D took the minibatch standard deviation.
    """

    def __init__(self, spec: Spec, prior: Prior, width: int = 32, join: How = "concat", norm: Norm = "batch"):
        super().__init__()
        if norm not in NORMS:
            raise ValueError(f"norm {norm!r} is none of {', '.join(get_args(Norm))}")
        x, self.prior = image(spec), prior
        self.base, w = pyramid(x.size)[0], widths(x.size, width)

        self.join = Join(prior.dim, spec.c, join)
        self.first = nn.Linear(self.join.dim, w[0] * self.base**2)
        self.norm = NORMS[norm](w[0])
        stages: list[nn.Module] = []
        for a, b in zip([w[0], *w], w[:-1]):
            stages += [nn.Conv2d(a, b, 3, padding=1), NORMS[norm](b), nn.ReLU(), nn.Upsample(scale_factor=2)]
        self.stages = nn.Sequential(*stages)
        self.last = nn.Conv2d(w[-2] if w[1:] else w[0], x.channels, 3, padding=1)

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        h = self.first(self.join(z, c)).unflatten(1, (-1, self.base, self.base))
        return self.last(self.stages(relu(self.norm(h)))).float().tanh()


class Critic(nn.Module):
    """(B, C, H, W) and c to scores (B,), higher = more real.

    group: samples whose spread is one more feature of the whole picture; 1 = none.  Pieces of a batch give the
    gradients of the whole where each is a multiple of it.
    pack: samples judged together (Lin et al. 2018, PacGAN), neighbours in the batch, each with its own condition; all
    get the score of the pack.  A slope penalty then weighs `pack` times as much.
    """

    def __init__(self, spec: Spec, width: int = 32, group: int = 4, pack: int = 1):
        super().__init__()
        x, self.pack = image(spec), pack
        sides, w = pyramid(x.size), widths(x.size, width)[::-1]

        full = x.size < 24  # above, a convolution at full size would cost as much as all others together
        w = [pack * x.channels, *w] if full else [pack * x.channels, *w[1:]]
        stages: list[nn.Module] = []
        for i, (a, b) in enumerate(zip(w, w[1:])):
            stages += [nn.Conv2d(a, b, KERNEL, 1 if full and i == 0 else 2, padding=1), nn.LeakyReLU(LEAK)]
        self.stages = nn.Sequential(*stages)
        self.spread = MinibatchStd(group) if group > 1 else None
        self.whole = nn.Linear(w[-1] * sides[0] ** 2 + (group > 1), w[-1])  # without it, a score is a sum over places
        self.score = Projection(w[-1], spec.c, w[-1], pack)

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        n = len(x)
        if self.pack > 1:
            x = packed(x, self.pack).flatten(1, 2)
            c = None if c is None else packed(c, self.pack)
        h = self.stages(x)
        h = h.flatten(1) if self.spread is None else torch.cat([h.flatten(1), self.spread(h)], 1)
        score = self.score(leaky_relu(self.whole(h), LEAK), c)
        return score.repeat_interleave(self.pack)[:n] if self.pack > 1 else score


def pair(
    spec: Spec,
    prior: Prior,
    width: int = 32,
    join: How = "concat",
    norm: Norm = "batch",
    group: int = 4,
    pack: int = 1,
) -> tuple[Generator, Critic]:
    """G and D that mirror each other; see `Generator` and `Critic` for the options."""
    return Generator(spec, prior, width, join, norm), Critic(spec, width, group, pack)
