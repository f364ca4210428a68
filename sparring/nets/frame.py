"""The pair that foresees: a U-Net from past frames and noise to the next one, and a critic of (past, next)."""

from collections.abc import Callable
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, leaky_relu, pixel_shuffle, pixel_unshuffle

from ..priors import Prior
from ..spaces import Frames, Image, Spec
from .blocks import LEAK, PixelNorm
from .patches import Patched
from .quick import Modulated

Enter = Literal["modulate", "concat", "add"]
Norm = Literal["batch", "pixel", "none"]
FOLD = 2  # pixels on a side that lie in one place of the networks, as channels: a quarter of the work at full size


def spaces(spec: Spec) -> tuple[Image, Frames]:
    """The frame that is made and the frames that it is made from; TypeError or ValueError if these do not fit."""
    x, c = spec
    if not (isinstance(x, Image) and isinstance(c, Frames)):
        raise TypeError(f"frame networks make Image(channels, size) from Frames(count, channels, size), not {spec!r}")
    if (x.channels, x.size) != (c.channels, c.size):
        raise ValueError(f"frame networks continue a past of the same form; {x} cannot follow {c}")
    if x.size < 16 or x.size % 8:
        low, high = max(16, x.size // 8 * 8), max(16, (x.size // 8 + 1) * 8)
        raise ValueError(f"size {x.size} is no multiple of 8 from 16 on; the nearest are {low} and {high}")
    return x, c


def norm_of(name: str, channels: int) -> nn.Module:
    """The norm of that name, without a scale of its own."""
    if name not in get_args(Norm):
        raise ValueError(f"norm {name!r} is none of {', '.join(get_args(Norm))} for frames")
    return (
        nn.BatchNorm2d(channels, affine=False) if name == "batch" else PixelNorm() if name == "pixel" else nn.Identity()
    )


class Plain(nn.Module):
    """A norm, whatever w tells: (B, C, H, W) -> the same."""

    def __init__(self, norm: nn.Module):
        super().__init__()
        self.norm = norm

    def forward(self, h: Tensor, w: Tensor | None = None) -> Tensor:
        return self.norm(h)


class Again(nn.Module):
    """More convolutions, each added to what was there: (B, C, H, W), and w (B, dim) for norms that listen -> the same.

    What becomes of one thing may hang on what becomes of another, which is not seen in a single step.
    """

    def __init__(self, channels: int, times: int, norm: Callable[[int], nn.Module]):
        super().__init__()
        self.convolve = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in range(times))
        self.norms = nn.ModuleList(norm(channels) for _ in range(times))

    def forward(self, h: Tensor, w: Tensor | None = None) -> Tensor:
        for convolve, norm in zip(self.convolve, self.norms):
            h = h + leaky_relu(norm(convolve(h), w), LEAK)
        return h


class Generator(nn.Module):
    """(B, prior.dim) and past frames (B, T, C, H, W) to the next one (B, C, H, W) in [-1, 1].

    Down to an eighth of the side and up again, with the maps of the way down laid beside those of the way up
    (Ronneberger et al. 2015).  What it draws is laid over the last frame by a mask of its own, so that what rests need
    not be drawn again.
    join: z sets the scale and shift of every channel on the way up ("modulate"), or is laid beside ("concat") or added
    to ("add") the coarsest map.
    """

    def __init__(self, spec: Spec, prior: Prior, width: int = 32, join: Enter = "modulate", norm: Norm = "batch"):
        super().__init__()
        if join not in get_args(Enter):
            raise ValueError(f"join {join!r} is none of {', '.join(get_args(Enter))}")
        (x, c), self.prior, self.enter = spaces(spec), prior, join
        w, dim = [width, 2 * width, 4 * width], 2 * width
        conv = lambda i, o, stride=1: nn.Conv2d(i, o, 3, stride, padding=1)

        self.first = conv(FOLD**2 * c.count * c.channels, w[0])
        self.down = nn.ModuleList([conv(w[0], w[1], 2), conv(w[1], w[2], 2)])
        self.style = nn.Sequential(
            nn.Linear(prior.dim, dim), nn.LeakyReLU(LEAK), nn.Linear(dim, dim), nn.LeakyReLU(LEAK)
        )
        self.enters = None if join == "modulate" else nn.Linear(dim, w[2])
        self.middle = conv(w[2] * (2 if join == "concat" else 1), w[2])
        self.up = nn.ModuleList([conv(w[2] + w[1], w[1]), conv(w[1] + w[0], w[0])])
        told = lambda k: Modulated(norm_of(norm, k), k, dim) if join == "modulate" else Plain(norm_of(norm, k))
        self.norms = nn.ModuleList(told(k) for k in (w[2], w[1], w[0]))
        self.again = nn.ModuleList(Again(k, times, told) for k, times in ((w[2], 1), (w[1], 2), (w[0], 0)))
        self.last = conv(w[0], FOLD**2 * (x.channels + 1))

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        assert c is not None
        style = self.style(z)
        normed = lambda i, h: self.again[i](leaky_relu(self.norms[i](h, style), LEAK), style)

        h = leaky_relu(self.first(pixel_unshuffle(c.flatten(1, 2), FOLD)), LEAK)
        kept = []
        for convolve in self.down:
            kept.append(h)
            h = leaky_relu(convolve(h), LEAK)
        if self.enters is not None:
            e = self.enters(style)[:, :, None, None].to(h.dtype)
            h = h + e if self.enter == "add" else torch.cat([h, e.expand_as(h)], 1)
        h = normed(0, self.middle(h))
        for i, convolve in enumerate(self.up, 1):
            h = normed(i, convolve(torch.cat([interpolate(h, scale_factor=2), kept.pop()], 1)))

        drawn = pixel_shuffle(self.last(h).float(), FOLD)
        new, mask = drawn[:, :-1].tanh(), drawn[:, -1:].sigmoid()
        return mask * new + (1 - mask) * c[:, -1]


class Critic(nn.Module):
    """A frame (B, C, H, W) after its past (B, T, C, H, W) to scores (B, H W / 64), higher = more real.

    Each is the score of a patch of 8 × 8 pixels in its surroundings, with that of the whole frame added to it.
    """

    def __init__(self, spec: Spec, width: int = 32):
        super().__init__()
        x, c = spaces(spec)
        w, side = [width, 2 * width, 4 * width], x.size // (4 * FOLD)
        conv = lambda i, o, stride=1: nn.Conv2d(i, o, 3, stride, padding=1)
        into = FOLD**2 * ((c.count + 1) * c.channels + x.channels)
        self.stages = nn.ModuleList([conv(into, w[0]), conv(w[0], w[1], 2), conv(w[1], w[2], 2)])
        none = lambda k: Plain(nn.Identity())
        self.again = nn.ModuleList(Again(k, times, none) for k, times in zip(w, (0, 1, 1)))
        self.patch = nn.Conv2d(w[2], 1, 1)
        self.whole = nn.Linear(w[2] * (side // self.step(side)) ** 2, w[2])
        self.score = nn.Linear(w[2], 1)
        nn.init.normal_(self.patch.weight, std=w[2] ** -0.5)

    @staticmethod
    def step(side: int) -> int:
        """By how much the coarsest map is made smaller before the whole frame is looked at: to a side of 4, or of less
        or a little more, as its divisors are (88 and 104 pixels: 1)."""
        return next(k for k in range(side // 4 or 1, side + 1) if side % k == 0)

    def features(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """The coarsest map, (B, 4 width, H / 8, W / 8)."""
        assert c is not None
        h = pixel_unshuffle(torch.cat([c.flatten(1, 2).to(x.dtype), x, x - c[:, -1]], 1), FOLD)
        for convolve, again in zip(self.stages, self.again):
            h = again(leaky_relu(convolve(h), LEAK))
        return h

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        h = self.features(x, c)
        k = self.step(h.shape[-1])
        small = h.unflatten(3, (-1, k)).unflatten(2, (-1, k)).mean((3, 5)).flatten(1)
        told = leaky_relu(self.whole(small), LEAK)
        with torch.autocast(x.device.type, enabled=False):  # what is left of a gap in bfloat16 is little
            return self.patch(h.float()).flatten(1) + self.score(told.float())


def pair(
    spec: Spec, prior: Prior, width: int = 32, join: Enter = "modulate", norm: Norm = "batch", patches: int = 1
) -> tuple[nn.Module, Critic]:
    """G and D that mirror each other; patches: see `Patched`, 1 for frames drawn as a whole."""
    G = Generator(spec, prior, width, join, norm)
    return G if patches == 1 else Patched(G, spaces(spec)[0].size, patches), Critic(spec, width)
