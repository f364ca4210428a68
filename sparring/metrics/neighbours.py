"""Where samples lie among each other's nearest neighbours: precision, recall, density, coverage, realism, rarity."""

from math import sqrt
from typing import NamedTuple

import torch
from torch import Tensor

from .bank import one_source
from .distances import FINE, SIDE, Cloud, far, nearest, within
from .measure import Measure, Part, median, on_features


@on_features(least=2)
def prdc(real: Tensor, fake: Tensor, k_union: int = 3, k_count: int = 5, se: bool = True) -> dict[str, Measure]:
    """Precision, recall, density and coverage of m made samples against n real ones, in one pass.

    With B_k(x) the ball around x out to its k-th nearest neighbour in its own set (itself not counted):

    precision  share of made samples in some B_3 of a real one (Kynkäänniemi et al. 2019; edge included)
    recall     share of real samples in some B_3 of a made one
    density    over made samples, the mean number of B_5 of real ones that hold it, over 5 (Naeem et al. 2020; edge
               left out); may exceed 1
    coverage   share of real samples whose B_5 holds a made one; about 1 - 2⁻⁵ = .97 for n = m from one source

    All four depend on n and m.  `se` counts both sets: the queries as independent, given the balls and what fills
    them (for shares, binomial), and the other set by a delete-one jackknife.  For coverage, whose queries are the
    centers of the balls, a center's neighbours come in the same way, and twice what they share with the queries.
    Without `se` it is NaN, in less time.
    """
    n, m = len(real), len(fake)
    center = real.mean(0)
    X, Y = Cloud.of(real, center), Cloud.of(fake, center)
    radii = 2 if se else 1  # the k-th neighbour's, and that of the next if one were gone
    (x, wide), (y,) = Balls.of(X, k_union, k_count, radii=radii), Balls.of(Y, k_union, radii=radii)

    precise, recalled, covered = (Union(q, real.device) for q in (m, n, n))
    count = lambda at, size: at.bincount(minlength=size)
    counts = torch.zeros(m, dtype=torch.long, device=real.device)
    held, grown = (torch.zeros(2, n, dtype=torch.long, device=real.device) for _ in range(2))  # by halves of the fakes

    for q, j, r2 in within(Y, X, y.r2, torch.cat([x.r2, wide.r2])):
        precise.add(q, j, *(r2 <= r[j] for r in x.r2))
        recalled.add(j, q, *(r2 <= r[q] for r in y.r2))

        inside, *wider = (r2 < r[j] for r in wide.r2)
        covered.add(j, q, inside)
        counts += count(q[inside], m)
        for half in (0, 1):
            held[half] += count(j[inside & (q % 2 == half)], n)
            for more in wider:
                grown[half] += count(j[more & (q % 2 == half)], n)

    density, hit = counts.double() / k_count, (held.sum(0) > 0).double()
    if not se:
        hits = {"precision": precise.count > 0, "recall": recalled.count > 0, "density": density, "coverage": hit}
        return {k: Measure(float(v.double().mean()), float("nan"), "higher") for k, v in hits.items()}

    without = [2 / (k_count * m) * (wide.given_back(more - less) - less) for less, more in zip(held, grown)]

    def share(queries: Union, a: Tensor, b: Tensor) -> Measure:
        """Of queries in some ball; a and b as `jackknife` takes them."""
        hit = (queries.count > 0).double()
        return result(hit.mean(), hit.var() / len(hit) + jackknife(a, b), len(hit))

    gain, odd = (grown.sum(0) > 0).double() - hit, torch.arange(n, device=real.device) % 2
    shaped = [2 / n * wide.given_back(gain * (odd == half)) for half in (0, 1)]
    lost = [-2 / n * covered.alone(m, half) for half in (0, 1)]
    shared = 2 * jackknife(-hit / n, (shaped[0] + shaped[1]) / 2)

    return {
        "precision": share(precise, *precise.without_each(x)),
        "recall": share(recalled, *recalled.without_each(y)),
        "density": result(density.mean(), density.var() / m + jackknife(*without), m),
        "coverage": result(hit.mean(), hit.var() / n + jackknife(*shaped) + shared + jackknife(*lost), n),
    }


def result(value: Tensor, var: Tensor, n: int) -> Measure:
    """With a standard error never below that of half a sample: a share of 0 or 1 is not known without one."""
    return Measure(float(value), max(sqrt(float(var)), sqrt(0.5) / n), "higher")


precision, recall, density, coverage = (Part(prdc, name) for name in ("precision", "recall", "density", "coverage"))


def jackknife(a: Tensor, b: Tensor) -> Tensor:
    """Variance of a statistic from what it is (up to a constant) with each of n samples left out.  Efron & Stein 1981.

    Where each sample is judged by few others, a and b are taken from either half of those: their covariance
    is free of the others' chance, which elsewhere is counted already and here would double the error.
    """
    n = len(a)
    return ((n - 1) / n * ((a - a.mean()) * (b - b.mean())).sum()).clamp_min(0)


class Balls(NamedTuple):
    """The ball around each of n points out to its k-th nearest neighbour, and to the next if that one were gone."""

    near: Tensor  # (n, k) numbers of the k nearest
    r2: Tensor  # (radii, n) squared distance to the k-th, and to the one after, float64

    @staticmethod
    def of(X: Cloud, *ks: int, radii: int = 1) -> "list[Balls]":
        """One for each k, from one pass."""
        numbers, r2 = nearest(X, X, max(ks) + radii - 1)
        return [Balls(numbers[:, :k], r2[:, k - 1 : k - 1 + radii].T.contiguous()) for k in ks]

    def given_back(self, gain: Tensor) -> Tensor:
        """For each point, the sum of `gain` (n,) over the balls that would grow if it were gone."""
        gain = gain.double()
        return torch.zeros_like(gain).index_add_(0, self.near.flatten(), gain.repeat_interleave(self.near.shape[1]))


class Union:
    """Of q points, how many balls hold each, and what would change if the owner of one were gone."""

    def __init__(self, q: int, device: torch.device) -> None:
        self.count = torch.zeros(q, dtype=torch.long, device=device)
        self.sole = torch.zeros(q, dtype=torch.long, device=device)  # the ball's number, where there is one
        self.shells = [torch.zeros(2, 0, dtype=torch.long, device=device)]  # points and balls that would hold them

    def add(self, point: Tensor, ball: Tensor, inside: Tensor, wider: Tensor | None = None) -> None:
        """Pairs of points and balls, and whether the one is in the other, and in it grown: (p,) each."""
        held = point[inside]
        self.count += held.bincount(minlength=len(self.count))
        self.sole.index_add_(0, held, ball[inside])

        if wider is not None:
            open = wider & ~inside & (self.count[point] <= 1)
            self.shells.append(torch.stack([point[open], ball[open]]))

    def alone(self, owners: int, half: int) -> Tensor:
        """For each owner, the number of even (half 0) or odd points that only its ball holds."""
        point = (self.count == 1).nonzero()[:, 0]
        return torch.bincount(self.sole[point[point % 2 == half]], minlength=owners).double()

    def without_each(self, balls: Balls) -> tuple[Tensor, Tensor]:
        """For each owner, the change in the share of points held if it were gone, and its neighbours' balls grown;
        for even points and for odd."""
        n, points = len(balls.near), len(self.count)
        point, ball = torch.cat(self.shells, 1)
        open = self.count[point] <= 1

        code = (point[open, None] * n + balls.near[ball[open]]).unique()
        point, owner = code // n, code % n
        saved = (self.count[point] == 0) | (self.sole[point] == owner)  # gained, or not lost after all

        def change(half: int) -> Tensor:
            kept = torch.bincount(owner[saved & (point % 2 == half)], minlength=n)
            return 2 / points * (kept - self.alone(n, half))

        return change(0), change(1)


# -- sample by sample -------------------------------------------------------------------------------------------------


@on_features(least=2)
def realism_of_each(real: Tensor, fake: Tensor, k: int = 3) -> Tensor:
    """How far inside the real ones each made sample lies: (m,), 1 and above inside.  Kynkäänniemi et al. 2019.

    The greatest r_k(x) / |x - y| over the real x whose r_k is not above the median one: the others' balls, around
    outliers, would make anything real.  ValueError where the median one is 0: more than half then have k copies.
    """
    center = real.mean(0)
    X, Y = Cloud.of(real, center), Cloud.of(fake, center)
    r2 = Balls.of(X, k)[0].r2[0]
    small = ((r2 <= r2.median()) & (r2 > 0)).nonzero()[:, 0]
    if not len(small):
        raise ValueError(f"real samples are mostly copies: half of them or more have {k} others just like them")
    X, r2 = X.take(small), r2[small].float()

    best = []
    for y in (Y.take(slice(i, i + SIDE)) for i in range(0, len(Y), SIDE)):
        best.append(torch.stack([(far(y, X.take(s), FINE).clamp_min_(0) / r2[s]).amin(1) for s in parts(X)]).amin(0))
    return torch.cat(best).rsqrt()


@on_features(least=2)
def rarity_of_each(real: Tensor, fake: Tensor, k: int = 3) -> Tensor:
    """The radius of the smallest ball B_k of a real sample that holds each made one: (m,), NaN where none does.

    Large where real samples are sparse.  Han et al. 2023.
    """
    center = real.mean(0)
    X, Y = Cloud.of(real, center), Cloud.of(fake, center)
    r2 = Balls.of(X, k)[0].r2

    least = torch.full((len(Y),), torch.inf, dtype=torch.float64, device=real.device)
    for q, j, d2 in within(Y, X, torch.zeros_like(Y.square)[None], r2):
        inside = d2 <= r2[0, j]
        least.scatter_reduce_(0, q[inside], r2[0, j[inside]], "amin")
    return least.sqrt().float().masked_fill_(least.isinf(), torch.nan)


def parts(X: Cloud) -> list[slice]:
    return [slice(i, i + SIDE) for i in range(0, len(X), SIDE)]


def realism(real: Tensor, fake: Tensor, k: int = 3) -> Measure:
    """The median of `realism_of_each`."""
    return signed(median(realism_of_each(real, fake, k=k), "higher"), "realism", real, fake)


def rarity(real: Tensor, fake: Tensor, k: int = 3) -> Measure:
    """The median of `rarity_of_each`, over the samples that lie in some ball: higher where rare samples are made."""
    each = rarity_of_each(real, fake, k=k)
    return signed(median(each[each.isfinite()], "higher"), "rarity", real, fake)


def signed(m: Measure, name: str, real: Tensor, fake: Tensor) -> Measure:
    """With the chance of the real ones added, taken to be as great sample for sample, as it was in trials."""
    n, k = len(real), len(fake)
    source = one_source(real, fake)
    told = {"measure": name, **({"features": source} if source else {})}
    return m._replace(se=m.se * sqrt(1 + k / n), n_real=n, n_fake=k, provenance=told)
