"""Measures of sentences: does each read like real ones, do they differ, do they use words as real ones do?

Sentences are strings (split at spaces), sequences of tokens, or a tensor (n, L) of them.  Whoever has a token that ends
a sentence cuts there first, with `sentences(x, end)`.  Counts depend on n: compare at equal n and m, beside real ones.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from math import exp, log, sqrt
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from .measure import Measure, Of

Sentence = tuple[Hashable, ...]


def sentences(x: Any, end: Hashable | None = None) -> list[Sentence]:
    """Each sentence as a tuple of tokens, up to the first `end` where there is one."""
    rows: Iterable[Any] = x.tolist() if isinstance(x, Tensor) else x
    found: list[Sentence] = [tuple(row.split()) if isinstance(row, str) else tuple(row) for row in rows]
    return found if end is None else [s[: s.index(end)] if end in s else s for s in found]


def two(real: Any, fake: Any, least: int = 2) -> tuple[list[Sentence], list[Sentence]]:
    sides = []
    for name, x in (("real", real), ("fake", fake)):
        s = sentences(x)
        if len(s) < least:
            raise ValueError(f"{name} has {len(s)} sentences and this measure needs {least} or more; draw more")
        if not any(s):
            raise ValueError(f"{name} has only empty sentences")
        sides.append(s)
    return sides[0], sides[1]


def grams(s: Sentence, n: int) -> list[Sentence]:
    return [s[i : i + n] for i in range(len(s) - n + 1)]


# -- one by one -------------------------------------------------------------------------------------------------------


class References:
    """The n-grams of a set of sentences: how often the sentence that has each most has it, and the next after it."""

    def __init__(self, refs: Sequence[Sentence], n: int) -> None:
        self.n, self.lengths = n, Counter(map(len, refs))
        self.most: list[dict[Sentence, tuple[int, int, int]]] = [{} for _ in range(n)]  # most, whose, next most
        for i, s in enumerate(refs):
            for k, table in enumerate(self.most):
                for g, count in Counter(grams(s, k + 1)).items():
                    most, whose, after = table.get(g, (0, -1, 0))
                    table[g] = (count, i, most) if count > most else (most, whose, max(after, count))

    def bleu(self, s: Sentence, own: int = -1) -> float:
        """BLEU of a sentence against all references, or all but number `own`.  Papineni et al. 2002.

        Uniform weights on 1- to n-grams; a count of no match is taken as .1 (Chen & Cherry 2014, method 1).
        """
        total = 0.0
        for k, table in enumerate(self.most):
            counts = Counter(grams(s, k + 1))
            match = 0
            for g, count in counts.items():
                most, whose, after = table.get(g, (0, -1, 0))
                match += min(count, after if whose == own else most)
            if not k and not match:
                return 0.0
            total += log((match or 0.1) / max(sum(counts.values()), 1)) / self.n
        nearest = min(
            (l for l, c in self.lengths.items() if c > (own >= 0 and l == len(s))), key=lambda l: (abs(l - len(s)), l)
        )
        return exp(total + min(0.0, 1 - nearest / max(len(s), 1)))


def mean(values: Sequence[float], better: Any, real: Sequence, fake: Sequence, **told: Any) -> Measure:
    v = torch.tensor(values, dtype=torch.float64)
    return Measure(float(v.mean()), float(v.std() / sqrt(len(v))), better, len(real), len(fake), told)


def bleu(real: Any, fake: Any, n: int = 4) -> Measure:
    """Mean BLEU-n of made sentences, with all real ones as references: do its short phrases occur?  Says nothing of
    sense or of variety, and rises with the number of references."""
    a, b = two(real, fake)
    refs = References(a, n)
    return mean([refs.bleu(s) for s in b], "higher", a, b, measure="bleu", n=n)


def self_bleu(real: Any, fake: Any, n: int = 4) -> Measure:
    """Mean BLEU-n of each made sentence against all the others, never itself: 1 where they repeat each other.

    Zhu et al. 2018.  Sentences of fewer than n words stay below 1 even so, for they have no phrase of n to match.  The
    real ones are not asked; read it beside theirs.
    """
    a, b = two(real, fake, 3)
    refs = References(b, n)
    return mean([refs.bleu(s, i) for i, s in enumerate(b)], "lower", a, b, measure="self_bleu", n=n)


def unique(real: Any, fake: Any) -> Measure:
    """Share of made sentences that no earlier one says word for word."""
    a, b = two(real, fake)
    share = len(set(b)) / len(b)
    return Measure(
        share, sqrt(max(share * (1 - share), 0.5 / len(b)) / len(b)), "higher", len(a), len(b), {"measure": "unique"}
    )


def copied(train: Any, fake: Any) -> Measure:
    """Share of made sentences that stand in the training set word for word; read it beside that of held-out ones."""
    a, b = two(train, fake)
    known = set(a)
    share = sum(s in known for s in b) / len(b)
    return Measure(
        share, sqrt(max(share * (1 - share), 0.5 / len(b)) / len(b)), "lower", len(a), len(b), {"measure": "copied"}
    )


def longest_copy(train: Any, fake: Any) -> Measure:
    """How long a stretch of each made sentence stands in some training sentence, as a share of it: the mean."""
    a, b = two(train, fake)
    longest, open = [0] * len(b), [i for i, s in enumerate(b) if s]
    n = 0
    while open:
        n += 1
        known = {g for s in a for g in grams(s, n)}
        open = [i for i in open if len(b[i]) >= n and any(g in known for g in grams(b[i], n))]
        for i in open:
            longest[i] = n
    shares = [k / len(s) for k, s in zip(longest, b) if s]
    return mean(shares, "lower", a, b, measure="longest_copy")


# -- as a whole -------------------------------------------------------------------------------------------------------


def js(count: Callable[[Sentence], list], name: str, **told: Any) -> Of[Measure]:
    """Jensen-Shannon divergence, nats, of what `count` finds in real and in made sentences; at most log 2.

    Biased upward where much is seen once; `se` from the influence of each sentence on the shares.
    """

    def of(real: Any, fake: Any) -> Measure:
        a, b = two(real, fake)
        rows = [[Counter(count(s)) for s in side] for side in (a, b)]
        sums = [Counter(g for s in side for g in count(s)) for side in (a, b)]
        totals = [c.total() for c in sums]
        if not all(totals):
            side = "real" if not totals[0] else "fake"
            raise ValueError(f"{name} has nothing to count: every {side} sentence is too short")
        p, q = ({g: k / t for g, k in c.items()} for c, t in zip(sums, totals))

        slope = lambda own, other: {g: log(2 * v / (v + other.get(g, 0.0))) / 2 for g, v in own.items()}
        slopes = slope(p, q), slope(q, p)
        parts = [sum(v * s[g] for g, v in own.items()) for own, s in zip((p, q), slopes)]

        var = 0.0
        for side, s, part, total in zip(rows, slopes, parts, totals):
            moved = torch.tensor([sum(k * (s[g] - part) for g, k in c.items()) for c in side], dtype=torch.float64)
            var += float(moved.var()) * len(side) / total**2
        return Measure(max(sum(parts), 0.0), sqrt(var), "lower", len(a), len(b), {"measure": name, **told})

    of.__name__, of.__doc__ = name, js.__doc__
    return of


def total_variation(counts: Tensor, p: Tensor) -> float:
    """Half the summed difference between shares, of counts (K,), and a law p (K,); 1 where nothing was counted."""
    q = counts.double() / counts.sum()
    return float((q - p).abs().sum() / 2) if counts.sum() else 1.0


ngrams = {n: js(lambda s, n=n: grams(s, n), f"ngrams_{n}", n=n) for n in (1, 2, 3, 4)}
length = js(lambda s: [len(s)], "length")


def distinct(real: Any, fake: Any, n: int = 2) -> Measure:
    """Share of the made n-grams that are said for the first time.  Li et al. 2016.  Falls with the number of them."""
    a, b = two(real, fake)
    return blocks(lambda x, y: share_of_first(y, n), a, b, "higher", measure="distinct", n=n)


def share_of_first(x: Sequence[Sentence], n: int) -> float:
    counts = Counter(g for s in x for g in grams(s, n))
    return len(counts) / max(sum(counts.values()), 1)


def zipf(real: Any, fake: Any, most: int = 1000) -> Measure:
    """How far apart the slopes are with which log frequency falls by log rank, over the `most` commonest words."""
    a, b = two(real, fake)
    return blocks(lambda x, y: abs(fall(x, most) - fall(y, most)), a, b, "lower", measure="zipf", most=most)


def fall(x: Sequence[Sentence], most: int) -> float:
    counts = Counter(t for s in x for t in s).most_common(most)
    if len(counts) < 2:
        return 0.0
    rank, often = (
        torch.tensor(v, dtype=torch.float64).log() for v in zip(*((i + 1, k) for i, (_, k) in enumerate(counts)))
    )
    return float(((rank - rank.mean()) * (often - often.mean())).sum() / (rank - rank.mean()).square().sum())


def blocks(f: Callable, a: Sequence, b: Sequence, better: Any, k: int = 10, **told: Any) -> Measure:
    """f(a, b) with the error of a jackknife over k blocks of each side."""
    var = 0.0
    for one, without in ((a, lambda i: f(rest(a, i, k), b)), (b, lambda i: f(a, rest(b, i, k)))):
        parts = min(k, len(one))
        left = torch.tensor([without(i) for i in range(parts)], dtype=torch.float64)
        var += float((left - left.mean()).square().sum()) * (parts - 1) / parts
    return Measure(float(f(a, b)), sqrt(var), better, len(a), len(b), told)


def rest(x: Sequence, i: int, k: int) -> list:
    return [s for j, s in enumerate(x) if j % k != i]


ON_WORDS: Mapping[str, Of[Measure]] = MappingProxyType(
    {
        "bleu": bleu,
        "self_bleu": self_bleu,
        **{f"ngrams_{n}": f for n, f in ngrams.items()},
        "length": length,
        "unique": unique,
        "distinct": distinct,
        "zipf": zipf,
    }
)
