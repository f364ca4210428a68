"""The examples that a world draws: held in memory if they are few, kept in the cache if they take long to draw."""

import inspect
import json
from collections.abc import Callable
from dataclasses import replace
from hashlib import blake2b
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..spaces import shape, to_json
from . import cache as caches
from .errors import DataError
from .spelling import Spelling
from .split import Dataset, Split
from .store import load

MANY = 16 * 10**6  # bytes of x, from which on a world is kept


def drawn(world: Any, seed: int, folder: Path | None, progress: Callable[[int, int], object]) -> Dataset:
    """As many examples as the world asks for, its own split of them, and their classes if it tells `labels`.

    progress(done, total) is told of what is drawn to be kept, and of nothing that is there or takes no time.
    """
    if sum(world.examples) * prod(shape(world.spec.x)) < MANY:
        return _draw(world, seed, lambda done, total: None)

    def build(aside: Path) -> None:
        data = _draw(world, seed, progress)
        for name, split in (("train", data.train), ("heldout", data.heldout)):
            for part, a in (("", split.x), (".c", split.c), (".labels", split.labels)):
                if a is not None:
                    np.save(aside / f"{name}{part}.npy", a)
        saved = {"card": data.card, "spec": to_json(data.spec), "classes": data.classes}
        (aside / "card.json").write_text(json.dumps(saved), encoding="utf-8")

    home, temporary, note = caches.writable(folder or caches.home())
    try:
        data = caches.kept(home, caches.key(world.name, *_marks(world, seed)), build, load)
    except (OSError, DataError):  # no room: then in memory
        return _draw(world, seed, progress)
    card = data.card | ({"notes": [note]} if note else {})
    spelling = Spelling(tuple(world.words)) if hasattr(world, "words") else None
    return replace(data, card=card, world=world, spelling=spelling, kept=temporary)


def _draw(world: Any, seed: int, progress: Callable[[int, int], object]) -> Dataset:
    n, held = world.examples
    progress(0, n + held)
    fingerprint = blake2b(digest_size=16)

    def split(count: int, heldout: bool) -> Split:
        x, c, labels = (None if t is None else t.contiguous().numpy() for t in _some(world, count, seed, heldout))
        for a in (x, c, labels):
            fingerprint.update(b"" if a is None else a.data)
        progress(n + held if heldout else n, n + held)
        assert x is not None
        return Split(x, c, labels)

    train, heldout = split(n, False), split(held, True)
    known = [s.labels for s in (train, heldout) if s.labels is not None]
    classes = [str(k) for k in range(1 + max(int(labels.max()) for labels in known))] if known else None
    card = {
        "source": world.name,
        "kind": f"a world: {world.about}",
        "fingerprint": fingerprint.hexdigest(),
        "seed": seed,
        "train": n,
        "heldout": held,
        "problems": [],
    }
    spelling = Spelling(tuple(world.words)) if hasattr(world, "words") else None
    return Dataset(world.spec, train, heldout, card, world, classes, spelling=spelling)


def _some(world: Any, count: int, seed: int, heldout: bool) -> list[Tensor | None]:
    """x, c, labels (the last two None if the world has none)."""
    x, c = world.draw(count, seed, heldout=heldout)
    return [x, c, world.labels(count, seed, heldout) if hasattr(world, "labels") else None]


def _marks(world: Any, seed: int) -> list[Any]:
    """What tells a world from any other: its numbers, a few draws, and the code that makes them."""
    few = [t for heldout in (False, True) for t in _some(world, 8, seed, heldout) if t is not None]
    digest = blake2b(digest_size=16)
    for t in few:
        digest.update(t.contiguous().numpy().tobytes())
    try:
        file = Path(inspect.getfile(type(world)))
        for part in sorted(file.parent.glob(f"{file.stem}*.py")):  # faces.py, faces_paint.py, …
            digest.update(part.read_bytes())
    except (OSError, TypeError):  # typed in, not in a file
        digest.update(repr(type(world)).encode())
    return [to_json(world.spec), world.examples, seed, digest.hexdigest(), torch.__version__]
