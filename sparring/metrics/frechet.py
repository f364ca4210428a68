"""The Fréchet distance (FID): how far apart two Gaussians are that have the moments of two sets of features."""

from math import sqrt
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .bank import one_source
from .measure import Measure, on_features
from .moments import Moments, RunningMoments, gram, moments


def frechet(a: Moments, b: Moments) -> float:
    """|mean_a - mean_b|² + tr(A + B - 2 (AB)^½), the squared 2-Wasserstein distance of two Gaussians.

    Dowson & Landau 1982.  Each set needs two samples or more; with no more samples than dimensions the
    covariances have no full rank, which is handled, but the distance then says little (see `fid`).
    """
    return apart(Gaussian(*a[:2], root(a)), Gaussian(*b[:2], root(b)))


def fid(real: Any, fake: Any, se: bool = True) -> Measure:
    """Fréchet distance of two sets: features (n, d) and (m, d), or two `RunningMoments`.  Heusel et al. 2017.

    Biased upward, about in proportion to 1/n and 1/m and by a different amount for each generator: compare only at
    equal n and m, and above d, or see `fid_inf`.  `se` is the spread over fresh draws of both sets around that biased
    mean: from the influence of each sample on the value, less what that counts twice where the two sets are close; of
    moments, whose samples are gone, as of two Gaussians.  No percentile of a bootstrap, which adds the bias a second
    time.  Without `se` it is NaN, in a third of the time.
    """
    if isinstance(real, RunningMoments) and isinstance(fake, RunningMoments):
        return of_moments(real, fake)
    return of_samples(real, fake, se=se)


@on_features(least=2, name="fid")
def of_samples(real: Tensor, fake: Tensor, se: bool = True) -> Measure:
    a, b = Gaussian.of(real), Gaussian.of(fake)
    if not se:
        return Measure(apart(a, b), float("nan"), "lower")
    value, var, twice = influence(real, fake, a, b)
    return Measure(value, sqrt(max(var - twice, var / 2)), "lower")


@on_features(least=8)
def fid_inf(real: Tensor, fake: Tensor, se: bool = True, seed: int = 0) -> Measure:
    """FID without most of its bias: what it would be of endless samples of both sets.  Chong & Forsyth 2020.

    Twice the FID of all, less the mean FID of either half against the other set's half (Richardson): the share of the
    bias that falls as 1/n cancels, the rest does not, so n and m should be several times d.  May be below zero.
    """
    a, b = Gaussian.of(real), Gaussian.of(fake)
    g = torch.Generator().manual_seed(seed)  # samples may come in an order, such as class by class
    x, y = (x[torch.randperm(len(x), generator=g).to(x.device)] for x in (real, fake))
    halves = [apart(Gaussian.of(x[i::2]), Gaussian.of(y[i::2])) for i in (0, 1)]
    value, var, _ = influence(real, fake, a, b) if se else (apart(a, b), float("nan"), 0)
    return Measure(2 * value - sum(halves) / 2, sqrt(var), "lower")


def fid_by_class(real: Tensor, fake: Tensor, real_labels: Any, fake_labels: Any, least: int = 2) -> dict[Any, Measure]:
    """FID of each class that both sets hold `least` samples of or more, by class.

    ValueError, with its name, for a class of the made samples that the real ones do not have.
    """
    sides = {}
    for name, x, labels in (("real", real, real_labels), ("fake", fake, fake_labels)):
        labels = np.asarray(labels.cpu() if isinstance(labels, Tensor) else labels).tolist()
        if len(labels) != len(x):
            raise ValueError(f"{name} has {len(x)} samples and {len(labels)} labels; give one each")
        rows: dict[Any, list[int]] = {c: [] for c in sorted(set(labels))}
        for i, c in enumerate(labels):
            rows[c].append(i)
        sides[name] = rows

    if strange := [c for c in sides["fake"] if c not in sides["real"]]:
        raise ValueError(f"fake has the class {strange[0]!r}, and real only {', '.join(map(str, sides['real']))}")
    shared = {c: (rows, sides["fake"].get(c, [])) for c, rows in sides["real"].items()}
    return {c: fid(real[i], fake[j]) for c, (i, j) in shared.items() if min(len(i), len(j)) >= least}


# -- two Gaussians ----------------------------------------------------------------------------------------------------


class Gaussian(NamedTuple):
    """n samples of it, its mean (d,) and a root of its covariance, (d, r) with root rootᵀ the covariance.  float64."""

    n: int
    mean: Tensor
    root: Tensor

    @staticmethod
    def of(x: Tensor) -> "Gaussian":
        if len(x) > x.shape[1]:
            m = moments(x)
            return Gaussian(m.n, m.mean, root(m))
        x = x.double()
        mean = x.mean(0)
        return Gaussian(len(x), mean, (x - mean).T / sqrt(len(x) - 1))


def root(m: Moments) -> Tensor:
    """(d, r) with root rootᵀ the covariance, and no more columns than its rank: exact where a square root is not."""
    L, failed = torch.linalg.cholesky_ex(m.cov)
    if not failed:
        return L

    lam, V = torch.linalg.eigh(m.cov)
    keep = lam > lam[-1].clamp_min(0) * len(lam) * torch.finfo(lam.dtype).eps
    return V[:, keep] * lam[keep].sqrt()


def apart(a: Gaussian, b: Gaussian) -> float:
    return distance(a, b, align(a.root, b.root, vectors=False)[0])


def distance(a: Gaussian, b: Gaussian, sigma: Tensor) -> float:
    return float((a.mean - b.mean).square().sum() + a.root.square().sum() + b.root.square().sum() - 2 * sigma.sum())


def align(R: Tensor, S: Tensor, vectors: bool = True) -> tuple[Tensor, Tensor]:
    """Singular values of RᵀS, whose sum is tr (AB)^½ for A = R Rᵀ and B = S Sᵀ, and its left vectors.

    By way of the square (RᵀS)(RᵀS)ᵀ where both roots are so well conditioned that it costs no digits that matter.
    """
    if steady(R) and steady(S):
        square = gram(lower(R, S).T)
        if not vectors:
            return torch.linalg.eigvalsh(square).clamp_min(0).sqrt(), R[:, :0]
        lam, U = torch.linalg.eigh(square)
        return lam.clamp_min(0).sqrt(), U

    M = R.T @ S
    if not vectors or not M.numel():
        return torch.linalg.svdvals(M), M[:, : min(M.shape)]
    U, sigma, _ = torch.linalg.svd(M, full_matrices=False)
    return sigma, U


def steady(R: Tensor) -> bool:
    """Whether R is the Cholesky factor of a matrix far from losing rank: the square of its pivots within 1e7."""
    if R.shape[0] != R.shape[1]:
        return False
    pivots = R.diagonal().abs()
    return bool(pivots.min() > 3e-4 * pivots.max()) and not bool(R.triu(1).any())


def lower(R: Tensor, S: Tensor, block: int = 256) -> Tensor:
    """RᵀS of lower triangles: nothing is multiplied above the diagonal of R."""
    return torch.cat([R[i:, i : i + block].T @ S[i:] for i in range(0, len(R), block)])


# -- how far it would move --------------------------------------------------------------------------------------------


def influence(real: Tensor, fake: Tensor, a: Gaussian, b: Gaussian) -> tuple[float, float, float]:
    """The distance, its variance by the influence of each sample, and what that counts twice.

    The influence of y, drawn from b, is 2 (b - a)ᵀ(y - b) + (y - b)ᵀ(I - T)(y - b), where T carries b onto a.  As the
    two sets come close it vanishes, and what is left is second order, which influences count twice (Efron & Stein
    1981): for Gaussians its variance is known.
    """
    sigma, s, P, Q = plans(a, b)

    def variance(x: Tensor, mean: Tensor, step: Tensor, plan: Tensor) -> float:
        u = x - mean.float()
        moved = 2 * u @ step.float() + u.square().sum(1) - (u @ plan.float()).square().sum(1)
        return float(moved.double().var()) / len(x)

    step = b.mean - a.mean
    var = variance(real, a.mean, -step, Q) + variance(fake, b.mean, step, P)
    return distance(a, b, sigma), var, second_order(s, a.n, b.n)


def plans(a: Gaussian, b: Gaussian) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Singular values of the roots' product, those that are not lost to rounding, and the maps P Pᵀ, which carries b
    onto a, and Q Qᵀ, which carries a onto b."""
    sigma, U = align(a.root, b.root)
    keep = sigma > 1e-7 * sigma.max() if len(sigma) else sigma > 0
    s, A = sigma[keep], a.root @ U[:, keep]
    return sigma, s, A / s.sqrt(), b.root @ (b.root.T @ A) / s**1.5


def second_order(s: Tensor, n: int, m: int) -> float:
    """Variance of the terms of second order for two near Gaussians, s (r,) the eigenvalues of their covariance:
    of |Δmean|² 2 Σ s_i², of Σ Δ_ij² / (2 s_i + 2 s_j), Δ the difference of covariances, Σ_ij H_ij² + Σ s_i² / 4."""
    H = s[:, None] * s / (s[:, None] + s)
    return float(H.square().sum() + 2.25 * s.square().sum()) * (1 / n + 1 / m) ** 2


def of_moments(real: RunningMoments, fake: RunningMoments) -> Measure:
    """As `fid`, with the influence that the samples of two Gaussians have in closed form."""
    source = one_source(real, fake)
    if real.d != fake.d:
        raise ValueError(f"real has {real.d} features and fake {fake.d}; use one extractor")
    for name, x in (("real", real), ("fake", fake)):
        if len(x) < 2:
            raise ValueError(f"{name} has {len(x)} samples and this measure needs 2 or more; draw more")

    a, b = (Gaussian(*x.now[:2], root(x.now)) for x in (real, fake))
    sigma, s, P, Q = plans(a, b)

    def variance(x: Gaussian, other: Gaussian, plan: Tensor) -> float:
        """4 δᵀCδ + 2 tr (C - TC)², where T C T is the other's covariance."""
        shift = x.root.T @ (x.mean - other.mean)
        still, moved, both = x.root.T @ x.root, plan.T @ x.root, x.root.T @ other.root
        quadratic = still.square().sum() - 2 * (moved @ x.root.T).square().sum() + both.square().sum()
        return float(4 * shift.square().sum() + 2 * quadratic) / x.n

    var = variance(a, b, Q) + variance(b, a, P)
    se = sqrt(max(var - second_order(s, a.n, b.n), var / 2, 0.0))
    told = {"measure": "fid", **({"features": source} if source else {})}
    return Measure(distance(a, b, sigma), se, "lower", a.n, b.n, told)
