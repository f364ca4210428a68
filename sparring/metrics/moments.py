"""Means and covariances, and the Fréchet distance (FID) between the Gaussians that have them."""

from functools import reduce
from math import sqrt
from typing import NamedTuple

import torch
from torch import Tensor

from .measure import Measure, on_features


class Moments(NamedTuple):
    """What is left of a set of features when only its first two moments matter.  All in float64.

    `merge` makes sets out of parts, in any order: batches of a stream, or the shares of several processes.
    """

    n: int
    mean: Tensor  # (d,)
    scatter: Tensor  # (d, d), the sum of (x - mean)(x - mean)ᵀ

    @property
    def cov(self) -> Tensor:
        return self.scatter / (self.n - 1)


def moments(x: Tensor, block: int = 4096) -> Moments:
    """The moments of x (n, d), n >= 1, a block of rows at a time."""

    def of(x: Tensor) -> Moments:
        x = x.double()
        mean = x.mean(0)
        x = x - mean
        return Moments(len(x), mean, x.T @ x)

    return reduce(merge, map(of, x.split(block)))


def merge(a: Moments, b: Moments) -> Moments:
    """The moments of both sets together.  Chan, Golub & LeVeque 1983."""
    n = a.n + b.n
    step = b.mean - a.mean
    return Moments(n, a.mean + step * (b.n / n), a.scatter + b.scatter + torch.outer(step, step) * (a.n * b.n / n))


def frechet(a: Moments, b: Moments) -> float:
    """|mean_a - mean_b|² + tr(A + B - 2 (AB)^½), the squared 2-Wasserstein distance of two Gaussians.

    Dowson & Landau 1982.  Each set needs two samples or more; with no more samples than dimensions the
    covariances have no full rank, which is handled, but the distance then says little (see `fid`).
    """
    R, S = root(a), root(b)
    return distance(a, b, R, S, align(R, S, vectors=False)[0])


@on_features(least=2)
def fid(real: Tensor, fake: Tensor) -> Measure:
    """Fréchet distance of two sets of features (n, d) and (m, d).  Heusel et al. 2017.

    Biased upward, about in proportion to 1/n and 1/m and by a different amount for each generator: compare only at
    equal n and m, and above d.  `se` is the spread over fresh draws of both sets around that biased mean, from the
    influence of each sample on the value; no percentile of a bootstrap, which adds the bias a second time.
    """
    a, b = moments(real), moments(fake)
    R, S = root(a, real), root(b, fake)
    sigma, U = align(R, S)

    # The maps that carry one Gaussian onto the other: T = P Pᵀ from fake to real, Q Qᵀ back.
    keep = sigma > 1e-7 * sigma.max() if len(sigma) else sigma > 0
    s, A = sigma[keep], R @ U[:, keep]
    P, Q = A / s.sqrt(), S @ (S.T @ A) / s**1.5

    def variance(x: Tensor, mean: Tensor, step: Tensor, plan: Tensor) -> float:
        u = x - mean.float()
        influence = 2 * u @ step.float() + u.square().sum(1) - (u @ plan.float()).square().sum(1)
        return float(influence.double().var()) / len(x)

    step = b.mean - a.mean
    var = variance(real, a.mean, -step, Q) + variance(fake, b.mean, step, P)
    return Measure(distance(a, b, R, S, sigma), sqrt(var), "lower")


def distance(a: Moments, b: Moments, R: Tensor, S: Tensor, sigma: Tensor) -> float:
    return float((a.mean - b.mean).square().sum() + R.square().sum() + S.square().sum() - 2 * sigma.sum())


def root(m: Moments, x: Tensor | None = None) -> Tensor:
    """R (d, r) with R Rᵀ the covariance, and no more columns than its rank: exact where a square root is not."""
    if x is not None and m.n <= x.shape[1]:
        return (x.double() - m.mean).T / sqrt(m.n - 1)

    L, failed = torch.linalg.cholesky_ex(m.cov)
    if not failed:
        return L

    lam, V = torch.linalg.eigh(m.cov)
    keep = lam > lam[-1].clamp_min(0) * len(lam) * torch.finfo(lam.dtype).eps
    return V[:, keep] * lam[keep].sqrt()


def align(R: Tensor, S: Tensor, vectors: bool = True) -> tuple[Tensor, Tensor]:
    """Singular values of RᵀS, whose sum is tr (AB)^½ for A = R Rᵀ and B = S Sᵀ, and its left vectors.

    By way of the square (RᵀS)(RᵀS)ᵀ, 11 times as fast as scipy's sqrtm at d = 2048, where both roots are so well
    conditioned that it costs no digits that matter.
    """
    M = R.T @ S

    if steady(R) and steady(S):
        if not vectors:
            return torch.linalg.eigvalsh(M @ M.T).clamp_min(0).sqrt(), M[:, :0]
        lam, U = torch.linalg.eigh(M @ M.T)
        return lam.clamp_min(0).sqrt(), U

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
