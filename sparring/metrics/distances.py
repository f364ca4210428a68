"""Distances between many points: products in low precision find the pairs that matter, fp64 decides about them.

Distances are squared.  Every "nearer than" is the one that fp64 would give, ties and duplicates included.  Memory grows
with n, never with n².
"""

from collections.abc import Iterator
from contextlib import contextmanager
from math import sqrt
from typing import NamedTuple

import torch
from torch import Tensor

SIDE = 2048  # points on either side of a tile
PART = 2**20  # pairs looked at in one go
SPARE = 10  # more neighbours than asked for, so that rounding seldom loses one

COARSE, FINE, EXACT = range(3)  # products of bfloat16 numbers where that is faster, of float32, of float64


class Cloud(NamedTuple):
    """A set of points and what distances from it need."""

    x: Tensor  # (n, d) as they came
    flat: Tensor  # (n, d) about a common center, so that products lose few digits
    square: Tensor  # (n,) |flat|², float64

    @staticmethod
    def of(x: Tensor, center: Tensor) -> "Cloud":
        flat = x - center
        square = torch.cat([f.double().square().sum(1) for f in flat.split(1024)])
        if len(square) and not square.max() < 1e37:  # products of float32 would be infinite
            raise ValueError(f"distances of up to {square.max().sqrt():.2g} cannot be compared; divide by their spread")
        return Cloud(x, flat, square)

    def __len__(self) -> int:  # type: ignore[override]
        return len(self.x)

    def take(self, at: Tensor | slice) -> "Cloud":
        return Cloud(self.x[at], self.flat[at], self.square[at])

    def doubt(self, limit: Tensor, level: int) -> Tensor:
        """How far a squared distance from each of these points can be off where it is `limit` or less."""
        return doubt(self.square, (self.square.sqrt() + limit.sqrt()).square(), self.x.shape[1], level)


def doubt(x2: Tensor, y2: Tensor, d: int, level: int) -> Tensor:
    """How far |x|² + |y|² - 2 xᵀy can be off, for points of these squared sizes in d dimensions."""
    eps = torch.finfo(torch.float64 if level == EXACT else torch.float32).eps
    rounding = eps * (8 + sqrt(d)) * (x2 + y2)
    return rounding + 2**-6.9 * (x2 * y2).sqrt() if level == COARSE else rounding  # 2 · 2 · 2⁻⁹ |x| |y|, and a little


def first_level(d: int) -> int:
    """In few dimensions products are cheap, and what coarse ones leave in doubt is not."""
    return COARSE if d >= 256 else FINE


def far(X: Cloud, Y: Cloud, level: int) -> Tensor:
    """Squared distances of all pairs (n, m), as good as the level."""
    if level == EXACT:
        return torch.addmm(Y.square, X.flat.double(), Y.flat.double().T, alpha=-2).add_(X.square[:, None]).clamp_min_(0)
    with precision("medium" if level == COARSE else "highest"):
        return torch.addmm(Y.square.float(), X.flat, Y.flat.T, alpha=-2).add_(X.square.float()[:, None])


def squared(x: Tensor, y: Tensor, i: Tensor, j: Tensor) -> Tensor:
    """|x[i] - y[j]|² of pairs in float64: numbers i and j (p,) of x (n, d) and y (m, d) give (p,)."""
    few = min(len(i), max(1, 2**17 // x.shape[1]))  # pairs that stay in the cache
    r2 = torch.empty(len(i), dtype=torch.float64, device=x.device)
    p, q = x.new_empty(few, x.shape[1]), x.new_empty(few, x.shape[1])  # filled again and again: what is allocated and
    u = x.new_empty(few, x.shape[1], dtype=torch.float64)  # freed thousands of times left gigabytes of holes behind
    for at in range(0, len(i), max(few, 1)):
        n = min(few, len(i) - at)
        torch.index_select(x, 0, i[at : at + n], out=p[:n])
        torch.index_select(y, 0, j[at : at + n], out=q[:n])
        torch.sum(u[:n].copy_(p[:n]).sub_(q[:n]).square_(), 1, out=r2[at : at + n])
    return r2


@contextmanager
def precision(name: str) -> Iterator[None]:
    """Inside, products of float32 numbers are as precise as torch means by `name`."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(name)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


# -- nearest neighbours -----------------------------------------------------------------------------------------------


class Near(NamedTuple):
    """The k nearest of each point, nearest first."""

    numbers: Tensor  # (n, k)
    r2: Tensor  # (n, k) squared distances, float64


def nearest(Q: Cloud, X: Cloud, k: int, own: Tensor | None = None, level: int | None = None) -> Near:
    """The k nearest points of X to each of Q.  With Q being X, or `own` their numbers in X, to each but itself."""
    if Q is X:
        own = torch.arange(len(X), device=X.x.device)
    there = len(X) - (own is not None)
    if k > there:
        raise ValueError(f"{len(X)} samples have no {k} neighbours each; draw {k + len(X) - there} samples or more")

    level = first_level(X.x.shape[1]) if level is None else level
    few = min(k + SPARE, there)
    D, I = candidates(Q, X, few, own, level)

    rows = torch.arange(len(Q), device=I.device).repeat_interleave(few)
    r2, order = squared(Q.x, X.x, rows, I.flatten()).view(-1, few).sort(stable=True)
    I, r2 = I.gather(1, order)[:, :k].contiguous(), r2[:, :k].contiguous()

    if few < there and level < EXACT:  # where one left out could be nearer than the last one kept, look closer
        last = r2[:, -1]
        lost = (D[:, -1] <= last + Q.doubt(last, level)).nonzero()[:, 0]
        for part in lost.split(SIDE):
            again = nearest(Q.take(part), X, k, None if own is None else own[part], level + 1)
            I[part], r2[part] = again.numbers, again.r2
    return Near(I, r2)


def candidates(Q: Cloud, X: Cloud, few: int, own: Tensor | None, level: int) -> tuple[Tensor, Tensor]:
    """About the `few` nearest of X to each of Q: squared distances, as good as the level, and numbers, (q, few)."""
    D = torch.full((len(Q), few), torch.inf, dtype=torch.float64 if level == EXACT else torch.float32).to(Q.x.device)
    I = torch.zeros_like(D, dtype=torch.long)

    def offer(at: slice, tile: Tensor, first: int) -> None:
        d, i = tile.topk(min(few, tile.shape[1]), largest=False)
        D[at], best = torch.cat([D[at], d], 1).topk(few, largest=False)
        I[at] = torch.cat([I[at], i + first], 1).gather(1, best)

    for i in range(0, len(Q), SIDE):
        rows = slice(i, i + SIDE)
        for j in range(i if Q is X else 0, len(X), SIDE):  # of a set with itself, each two tiles once
            tile = far(Q.take(rows), X.take(slice(j, j + SIDE)), level)
            if own is not None:
                row = ((own[rows] >= j) & (own[rows] < j + SIDE)).nonzero()[:, 0]
                tile[row, own[rows][row] - j] = torch.inf
            offer(rows, tile, j)
            if Q is X and i != j:
                offer(slice(j, j + SIDE), tile.T.contiguous(), i)
    return D, I


# -- pairs within reach -----------------------------------------------------------------------------------------------


class Pairs(NamedTuple):
    """Points i of one cloud and j of another, and how far apart: (p,) each."""

    i: Tensor
    j: Tensor
    r2: Tensor  # float64; exact where a limit is near, else on the right side of it


def within(X: Cloud, Y: Cloud, x_limits: Tensor, y_limits: Tensor) -> Iterator[Pairs]:
    """All pairs whose squared distance is one of the limits or less, (a, n) those of each x and (b, m) of each y."""
    wide_x, wide_y = x_limits.amax(0), y_limits.amax(0)

    for i in range(0, len(X), SIDE):
        for j in range(0, len(Y), SIDE):
            a, b = slice(i, i + SIDE), slice(j, j + SIDE)
            A, B = X.take(a), Y.take(b)

            for level in range(first_level(X.x.shape[1]), EXACT):
                D = far(A, B, level)
                ends = [(w[at] + C.doubt(w[at], level)).float() for w, at, C in ((wide_x, a, A), (wide_y, b, B))]
                reached = (ends[0][:, None] >= D).logical_or_(ends[1] >= D)
                if level == FINE or int(reached.sum()) <= reached.numel() // 64:
                    break

            for start in range(0, len(A), max(1, PART // len(B))):
                rows = slice(start, start + max(1, PART // len(B)))
                p, q = reached[rows].nonzero().T
                p += start
                yield decided(A, B, p, q, D[p, q].double(), x_limits[:, a], y_limits[:, b], level, i, j)


def decided(
    A: Cloud, B: Cloud, p: Tensor, q: Tensor, r2: Tensor, a: Tensor, b: Tensor, level: int, i: int, j: int
) -> Pairs:
    """Pairs p, q of two parts, that begin at i and j, with distances in fp64 wherever a limit is too close to call."""
    off = doubt(A.square[p], B.square[q], A.x.shape[1], level)
    unsure = torch.zeros_like(p, dtype=torch.bool)
    for limit in (*(row[p] for row in a), *(row[q] for row in b)):
        unsure |= (r2 - limit).abs() <= off

    u = unsure.nonzero()[:, 0]
    r2[u] = squared(A.x, B.x, p[u], q[u])
    return Pairs(p + i, q + j, r2)
