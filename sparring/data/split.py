"""A data set: what to train on, what is held out, and what is known about both."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..spaces import Spec

HELDOUT, MOST_HELDOUT = 0.1, 10_000  # the share that is held out, and the most


@dataclass(frozen=True)
class Split:
    """Examples in stored form.

    x: (N, ...) uint8 or float32, on disk and mapped into memory, or `films.Windows` of such; c: (N, ...) what they are
    made from, or anything with take(indices, chance) that gives (n, ...), such as several captions of each, or None.
    labels: (N,) int64 classes where they are known, whether or not they are c.
    told: the file of their captions, a line each, or None; named: the file of their own names, or None.
    """

    x: Any
    c: Any = None
    labels: np.ndarray | None = None
    told: Path | None = None
    named: Path | None = None

    def __len__(self) -> int:
        return len(self.x)

    def take(
        self, indices: Tensor | np.ndarray | Sequence[int], chance: np.ndarray | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Copies of the examples at these places, in this order: (x, c).

        chance: (n,) in [0, 1), which of several captions is taken of each; None for the first.
        """
        i = np.asarray(indices, dtype=np.int64)
        if self.c is None:
            return torch.from_numpy(self.x[i]), None
        c = self.c[i] if isinstance(self.c, np.ndarray) else self.c.take(i, chance)
        return torch.from_numpy(self.x[i]), torch.from_numpy(c)

    def names(self, indices: np.ndarray | Sequence[int]) -> list[str]:
        """What the examples at these places are called: their files, or else their numbers."""
        if self.named is None:
            return [f"example {i}" for i in indices]
        wanted = {int(i) for i in indices}
        with self.named.open(encoding="utf-8") as file:
            found = {i: json.loads(line) for i, line in enumerate(file) if i in wanted}
        return [found[int(i)] for i in indices]

    @cached_property
    def captions(self) -> list[list[str]] | None:
        """The captions of each example, none or several; None if there are none in the whole data set."""
        if self.told is None:
            return None
        with self.told.open(encoding="utf-8") as file:
            return [json.loads(line) for line in file]


@dataclass(frozen=True)
class Dataset:
    """What `open` gives.

    card: what was found and done, as plain values; world: the truth, where the data has one;
    classes: their names, where they are known; `train.labels` and `heldout.labels` are places in it;
    vocabulary: of the captions that x is made from, or None; spelling: of the tokens of texts x, or None.
    """

    spec: Spec
    train: Split
    heldout: Split
    card: dict[str, Any]
    world: Any = None
    classes: list[str] | None = None
    vocabulary: Any = None
    spelling: Any = None
    kept: Any = field(default=None, repr=False)  # a temporary folder, alive as long as the data set


def hold_out(keys: np.ndarray, labels: np.ndarray | None) -> np.ndarray:
    """Which of N examples are held out (N,), by their keys (N,), sorted and equal for equal content.

    The lowest keys of each class: a tenth, at most 10,000 in all, at least one of each class of five or more.
    Equal keys are never parted; so where many are equal, the share differs.
    """
    n = len(keys)
    target = min(max(1, round(HELDOUT * n)), MOST_HELDOUT)
    classes = np.zeros(n, np.int64) if labels is None else labels
    count = np.bincount(classes)
    exact = count * target / n
    quota = np.maximum(np.floor(exact), (count >= 5) | (len(count) == 1)).astype(int)
    by_remainder = np.argsort(quota - exact, kind="stable")
    quota[by_remainder[: max(0, target - quota.sum())]] += 1

    heldout = np.zeros(n, bool)
    first = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]])
    size = np.diff(np.r_[first, n])
    for k in range(len(count)):
        own = classes[first] == k
        before = np.cumsum(size[own])
        heldout[first[own][before <= quota[k]]] = True
    if not heldout.any():  # each key is that of many
        heldout[first[size.argmin()]] = True
    return heldout[first].repeat(size)
