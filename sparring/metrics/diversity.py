"""How many different samples there are: the Vendi score, and the support that near-duplicates betray."""

from math import sqrt

import torch
from torch import Tensor

from .distances import Cloud, nearest, within
from .measure import Measure, on_features
from .moments import gram


@on_features(least=2)
def vendi(real: Tensor, fake: Tensor, se: bool = True) -> Measure:
    """The effective number of different made samples: exp of the entropy of their kernel's eigenvalues.

    Friedman & Dieng 2023, with the cosine kernel, by way of features × features where that is the smaller matrix.
    1 if all are one, at most the lesser of m and d; grows with m: read it beside that of as many real ones.  It asks
    nothing about the real ones.  `se` from the influence of each sample on the entropy; without it, it is NaN, in a
    quarter of the time.
    """
    x = fake.double()
    x = x / x.norm(dim=1, keepdim=True).clamp_min(1e-300)
    m, d = x.shape
    kernel = gram(x if m >= d else x.T) / m
    if not se:
        lam = torch.linalg.eigvalsh(kernel).clamp_min(0)
        return Measure(float((-torch.special.xlogy(lam, lam).sum()).exp()), float("nan"), "higher")

    lam, V = torch.linalg.eigh(kernel)
    lam, V = lam[keep := lam > 1e-12], V[:, keep]
    weight = (x @ V).square() if m >= d else V.square() * (lam * m)  # of each eigenvalue in xᵀ log ρ x, (m, r)

    value = float((-(lam * lam.log()).sum()).exp())
    var = float((weight @ lam.log()).var()) / m
    twice = second_order(lam, m)
    return Measure(value, value * sqrt(var - twice if twice < var / 2 else var), "higher")


def second_order(lam: Tensor, m: int) -> float:
    """Variance of the entropy's terms of second order, -½ Σ Δ_ij² f_ij with f the slope of log between eigenvalues,
    which influences count twice; Δ the chance of a covariance of Gaussians.  Good where samples abound."""
    gap = lam[:, None] - lam
    f = torch.where(gap.abs() > 1e-6 * lam, (lam[:, None] / lam).log() / gap, 1 / lam)
    return float((f * lam * lam[:, None]).square().sum() + (lam**2 / lam).square().sum()) / m**2


@on_features(least=20)
def support(real: Tensor, fake: Tensor) -> Measure:
    """About how many different samples the generator has, by its birthdays.  After Arora, Risteski & Zhang 2018.

    Where s equally likely things are drawn m times, m(m - 1) / 2s pairs are of one thing.  A pair counts as one where
    it is nearer than the nearest neighbours of 99 in 100 real samples are, exact copies aside; real pairs so near, in
    the same proportion, are taken off.  A lower bound of what there is: no such pair in excess gives all pairs.  `se`
    as of a Poisson count.  They let people judge the pairs, and so should you.  ValueError where every real sample has
    a copy: nothing then says how near two things can lie.
    """
    n, m = len(real), len(fake)
    center = real.mean(0)
    X, Y = Cloud.of(real, center), Cloud.of(fake, center)
    apart = nearest(X, X, 1).r2[:, 0]
    if not len(apart := apart[apart > 0]):
        raise ValueError("each of the real samples has an exact copy among them; give different ones")
    limit = apart.quantile(0.01)

    pairs = lambda k: k * (k - 1) / 2
    found = close(Y, limit) - close(X, limit) * pairs(m) / pairs(n)
    count = max(found, 0.0) + 1
    return Measure(pairs(m) / count, pairs(m) / count**1.5, "higher")


def close(X: Cloud, limit: Tensor) -> float:
    """How many pairs of a set are nearer than the limit, which is squared."""
    edges = limit.expand(1, len(X)).double()
    return float(sum(int(((p.r2 < limit) & (p.i < p.j)).sum()) for p in within(X, X, edges, edges)))
