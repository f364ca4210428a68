"""What symptoms are made of: findings, and medians over windows of what a run has written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import median
from typing import Any, Literal, NamedTuple

ROWS = 5  # of a window, at least
History = Sequence[Mapping[str, Any]]  # rows of stats.jsonl, by rising "seen"; any row may lack any key


class Finding(NamedTuple):
    """What is wrong, and what to do."""

    name: str
    since: int  # samples seen
    evidence: str  # the numbers, in words
    advice: str  # the option to change first, and the value to try
    level: Literal["problem", "note"] = "problem"  # a note may pass by itself


Symptom = Callable[[History], Finding | None]


def needs(*keys: str) -> Callable[[Symptom], Symptom]:
    """Marks a symptom with the keys without which it says nothing; `a|b` means that either will do."""

    def marked(symptom: Symptom) -> Symptom:
        symptom.needs = keys  # type: ignore[attr-defined]
        return symptom

    return marked


class Window(NamedTuple):
    """Medians over the rows of a stretch of the run."""

    seen: int  # of its first row
    values: tuple[float, ...]


def windows(h: History, *keys: str, rows: int = ROWS, most: int = 40) -> list[Window]:
    """Medians of the keys, one window after the other; the last ends at the last row and is as full as the others.

    A window is a fortieth of the samples seen (1 / most), yet no fewer than `rows` rows of usual distance, or of the
    distance that the last ones have.  Rows count that have all keys, as finite numbers; where they are fewer than
    `rows`, there is no window.
    """
    kept = list(numbers(h, keys))
    if len(kept) < rows:
        return []
    seen = [at for at, _ in kept]
    usual = median(b - a for a, b in zip(seen, seen[1:]))
    lately = (seen[-1] - seen[-rows]) / (rows - 1)
    width = max(rows * usual, rows * lately, seen[-1] / most, 1)

    stretches: dict[int, list[tuple[int, tuple[float, ...]]]] = {}
    for at, values in kept:
        stretches.setdefault(int((seen[-1] - at) / width), []).append((at, values))
    full = [stretches[i] for i in sorted(stretches, reverse=True) if len(stretches[i]) >= rows or i == 0]
    return [Window(s[0][0], tuple(median(column) for column in zip(*(values for _, values in s)))) for s in full]


def holds(w: Sequence[Window], bad: Callable[..., bool], least: int = 1) -> int | None:
    """Since when all windows to the last are bad; None if fewer than `least` are."""
    since = None
    for i, (seen, values) in enumerate(reversed(w)):
        if not bad(*values):
            return since if i >= least else None
        since = seen
    return since if len(w) >= least else None


def numbers(h: History, keys: Sequence[str]) -> Iterator[tuple[int, tuple[float, ...]]]:
    """(seen, values) of the rows that have all keys, as finite numbers."""
    for row in h:
        values = tuple(row.get(k) for k in ("seen", *keys))
        if all(map(number, values)):
            yield seen_of(row), values[1:]  # type: ignore[misc]


def number(v: Any) -> bool:
    return isinstance(v, int | float) and -1e150 < v < 1e150  # what is left can be subtracted and divided


def seen_of(row: Mapping[str, Any]) -> int:
    seen = row.get("seen", 0)
    return int(seen) if number(seen) else 0
