"""The modern pair for images: residual networks without norms that mirror each other (Huang et al. 2024, R3GAN)."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from ..priors import Prior
from ..spaces import Spec
from .blocks import LEAK, Down, Up, image, pyramid
from .conditions import How, Join, Projection
from .minibatch import Beside, side_by_side
from .projecting import Projecting

BLOCKS = 2  # in each stage
EXPANSION = 2  # of the channels inside a block
PER_GROUP = 16  # channels
GAIN = (2 / (1 + LEAK**2)) ** 0.5  # keeps the variance through a leaky rectifier


def widths(size: int, width: int) -> list[int]:
    """Channels at each side from the coarsest: `width` to 32 pixels, then half with each doubling, multiples of 8."""
    return [max(min(width, 16), width * 32 // max(side, 32) // 8 * 8) for side in pyramid(size)]


class Block(nn.Module):
    """x + W3 a(W2 a(W1 x + b1) + b2): a leaky rectifier between 1x1, grouped 3x3 and 1x1; starts as the identity."""

    def __init__(self, channels: int, blocks: int):
        super().__init__()
        inner = EXPANSION * channels
        self.W1 = nn.Conv2d(channels, inner, 1)
        self.W2 = nn.Conv2d(inner, inner, 3, padding=1, groups=inner // PER_GROUP)
        self.W3 = nn.Conv2d(inner, channels, 1, bias=False)

        # Zhang et al. 2019 (Fixup): as many blocks as there are together change a sample as much as one would.
        for W, gain in (self.W1, GAIN * blocks**-0.25), (self.W2, GAIN * blocks**-0.25), (self.W3, 0.0):
            start(W, gain)

    def forward(self, x: Tensor) -> Tensor:
        h = leaky_relu(self.W1(x), LEAK)
        return x + self.W3(leaky_relu(self.W2(h), LEAK))


def start(layer: nn.Conv2d | nn.Linear, gain: float = 1.0) -> nn.Conv2d | nn.Linear:
    """The layer with weights from N(0, gain^2 / fan in) and no bias at first."""
    nn.init.normal_(layer.weight, std=gain * layer.weight[0].numel() ** -0.5)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def stages(widths: Sequence[int], up: bool) -> Iterator[nn.Module]:
    """Blocks at each width; between two, a change of size and, where the widths differ, a 1x1 on the smaller side."""
    for i, w in enumerate(widths):
        if i:
            change = [] if w == widths[i - 1] else [start(nn.Conv2d(widths[i - 1], w, 1, bias=False))]
            yield from [*change, Up()] if up else [Down(), *change]
        yield from (Block(w, BLOCKS * len(widths)) for _ in range(BLOCKS))


class Generator(nn.Module):
    """(B, prior.dim) and c to pictures (B, C, H, W), not bounded.

    width: channels of the coarse stages (see `widths`), or of every stage from the coarsest, multiples of 8.
    """

    def __init__(self, spec: Spec, prior: Prior, width: int | Sequence[int] = 64, join: How = "concat"):
        super().__init__()
        x, self.prior = image(spec), prior
        sides, w = pyramid(x.size), each_stage(x.size, width)

        self.join = Join(prior.dim, spec.c, join)
        self.basis = nn.Parameter(torch.randn(w[0], sides[0], sides[0]))
        self.first = start(nn.Linear(self.join.dim, w[0], bias=False))
        self.stages = nn.Sequential(*stages(w, up=True))
        self.last = start(nn.Conv2d(w[-1], x.channels, 1, bias=False))

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        h = self.first(self.join(z, c))
        h = self.basis.to(h.dtype) * h[:, :, None, None]
        return self.last(self.stages(h)).float()


class Critic(Projecting):
    """(B, C, H, W) and c to scores (B,), higher = more real.

    width: channels of the coarse stages (see `widths`), or of every stage from the coarsest, multiples of 8.
    group, pack, kernels: as in `quick.Critic`; the paper has none of them.
    """

    def __init__(self, spec: Spec, width: int | Sequence[int] = 64, group: int = 1, pack: int = 1, kernels: int = 0):
        super().__init__()
        x, self.pack = image(spec), pack
        sides, w = pyramid(x.size), each_stage(x.size, width)

        self.first = start(nn.Conv2d(pack * x.channels, w[-1], 1, bias=False))
        self.stages = nn.Sequential(*stages(w[::-1], up=False))
        self.basis = nn.Parameter(torch.randn(w[0], sides[0], sides[0]) / sides[0])  # a depthwise convolution to 1x1
        self.beside = Beside(w[0], group, kernels)
        self.score = Projection(self.beside.dim, spec.c, w[0], pack)

    def features(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """(B, d), or of each pack."""
        h = self.stages(self.first(side_by_side(x, self.pack)))
        return (self.basis * h.float()).sum((2, 3))


def each_stage(size: int, width: int | Sequence[int]) -> list[int]:
    """The widths asked for, as a list from the coarsest; ValueError unless they fit the size."""
    w = widths(size, width) if isinstance(width, int) else list(width)
    given = [width] if isinstance(width, int) else w
    if len(w) != len(pyramid(size)) or any(v < 8 or v % 8 for v in given):
        raise ValueError(
            f"width {width}: size {size} has {len(pyramid(size))} stages, each a multiple of 8 channels wide"
        )
    return w


def pair(
    spec: Spec,
    prior: Prior,
    width: int | Sequence[int] = 64,
    join: How = "concat",
    group: int = 1,
    pack: int = 1,
    kernels: int = 0,
) -> tuple[Generator, Critic]:
    """G and D that mirror each other; the paper has 64 dimensions of z and widths of 768 to 32 pixels."""
    return Generator(spec, prior, width, join), Critic(spec, width, group, pack, kernels)
