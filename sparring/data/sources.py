"""What a path leads to, and how its examples come out of it one by one."""

import os
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain
from pathlib import Path
from statistics import median_low
from typing import Any, NamedTuple, TypeVar

from sparring.names import nearest

from . import arrays, clips, files, pictures, texts
from .arrays import Array
from .cache import refuse_without_room
from .errors import DataError, Problem, Unusable
from .files import Files, Item
from .pictures import Picture
from .store import Example, store

SIZES = (32, 64, 128, 256)  # to choose from, if none is asked for
SMALL = (4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28)  # kept, if all pictures have it: sizes that networks fit
KINDS = "a folder or .zip of pictures or clips, an .npz, an .npy or a .txt"

S = TypeVar("S")
T = TypeVar("T")
Progress = Callable[[int, int], object]


class Source(NamedTuple):
    """Where data comes from.

    stamp: changes whenever the data may have; cheap.  fill(aside, size, fit, seed, progress): prepares it all.
    files: of a folder, a zip or a file that moves.
    """

    stamp: list[Any]
    fill: Callable[[Path, int | None, str, int, Progress], None]
    files: Files | None = None


def find(path: Path, spelling: str = "auto", length: int | None = None, whole: bool = False) -> Source:
    """The folder, zip, array or file of texts at this path; DataError if there is none.

    spelling, length: of texts; whole: also pictures that are blank or there twice, and few or equal texts.
    """
    if not path.exists():
        parent = next(p for p in path.absolute().parents if p.exists())
        names = [p.name for p in parent.iterdir()] if parent.is_dir() and os.access(parent, os.R_OK) else []
        missing = path.name if parent == path.absolute().parent else path.absolute().relative_to(parent).parts[0]
        raise DataError(f"{path} does not exist{nearest(missing, names, 3, cutoff=0.5)}; give {KINDS}")
    if path.is_dir():
        found = files.in_folder(path)
    elif path.suffix.lower() in (".npz", ".npy"):
        return Source([*_stamp(path), whole], partial(_from_array, path, whole))
    elif path.suffix.lower() in texts.SUFFIXES:
        stamp = [*_stamp(path), spelling, length, *([whole] if whole else [])]
        return Source(stamp, partial(texts.fill, path, spelling, length, whole))
    elif path.suffix.lower() == ".zip":
        found = files.in_zip(path)
    elif path.suffix.lower() in (*clips.FILMS, *clips.MOVING):
        found = files.alone(path)
    else:
        raise DataError(f"{path} is no data that can be opened; give {KINDS}")
    if not found.names:
        raise DataError(f"{path} is an empty {found.kind}; put pictures into it ({', '.join(pictures.SUFFIXES[:6])} …)")
    return Source([*found.stamp, whole], partial(_from_files, path, found, whole), found)


def _stamp(path: Path) -> list[Any]:
    s = path.stat()
    return [str(path.resolve()), s.st_size, s.st_mtime_ns, s.st_ctime_ns]


def _from_files(
    path: Path, found: Files, whole: bool, aside: Path, size: int | None, fit: str, seed: int, progress: Progress
) -> None:
    items, problems = files.items(found)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's about odd files: what matters of them is in our own lines
        pictures.formats()
        if size is None:
            size, why = chosen_size(_sides(found, items, progress))
        else:
            why = "asked for"
        card, each = _card(f"pictures in a {found.kind}", size, why, fit), 3 * size * size
        card |= {"named": sorted({str(item.label) for item in items if item.label is not None})}
        examples = chain(problems, spread(partial(_decode, found, size, fit, whole), items))
        refuse_without_room(aside, 2 * each * len(items))
        store(aside, examples, len(items), each, seed, str(path), card, progress, whole)


def _from_array(
    path: Path, whole: bool, aside: Path, size: int | None, fit: str, seed: int, progress: Progress
) -> None:
    x = arrays.open_array(path)
    if x.pictures:
        size, why = (size, "asked for") if size else chosen_size([x.sides])
        card, each = _card("pictures in an array", size, why, fit), 3 * size * size
        if x.sides[0] == x.sides[1]:
            card["shown"] = "the whole of each"
        examples = _pictures(x, size, fit, whole)
    else:
        card, each, examples = {"kind": "points"}, 4 * x.shape[1], _points(x)
    if x.unused:
        card = {**card, "notes": [f"arrays of {path.name} that are not used: {', '.join(x.unused)}"]}
    refuse_without_room(aside, 2 * each * x.shape[0])
    store(aside, examples, x.shape[0], each, seed, str(path), card, progress, whole)


def _card(kind: str, size: int, why: str, fit: str) -> dict[str, Any]:
    return {"kind": kind, "size": size, "size_because": why, "shown": pictures.FITS[fit]}


def chosen_size(sides: Iterable[tuple[int, int]]) -> tuple[int, str]:
    """The side for pictures of these widths and heights, and why: none is enlarged more than need be."""
    known = [side for side in sides if min(side) > 0]
    if not known:
        return SIZES[0], "no picture could be measured"
    w, h = known[0]
    if w == h and w in SMALL and set(known) == {(w, h)}:
        return w, "the size of all pictures"
    short = median_low([min(side) for side in known])
    size = max((s for s in SIZES if s <= short), default=SIZES[0])
    of = ", ".join(map(str, SIZES))
    if short < SIZES[0]:
        return size, f"the least of {of}; the median short side is {short}"
    return size, f"the largest of {of} not above the median short side, {short}"


def spread(f: Callable[[S], T], items: Iterable[S]) -> Iterator[T]:
    """f of each item, in their order, some at a time in threads; decoders work outside of Python's lock."""
    workers = min(8, os.cpu_count() or 1)
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[Any] = deque()
        for item in items:
            waiting.append(pool.submit(f, item))
            if len(waiting) >= 8 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _sides(found: Files, items: list[Item], progress: Progress) -> Iterator[tuple[int, int]]:
    def sides(item: Item) -> tuple[int, int]:
        try:
            with found.read(item.name) as file:
                return pictures.sides(file)
        except Exception:  # said when it is decoded
            return 0, 0

    for n, side in enumerate(spread(sides, items)):
        if n % 1000 == 0:
            progress(0, len(items))
        yield side


def _decode(found: Files, size: int, fit: str, whole: bool, item: Item) -> Example | Problem:
    try:
        with found.read(item.name) as file:
            return Example(item.name, pictures.read(file, item.name, size, fit, whole), item.label, item.captions)
    except Unusable as error:
        return Problem(error.kind, f"{item.name}: {error.why}")
    except Exception as error:  # whatever a damaged or locked file makes of reading
        return Problem("broken", f"{item.name}: {error}" if str(error) else f"{item.name}: {type(error).__name__}")


def _pictures(x: Array, size: int, fit: str, whole: bool) -> Iterator[Example | Problem]:
    for i, row in enumerate(x.rows()):
        name = f"{x.name}[{i}]"
        try:
            picture: Picture = arrays.picture(row, size, fit, whole)
        except Unusable as error:
            yield Problem(error.kind, f"{name}: {error.why}")
            continue
        yield Example(name, picture, None if x.labels is None else x.labels[i].item())


def _points(x: Array) -> Iterator[Example | Problem]:
    for i, row in enumerate(x.rows()):
        yield Example("", row, None if x.labels is None else x.labels[i].item())
