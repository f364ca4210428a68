"""A small language model, counted in seconds: what it finds unlikely is what a text says that others do not.

Interpolated n-grams after Witten and Bell 1991: a context vouches for its own counts by how many different words have
followed it.  One model judges another's texts in two directions: `lm` asks whether made sentences read like real ones,
`reverse_lm` whether who learned from the made ones would understand the real.  Either alone is gamed, by one good
sentence or by noise, so they are read as a pair, and as a curve over the temperature of sampling (Caccia et al. 2020).
"""

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence
from math import log, sqrt
from typing import Any

import torch

from .measure import Measure
from .words import Sentence, two

START, END = "\x02", "\x03"  # no word is called so


class Ngrams:
    """p(word | the n - 1 before it), of sentences; any of `words` further words may come as well."""

    def __init__(self, texts: Iterable[Sentence], words: int, n: int = 4):
        self.n, self.words = n, words
        self.after: list[dict[Sentence, Counter]] = [defaultdict(Counter) for _ in range(n)]  # by length of the context
        for s in texts:
            row = closed(s, n)
            for i in range(n - 1, len(row)):
                for k, table in enumerate(self.after):
                    table[row[i - k : i]][row[i]] += 1
        self.total = [{h: sum(c.values()) for h, c in table.items()} for table in self.after]

    def p(self, word: Hashable, before: Sentence) -> float:
        """The probability of a word after n - 1 others."""
        p = 1 / self.words
        for k, table in enumerate(self.after):
            h = before[len(before) - k :]
            if h not in table:
                break
            new = len(table[h])  # a word never seen here is as likely as any that was once new
            p = (table[h][word] + new * p) / (self.total[k][h] + new)
        return p

    def nll(self, s: Sentence) -> float:
        """-log p of a whole sentence and its end, in nats."""
        row = closed(s, self.n)
        return -sum(log(self.p(row[i], row[i - self.n + 1 : i])) for i in range(self.n - 1, len(row)))


def closed(s: Sentence, n: int) -> Sentence:
    return (START,) * (n - 1) + s + (END,)


def lm(real: Any, fake: Any, n: int = 4) -> Measure:
    """-log p per word of made sentences by n-grams of the real ones, nats.  Of real sentences it is that of new ones;
    below that, a generator says little else than the usual."""
    a, b = two(real, fake)
    return per_word(a, b, n, len(a), len(b), "lm", vocabulary(a, b))


def reverse_lm(real: Any, fake: Any, n: int = 4) -> Measure:
    """-log p per word of real sentences by n-grams of the made ones, nats.  Zhao et al. 2018."""
    a, b = two(real, fake)
    return per_word(b, a, n, len(a), len(b), "reverse_lm", vocabulary(a, b))


def vocabulary(*sides: Sequence[Sentence]) -> int:
    """How many words there are, their end counted."""
    return 1 + len({w for side in sides for s in side for w in s})


def per_word(known: Sequence[Sentence], read: Sequence[Sentence], n: int, n_real: int, n_fake: int, name: str, words):
    """-log p per word of sentences, with the error of a ratio of means."""
    model = Ngrams(known, words, n)
    nll = torch.tensor([model.nll(s) for s in read], dtype=torch.float64)
    length = torch.tensor([1.0 + len(s) for s in read], dtype=torch.float64)
    value = float(nll.sum() / length.sum())
    se = float((nll - value * length).std() / length.mean()) / sqrt(len(read))
    return Measure(value, se, "lower", n_real, n_fake, {"measure": name, "n": n})
