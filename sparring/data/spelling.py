"""Texts as tokens and back: by letters, by words, or by the pieces of words that are frequent (byte-pair encoding).

However a text is cut, its tokens read one after the other are the text: blanks belong to the tokens after them.
"""

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from ..sequences import END

How = Literal["characters", "words", "pieces"]
MOST = 20_000  # words of a vocabulary; with more, texts are cut into pieces
PIECES = 2_048  # of them, the letters included
MARKS = "".join(c for c in map(chr, range(0x300, 0x1E00)) if unicodedata.category(c)[0] == "M")  # vowels of Hindi, …
_LETTER = rf"[\w{MARKS}]"
_WORD = re.compile(rf" ?{_LETTER}+(?:['’]{_LETTER}+)*| ?[^\w\s{MARKS}]+")


@dataclass(frozen=True)
class Spelling:
    """The tokens that texts are written in: `known[i]` is how token i reads; `known[0]`, the end, reads as nothing.

    merges: of pieces, which two became one, in their order.
    """

    known: Sequence[str]
    how: How = "words"
    merges: tuple[tuple[str, str], ...] = ()

    def read(self, row: Iterable[int]) -> str:
        """The text of a row of tokens, up to its end."""
        told = []
        for i in row:
            if i == END:
                break
            told.append(self.known[int(i)])
        return "".join(told).strip()

    def write(self, text: str) -> list[int] | None:
        """The tokens of a text, without its end; None where it has one that is not known."""
        if self.how == "pieces":
            known = all(letter in self.number for letter in plain(text))  # the library would pass over others
            return [i + 1 for i in self._cutter.encode(plain(text)).ids] if known else None
        found = [self.number.get(part, END) for part in cut(text, self.how)]
        return self._spelled(plain(text)) if END in found else found

    def _spelled(self, text: str) -> list[int] | None:
        """The fewest tokens that read as this text, however it is cut: a player may write "." twice, or first."""
        longest = max(map(len, self.known))
        ways: dict[int, list[int]] = {
            0: [],
            1: [],
        }  # by letters that are told; the first is a blank, and may be left out
        for end in range(2, len(text) + 1):
            parts = ((start, self.number.get(text[start:end])) for start in range(max(0, end - longest), end))
            if found := [[*ways[start], token] for start, token in parts if token and start in ways]:
                ways[end] = min(found, key=len)
        return ways.get(len(text))

    @cached_property
    def number(self) -> dict[str, int]:
        return {part: i for i, part in enumerate(self.known)}

    @cached_property
    def _cutter(self) -> Any:
        from tokenizers import Tokenizer
        from tokenizers.models import BPE

        return _split_at_words(Tokenizer(BPE({part: i for i, part in enumerate(self.known[1:])}, list(self.merges))))

    def asdict(self) -> dict[str, Any]:
        return {"known": self.known, "how": self.how, "merges": self.merges}

    @classmethod
    def of(cls, saved: dict[str, Any]) -> "Spelling":
        """What `asdict` gave."""
        return cls(tuple(saved["known"]), saved["how"], tuple((a, b) for a, b in saved["merges"]))


def plain(text: str) -> str:
    """The text in its composed form (NFC), with single blanks, and one before it."""
    return " " + " ".join(unicodedata.normalize("NFC", text).split())


def cut(text: str, how: How) -> list[str]:
    """The characters of a text, or its words, each with the blank before it."""
    return list(plain(text)[1:]) if how == "characters" else _WORD.findall(plain(text))


def learn(texts: Sequence[str], how: How, pieces: int = PIECES) -> Spelling:
    """The spelling of these texts, the most frequent tokens first; at most so many pieces, and all letters."""
    if how == "pieces":
        return _pieces(texts, pieces)
    count = Counter(part for text in texts for part in cut(text, how))
    ranked = sorted(count, key=lambda part: (-count[part], part))
    return Spelling(("", *ranked[:MOST]), how)


def chosen(texts: Sequence[str]) -> tuple[How, str]:
    """How to cut these texts, and why in words."""
    letters = np.array([len(plain(text)) - 1 for text in texts])
    told = [cut(text, "words") for text in texts]
    words = Counter(word for text in told for word in text)
    total, middle = sum(words.values()), float(np.median([len(text) for text in told]))
    if middle < 3:
        return "characters", f"characters: most lines are of {middle:g} word{'' if middle == 1 else 's'}"
    once = sum(n == 1 for n in words.values()) / total
    if len(words) <= MOST and once <= 0.05:
        return "words", f"words: {len(words):,} of them, {once:.1%} of the text are words that occur once"
    if total < 50_000:
        few = f"{once:.0%} of the text are words that occur once"
        return "characters", f"characters: {few}, and {letters.sum():,} characters are few to learn pieces from"
    return "pieces", f"pieces of words: {len(words):,} words, {once:.1%} of the text are words that occur once"


def _pieces(texts: Sequence[str], most: int) -> Spelling:
    """Byte-pair encoding (Sennrich et al. 2016) within words: the two that stand together most often become one."""
    from tokenizers import Tokenizer
    from tokenizers.models import BPE
    from tokenizers.trainers import BpeTrainer

    cutter = _split_at_words(Tokenizer(BPE()))
    trainer = BpeTrainer(vocab_size=most, show_progress=False)  # pyright: ignore[reportCallIssue]
    cutter.train_from_iterator([plain(text) for text in texts], trainer)
    model = json.loads(cutter.to_str())["model"]
    known = sorted(model["vocab"], key=model["vocab"].get)
    return Spelling(("", *known), "pieces", tuple((a, b) for a, b in model["merges"]))


def _split_at_words(cutter: Any) -> Any:
    from tokenizers import Regex
    from tokenizers.pre_tokenizers import Split

    cutter.pre_tokenizer = Split(Regex(_WORD.pattern), "isolated")
    return cutter
