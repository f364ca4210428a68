"""Captions as numbers: the words of a text or their pieces, a vocabulary of these, one of several captions a look."""

import re
import unicodedata
from bisect import bisect
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cached_property
from hashlib import blake2b
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from ..spaces import Spec, Tokens
from . import files, frozen
from .errors import DataError
from .frozen import Frozen
from .spelling import MARKS, Spelling, learn
from .split import Dataset, Split

MOST_WORDS = 4095  # of a vocabulary: the most frequent, or the pieces that words are put together from
MOST_LETTERS = 2047  # of these pieces; rarer letters are not read
LONGEST = {"words": 64, "pieces": 96}  # of a caption; what comes after is not read

_SIGN = "\u2e80-\u9fff\uf900-\ufaff"  # Chinese signs and Japanese letters: no spaces between words, so each is one
_LETTER = rf"(?:[^\W_{_SIGN}]|[{MARKS}])"
_WORD = re.compile(rf"(?=\w)[{_SIGN}]|{_LETTER}+(?:['’]{_LETTER}+)*")


def words(text: str) -> list[str]:
    """The words of a text, without case and punctuation; every Chinese sign is one."""
    return _WORD.findall(unicodedata.normalize("NFC", unicodedata.normalize("NFKC", text).casefold()))


@dataclass(frozen=True)
class Vocabulary:
    """The words that captions are written in, most frequent first; number 0 is no word, `known[0]` is number 1.

    pieces: how words are put together, where `known` has pieces of them.
    """

    known: tuple[str, ...]
    length: int  # of a caption in numbers
    pieces: Spelling | None = None

    @classmethod
    def learn(cls, captions: Iterable[str], how: str = "words") -> "Vocabulary":
        """The vocabulary of these captions, at most 4,095 words or pieces; a caption has at most 64 or 96 of them."""
        said = [words(caption) for caption in captions]
        if how == "pieces":
            table = _pieces(said)
            found = cls(tuple(table.known[1:]), 1, table)
            length = max((len(found._numbers(some)) for some in said), default=1)
        else:
            count = Counter(word for some in said for word in some)
            found = cls(tuple(sorted(count, key=lambda w: (-count[w], w))[:MOST_WORDS]), 1)
            length = max(map(len, said), default=1)
        return replace(found, length=max(1, min(length, LONGEST[how])))

    @classmethod
    def of(cls, card: dict[str, Any], length: int) -> "Vocabulary":
        """What `card` gave."""
        pieces = Spelling.of(card["pieces"]) if "pieces" in card else None
        return cls(tuple(pieces.known[1:] if pieces else card["words"]), length, pieces)

    def card(self) -> dict[str, Any]:
        """What a saved generator must know to read captions again."""
        return {"pieces": self.pieces.asdict()} if self.pieces else {"words": self.known}

    @property
    def space(self) -> Tokens:
        return Tokens(self.length, 1 + len(self.known))

    @cached_property
    def number(self) -> dict[str, int]:
        return {word: i for i, word in enumerate(self.known, 1)}

    def rows(self, captions: Sequence[str]) -> np.ndarray:
        """(n, length) int16, one a caption."""
        return np.array([self.encode(caption) for caption in captions], np.int16).reshape(-1, self.length)

    def encode(self, caption: str) -> np.ndarray:
        """(length,) int16: the known words of a caption, then zeros."""
        row = np.zeros(self.length, np.int16)
        known = self._numbers(words(caption))[: self.length]
        row[: len(known)] = known
        return row

    def decode(self, row: Iterable[int]) -> str:
        """The words again, with spaces between."""
        if self.pieces:
            return self.pieces.read(row)
        return " ".join(self.known[int(i) - 1] for i in row if i)

    def reads(self, word: str) -> bool:
        """Whether it is known whole."""
        return all(letter in self.number for letter in word) if self.pieces else word in self.number

    def unknown(self, caption: str) -> dict[str, list[str]]:
        """What was never seen of a caption: words, each with the three nearest known ones at most, or letters."""
        parts = "".join(words(caption)) if self.pieces else words(caption)
        near = () if self.pieces else self.known
        return {part: get_close_matches(part, near, n=3) for part in dict.fromkeys(parts) if not self.reads(part)}

    def unread(self, caption: str) -> str:
        """The end of a caption that is longer than what is read, in words; of any other nothing."""
        said = words(caption)
        ends = list(accumulate(len(self._numbers([word])) for word in said))
        return " ".join(said[bisect(ends, self.length) :])

    def _numbers(self, said: Sequence[str]) -> list[int]:
        """The numbers of words, without what is not known: words, or letters of them."""
        if not self.pieces:
            return [self.number[w] for w in said if w in self.number]
        for word in set(said) - self._spelled.keys():
            letters = "".join(c for c in word if c in self.number)
            self._spelled[word] = (letters and self.pieces.write(letters)) or []
        return [i for word in said for i in self._spelled[word]]

    @cached_property
    def _spelled(self) -> dict[str, list[int]]:
        return {}


def _pieces(said: Sequence[Sequence[str]]) -> Spelling:
    """Pieces of these words, of their most frequent letters."""
    count = Counter(letter for some in said for word in some for letter in word)
    kept = set(sorted(count, key=lambda c: (-count[c], c))[:MOST_LETTERS])
    return learn(["".join(c for c in " ".join(some) if c in kept or c == " ") for some in said], "pieces", MOST_WORDS)


def chosen(captions: Iterable[str]) -> tuple[str, str]:
    """Whether to read these captions by words or by pieces of them, and why in words; Chinese signs cannot be cut."""
    different = {word for caption in captions for word in words(caption)}
    several = sum(len(word) > 1 for word in different)
    if several > MOST_WORDS:
        return "pieces", f"by pieces of words, for {several:,} different words are more than {MOST_WORDS:,}"
    return "words", f"by words, of which there are {len(different):,}"


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
    spelling: str = "auto",
    cache: Path | None = None,
    progress: Callable[[int, int], object] = lambda done, total: None,
) -> Dataset:
    """The same, made from captions: those of the data, or those that its world gives.

    encoder: of the user's own, by name (see `frozen.named`); else both players read words or their pieces, as
    `spelling` says.
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
            f"{data.card['source']} has no captions{_usual_problem(data)}: they stand in a metadata.jsonl beside the "
            'pictures, a line each, such as {"file_name": "a.png", "text": "red eyes, black hair"}, or in a '
            "metadata.csv with columns of these names; of the worlds, faces has some; or leave the condition out"
        )
    captions = [caption for some in told[0] for caption in some]
    how, why = chosen(captions) if spelling == "auto" else (spelling, f"by {spelling}, as asked")
    vocabulary = Vocabulary.learn(captions, how)
    if not vocabulary.known:
        raise DataError(
            f"no caption of {data.card['source']} has a word in it; write words, or leave the condition out"
        )

    mark = [data.card["fingerprint"], *vocabulary.known]
    if encoder is not None:
        why = f"by {encoder}"
        vocabulary = frozen.learn(encoder, [caption for some in told[0] + told[1] for caption in some], cache, progress)
        mark += [encoder, str(vocabulary.space)]

    train, heldout = (replace(s, c=Captions.of(t, vocabulary)) for s, t in zip((data.train, data.heldout), told))
    card: dict[str, Any] = data.card | {"captions": _census(told[0], vocabulary) | {"read": why}}
    card |= {"train": len(train), "fingerprint": blake2b("\n".join(mark).encode(), digest_size=16).hexdigest()}
    if world is not None:
        world = Told(world, vocabulary)
    spec = Spec(data.spec.x, vocabulary.space)
    return replace(data, spec=spec, train=train, heldout=heldout, card=card, vocabulary=vocabulary, world=world)


def _usual_problem(data: Dataset) -> str:
    """What is wrong with most lines of metadata, by the first of these, in brackets; nothing where there are none."""
    lines = [*data.card.get("problems", []), *data.card.get("caption_problems", [])]
    wrong = {line: " ".join(line.partition(": ")[2].split()[:3]) for line in lines if files.tells_of_metadata(line)}
    count = Counter(wrong.values())
    return f" ({max(wrong, key=lambda line: count[wrong[line]])})" if wrong else ""


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
    """What the card says of the captions to train on."""
    captions = [caption for some in told for caption in some]
    said = [words(caption) for caption in captions]
    times = Counter(word for some in said for word in some)
    by_words = isinstance(vocabulary, Vocabulary)  # an encoder may read more than words
    return {
        "captions": len(captions),
        "different": len(set(captions)),
        "without": sum(not some for some in told),
        "words": len(times),
        "longest": max(map(len, said)),
        "cut": sum(bool(vocabulary.unread(caption)) for caption in captions),
        "wordless": by_words * sum(not any(map(vocabulary.reads, some)) for some in said),
        "left_out_words": sum(not vocabulary.reads(word) for word in times),
        "most_frequent": [f"{word} {n:,}" for word, n in times.most_common(10)],
    }
