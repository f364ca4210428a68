"""From a stream of examples to the files of an entry in the cache, in memory that does not grow with them.

The pixels are written aside as they are decoded; then the examples are put in the order of a hash of their content,
which is no order at all, and which neither names nor the order on disk can change.  The first of them are held out.
"""

import json
import os
import re
from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from hashlib import blake2b
from math import sqrt
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..spaces import Image, Label, Spec, Vector, from_json, to_json
from .cache import room
from .errors import DataError, Problem
from .pictures import Picture
from .spelling import Spelling
from .split import Dataset, Split, hold_out

LEAST = 16  # examples, to train at all
LISTED = 100  # problems in the card
PART = 256  # examples copied at once
SMALL = 10**9  # bytes of a file that is read ahead as a whole


class Example(NamedTuple):
    """x: a Picture, or a point (d,) float32; label: the class it is said to be of."""

    name: str
    x: Picture | np.ndarray
    label: int | str | None = None
    captions: tuple[str, ...] = ()


class Gathered:
    """What is remembered of the examples while they are written: some bytes each."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.keys = array("Q")
        self.labels: list[int | str | None] = []
        self.captions: list[tuple[str, ...]] = []
        self.done: Counter[str] = Counter()
        self.coloured = False


def store(
    aside: Path,
    stream: Iterator[Example | Problem],
    total: int,
    bytes_each: int,
    seed: int,
    source: str,
    card: dict[str, Any],
    progress: Callable[[int, int], object],
    whole: bool = False,
) -> None:
    """Fills an entry.  `stream` gives what can be used and lines about what cannot; `bytes_each` of x are expected.

    whole: to be measured, not learned from: pictures that are there twice stay so, and one alone is held out.
    """
    raw, got, problems = aside / "decoded", Gathered(), []
    with room(aside, 2 * total * bytes_each):
        shape = _write_raw(raw, stream, total, seed, got, problems, progress)
        rows, labels, classes = _settle(got, problems, len(shape) == 3 and not whole)
        keys = np.frombuffer(got.keys, np.uint64)[rows]
        usable = len(keys) if whole else len(np.unique(keys))
        _refuse_few(source, usable, total, problems, shape, 2 if whole else LEAST)

        heldout = np.arange(len(keys)) == 0 if whole else hold_out(keys, labels)
        x = np.memmap(raw, np.uint8 if len(shape) == 3 else np.float32, "r", shape=(len(got.keys), *shape))
        channels = 3 if got.coloured else 1
        fingerprint = blake2b(digest_size=16)
        for name, chosen in (("train", ~heldout), ("heldout", heldout)):
            _write(aside / f"{name}.npy", x, rows[chosen], channels)
            fingerprint.update(keys[chosen].tobytes())
            if any(got.names):
                lines = [json.dumps(got.names[i]) + "\n" for i in rows[chosen]]  # ASCII: names may be in no code at all
                (aside / f"{name}.names.jsonl").write_text("".join(lines), encoding="utf-8")
            if labels is not None:
                np.save(aside / f"{name}.labels.npy", labels[chosen])
                fingerprint.update(labels[chosen].tobytes())
            if any(got.captions):
                lines = [json.dumps(got.captions[i], ensure_ascii=False) + "\n" for i in rows[chosen]]
                (aside / f"{name}.captions.jsonl").write_text("".join(lines), encoding="utf-8")
                fingerprint.update("".join(lines).encode())
        del x
        raw.unlink()

        spec = Spec(Image(channels, shape[0]) if len(shape) == 3 else _vector(aside / "train.npy", source, whole))
        fingerprint.update(json.dumps([to_json(spec), classes]).encode())
        about_captions = sorted(p for p in problems if p.kind == "caption")
        problems = [p for p in problems if p.kind != "caption"]
        card = card | {
            "fingerprint": fingerprint.hexdigest(),
            "seed": seed,
            "found": total,
            "usable": len(rows),
            "train": int((~heldout).sum()),
            "heldout": int(heldout.sum()),
            "done": dict(sorted(got.done.items())),
            **left_out(problems),
        }
        if about_captions:
            card["caption_problems"] = listed(about_captions)
        if isinstance(spec.x, Vector):
            card["scaled"] = (
                f"played as (x - {spec.x.center:.6g}) / {spec.x.scale:.6g}: mean and std of the training points"
            )
        if classes is None and (without := got.labels.count(None)) < len(got.labels):
            some = f"{without:,} of {len(got.labels):,} have no class" if without else "all are of one class"
            card["notes"] = [*card.get("notes", []), f"{some}, so classes are not used"]
        text = json.dumps({"card": card, "spec": to_json(spec), "classes": classes})
        (aside / "card.json").write_text(text, encoding="utf-8")


def load(place: Path) -> Dataset:
    """The data set of an entry, its arrays mapped into memory; raises OSError, ValueError or KeyError if damaged."""
    saved = json.loads((place / "card.json").read_text(encoding="utf-8"))
    card, classes = saved["card"], saved["classes"]

    def split(name: str) -> Split:
        x = mapped(place / f"{name}.npy")
        labels = None if classes is None else np.load(place / f"{name}.labels.npy")
        told = place / f"{name}.captions.jsonl"
        if len(x) != card[name] or (labels is not None and len(labels) != len(x)):
            raise ValueError(f"{place} is damaged")
        made_from = place / f"{name}.c.npy"
        c = np.load(made_from) if made_from.exists() else None
        named = place / f"{name}.names.jsonl"
        return Split(x, c, labels, told if told.exists() else None, named if named.exists() else None)

    spelling = Spelling.of(saved["spelling"]) if "spelling" in saved else None
    return Dataset(from_json(saved["spec"]), split("train"), split("heldout"), card, None, classes, spelling=spelling)


def by_class(data: Dataset) -> Dataset:
    """The same, made from its classes: labels become c."""
    assert data.classes is not None
    train, heldout = (replace(s, c=s.labels) for s in (data.train, data.heldout))
    return replace(data, spec=Spec(data.spec.x, Label(len(data.classes))), train=train, heldout=heldout)


def _write_raw(
    raw: Path,
    stream: Iterator[Example | Problem],
    total: int,
    seed: int,
    got: Gathered,
    problems: list[Problem],
    progress: Callable[[int, int], object],
) -> tuple[int, ...]:
    """All pixels one after the other; the shape of one."""
    shape: tuple[int, ...] = ()
    salt = str(seed).encode()
    progress(0, total)
    with raw.open("wb", buffering=2**20) as file:
        for n, example in enumerate(stream, 1):
            if isinstance(example, Problem):
                problems.append(example)
            else:
                x = example.x
                if isinstance(x, Picture):
                    got.done.update(x.done)
                    x = x.x
                    got.coloured = got.coloured or bool((x != x[..., :1]).any())
                data, shape = x.tobytes(), x.shape
                file.write(data)
                got.names.append(example.name)
                got.keys.append(int.from_bytes(blake2b(data, digest_size=8, key=salt).digest(), "big"))
                got.labels.append(example.label)
                got.captions.append(example.captions)
            progress(min(n, total), total)
    return shape


def _settle(
    got: Gathered, problems: list[Problem], once: bool
) -> tuple[np.ndarray, np.ndarray | None, list[str] | None]:
    """The rows to keep, by key, perhaps once each; their labels (N,) and the names of the classes, or None."""
    keys = np.frombuffer(got.keys, np.uint64)
    labels, classes = _classes(got.labels)
    told = np.array([json.dumps(c) for c in got.captions]) if any(got.captions) else np.zeros(len(keys))
    order = np.lexsort((told, np.zeros(len(keys)) if labels is None else labels, keys))
    if once:
        again = np.flatnonzero(keys[order][1:] == keys[order][:-1]) + 1
        for one, other in zip(order[again], order[again - 1]):
            differs = "" if labels is None or labels[one] == labels[other] else ", in another class"
            line = f"{got.names[one]}: the same picture as {got.names[other]}{differs}"
            problems.append(Problem("duplicate", line))
        order = np.delete(order, again)
    return order, None if labels is None else labels[order], classes


def _classes(labels: list[int | str | None]) -> tuple[np.ndarray | None, list[str] | None]:
    """Each label's place among the names, numbers in their order; nothing if any lacks one or all are the same."""
    known = {label for label in labels if label is not None}
    if len(known) < 2 or None in labels:
        return None, None
    names = sorted(known, key=lambda v: (isinstance(v, str), v))
    place = {name: i for i, name in enumerate(names)}
    return np.array([place[label] for label in labels if label is not None], np.int64), list(map(str, names))


def left_out(problems: list[Problem]) -> dict[str, Any]:
    """What a card says of them: how many of each kind, one of each, and the first of all."""
    count = dict(sorted(Counter(p.kind for p in problems).items()))
    return {
        "left_out": count,
        "for_example": {p.kind: p for p in sorted(problems, reverse=True)},
        "problems": listed(problems),
    }


def listed(problems: list[Problem]) -> list[str]:
    """The first of them, in the order of a reader: line 4 before line 11."""
    parts = lambda problem: [int(s) if i % 2 else s for i, s in enumerate(re.split(r"(\d+)", problem))]
    return sorted(problems, key=parts)[:LISTED] + [f"and {len(problems) - LISTED:,} more"] * (len(problems) > LISTED)


def _refuse_few(
    source: str, usable: int, total: int, problems: list[Problem], shape: tuple[int, ...], least: int
) -> None:
    if usable >= least:
        return
    what = "different points" if len(shape) == 1 else "usable pictures"
    kinds = ", ".join(f"{n} {kind}" for kind, n in sorted(Counter(p.kind for p in problems).items()))
    example = f" ({kinds}; e.g. {min(problems)})" if problems else ""
    raise DataError(f"{source} has {usable} {what} of {total}{example}; at least {least} are needed")


def _write(path: Path, x: np.ndarray, rows: np.ndarray, channels: int) -> None:
    """These rows as an .npy: pictures as (N, C, H, W)."""
    shape = (len(rows), channels, *x.shape[1:3]) if x.ndim == 4 else (len(rows), *x.shape[1:])
    with path.open("wb") as file:
        header = {"descr": np.lib.format.dtype_to_descr(x.dtype), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, len(rows), PART):
            part = x[rows[start : start + PART]]
            if x.ndim == 4:
                part = part[..., :channels].transpose(0, 3, 1, 2)
            file.write(np.ascontiguousarray(part).tobytes())


def _vector(path: Path, source: str, whole: bool) -> Vector:
    """The space of points, at mean 0 and std 1 over all axes together: the scale keeps their shape."""
    x = np.load(path, mmap_mode="r")
    parts = [slice(i, i + 65536) for i in range(0, len(x), 65536)]
    mean = sum(x[p].sum(0, dtype=np.float64) for p in parts) / len(x)
    variance = sum(np.square(x[p] - mean).sum(0) for p in parts) / len(x)
    scale = sqrt(float(np.mean(variance)))
    if scale == 0 and not whole:
        raise DataError(f"{source} has the same point {len(x)} times; there is nothing to learn")
    return Vector(x.shape[1], float(np.mean(mean)), scale or 1.0)


def mapped(path: Path) -> np.ndarray:
    """An .npy mapped into memory; a small one is read ahead, so that no step waits for the disk."""
    if path.stat().st_size < SMALL and hasattr(os, "posix_fadvise"):
        with path.open("rb") as file, suppress(OSError):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_WILLNEED)
    return np.load(path, mmap_mode="r").view(np.ndarray)
