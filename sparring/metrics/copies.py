"""Does the generator copy what it was trained on?  Asked of each sample, and judged by what held-out real ones show.

A copy is nearer to the training set than to real samples that were never trained on.  How much nearer chance alone
brings a sample is seen on the held-out ones, so the verdict needs no threshold; and since a generator may also mirror,
shift, recolour or blend its training pictures, each is searched for.  Stein et al. 2023 found no measure of this kind
that tells copying from lack of variety by itself: look at the pairs.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import singledispatch
from math import ceil, sqrt
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from ..spaces import Frames, Image, Space, Tokens, at_once
from .distances import SIDE, Cloud, nearest
from .measure import Measure, features


def authenticity(train: Any, fake: Any) -> Measure:
    """Share of made samples that are farther from their nearest training sample than that one is from its own nearest.

    AuthPct / 100 of Alaa et al. 2022, on features (n, d) and (m, d).  Read it beside that of held-out samples.
    """
    X, Y = clouds(train, fake)
    to, mine = nearest(Y, X, 1), nearest(X, X, 1).r2[:, 0]
    p = float((to.r2[:, 0] > mine[to.numbers[:, 0]]).double().mean())
    return Measure(
        p, sqrt(max(p * (1 - p), 0.5 / len(Y)) / len(Y)), "higher", len(X), len(Y), {"measure": "authenticity"}
    )


def c_t(train: Any, heldout: Any, fake: Any, cells: int = 3, seed: int = 0) -> Measure:
    """How far the made samples' distances to the training set rank below those of held-out ones: a z score.

    Meehan, Chaudhuri & Dasgupta 2020: Mann-Whitney within the cells of K-means on the training set (after PCA to 64
    dimensions), averaged by the held-out share of each cell that holds 20 made samples or more.  Below -3 they copy,
    above 3 they miss the data; 0 is best.
    """
    from scipy.stats import rankdata
    from sklearn.cluster import KMeans

    T, H, Y = (features(x, name, 20) for x, name in ((train, "train"), (heldout, "heldout"), (fake, "fake")))
    if T.shape[1] > 64:
        axes = torch.linalg.eigh(T.double().T.cov()).eigenvectors[:, -64:].float()
        T, H, Y = (x @ axes for x in (T, H, Y))
    kmeans = KMeans(cells, n_init=3, random_state=seed).fit(T.cpu().numpy())  # type: ignore[arg-type]
    X, *others = clouds(T, H, Y)
    (h, in_h), (y, in_y) = (
        (nearest(C, X, 1).r2[:, 0].cpu(), torch.as_tensor(kmeans.predict(C.x.cpu().numpy()))) for C in others
    )

    found = []
    for cell in range(cells):
        a, b = y[in_y == cell], h[in_h == cell]
        n, m = len(a), len(b)
        if n >= 20 and m:
            U = rankdata(torch.cat([a, b]).numpy())[:n].sum() - n * (n + 1) / 2
            found.append((m, (U - (n * m / 2 - 0.5)) / sqrt(n * m * (n + m + 1) / 12)))
    if not found:
        raise ValueError(f"none of {cells} cells holds 20 of {len(Y)} made samples and a held-out one; draw more")
    weights = torch.tensor([m for m, _ in found], dtype=torch.float64)
    z = float((weights * torch.tensor([z for _, z in found])).sum() / weights.sum())
    se = float(weights.norm() / weights.sum())
    return Measure(z, se, "higher", len(H), len(Y), {"measure": "c_t", "cells": cells})


def clouds(*sets: Any) -> list[Cloud]:
    kept = [features(x, f"set {i + 1}", 2) for i, x in enumerate(sets)]
    return [Cloud.of(x, kept[0].mean(0)) for x in kept]


# -- ways of copying --------------------------------------------------------------------------------------------------


USUAL = 0.01  # of held-out samples are called as near as a copy
WORD = 64  # numbers of a token, at most; among so many random ones any two words are about as far apart


class Found(NamedTuple):
    """Of each sample, how far the nearest of a set is, in one way of looking, and its number."""

    distance: Tensor  # (q,)
    number: Tensor  # (q,)


Way = Callable[[Tensor, Tensor, "Tensor | None"], Found]  # of samples q, of a set x, and of their own numbers in x


def closest(q: Tensor, x: Tensor, own: Tensor | None) -> Found:
    center = x.mean(0)
    found = nearest(Cloud.of(q, center), Cloud.of(x, center), 1, own)
    return Found(found.r2[:, 0].sqrt(), found.numbers[:, 0])


def as_is(q: Tensor, x: Tensor, own: Tensor | None) -> Found:
    return closest(q.flatten(1), x.flatten(1), own)


def mirrored(q: Tensor, x: Tensor, own: Tensor | None) -> Found:
    return as_is(q, x.flip(-1), own)


def recoloured(q: Tensor, x: Tensor, own: Tensor | None) -> Found:
    """Whatever brightness, contrast, saturation and hue were made of: gray, less its mean, over its size."""

    def gray(x: Tensor) -> Tensor:
        x = x.mean(1).flatten(1)
        x = x - x.mean(1, keepdim=True)
        return x / x.norm(dim=1, keepdim=True).clamp_min(1e-6)

    return closest(gray(q), gray(x), own)


def shifted(q: Tensor, x: Tensor, own: Tensor | None) -> Found:
    """The middle of each sample against all windows of its size, an eighth of the side to any direction."""
    q, x = (adaptive_avg_pool2d(v, 16) if v.shape[-1] > 16 else v for v in (q, x))
    side = q.shape[-1]
    far = max(1, side // 8)
    window = lambda v, i, j: v[..., i : i + side - 2 * far, j : j + side - 2 * far]

    middle = window(q, far, far)
    found = [as_is(middle, window(x, i, j), own) for i in range(2 * far + 1) for j in range(2 * far + 1)]
    distance, offset = torch.stack([f.distance for f in found]).min(0)
    return Found(distance, torch.stack([f.number for f in found]).gather(0, offset[None])[0])


def blended(q: Tensor, x: Tensor, own: Tensor | None) -> Found:
    """Somewhere between the nearest and another: the distance to the nearest of those segments."""
    q, x = q.flatten(1), x.flatten(1)
    one = closest(q, x, own).number
    left = []
    for at in torch.arange(len(q), device=q.device).split(SIDE):
        a, r = x[one[at]], q[at] - x[one[at]]
        along = r @ x.T - (r * a).sum(1, keepdim=True)  # (q - a)(b - a) for each b
        length2 = (x.square().sum(1) - 2 * a @ x.T + a.square().sum(1, keepdim=True)).clamp_min(1e-12)
        share = (along / length2).clamp_(0, 1)
        gain = share * (2 * along - share * length2)
        gain.scatter_(1, one[at, None], 0)
        if own is not None:
            gain.scatter_(1, own[at, None], 0)
        left.append((r.square().sum(1) - gain.amax(1)).clamp_min(0).sqrt())
    return Found(torch.cat(left).double(), one)


@singledispatch
def ways(space: Space) -> Mapping[str, Way]:
    """How samples of a space could have been copied, by name."""
    return {"as is": as_is, "blended": blended}


@ways.register(Image)
@ways.register(Frames)
def _(space: Image | Frames) -> Mapping[str, Way]:
    return {
        "as is": as_is,
        "mirrored": mirrored,
        "shifted": shifted,
        "recoloured": recoloured,
        "blended": blended,
    }


@ways.register
def _(space: Tokens) -> Mapping[str, Way]:
    return {"as is": as_is}


@singledispatch
def small(space: Space, x: Tensor) -> Tensor:
    """Samples in stored form as numbers that can be compared: pictures (n, C, side, side) of 32 to a side or fewer,
    texts (n, L k) by k numbers a token."""
    return x.float()


@small.register(Image)
@small.register(Frames)
def _(space: Image | Frames, x: Tensor) -> Tensor:
    parts = x.split(at_once(space))
    x = torch.cat([adaptive_avg_pool2d(p.flatten(1, -3).float(), min(p.shape[-1], 32)) for p in parts])
    return x / 127.5 - 1


@small.register
def _(space: Tokens, x: Tensor) -> Tensor:
    if space.vocab <= WORD:
        return space.encode(x).flatten(1)
    k = max(4, min(WORD, 4096 // space.length))
    numbers = torch.randn(space.vocab, k, generator=torch.Generator().manual_seed(0)) / k**0.5
    return numbers.to(x.device)[x.long()].flatten(1)


# -- the verdict ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Seen:
    """What one way of looking showed.

    share: of made samples that are as near to the training set, against held-out ones, as `usual` of held-out
    samples are.  p: how often chance would show so many.  ratio (m,): distance to the nearest training sample over that
    to the nearest held-out one; rank (m,): the share of held-out samples whose ratio is less; number (m,): which
    training sample it is.
    """

    share: float
    usual: float
    p: float
    ratio: Tensor
    rank: Tensor
    number: Tensor


@dataclass(frozen=True)
class Copies:
    """The verdict on m made samples: what each way of looking showed, and the most suspicious pairs first."""

    seen: Mapping[str, Seen]
    authentic: Measure
    authentic_heldout: Measure
    c_t: Measure | None
    pairs: list[tuple[int, int, str]]  # made sample, training sample, way
    n_train: int
    n_heldout: int
    n_fake: int

    @property
    def ways(self) -> list[str]:
        """The ways in which it copies: so many that chance would show them once in a thousand verdicts."""
        return [way for way, s in self.seen.items() if s.p < 0.001 / len(self.seen)]

    @property
    def verdict(self) -> str:
        if not self.ways:
            return "no copies found: the made samples are no nearer to the training set than held-out ones are"
        told = (f"{way} {self.seen[way].share:.0%} (held-out {self.seen[way].usual:.1%})" for way in self.ways)
        return f"copies: nearer to the training set than held-out samples are, {', '.join(told)}; look at the pairs"

    def asdict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        number = lambda m: {"value": m.value, "se": m.se, "better": m.better} if m else None
        return {
            "verdict": self.verdict,
            "copied": bool(self.ways),
            "ways": {way: {"share": s.share, "usual": s.usual, "p": s.p} for way, s in self.seen.items()},
            "authenticity": number(self.authentic),
            "authenticity_heldout": number(self.authentic_heldout),
            "c_t": {"value": self.c_t.value, "se": self.c_t.se} if self.c_t else None,  # 0 is best
            "n_train": self.n_train,
            "n_heldout": self.n_heldout,
            "n_fake": self.n_fake,
            "pairs": [{"fake": i, "train": j, "way": way} for i, j, way in self.pairs],
        }


Parts = Tensor | Iterable[Tensor]


def copies(train: Parts, heldout: Parts, fake: Parts, space: Space, pairs: int = 32) -> Copies:
    """Looks for copies of training samples among made ones, all in stored form, in each way that the space knows.

    Whole or by parts, of which none is kept.  heldout: real samples that were never trained on, 20 or more; the more,
    the finer the verdict.
    """
    found, shapes = [], []
    for name, x, least in (("train", train, 2), ("heldout", heldout, 20), ("fake", fake, 20)):
        parts = []
        for part in [x] if isinstance(x, Tensor) else x:
            shapes.append(tuple(part.shape[1:]))
            if shapes[-1] != shapes[0]:
                raise ValueError(f"{name} samples are {shapes[-1]} and training ones {shapes[0]}")
            parts.append(small(space, part))
        if (n := sum(map(len, parts))) < least:
            raise ValueError(f"{name} has {n} samples and the search for copies needs {least} or more")
        found.append(torch.cat(parts))

    T, H, Y = found
    seen = {name: look(way, T, H, Y) for name, way in ways(space).items()}

    names = list(seen)
    rank, which = torch.stack([s.rank + 1e-3 * s.ratio.clamp_max(1) for s in seen.values()]).min(0)
    suspicious = [(i, names[int(which[i])]) for i in rank.argsort()[:pairs].tolist()]

    t, h, y = (x.flatten(1) for x in (T, H, Y))
    try:
        z = c_t(t, h, y)
    except ValueError:  # a cell of a few samples
        z = None
    chosen = [(i, int(seen[way].number[i]), way) for i, way in suspicious]
    return Copies(seen, authenticity(t, y), authenticity(t, h), z, chosen, len(T), len(H), len(Y))


def look(way: Way, train: Tensor, heldout: Tensor, fake: Tensor) -> Seen:
    """One way of looking: made samples' ratios among those of held-out ones, which only chance brings near.

    Were both of one kind, of the nearest of all no more than so many would be made ones: hypergeometric.
    """
    from scipy.stats import hypergeom

    h, m = len(heldout), len(fake)
    near = way(fake, train, None)
    ratio = near.distance / way(fake, heldout, None).distance.clamp_min(1e-9)
    own = way(heldout, heldout, torch.arange(h, device=heldout.device)).distance.clamp_min(1e-9)
    usual = (way(heldout, train, None).distance / own).sort().values

    limit = usual[max(3, ceil(USUAL * h)) - 1]
    j, count = (int((x <= limit).sum()) for x in (usual, ratio))  # more held-out ones where texts repeat: all at 0
    p = float(hypergeom.cdf(j, m + h, h, count + j))
    return Seen(count / m, j / h, p, ratio, torch.searchsorted(usual, ratio) / h, near.number)
