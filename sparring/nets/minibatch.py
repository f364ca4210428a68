"""What looks at several samples at once: how a critic sees that all fakes are one, and a norm that does without it.

Critics see real and fake in two passes, so that none of this ever mixes them.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from ..priors import Prior
from ..spaces import Spec, any_samples
from ..turns import wide

REFERENCE = 32  # samples by which virtual batch normalisation measures
PER_KERNEL = 5  # dimensions in which a kernel of minibatch discrimination compares, as in its authors' code


class MinibatchStd(nn.Module):
    """Karras et al. 2018 (progressive growing): how far the samples of a group lie apart, as one feature of each.

    (B, C, ...) -> (B, 1): the standard deviation over the group at each feature and place, averaged over these.  A
    group is `group` neighbours in the batch, so that pieces of a batch hold the groups of the whole; the last may be
    smaller, and the spread of one alone is 1e-4.
    """

    def __init__(self, group: int = 4):
        super().__init__()
        self.group = group

    def forward(self, x: Tensor) -> Tensor:
        groups = x.float().split(self.group) if len(x) % self.group else [x.float()]
        return torch.cat([self.spread(g) for g in groups]).to(x.dtype)

    def spread(self, x: Tensor) -> Tensor:
        """(B, C, ...), B a multiple of the group or less than it, to (B, 1)."""
        n = min(self.group, len(x))
        g = x.unflatten(0, (-1, n))
        variance = (g - g.mean(1, keepdim=True)).square().mean(1)  # torch.var is several times slower on a CPU
        return (variance + 1e-8).sqrt().mean(tuple(range(1, x.ndim))).repeat_interleave(n)[:, None]


class MinibatchDiscrimination(nn.Module):
    """Salimans et al. 2016: how near the other samples of the batch lie, in `kernels` learned ways.

    (B, A) -> (B, kernels): with M = f T, T of (A, kernels, 5), the sum over all j of the batch, i itself among them, of
    exp(-|M_ik - M_jk|_1).  A piece of a batch, and the share of one process, are compared within themselves.
    """

    def __init__(self, features: int, kernels: int):
        super().__init__()
        # at first two features of unit size lie about 1 apart, where the exponential has a slope
        self.T = nn.Parameter(torch.randn(features, kernels, PER_KERNEL) / (PER_KERNEL * features**0.5))

    def forward(self, f: Tensor) -> Tensor:
        with torch.autocast(f.device.type, enabled=False):  # near samples differ in the last digits
            M = torch.einsum("na,akd->dnk", wide(f), wide(self.T))
        distance = sum((m[:, None] - m[None]).abs() for m in M)  # (B, B, kernels); cdist has no second derivative
        return (-distance).exp().sum(1).to(f.dtype)  # type: ignore[union-attr]


class Beside(nn.Module):
    """Features (B, d), and beside them what a critic knows only by comparing samples: (B, self.dim).

    group: samples whose spread is one feature more, 1 = none.  kernels: of minibatch discrimination, 0 = none.
    """

    def __init__(self, features: int, group: int = 1, kernels: int = 0):
        super().__init__()
        self.spread = MinibatchStd(group) if group > 1 else None
        self.compare = MinibatchDiscrimination(features, kernels) if kernels else None
        self.dim = features + (group > 1) + kernels

    def forward(self, h: Tensor) -> Tensor:
        seen = [look(h) for look in (self.spread, self.compare) if look is not None]
        return torch.cat([h, *seen], 1) if seen else h


# Packs: Lin et al. 2018, PacGAN ---------------------------------------------------------------------------------------


def packed(x: Tensor, pack: int) -> Tensor:
    """(B, ...) -> (ceil(B / pack), pack, ...): neighbours side by side; the last pack is filled up from the first."""
    if short := -len(x) % pack:
        x = x[torch.arange(len(x) + short, device=x.device) % len(x)]
    return x.unflatten(0, (-1, pack))


def side_by_side(x: Tensor, pack: int) -> Tensor:
    """(B, C, ...) -> (ceil(B / pack), pack C, ...): what a critic of packs looks at."""
    return x if pack == 1 else packed(x, pack).flatten(1, 2)


def of_packs(c: Tensor | None, pack: int) -> Tensor | None:
    """The conditions of each pack, (ceil(B / pack), pack, ...)."""
    return c if c is None or pack == 1 else packed(c, pack)


def to_each(score: Tensor, pack: int, n: int) -> Tensor:
    """The score of each pack, (ceil(n / pack),), to each of its samples, (n,)."""
    return score if pack == 1 else score.repeat_interleave(pack)[:n]


# Virtual batch normalisation ------------------------------------------------------------------------------------------


class VirtualBatchNorm(nn.Module):
    """Salimans et al. 2016: each sample by the mean and variance of a fixed reference batch with it added.

    (REFERENCE + B, C, ...) -> the same, scaled and shifted by feature (affine=False: left to others); the reference
    stands first, normalised by itself.  No sample sees another of its batch.  `referenced` gives G its reference.
    """

    def __init__(self, channels: int, affine: bool = True):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(channels)) if affine else None
        self.shift = nn.Parameter(torch.zeros(channels)) if affine else None

    def forward(self, x: Tensor) -> Tensor:
        n, y = REFERENCE, wide(x).flatten(2) if x.ndim > 2 else wide(x)[..., None]  # (n + B, C, places)
        if len(x) <= n:
            raise ValueError(f"virtual batch normalisation got {len(x)} samples, its reference of {n} among them")
        y = y - y[:n].mean((0, 2))[:, None]
        first, second = y.mean(2), y.square().mean(2)  # (n + B, C)
        spread = second[:n].mean(0)

        mean = torch.cat([torch.zeros_like(first[:n]), first[n:] / (n + 1)])
        variance = torch.cat([spread.expand(n, -1), (n * spread + second[n:]) / (n + 1)]) - mean.square()
        y = (y - mean[..., None]) * (variance + 1e-5).rsqrt()[..., None]
        if self.scale is not None and self.shift is not None:
            y = y * self.scale[:, None] + self.shift[:, None]
        return y.view_as(x).to(x.dtype)


class Referenced(nn.Module):
    """A generator with virtual batch normalisation, before whose every batch stands the same reference.

    The reference is drawn once, from the prior and, for the conditions, at random; it is saved with the weights.
    """

    c: Tensor | None

    def __init__(self, G: nn.Module, spec: Spec, prior: Prior):
        super().__init__()
        self.G, self.prior = G, prior
        self.register_buffer("z", prior.sample(REFERENCE))
        self.register_buffer("c", None if spec.c is None else any_samples(spec.c, REFERENCE))

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        c = None if self.c is None or c is None else torch.cat([as_form(self.c, c), c])
        return self.G(torch.cat([self.get_buffer("z").to(z), z]), c)[REFERENCE:]


def as_form(own: Tensor, c: Tensor) -> Tensor:
    """Conditions in the form of others: classes as weights, captions as stacks (see `conditions.between`)."""
    if own.ndim == 1 and c.ndim == 2:
        return one_hot(own, c.shape[1]).to(c)
    return torch.stack([own, torch.zeros_like(own)], 1) if own.ndim == 3 and c.ndim == 4 else own


def referenced(G: nn.Module, spec: Spec, prior: Prior) -> nn.Module:
    """G with its reference, if it has a virtual batch normalisation; else G."""
    return Referenced(G, spec, prior) if any(isinstance(m, VirtualBatchNorm) for m in G.modules()) else G
