"""Captions as numbers: the words of a text, the vocabulary of a data set, and one caption of several for each look."""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from ..spaces import Spec, Tokens
from . import frozen
from .errors import DataError
from .frozen import Frozen
from .split import Dataset, Split

MOST_WORDS = 4095  # of a vocabulary: the most frequent
LONGEST = 64  # words of a caption; what comes after is not read

_SIGN = "\u2e80-\u9fff\uf900-\ufaff"  # Chinese signs and Japanese letters: no spaces between words, so each is one
_WORD = re.compile(rf"(?=\w)[{_SIGN}]|[^\W_{_SIGN}]+(?:['’][^\W_{_SIGN}]+)*")


def words(text: str) -> list[str]:
    """The words of a text, without case and punctuation; every Chinese sign is one."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


@dataclass(frozen=True)
class Vocabulary:
    """The words that captions are written in, most frequent first; number 0 is no word, `known[0]` is number 1."""

    known: tuple[str, ...]
    length: int  # of a caption in numbers

    @classmethod
    def learn(cls, captions: Iterable[str]) -> "Vocabulary":
        """The vocabulary of these captions; at most 4,095 words, and as long as the longest, at most 64."""
        count, length = Counter(), 1
        for caption in captions:
            said = words(caption)
            count.update(said)
            length = max(length, len(said))
        ranked = sorted(count, key=lambda w: (-count[w], w))
        return cls(tuple(ranked[:MOST_WORDS]), min(length, LONGEST))

    @property
    def space(self) -> Tokens:
        return Tokens(self.length, 1 + len(self.known))

    @cached_property
    def number(self) -> dict[str, int]:
        return {word: i for i, word in enumerate(self.known, 1)}

    def card(self) -> dict[str, Any]:
        """What a saved generator must know to read captions again."""
        return {"words": self.known}

    def rows(self, captions: Sequence[str]) -> np.ndarray:
        """(n, length) int16, one a caption."""
        return np.array([self.encode(caption) for caption in captions], np.int16).reshape(-1, self.length)

    def encode(self, caption: str) -> np.ndarray:
        """(length,) int16: the known words of a caption, then zeros."""
        row = np.zeros(self.length, np.int16)
        known = [self.number[w] for w in words(caption) if w in self.number][: self.length]
        row[: len(known)] = known
        return row

    def decode(self, row: Iterable[int]) -> str:
        """The words again, with spaces between."""
        return " ".join(self.known[int(i) - 1] for i in row if i)

    def unknown(self, caption: str) -> dict[str, list[str]]:
        """The words of a caption that were never seen, each with the known ones nearest to it, three at most."""
        lost = dict.fromkeys(w for w in words(caption) if w not in self.number)
        return {w: get_close_matches(w, self.known, n=3) for w in lost}


@dataclass(frozen=True)
class Captions:
    """The captions of N examples in numbers; each example has none, one or several."""

    rows: np.ndarray  # (M, ...), those of one example after those of the one before, and one more that says nothing
    start: np.ndarray  # (N + 1,) where those of each begin

    @classmethod
    def of(cls, captions: Sequence[Sequence[str]], vocabulary: Vocabulary | Frozen) -> "Captions":
        start = np.cumsum([0, *map(len, captions)])
        rows = vocabulary.rows([caption for some in captions for caption in some])
        return cls(np.concatenate([rows, np.zeros_like(rows, shape=(1, *rows.shape[1:]))]), start)

    def take(self, indices: np.ndarray, chance: np.ndarray | None) -> np.ndarray:
        """(n, ...): the first caption of each example, or that which `chance` (n,) in [0, 1) falls on."""
        first, count = self.start[indices], np.diff(self.start)[indices]
        which = first if chance is None else first + (chance * count).astype(np.int64)
        return np.where(count[:, None] > 0, self.rows[which], 0).astype(self.rows.dtype)


def by_caption(
    data: Dataset,
    seed: int,
    encoder: str | None = None,
    cache: Path | None = None,
    progress: Callable[[int, int], object] = lambda done, total: None,
) -> Dataset:
    """The same, made from captions: those of the data, or those that its world gives.

    encoder: of the user's own, by name (see `frozen.named`); else both players read words.
    """
    world = data.world
    if hasattr(world, "captions"):
        data = replace(data, train=_seen_only(data, seed))
        told = [world.captions(n, seed, side) for n, side in zip(world.examples, (False, True))]
        told[0] = [t for t, keep in zip(told[0], world.seen(world.examples[0], seed)) if keep]
    else:
        told = [data.train.captions or [], data.heldout.captions or []]
    if not any(told[0]):
        raise DataError(
            f"{data.card['source']} has no captions: put a metadata.jsonl beside the pictures, a line each, such as "
            '{"file_name": "a.png", "text": "red eyes, black hair"}, or leave the condition out'
        )
    vocabulary = Vocabulary.learn(caption for some in told[0] for caption in some)
    if not vocabulary.known:
        raise DataError(
            f"no caption of {data.card['source']} has a word in it; write words, or leave the condition out"
        )

    mark = [data.card["fingerprint"], *vocabulary.known]
    if encoder is not None:
        vocabulary = frozen.learn(encoder, [caption for some in told[0] + told[1] for caption in some], cache, progress)
        mark += [encoder, str(vocabulary.space)]

    train, heldout = (replace(s, c=Captions.of(t, vocabulary)) for s, t in zip((data.train, data.heldout), told))
    card: dict[str, Any] = data.card | {"captions": _census(told[0], vocabulary)}
    card |= {"train": len(train), "fingerprint": blake2b("\n".join(mark).encode(), digest_size=16).hexdigest()}
    if world is not None:
        world = Told(world, vocabulary)
    spec = Spec(data.spec.x, vocabulary.space)
    return replace(data, spec=spec, train=train, heldout=heldout, card=card, vocabulary=vocabulary, world=world)


@dataclass(frozen=True)
class Told:
    """A world that judges captions in numbers."""

    world: Any
    vocabulary: Vocabulary | Frozen

    def __getattr__(self, name: str) -> Any:
        return getattr(object.__getattribute__(self, "world"), name)

    def judge(self, x: Any, c: Any = None) -> dict[str, float]:
        return self.world.judge(x, None if c is None else [self.vocabulary.decode(row) for row in c.tolist()])


def _seen_only(data: Dataset, seed: int) -> Split:
    """The training examples without the combinations that a world keeps for the test."""
    split, keep = data.train, np.asarray(data.world.seen(len(data.train), seed))
    pick = lambda a: None if a is None else a[keep]
    return replace(split, x=split.x[keep], c=pick(split.c), labels=pick(split.labels))


def _census(told: Sequence[Sequence[str]], vocabulary: Vocabulary | Frozen) -> dict[str, Any]:
    """What the card says of the captions to train on; an encoder reads all words."""
    lengths = [len(words(caption)) for some in told for caption in some]
    times = Counter(word for some in told for caption in some for word in words(caption))
    read, longest = (times, max(lengths)) if isinstance(vocabulary, Frozen) else (vocabulary.known, vocabulary.length)
    return {
        "captions": len(lengths),
        "different": len({caption for some in told for caption in some}),
        "without": sum(not some for some in told),
        "words": len(read),
        "longest": max(lengths),
        "cut": sum(n > longest for n in lengths),
        "left_out_words": len(times) - len(read),
        "most_frequent": [f"{word} {n:,}" for word, n in times.most_common(10)],
    }
