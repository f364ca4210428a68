"""The pair that learns quickly on a CPU: convolve, then enlarge, in G; strided convolutions without norms in D.

Work at full size is dear, so the finest details of G are thought out at half the size.

What a few minutes cannot teach to local layers, that one picture has one colour of hair, both are given ways to tell at
once: z sets a scale and a shift of every channel of G; D has tallies, and a look at a small copy, of the whole picture.
"""

from collections.abc import Callable
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, leaky_relu, pixel_shuffle, relu

from ..priors import Prior
from ..spaces import Spec
from .blocks import LEAK, PixelNorm, image, pyramid
from .conditions import How, Join, Projection
from .minibatch import Beside, MinibatchStd, VirtualBatchNorm, referenced, side_by_side
from .projecting import Projecting

KERNEL = 3  # of the critic: 4 would be symmetric, and slower
DEAR = 24  # pixels from which a convolution at full size would cost D as much as all others together
FINE = 32  # pixels from which the last enlargement of G is learned; below, a copy does
KINDS = 64  # that a tally counts

Norm = Literal["batch", "virtual", "pixel", "none"]
NORMS: dict[str, Callable[[int], nn.Module]] = {
    "batch": lambda channels: nn.BatchNorm2d(channels, affine=False),
    "virtual": lambda channels: VirtualBatchNorm(channels, affine=False),
    "pixel": lambda channels: PixelNorm(),
    "none": lambda channels: nn.Identity(),
}


def widths(size: int, width: int) -> list[int]:
    """Channels at each side from the coarsest: `width` from 32 pixels on, doubled at each half of it, at most 8x."""
    return [width * min(8, max(size, 32) // side) for side in pyramid(size)]


class Modulated(nn.Module):
    """Chen et al. 2019 (self modulation): a norm, then a scale and a shift of each channel, told by w (B, dim).

    (B, C, H, W) -> the same.
    """

    def __init__(self, norm: nn.Module, channels: int, dim: int):
        super().__init__()
        self.norm, self.tell = norm, nn.Linear(dim, 2 * channels)
        nn.init.normal_(self.tell.weight, std=dim**-0.5)
        nn.init.zeros_(self.tell.bias)

    def forward(self, h: Tensor, w: Tensor) -> Tensor:
        scale, shift = self.tell(w)[:, :, None, None].chunk(2, 1)
        return self.norm(h) * (1 + scale) + shift


class Copy(nn.Module):
    """Each place becomes four that are alike: (B, C, H, W) -> (B, C, 2H, 2W)."""

    def forward(self, h: Tensor, w: Tensor) -> Tensor:
        return interpolate(h, scale_factor=2)


class Split(nn.Module):
    """Each place becomes four, told apart by channels (Shi et al. 2016), after one more convolution at half the size.

    (B, half, H, W) and w (B, dim) -> (B, full, 2H, 2W).
    """

    def __init__(self, half: int, full: int, modulated: Callable[[int], nn.Module]):
        super().__init__()
        self.think, self.norm = nn.Conv2d(half, half, 3, padding=1), modulated(half)
        self.split, self.split_norm = nn.Conv2d(half, 4 * full, 3, padding=1), modulated(full)

    def forward(self, h: Tensor, w: Tensor) -> Tensor:
        h = relu(self.norm(self.think(h), w))
        return relu(self.split_norm(pixel_shuffle(self.split(h), 2), w))


class Generator(nn.Module):
    """(B, prior.dim) and c to pictures (B, C, H, W) in [-1, 1].

    Each stage convolves before it enlarges, so that only the last convolution works at full size; from 32 pixels on,
    how the last one enlarges is learned.
    join: see `Join`; by "modulate", c enters only the scales and shifts of the channels.
    norm: "batch" shares statistics over the batch; "virtual" takes those of a fixed batch (make it by `pair`), "pixel"
    those of each pixel, so that samples are independent of each other; or "none".
    """

    def __init__(self, spec: Spec, prior: Prior, width: int = 32, join: How = "concat", norm: Norm = "batch"):
        super().__init__()
        if norm not in NORMS:
            raise ValueError(f"norm {norm!r} is none of {', '.join(get_args(Norm))}")
        x, self.prior = image(spec), prior
        self.base, w, dim = pyramid(x.size)[0], widths(x.size, width), 4 * width
        modulated = lambda channels: Modulated(NORMS[norm](channels), channels, dim)

        self.told = join != "modulate"  # whether the first layer hears of c
        self.join = Join(prior.dim, spec.c, join if self.told else "concat")
        layer = lambda i, o: (nn.Linear(i, o), nn.LeakyReLU(LEAK))
        self.style = nn.Sequential(*layer(self.join.dim, dim), *layer(dim, dim))
        self.first = nn.Linear(self.join.dim if self.told else prior.dim, w[0] * self.base**2)
        self.norm = modulated(w[0])
        steps = list(zip([w[0], *w], w[:-1]))
        self.stages = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in steps)
        self.norms = nn.ModuleList(modulated(b) for _, b in steps)
        self.enlarge = nn.ModuleList(Copy() for _ in steps)
        last = w[-2] if w[1:] else w[0]
        if x.size >= FINE:
            half, last = last, max(width // 2, 1)
            self.enlarge[-1] = Split(half, last, modulated)
        self.last = nn.Conv2d(last, x.channels, 3, padding=1)

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        both = self.join(z, c)
        w = self.style(both)
        h = self.first(both if self.told else z).unflatten(1, (-1, self.base, self.base))
        h = relu(self.norm(h, w))
        for convolve, norm, enlarge in zip(self.stages, self.norms, self.enlarge):
            h = enlarge(relu(norm(convolve(h), w)), w)
        return self.last(h).float().tanh()


class Tally(nn.Module):
    """How much of each of `kinds` learned kinds a picture has, and how unevenly: mean and deviation over all places.

    (B, C, H, W) -> (B, 2 kinds).
    """

    def __init__(self, channels: int, kinds: int = KINDS):
        super().__init__()
        self.kinds = nn.Linear(channels, kinds)

    def forward(self, h: Tensor) -> Tensor:
        places = h.permute(0, 2, 3, 1).flatten(1, 2)  # no copy where channels lie last
        k = leaky_relu(self.kinds(places), LEAK).float()
        mean, square = k.sum(1) / k.shape[1], (k * k).sum(1) / k.shape[1]  # as `mean`, and quicker on the way back
        return torch.cat([mean, (square - mean.square() + 1e-4).sqrt()], 1)


class Glance(nn.Module):
    """Dense layers on a small copy of the picture: (B, C, H, W) -> (B, dim).  H and W are multiples of `side`."""

    def __init__(self, channels: int, side: int, dim: int):
        super().__init__()
        layer = lambda i, o: (nn.Linear(i, o), nn.LeakyReLU(LEAK))
        self.side, self.dense = side, nn.Sequential(*layer(channels * side**2, 2 * dim), *layer(2 * dim, dim))

    def forward(self, x: Tensor) -> Tensor:
        return self.dense(avg_pool2d(x, x.shape[-1] // self.side).flatten(1))


class Critic(Projecting):
    """(B, C, H, W) and c to scores (B,), higher = more real.

    group: samples whose spread is one more feature of the whole picture; 1 = none.  Pieces of a batch give the
    gradients of the whole where each is a multiple of it.
    pack: samples judged together (Lin et al. 2018, PacGAN), neighbours in the batch, each with its own condition; all
    get the score of the pack.  A slope penalty then weighs `pack` times as much.
    kernels: of minibatch discrimination on the last features; 0 = none.
    """

    def __init__(self, spec: Spec, width: int = 32, group: int = 4, pack: int = 1, kernels: int = 0):
        super().__init__()
        x, self.pack = image(spec), pack
        sides, w = pyramid(x.size), widths(x.size, width)[::-1]

        full = x.size < DEAR
        w = [pack * x.channels, *w] if full else [pack * x.channels, *w[1:]]
        stages: list[nn.Module] = []
        for i, (a, b) in enumerate(zip(w, w[1:])):
            stages.append(nn.Conv2d(a, b, KERNEL, 1 if full and i == 0 else 2, padding=1))
        self.stages = nn.ModuleList(stages)
        self.tallies = nn.ModuleList(Tally(channels) for channels in w[1:3])
        self.glance = Glance(pack * x.channels, sides[min(1, len(sides) - 1)], w[-1])
        self.spread = MinibatchStd(group) if group > 1 else None
        seen = w[-1] * sides[0] ** 2 + 2 * KINDS * len(self.tallies) + w[-1] + (group > 1)
        self.whole = nn.Linear(seen, w[-1])  # without it, a score is a sum over places
        self.beside = Beside(w[-1], kernels=kernels)
        self.score = Projection(self.beside.dim, spec.c, w[-1], pack)

    def features(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """(B, d), or of each pack."""
        h = side_by_side(x, self.pack)
        told = [self.glance(h)]
        for i, convolve in enumerate(self.stages):
            h = leaky_relu(convolve(h), LEAK)
            if i < len(self.tallies):
                told.append(self.tallies[i](h).to(h.dtype))
        if self.spread is not None:
            told.append(self.spread(h))
        return leaky_relu(self.whole(torch.cat([h.flatten(1), *told], 1)), LEAK)


def pair(
    spec: Spec,
    prior: Prior,
    width: int = 32,
    join: How = "concat",
    norm: Norm = "batch",
    group: int = 4,
    pack: int = 1,
    kernels: int = 0,
) -> tuple[nn.Module, Critic]:
    """G and D that mirror each other; see `Generator` and `Critic` for the options."""
    G = referenced(Generator(spec, prior, width, join, norm), spec, prior)
    return G, Critic(spec, width, group, pack, kernels)
