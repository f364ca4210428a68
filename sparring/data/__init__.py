"""Data, from wherever it lies to an endless stream of batches.

data = sparring.data.open("photos")                     # a folder, a zip, an .npz, an .npy or a world
for x, c in sparring.data.batches(data.train, 64, seed=0):
    ...                                                 # bytes (64, channels, size, size)

Pictures are decoded once, to bytes in a cache; a tenth is held out by the content of each, and never trained on.
Of clips an example is a frame with the few before it; whole clips are held out.
"""

import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..spaces import Frames
from . import cache as caches
from . import films
from .clips import move, past_of
from .drawn import drawn
from .errors import DataError
from .order import batches, places
from .pictures import FITS
from .sources import Source, find
from .split import Dataset, Split
from .store import by_class, load
from .texts import respelled
from .words import LONGEST, Vocabulary, by_caption

__all__ = [
    "DataError",
    "Dataset",
    "Split",
    "Vocabulary",
    "batches",
    "open",
    "past_of",
    "places",
    "respelled",
    "summary",
]

CONDITIONS = (None, "none", "class", "caption", "past")
PAST = 2  # frames, if it is not said: the fewest that tell where things are heading


def open(
    source: Any,
    size: int | None = None,
    fit: str = "crop",
    seed: int = 0,
    cache: str | Path | None = None,
    progress: Callable[[int, int], object] | None = None,
    condition: str | None = None,
    encoder: str | None = None,
    past: int | None = None,
    spelling: str = "auto",
    length: int | None = None,
    whole: bool = False,
) -> Dataset:
    """The data set of a world or of a path, split by content into training and held-out examples.

    source: a world; a folder or .zip of pictures, flat, in a subfolder for each class, or with a metadata.jsonl or .csv
    of file_name and text or label; an .npz or .npy of uint8 pictures or of points, with `labels` or `y` if known;
    a .txt of a text a line; clips: a folder or .zip of GIF, animated WebP or PNG, films (with PyAV) and folders of
    numbered frames, or one file.
    size: side in pixels, 4 to 1024; None for the largest of 32, 64, 128, 256 not above the median short side.
    fit: crop, pad or stretch; seed: of the split (of a world, also of what is drawn).
    cache: folder for the prepared arrays, None for $SPARRING_CACHE or the user's own; progress(done, total).
    condition: "class" to make x from its class; the classes of any data are in `labels`.  "caption" to make it from
    what is said of it, in words, or as a frozen `encoder` of that name has it; one of several captions at each look.
    "past" to make a frame from the `past` ones before it; None is this where most pictures move, and else "none".
    spelling: what texts are cut into, characters, words, pieces, or auto, and what captions are, words, pieces or auto;
    length: the most tokens of texts, None to choose; whole: to be measured, not learned from, so pictures that are
    blank or there twice stay, and a few equal points or texts will do.
    Raises DataError, with a line for the user, for data that cannot be used.
    """
    _check(size, fit, condition, past, spelling)
    if isinstance(source, Dataset):
        data = source
    elif hasattr(source, "draw"):
        data = drawn(source, seed, None if cache is None else Path(cache), progress or _silent)
    elif not isinstance(source, str | os.PathLike):
        kind = type(source).__name__
        raise DataError(f"{kind} is no data: give a path, a world (which has `draw`), a Dataset or a function of one")
    else:
        home = None if cache is None else Path(cache)
        found = find(Path(source), spelling, length, whole)
        data = _prepared(Path(source), found, size, fit, seed, home, progress or _silent, condition, past)
    if condition == "past" and not isinstance(data.spec.c, Frames):
        raise DataError(f"{data.card['source']} holds no clips, so no frame has a past; leave the condition out")
    if condition == "caption":
        return by_caption(data, seed, encoder, spelling, None if cache is None else Path(cache), progress or _silent)
    if condition != "class":
        return data
    if data.classes is None:
        why = next((note for note in data.card.get("notes", []) if "class" in note), "no classes were found in it")
        raise DataError(
            f"{data.card['source']} cannot be made by class: {why}; put each class in a subfolder, two or more, "
            "label each example, or leave the condition out"
        )
    return by_class(data)


def summary(data: Dataset) -> list[str]:
    """What a user wants to know of a data set, in a few lines."""
    card, x = data.card, data.spec.x
    lines = [f"data: {card['source']}, {card['kind']}"]
    split = f"{len(data.train):,} to train on, {len(data.heldout):,} held out"
    if data.classes is not None:
        names = ", ".join(data.classes[:8]) + (", …" if len(data.classes) > 8 else "")
        split += f", {len(data.classes)} classes ({names})"
        if data.train.labels is not None:
            counts = np.bincount(data.train.labels, minlength=len(data.classes))
            least, most = int(counts.argmin()), int(counts.argmax())
            if counts[most] > 3 * counts[least]:
                uneven = f"{counts[least]:,} of {data.classes[least]}, {counts[most]:,} of {data.classes[most]}"
                split += f", unbalanced: {uneven}"
        if data.spec.c is None:
            split += "; the players are not told them, but by --condition class"
    lines.append(split)
    if told := card.get("captions"):
        said = f"captions: {told['captions']:,}, {told['different']:,} different, of {told['longest']} words at most; "
        lines.append(f"{said}read {told['read']}; most frequent {', '.join(told['most_frequent'][:5])}")
        if wrong := card.get("caption_problems"):
            more = f" … ({len(wrong)} lines in card.json)" * (len(wrong) > 3)
            lines.append(f"captions to look at: {'; '.join(wrong[:3])}{more}")
        if told["without"]:
            lines.append(f"note: {told['without']:,} examples to train on have no caption; they are made from no words")
        if told["wordless"]:
            lines.append(f"note: captions without a word that is read: {told['wordless']:,}; they say nothing")
        if told["cut"]:
            kind = "pieces" if data.vocabulary.pieces else "words"
            lines.append(f"note: {told['cut']:,} captions are longer than {LONGEST[kind]} {kind}; the rest is not read")
        if left := told["left_out_words"]:
            lines.append(f"note: of {told['words']:,} different words the rarest, {left:,}, are not read")
    if "size" in card:
        colour = "colour" if getattr(x, "channels", 3) == 3 else "gray"
        lines.append(f"{card['size']} × {card['size']}, {colour}: {card['size_because']}; {card['shown']}")
    if "cut" in card:
        told = f"cut {card['cut']}; {card['vocabulary']:,} different, {card['tokens']['mean']:.3g} a text, "
        lines.append(told + f"{card['tokens']['longest']} at most")
    if "scaled" in card:
        lines.append(f"points of {getattr(x, 'dim', 0)} dimensions, {card['scaled']}")
    if isinstance(data.spec.c, Frames):
        lines.append(f"each frame is made from the {data.spec.c.count} before it")
    if "clips" in card:
        return lines + films.summary(card) + [f"note: {note}" for note in card["notes"]]
    if card.get("done"):
        lines.append("made plain: " + ", ".join(f"{n:,} {what}" for what, n in card["done"].items()))
    return lines + left_out(data) + [f"note: {note}" for note in card.get("notes", [])]


def left_out(data: Dataset) -> list[str]:
    """A line for each kind of example, and for lines of metadata, that were found and could not be used."""
    card, lines = data.card, []
    for kind, n in card.get("left_out", {}).items():
        what = (
            f"not used: {n:,} lines of metadata"
            if kind == "metadata"
            else f"left out: {n:,} {kind}, of {card['found']:,}"
        )
        lines.append(f"{what}; e.g. {card['for_example'][kind]}")
    return lines


def _check(size: int | None, fit: str, condition: str | None, past: int | None, spelling: str) -> None:
    if size is not None and (not isinstance(size, int) or not 4 <= size <= 1024):
        raise DataError(f"size {size!r} is no side in pixels from 4 to 1024; leave it out to have it chosen")
    if fit not in FITS:
        raise DataError(f"fit {fit!r} is none of {', '.join(FITS)}")
    if condition not in CONDITIONS:
        raise DataError(f"condition {condition!r} is none of none, class, caption, past")
    if condition == "caption" and spelling not in ("auto", *LONGEST):
        raise DataError(f"spelling {spelling!r} of captions is none of auto, words, pieces; a Chinese sign is a word")
    if past is not None and not (isinstance(past, int) and 1 <= past <= 64):
        raise DataError(f"past {past!r} is no number of frames from 1 to 64; leave it out for {PAST}")


def _silent(done: int, total: int) -> None:
    pass


def _prepared(
    path: Path,
    source: Source,
    size: int | None,
    fit: str,
    seed: int,
    cache: Path | None,
    progress: Any,
    condition: str | None,
    past: int | None,
) -> Dataset:
    reader, what, fill = load, [size, fit, seed], None
    if condition == "past" or (condition is None and source.files and move(source.files)):
        if source.files is None:
            raise DataError(f"{path} holds no clips, so no frame has a past; give a folder of clips")
        what += ["past", past or PAST]
        fill, reader = partial(films.fill, str(path), source.files, past or PAST), films.load
    elif past is not None:
        raise DataError(f"past {past} is of clips, and most pictures of {path} do not move; add --condition past")
    folder, temporary, note = caches.writable(cache or caches.home())
    name = caches.key(path.absolute().stem, source.stamp, *what)
    fill = fill or source.fill
    data = caches.kept(folder, name, lambda aside: fill(aside, size, fit, seed, progress), reader)
    card = {"source": str(path), **data.card}
    if note:
        card["notes"] = [*card.get("notes", []), note]
    return replace(data, card=card, kept=temporary)
