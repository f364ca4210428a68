"""Where the noise comes from: what a generator is given to make a sample of."""

from dataclasses import dataclass
from math import erf, isfinite, sqrt
from typing import Protocol

import torch
from torch import Generator, Tensor


class Prior(Protocol):
    """Anything with a dimension that can be sampled; one of your own needs no more than this."""

    @property
    def dim(self) -> int: ...

    def sample(self, n: int, generator: Generator | None = None) -> Tensor:
        """n draws, (n, dim), float32 on the CPU; the same for the same state of the generator."""
        ...


@dataclass(frozen=True)
class Normal:
    """N(0, I)."""

    dim: int

    def __post_init__(self) -> None:
        _demand(self, "dim", self.dim >= 1, "at least 1")

    def sample(self, n: int, generator: Generator | None = None) -> Tensor:
        return torch.randn(n, self.dim, generator=generator)


@dataclass(frozen=True)
class Uniform:
    """Each coordinate uniform in [-1, 1): mean 0, variance 1/3."""

    dim: int

    def __post_init__(self) -> None:
        _demand(self, "dim", self.dim >= 1, "at least 1")

    def sample(self, n: int, generator: Generator | None = None) -> Tensor:
        return torch.rand(n, self.dim, generator=generator) * 2 - 1


@dataclass(frozen=True)
class Bernoulli:
    """Each coordinate 1 with probability p, else 0: a bit string, with 2^dim different ones at most."""

    dim: int
    p: float = 0.5

    def __post_init__(self) -> None:
        _demand(self, "dim", self.dim >= 1, "at least 1")
        _demand(self, "p", 0 <= self.p <= 1, "between 0 and 1")

    def sample(self, n: int, generator: Generator | None = None) -> Tensor:
        return (torch.rand(n, self.dim, generator=generator) < self.p).float()


@dataclass(frozen=True)
class Truncated:
    """N(0, I) with every coordinate outside [-at, at] drawn again (Brock et al. 2019, the truncation trick).

    Fewer outliers: samples nearer to the usual, and less different from one another.
    """

    dim: int
    at: float = 2.0

    def __post_init__(self) -> None:
        _demand(self, "dim", self.dim >= 1, "at least 1")
        _demand(self, "at", self.at > 0, "above 0")

    def sample(self, n: int, generator: Generator | None = None) -> Tensor:
        u = torch.rand(n, self.dim, generator=generator, dtype=torch.float64) * 2 - 1
        z = sqrt(2) * torch.erfinv(u * erf(self.at / sqrt(2)))  # the inverse of the truncated distribution: no loop
        return z.clamp(-self.at, self.at).float()


@dataclass(frozen=True)
class Sphere:
    """Uniform on the sphere of radius sqrt(dim): every coordinate has variance 1, and no z is an outlier."""

    dim: int

    def __post_init__(self) -> None:
        _demand(self, "dim", self.dim >= 1, "at least 1")

    def sample(self, n: int, generator: Generator | None = None) -> Tensor:
        z = torch.randn(n, self.dim, generator=generator)
        return z / z.square().mean(1, keepdim=True).sqrt().clamp_min(1e-12)


@dataclass(frozen=True)
class Mixture:
    """Equally likely Gaussians of one standard deviation `std`, for data that falls into separate kinds.

    The centres are drawn once from N(0, I) by `seed`; the same arguments always name the same prior.
    """

    dim: int
    components: int = 8
    std: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        _demand(self, "dim", self.dim >= 1, "at least 1")
        _demand(self, "components", self.components >= 1, "at least 1")
        _demand(self, "std", self.std >= 0 and isfinite(self.std), "a finite number, 0 or above")

    @property
    def centres(self) -> Tensor:
        """(components, dim)"""
        return torch.randn(self.components, self.dim, generator=Generator().manual_seed(self.seed))

    def sample(self, n: int, generator: Generator | None = None) -> Tensor:
        k = torch.randint(self.components, (n,), generator=generator)
        return self.centres[k] + self.std * torch.randn(n, self.dim, generator=generator)


@dataclass(frozen=True)
class Written:
    """What a writer is given: a draw of `latent` (None for none), and for each of `length` places a number in [0, 1).

    The numbers pick each token from its distribution, so that all chance of a text is in its z.
    """

    length: int
    latent: Prior | None = None

    @property
    def dim(self) -> int:
        return self.length + (self.latent.dim if self.latent else 0)

    def sample(self, n: int, generator: Generator | None = None) -> Tensor:
        about = [self.latent.sample(n, generator)] if self.latent else []
        return torch.cat([*about, torch.rand(n, self.length, generator=generator)], 1)


PRIORS: dict[str, type] = {
    "normal": Normal,
    "uniform": Uniform,
    "bernoulli": Bernoulli,
    "truncated": Truncated,
    "sphere": Sphere,
    "mixture": Mixture,
}


def _demand(prior: object, name: str, holds: bool, what: str) -> None:
    if not holds:
        raise ValueError(f"{type(prior).__name__}: {name} = {getattr(prior, name)!r} must be {what}")
