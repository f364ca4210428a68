"""What is held against what, and looked at through what: sets of real examples, their classes and features."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .data import Dataset
from .evaluate import on_stored
from .extractors import EXTRACTORS, Making, make, reference
from .metrics import ON_LABELS, ON_PICTURES, ON_WORDS, Bank
from .names import RequestError, find
from .progress import bar

WHOLE = ("train", "heldout")


@dataclass(frozen=True)
class Examples:
    """The examples from `start` to `stop` of some parts of a data set, the parts one after the other."""

    data: Dataset
    parts: tuple[str, ...]
    stop: int
    start: int = 0

    @cached_property
    def shares(self) -> dict[str, int]:
        """How many of each part there are until `stop`; none of a part that is not reached."""
        found: dict[str, int] = {}
        for part in self.parts:
            found[part] = min(self.stop - sum(found.values()), len(getattr(self.data, part)))
        return {part: k for part, k in found.items() if k}

    def __len__(self) -> int:
        return max(sum(self.shares.values()) - self.start, 0)

    @cached_property
    def x(self) -> Tensor:
        """In stored form (n, ...)."""
        return torch.cat([getattr(self.data, part).take(range(k))[0] for part, k in self.shares.items()])[self.start :]

    def names(self, places: Sequence[int]) -> list[str]:
        """What the examples at these places are called."""
        known = [name for part, k in self.shares.items() for name in getattr(self.data, part).names(range(k))]
        return [known[self.start + i] for i in places]

    @cached_property
    def labels(self) -> np.ndarray | None:
        """The names of their classes (n,), where all of them are known."""
        known = [getattr(self.data, part).labels for part in self.shares]
        if self.data.classes is None or any(labels is None for labels in known):
            return None
        places = np.concatenate([labels[:k] for labels, k in zip(known, self.shares.values())])
        return np.array(self.data.classes)[places[self.start :]]

    def features(self, extractor: nn.Module, m: Making) -> Bank:
        """Their features, from the cache as far as they were taken before."""
        whole = reduce(Bank.merge, [reference(extractor, m, part, k) for part, k in self.shares.items()])
        return Bank(whole.d, whole.source).update(whole.features[self.start :])


def panel_extractor(name: str | None, data: Dataset) -> nn.Module | None:
    """What a run's evaluations look through; None for what costs nothing."""
    if name is None:
        return None
    return make({name: find(EXTRACTORS, name, "extractor")}, Making(data, bar=bar))[0]


def check(wanted: Iterable[str], data: Dataset, labels: Mapping[str, Any], extractors: Iterable[str]) -> None:
    """Refuses measures, asked for by name, that samples such as these cannot have.

    labels: of the `real` and the `fake` ones, or None.
    """
    reads = labels["real"] is not None or any(name.startswith("inception") or ":" in name for name in extractors)
    source, apart = data.card["source"], "put each class in a subfolder of its own"
    for name in wanted:
        if name in (*ON_PICTURES, *ON_WORDS) and name not in on_stored(data.spec.x):
            kind = "pictures" if name in ON_PICTURES else "words"
            raise RequestError(f"--measures {name} asks for {kind}, and {source} has none; leave it out")
        if name in ("cas", "fid_by_class") and labels["real"] is None:
            raise RequestError(f"--measures {name} asks for classes, and {source} has none; {apart}")
        if name in ("cas", "fid_by_class") and labels["fake"] is None:
            raise RequestError(
                f"--measures {name} asks for the classes of what is measured, and it has none; {apart}, named as those "
                "of the data, or make the run by class (--condition class)"
            )
        known = data.classes or ()
        if name in ("cas", "fid_by_class") and (strange := sorted({*labels["fake"]} - {*known})):
            raise RequestError(
                f"--measures {name} asks for classes that the data has too, and what is measured has "
                f"{str(strange[0])!r}, which is none of {', '.join(known[:10])}; name them alike"
            )
        if name in ON_LABELS and not reads:
            raise RequestError(
                f"--measures {name} asks for a classifier, and {source} has no classes to learn one from; {apart}, or "
                "give --extractor inception or one of your own that has logits"
            )
