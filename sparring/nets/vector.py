"""Players for points: plain multilayer perceptrons without normalisation; the critic also hears x as waves.

x is (B, dim), played at about unit scale; the condition is None, or anything `conditions.embedding` knows.
"""

from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn
from torch.nn import Module

from ..priors import Prior
from ..spaces import Spec, Vector
from .conditions import How, Join, Projection
from .minibatch import Beside, VirtualBatchNorm, referenced, side_by_side
from .projecting import Projecting

Norm = Literal["none", "batch", "virtual"]
NORMS: dict[str, type[Module]] = {"batch": nn.BatchNorm1d, "virtual": VirtualBatchNorm}  # and none


class Sizes(NamedTuple):
    """How large a pair of players is; the same for G and D."""

    width: int  # of each hidden layer
    depth: int  # hidden layers
    waves: int  # of the critic's input
    noise: int  # dimensions of z


def sizes(spec: Spec) -> Sizes:
    """The default sizes for vectors of spec.x: as many numbers of noise as x has, 64 at most."""
    dim = _vector(spec).dim
    return Sizes(width=64 if dim <= 4 else 256, depth=4, waves=48 if dim <= 4 else 64, noise=min(dim, 64))


def _vector(spec: Spec) -> Vector:
    if not isinstance(spec.x, Vector):
        raise TypeError(f"vector networks make Vector(dim), not {spec.x!r}")
    return spec.x


def perceptron(inputs: int, width: int, depth: int, bend: type[Module], norm: Norm = "none") -> nn.Sequential:
    """(B, inputs) -> (B, width): `depth` linear layers, each followed by its norm and a `bend` (nn.ReLU, nn.Tanh)."""
    widths = [inputs] + [width] * depth
    between = lambda: [] if norm == "none" else [NORMS[norm](width)]
    return nn.Sequential(*[f for a, b in zip(widths, widths[1:]) for f in (nn.Linear(a, b), *between(), bend())])


class Waves(Module):
    """x beside the sine and cosine of its projections on random directions: (B, dim) -> (B, dim + 2 count).

    Random Fourier features (Tancik et al. 2020), but of angular frequencies evenly spaced in their logarithm from
    `slowest` to `fastest` radians a unit, so that a small network sees the whole and details at 1/fastest of it.
    """

    f: Tensor  # (dim, count)

    def __init__(self, dim: int, count: int, slowest: float = 1.0, fastest: float = 60.0):
        super().__init__()
        directions = nn.functional.normalize(torch.randn(dim, count), dim=0)
        self.register_buffer("f", directions * torch.logspace(0, 1, count, base=fastest / slowest) * slowest)
        self.dim = dim + 2 * count

    def forward(self, x: Tensor) -> Tensor:
        wave = x @ self.f
        return torch.cat([x, wave.sin(), wave.cos()], 1)


class Generator(Module):
    """z (B, prior.dim) and c -> x (B, dim); c is joined to z by "concat" or "add".

    Its hidden layers are tanh: plateaus make modes, flanks the jumps between.  On `grid`, after 0.6 M samples, 57 %
    fell within a mode; with rectifiers 32 %, with leaky ones 19 % (one seed, a leaky critic).
    norm: "batch", "virtual" (make it by `pair`), or "none".
    """

    def __init__(
        self,
        spec: Spec,
        prior: Prior,
        width: int = 64,
        depth: int = 4,
        join: How = "concat",
        norm: Norm = "none",
        bend: type[Module] = nn.Tanh,
    ):
        super().__init__()
        if norm not in (known := get_args(Norm)):
            raise ValueError(f"norm {norm!r} is none of {', '.join(known)}")
        self.prior = prior
        self.join = Join(prior.dim, spec.c, join)
        self.body = perceptron(self.join.dim, width, depth, bend, norm)
        self.out = nn.Linear(width, _vector(spec).dim)

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        return self.out(self.body(self.join(z, c)))


class Critic(Projecting):
    """x (B, dim) and c -> scores (B,); c enters by projection.  waves=0 makes a plain perceptron.

    group: samples whose spread is one feature more (Karras et al. 2018), neighbours in the batch; 1 = none.
    pack: samples judged together (Lin et al. 2018, PacGAN); all get the score of the pack.
    kernels: of minibatch discrimination (Salimans et al. 2016) on the last features; 0 = none.
    """

    def __init__(
        self,
        spec: Spec,
        width: int = 64,
        depth: int = 4,
        waves: int = 48,
        fastest: float = 200.0,
        group: int = 1,
        pack: int = 1,
        kernels: int = 0,
    ):
        super().__init__()
        self.pack = pack
        self.waves = Waves(pack * _vector(spec).dim, waves, fastest=fastest)
        self.body = perceptron(self.waves.dim, width, depth, nn.ReLU)
        self.beside = Beside(width, group, kernels)
        self.score = Projection(self.beside.dim, spec.c, width, pack)

    def features(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """(B, d), or of each pack."""
        return self.body(self.waves(side_by_side(x, self.pack)))


def pair(
    spec: Spec,
    prior: Prior,
    width: int = 64,
    join: How = "concat",
    norm: Norm = "none",
    group: int = 1,
    pack: int = 1,
    kernels: int = 0,
) -> tuple[Module, Critic]:
    """G and D of the depth that `sizes` gives for these points; see `Generator` and `Critic` for the options."""
    s = sizes(spec)
    G = referenced(Generator(spec, prior, width, s.depth, join, norm), spec, prior)
    return G, Critic(spec, width, s.depth, s.waves, group=group, pack=pack, kernels=kernels)


def plain(
    spec: Spec,
    prior: Prior,
    width: int = 64,
    join: How = "concat",
    norm: Norm = "none",
    group: int = 1,
    pack: int = 1,
    kernels: int = 0,
) -> tuple[Module, Critic]:
    """The perceptrons of textbooks, two hidden layers of rectifiers each, whose critic hears no waves."""
    G = referenced(Generator(spec, prior, width, 2, join, norm, nn.ReLU), spec, prior)
    return G, Critic(spec, width, 2, waves=0, group=group, pack=pack, kernels=kernels)
