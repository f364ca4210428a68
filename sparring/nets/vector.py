"""Players for points: plain multilayer perceptrons without normalisation; the critic also hears x as waves.

x is (B, dim), played at about unit scale; the condition is None, or anything `conditions.embedding` knows.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import Module

from ..priors import Prior
from ..spaces import Spec, Vector
from .conditions import How, Join, Projection


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


def perceptron(inputs: int, width: int, depth: int, bend: type[Module]) -> nn.Sequential:
    """(B, inputs) -> (B, width): `depth` linear layers, each followed by a `bend` (nn.ReLU, nn.Tanh)."""
    widths = [inputs] + [width] * depth
    return nn.Sequential(*[f for a, b in zip(widths, widths[1:]) for f in (nn.Linear(a, b), bend())])


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
    """

    def __init__(self, spec: Spec, prior: Prior, width: int = 64, depth: int = 4, join: How = "concat"):
        super().__init__()
        self.prior = prior
        self.join = Join(prior.dim, spec.c, join)
        self.body = perceptron(self.join.dim, width, depth, nn.Tanh)
        self.out = nn.Linear(width, _vector(spec).dim)

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        return self.out(self.body(self.join(z, c)))


class Critic(Module):
    """x (B, dim) and c -> scores (B,); c enters by projection.  waves=0 makes a plain perceptron."""

    def __init__(self, spec: Spec, width: int = 64, depth: int = 4, waves: int = 48, fastest: float = 200.0):
        super().__init__()
        self.waves = Waves(_vector(spec).dim, waves, fastest=fastest)
        self.body = perceptron(self.waves.dim, width, depth, nn.ReLU)
        self.score = Projection(width, spec.c)

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        return self.score(self.body(self.waves(x)), c)
