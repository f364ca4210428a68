"""Distances of two sets by a kernel: KID, the one measure of its kind without bias."""

from math import sqrt
from typing import NamedTuple

import torch
from torch import Tensor

from .measure import Measure, on_features

SIDE = 512  # of a tile of pairs: one that stays in the cache while it is summed
WIDE, LARGE = 256, 100.0  # fp32 is enough from so many features on, where the mean square of none's is above so much


def cubic(x: Tensor, y: Tensor, unit: float = 1.0) -> Tensor:
    """(xᵀy / d + 1)³ of all pairs of x (n, d) and y (m, d), over unit³: (n, m).  Bińkowski et al. 2018."""
    return torch.addmm(x.new_tensor(1 / unit), x, y.T, alpha=1 / (x.shape[1] * unit)).pow_(3)


@on_features(least=4)
def kid(real: Tensor, fake: Tensor) -> Measure:
    """Squared maximum mean discrepancy under the cubic kernel, over all pairs: no subsets, no bias, no seed.

    The U-statistic of Gretton et al. 2012, so below zero as often as above where both sets come from one source.
    `se` is the square root of its variance in closed form, first and second order of its Hoeffding decomposition:
    the first vanishes where the two sources are one, the second does not.
    """
    n, m, d = len(real), len(fake), real.shape[1]
    longest = max(float(torch.linalg.vector_norm(x, dim=1, dtype=torch.float64).max()) for x in (real, fake))
    unit = max(longest**2 / d, 1.0)  # the squares of kernels of long samples would be too large to sum
    if d < WIDE or unit > LARGE:
        real, fake = real.double(), fake.double()

    level = cubic(real[:256], fake[:256], unit).mean()  # taken from the kernel: moves no value, saves digits
    xx, yy, xy = (Sums.of(x, y, level, unit) for x, y in ((real, real), (fake, fake), (real, fake)))

    a, b = xx.rows / (n - 1), yy.rows / (m - 1)  # mean kernel of each sample with its own set,
    c, e = xy.rows / m, xy.columns / n  # and with the other
    value = a.mean() + b.mean() - c.mean() - e.mean()

    # What is left of the kernel's variance when each sample's own mean is taken away: its second order.
    rest_xx = (xx.squares / (n * (n - 1)) - 2 * a.square().mean() + a.mean() ** 2).clamp_min(0)
    rest_yy = (yy.squares / (m * (m - 1)) - 2 * b.square().mean() + b.mean() ** 2).clamp_min(0)
    rest_xy = (xy.squares / (n * m) - c.square().mean() - e.square().mean() + c.mean() ** 2).clamp_min(0)

    # The spread of samples' means is that of their expectations and, on top, a share of the second order.
    first_x = (a - c).var() - rest_xx / (n - 1) - rest_xy / m
    first_y = (b - e).var() - rest_yy / (m - 1) - rest_xy / n
    first = 4 * first_x / n + 4 * first_y / m
    second = 2 * rest_xx / (n * (n - 1)) + 2 * rest_yy / (m * (m - 1)) + 4 * rest_xy / (n * m)

    var = torch.maximum(first + second, second / 2)  # the first, an estimate about zero, is below it half the time
    return Measure(float(value) * unit**3, sqrt(float(var)) * unit**3, "lower")


class Sums(NamedTuple):
    """Sums of the kernel over all pairs of two sets, in float64; over pairs of two samples where they are one set."""

    rows: Tensor  # (n,)
    columns: Tensor  # (m,)
    squares: Tensor  # ()

    @staticmethod
    def of(x: Tensor, y: Tensor, level: Tensor, unit: float) -> "Sums":
        """Of the kernel in its unit less `level`, a tile at a time; half of them where x is y."""
        one, block = x is y, SIDE
        rows = torch.zeros(len(x), dtype=torch.float64, device=x.device)
        columns = rows if one else torch.zeros(len(y), dtype=torch.float64, device=x.device)
        squares = torch.zeros((), dtype=torch.float64, device=x.device)

        for i in range(0, len(x), block):
            for j in range(i if one else 0, len(y), block):
                K = cubic(x[i : i + block], y[j : j + block], unit).sub_(level)
                diagonal = one and i == j
                if diagonal:
                    K.fill_diagonal_(0)

                rows[i : i + block] += K.sum(1, dtype=torch.float64)
                if not diagonal:
                    columns[j : j + block] += K.sum(0, dtype=torch.float64)
                squares += K.square_().sum(dtype=torch.float64) * (2 if one and not diagonal else 1)

        return Sums(rows, columns, squares)
