"""Where samples lie among each other's nearest neighbours: precision and recall, density and coverage.

Distances are squared and come from products in fp32; those too close to call are asked again in fp64, so each
"within" is the one that fp64 would give, ties and duplicates included.  Memory grows with n, never with n².
"""

from collections.abc import Iterator
from math import sqrt
from typing import NamedTuple

import torch
from torch import Tensor

from .measure import Measure, Part, on_features

TILE = 2**22  # distances held at once


@on_features(least=2)
def prdc(real: Tensor, fake: Tensor, k_union: int = 3, k_count: int = 5) -> dict[str, Measure]:
    """Precision, recall, density and coverage of m made samples against n real ones, in one pass.

    With B_k(x) the ball around x out to its k-th nearest neighbour in its own set (itself not counted):

    precision  share of made samples in some B_3 of a real one (Kynkäänniemi et al. 2019; edge included)
    recall     share of real samples in some B_3 of a made one
    density    over made samples, the mean number of B_5 of real ones that hold it, over 5 (Naeem et al. 2020; edge
               left out); may exceed 1
    coverage   share of real samples whose B_5 holds a made one; about 1 - 2⁻⁵ = .97 for n = m from one source

    All four depend on n and m.  `se` counts both sets: the queries as independent, given the balls and what fills
    them (for shares, binomial), and the other set by a delete-one jackknife.  In trials on Gaussians it was .8 to 2
    times the true spread; the binomial alone was up to 3 times too small for n = m, and more elsewhere.
    """
    n, m = len(real), len(fake)
    center = real.mean(0)
    X, Y = Cloud.of(real, center), Cloud.of(fake, center)
    (x, wide), (y,) = Balls.of(X, k_union, k_count), Balls.of(Y, k_union)

    precise, recalled, covered = (Union(q, real.device) for q in (m, n, n))
    counts = torch.zeros(m, dtype=torch.long, device=real.device)
    growth = torch.zeros(2, 2, n, dtype=torch.long, device=real.device)  # (half of the fakes, as is or grown, ball)

    for tile in tiles(Y, X):
        these = slice(tile.start, tile.start + len(tile.D))
        inside, grown = (tile.within(x.r2[i, None], x.doubt[i, None], edge=True) for i in (0, 1))
        precise.add(inside, these.start, 0, grown)

        inside, grown = (tile.within(y.r2[i, these, None], y.doubt[i, these, None], edge=True) for i in (0, 1))
        recalled.add(inside.T, 0, these.start, grown.T)

        inside, grown = (tile.within(wide.r2[i, None], wide.doubt[i, None], edge=False) for i in (0, 1))
        covered.add(inside.T, 0, these.start)
        counts[these] = inside.sum(1)
        for half in (0, 1):
            growth[half] += torch.stack([inside[half::2].sum(0), grown[half::2].sum(0)])

    density = counts.double() / k_count
    without = [2 / (k_count * m) * (wide.given_back(grown - held) - held) for held, grown in growth.double()]

    lost = [-2 / n * covered.alone(m, half) for half in (0, 1)]

    def share(queries: Union, a: Tensor, b: Tensor) -> Measure:
        """Of queries in some ball; a and b as `jackknife` takes them."""
        hit = (queries.count > 0).double()
        return result(hit.mean(), hit.var() / len(hit) + jackknife(a, b), len(hit))

    return {
        "precision": share(precise, *precise.without_each(x)),
        "recall": share(recalled, *recalled.without_each(y)),
        "density": result(density.mean(), density.var() / m + jackknife(*without), m),
        "coverage": share(covered, *lost),
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


class Cloud(NamedTuple):
    """A set of points and what distances from it need."""

    x: Tensor  # (n, d) as they came
    flat: Tensor  # (n, d) about a common center, so that products lose few digits
    square: Tensor  # (n,) |flat|², float64

    @staticmethod
    def of(x: Tensor, center: Tensor) -> "Cloud":
        flat = x - center
        return Cloud(x, flat, torch.cat([f.double().square().sum(1) for f in flat.split(1024)]))

    def take(self, at: Tensor) -> "Cloud":
        return Cloud(self.x[at], self.flat[at], self.square[at])

    def exact(self, at: Tensor) -> Tensor:
        """Squared distances of a few points to all, float64."""
        flat = self.flat.double()
        return (self.square[at, None] + self.square - 2 * flat[at] @ flat.T).clamp_min_(0)

    def doubt(self, limit: Tensor) -> Tensor:
        """How far a squared distance in fp32 from each of these points can be off where it is about `limit`."""
        far = self.square.sqrt() + limit.sqrt()
        return torch.finfo(torch.float32).eps * (8 + sqrt(self.x.shape[1])) * (self.square + far.square())


class Tile(NamedTuple):
    """Squared distances of a few points, from number `start` on, to all of another set."""

    D: Tensor  # (b, n), fp32
    start: int
    x: Tensor  # (b, d)
    y: Tensor  # (n, d)

    def within(self, r2: Tensor, doubt: Tensor, edge: bool) -> Tensor:
        """(b, n), whether distances are below r2, (b, 1) or (1, n), or on its edge."""
        inside = self.D < (r2 - doubt).float()
        unsure = (self.D <= (r2 + doubt).float()).logical_xor_(inside)

        for i, j in (pairs.T for pairs in unsure.nonzero().split(max(1, TILE // self.x.shape[1])) if len(pairs)):
            exact, limit = squared(self.x[i], self.y[j]), r2.expand_as(inside)[i, j]
            inside[i, j] = exact <= limit if edge else exact < limit
        return inside


def tiles(X: Cloud, Y: Cloud) -> Iterator[Tile]:
    rows = max(2, TILE // len(Y.x) // 2 * 2)  # even: halves of a set are told by parity
    a, b = X.square.float(), Y.square.float()

    for start in range(0, len(X.x), rows):
        at = slice(start, start + rows)
        D = torch.addmm(b, X.flat[at], Y.flat.T, alpha=-2).add_(a[at, None])
        yield Tile(D, start, X.x[at], Y.x)


def squared(x: Tensor, y: Tensor) -> Tensor:
    """|x - y|² in float64, over the last dimension."""
    return (x.double() - y.double()).square_().sum(-1)


class Balls(NamedTuple):
    """The ball around each of n points out to its k-th nearest neighbour, and to the next if that one were gone."""

    near: Tensor  # (n, k) numbers of the k nearest
    r2: Tensor  # (2, n) squared distance to the k-th and to the one after, float64
    doubt: Tensor  # (2, n) how far fp32 can be off there

    @staticmethod
    def of(X: Cloud, *ks: int, spare: int = 4) -> "list[Balls]":
        """One for each k, from one pass."""
        n, d = X.x.shape
        k = max(ks)
        if n < k + 2:
            raise ValueError(f"{n} samples have no {k + 1} neighbours each; draw {k + 2} samples or more")

        numbers, distances = [], []
        few = min(k + 1 + spare, n - 1)
        for tile in tiles(X, X):
            for part in torch.arange(len(tile.D), device=X.x.device).split(max(1, TILE // (8 * few * d))):
                mine = part + tile.start
                D, I = apart(tile.D[part], mine).topk(few, largest=False)
                exact, order = squared(tile.x[part, None], X.x[I]).sort()
                numbers.append(I.gather(1, order)[:, : k + 1])
                distances.append(exact[:, : k + 1])

                # Where one left out could be nearer than the last one kept, look again in fp64.
                last = exact[:, k]
                lost = (D[:, -1] <= last + X.take(mine).doubt(last)).nonzero()[:, 0] if few < n - 1 else mine[:0]
                for row in lost.split(max(1, TILE // n)):
                    again = apart(X.exact(mine[row]), mine[row])
                    exact, I = again.topk(k + 1, largest=False)
                    numbers[-1][row], distances[-1][row] = I, squared(X.x[mine[row], None], X.x[I])

        near, r2 = torch.cat(numbers), torch.cat(distances).T.contiguous()
        return [Balls(near[:, :k], r2[k - 1 : k + 1], X.doubt(r2[k - 1 : k + 1])) for k in ks]

    def given_back(self, gain: Tensor) -> Tensor:
        """For each point, the sum of `gain` (n,) over the balls that would grow if it were gone."""
        return torch.zeros_like(gain).index_add_(0, self.near.flatten(), gain.repeat_interleave(self.near.shape[1]))


def apart(D: Tensor, mine: Tensor) -> Tensor:
    """D with each point's distance to itself, by number and not by value, made infinite."""
    return D.scatter_(1, mine[:, None], torch.inf)


class Union:
    """Of q points, how many balls hold each, and what would change if the owner of one were gone."""

    def __init__(self, q: int, device: torch.device) -> None:
        self.count = torch.zeros(q, dtype=torch.long, device=device)
        self.sole = torch.zeros(q, dtype=torch.long, device=device)  # the ball's number, where there is one
        self.shells: list[Tensor] = []  # (2, pairs) of a point and a ball that would hold it, were it to grow

    def add(self, inside: Tensor, start: int, first: int, wider: Tensor | None = None) -> None:
        """Whether points from `start` on are inside balls from `first` on, and inside them grown: (points, balls)."""
        at, held = slice(start, start + len(inside)), inside.sum(1)
        one = (held == 1).nonzero()[:, 0]
        self.sole[one + start] = inside[one].byte().argmax(1) + first
        self.count[at] += held

        if wider is not None:
            open = (self.count[at] <= 1).nonzero()[:, 0]
            q, ball = (wider[open] ^ inside[open]).nonzero().T
            self.shells.append(torch.stack([open[q] + start, ball + first]))

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
