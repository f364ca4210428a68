"""What it costs to move one set onto the other: exactly, and along many lines."""

from math import sqrt

import torch
from torch import Tensor

from .measure import Measure, on_features

MOST = 2000  # samples of each set that are matched exactly


@on_features(least=2)
def wasserstein(real: Tensor, fake: Tensor, seed: int = 0) -> Measure:
    """The mean distance over which earth is moved, exactly: samples of equal weight, matched one to one at least cost.

    Of as many of either set, 2,000 at most, for the cost of the matching grows as n³.  Biased upward, badly in many
    dimensions, where even fresh draws of one source lie far apart: compare at equal n.  `se` from the prices of the
    matching (its dual), which are each sample's influence.
    """
    from scipy.optimize import linear_sum_assignment

    n = min(len(real), len(fake), MOST)
    g = torch.Generator().manual_seed(seed)
    x, y = (s[torch.randperm(len(s), generator=g)[:n].to(s.device)].double().cpu() for s in (real, fake))
    cost = torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")
    to = torch.as_tensor(linear_sum_assignment(cost.numpy())[1])

    cost = cost[:, to]  # now i is matched with i
    matched = cost.diagonal()
    u = prices(cost)
    return Measure(float(matched.mean()), sqrt(float(u.var() + (matched - u).var()) / n), "lower")


def prices(cost: Tensor) -> Tensor:
    """u (n,) with u_i + v_j <= cost_ij everywhere, and equal where i = j, the optimal matching.  Bellman-Ford."""
    step = cost - cost.diagonal()  # u_i <= u_j + cost_ij - cost_jj
    u = cost.new_zeros(len(cost))
    for _ in range(len(cost)):
        nearer = (step + u).amin(1)
        if torch.allclose(nearer, u, rtol=0, atol=1e-12 * float(cost.max())):
            break
        u = nearer
    return u


@on_features(least=2)
def sliced(real: Tensor, fake: Tensor, lines: int = 512, seed: int = 0) -> Measure:
    """Mean over random directions of the squared 2-Wasserstein distance of both sets' shadows.  Rabin et al. 2011.

    Biased upward about as 1/n.  `se` from the influence of each sample (its price on each line), with the directions,
    drawn by the seed, as given; up to 1.7 times too wide where the sets are one.
    """
    n, m, d = len(real), len(fake), real.shape[1]
    g = torch.Generator().manual_seed(seed)
    directions = torch.nn.functional.normalize(torch.randn(d, lines, generator=g).to(real.device), dim=0)

    # On a line, mass moves in order: cut [0, 1] where either set's samples end, and move slice by slice.
    ends = torch.cat([torch.arange(1, n + 1) * m, torch.arange(1, m + 1) * n]).unique().to(real.device)  # over n m
    widths = ends.diff(prepend=ends.new_zeros(1)).double() / (n * m)
    i, j = (ends - 1) // m, (ends - 1) // n

    total, moved = 0.0, [real.new_zeros(k, dtype=torch.float64) for k in (n, m)]
    for w in directions.split(max(1, 2**22 // (n + m)), 1):
        (a, rank_a), (b, rank_b) = (x.matmul(w).double().sort(0) for x in (real, fake))
        total += float((widths[:, None] * (a[i] - b[j]).square()).sum())
        for price, here, there, rank, k in ((moved[0], a, b, rank_a, n), (moved[1], b, a, rank_b, m)):
            price.index_add_(0, rank.flatten(), potential(here, there, k).flatten())

    var = sum(float((p / lines).var()) / len(p) for p in moved)
    return Measure(total / lines, sqrt(var), "lower")


def potential(x: Tensor, y: Tensor, n: int) -> Tensor:
    """Price of each of n sorted points x (n, lines) when moved to y (m, lines) at squared cost: ∫ 2 (x - T x) dx."""
    at = ((torch.arange(n, device=x.device).double() + 0.5) * len(y) / n).long().clamp_max(len(y) - 1)
    pull = 2 * (x - y[at])
    inner = (pull[1:] + pull[:-1]) / 2 * x.diff(dim=0)
    return torch.cat([torch.zeros_like(x[:1]), inner.cumsum(0)])
