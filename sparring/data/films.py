"""A folder of clips as data: their frames lie one after the other, and windows are cut from them as they are asked for.

An example is a frame and the few before it, all of one clip.  Whole clips are held out, by a hash of their content.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from ..chance import generator
from ..spaces import Frames, Image, Spec, to_json
from . import clips
from .cache import refuse_without_room, room
from .clips import Clip
from .errors import DataError, Problem, Unusable
from .files import Files
from .pictures import FITS
from .split import HELDOUT, Dataset, Split
from .store import LEAST, PART, left_out, mapped

SIZES = (16, 32, 64, 128, 256)  # to choose from, if none is asked for
LEAST_HELDOUT = 2  # windows
MOST = 1 / 3  # of all frames, that a clip held out whole may have


class Kept(NamedTuple):
    """A clip whose frames lie from `start` on in the file of them all."""

    name: str
    start: int
    frames: int
    key: int


class Windows:
    """Frames at some places of a film, taken as they are asked for; indexed as an array is.

    film: (T, C, H, W); at: (N,), or (N, count) of several that belong together.
    """

    def __init__(self, film: np.ndarray, at: np.ndarray):
        self.film, self.at = film, at
        self.shape, self.dtype = (*at.shape, *film.shape[1:]), film.dtype

    def __len__(self) -> int:
        return len(self.at)

    def __getitem__(self, i: Any) -> np.ndarray:
        return self.film[self.at[i]]

    def take(self, i: np.ndarray, chance: np.ndarray | None = None) -> np.ndarray:
        return self[i]


def fill(
    source: str,
    found: Files,
    past: int,
    aside: Path,
    size: int | None,
    fit: str,
    seed: int,
    progress: Callable[[int, int], object],
) -> None:
    """Prepares all clips of a folder or zip, for windows of `past` frames and the next."""
    there, problems = clips.clips_of(found)
    total = len(there) + len(problems)
    sides, readable = {}, []
    for clip in there:
        try:
            sides[clip.name] = clips.size_of(found.read, clip)
            readable.append(clip)
        except Unusable as error:
            problems.append(Problem(error.kind, f"{clip.name}: {error.why}"))
    size, why = (size, "asked for") if size else chosen_size(list(sides.values()))
    usual, _ = Counter(sides.values()).most_common(1)[0] if sides else ((0, 0), 0)
    refuse_without_room(aside, 2 * 3 * size * size * sum(len(clip.files) for clip in readable))

    raw = aside / "decoded"
    with room(aside, 2 * 3 * size * size * clips.MOST):
        kept, coloured = _write(raw, readable, found, size, fit, seed, past, problems, progress)
        notes, usable, other = [], len(kept), [k.name for k in kept if sides[k.name] != usual]
        held = _hold_out(kept, past)
        if kept and not held:
            kept, held, note = _parted(kept, past)
            notes.append(note)
        _refuse_few(f"{source} has {usable} usable clips of {total}", kept, held, past, problems)

        film = np.memmap(raw, np.uint8, "r").reshape(-1, size, size, 3)
        channels, fingerprint = 3 if coloured else 1, blake2b(digest_size=16)
        counts = {}
        for split, mine in (("train", [k for k in kept if k not in held]), ("heldout", held)):
            _store(aside, split, film, mine, channels, past)
            counts[split] = sum(k.frames - past for k in mine)
            fingerprint.update(json.dumps([[k.key, k.frames] for k in mine]).encode())
        del film
        raw.unlink()

    spec = Spec(Image(channels, size), Frames(past, channels, size))
    fingerprint.update(json.dumps(to_json(spec)).encode())
    shown = FITS[fit].replace("each", "each frame")
    lengths = sorted(k.frames for k in kept)
    card = {
        "kind": f"clips in a {found.kind}",
        "size": size,
        "size_because": why,
        "shown": shown,
        "fingerprint": fingerprint.hexdigest(),
        "seed": seed,
        "found": total,
        "usable": usable,
        **counts,
        "clips": {"heldout": [k.name for k in held], "frames": sum(lengths), "shortest": lengths[0]},
        **left_out(problems),
        "other_sizes": [f"{n}: {_by(sides[n])}, most are {_by(usual)}; scaled as the others" for n in sorted(other)],
        "notes": notes,
    }
    card["clips"]["longest"] = lengths[-1]
    text = json.dumps({"card": card, "spec": to_json(spec)})
    (aside / "card.json").write_text(text, encoding="utf-8")


def load(place: Path) -> Dataset:
    """The data set of an entry; raises OSError, ValueError or KeyError if it is damaged."""
    saved = json.loads((place / "card.json").read_text(encoding="utf-8"))
    x, c = (saved["spec"][k] for k in ("x", "c"))
    spec = Spec(Image(x["channels"], x["size"]), Frames(c["count"], c["channels"], c["size"]))

    def split(name: str) -> Split:
        film, ends = mapped(place / f"{name}.npy"), np.load(place / f"{name}.ends.npy")
        if len(ends) != saved["card"][name] or ends.max() >= len(film):
            raise ValueError(f"{place} is damaged")
        before = ends[:, None] + np.arange(-c["count"], 0)
        return Split(Windows(film, ends), Windows(film, before), named=place / f"{name}.names.jsonl")

    return Dataset(spec, split("train"), split("heldout"), saved["card"])


def summary(card: dict[str, Any], most: int = 12) -> list[str]:
    """What is to be said of clips, with a line for each that is left out or scaled."""
    told, held = card["clips"], len(card["clips"]["heldout"])
    long = f"{told['longest']:,} frames"
    if told["shortest"] < told["longest"]:
        long = f"{told['shortest']:,} to {long}"
    lines = [f"{card['usable']:,} clips of {long}, {held:,} of them held out"]
    wrong = [f"left out: {p}" for p in card["problems"]] + [f"another size: {p}" for p in card["other_sizes"]]
    return lines + wrong[:most] + [f"… and {len(wrong) - most:,} more lines in card.json"] * (len(wrong) > most)


def chosen_size(sides: list[tuple[int, int]]) -> tuple[int, str]:
    """The side for clips of these widths and heights, and why; networks of frames go by eights."""
    known = sorted(min(side) for side in sides if min(side) > 0)
    if not known:
        return 32, "no clip could be measured"
    short = known[(len(known) - 1) // 2]
    if set(sides) == {(short, short)} and short % 8 == 0 and 16 <= short <= 64:
        return short, "the size of all clips"
    size = max((s for s in SIZES if s <= short), default=SIZES[0])
    return size, f"the largest of {', '.join(map(str, SIZES))} not above the median short side, {short}"


def _by(side: tuple[int, int]) -> str:
    return f"{side[0]} × {side[1]}"


def _write(
    raw: Path,
    readable: list[Clip],
    found: Files,
    size: int,
    fit: str,
    seed: int,
    past: int,
    problems: list[Problem],
    progress: Callable[[int, int], object],
) -> tuple[list[Kept], bool]:
    """All frames of all clips that can be used, one after the other; and whether any has a colour."""
    kept: list[Kept] = []
    known, coloured, at, one = {}, False, 0, 3 * size * size
    with raw.open("wb") as file:
        for n, clip in enumerate(readable):
            progress(n, len(readable))
            digest, count, first, still, colour = blake2b(digest_size=8, key=str(seed).encode()), 0, None, True, False
            try:
                for x in clips.frames(found.read, clip, size, fit):
                    data = x.tobytes()
                    file.write(data)
                    digest.update(data)
                    first = data if first is None else first
                    count, still = count + 1, still and data == first
                    colour = colour or bool((x != x[..., :1]).any())
                key = int.from_bytes(digest.digest(), "big")
                _refuse(count, still, past, known.get(key))
            except Unusable as error:
                problems.append(Problem(error.kind, f"{clip.name}: {error.why}"))
                file.seek(at * one)
                file.truncate()
                continue
            known[key] = clip.name
            kept.append(Kept(clip.name, at, count, key))
            coloured, at = coloured or colour, at + count
    progress(len(readable), len(readable))
    return sorted(kept, key=lambda k: k.key), coloured


def _refuse(count: int, still: bool, past: int, same: str | None) -> None:
    if count <= past:
        raise Unusable("too short", f"{count} frame{'s' * (count != 1)}; {past} of the past and the next are needed")
    if still:
        raise Unusable("at rest", f"nothing moves in its {count} frames")
    if same is not None:
        raise Unusable("duplicate", f"the same clip as {same}")


def _hold_out(kept: list[Kept], past: int) -> list[Kept]:
    """Whole clips, the first by key, until they have a tenth of all frames, and none that makes it two tenths.

    Where all are longer, the shortest; none where that has too much, or there are too few windows.
    """
    held: list[Kept] = []
    total, frames = sum(k.frames for k in kept), 0
    for k in kept:
        if frames < HELDOUT * total and frames + k.frames <= 2 * HELDOUT * total:
            held.append(k)
            frames += k.frames
    shortest = min(kept, key=lambda k: k.frames, default=None)
    if not held and shortest and shortest.frames <= MOST * total:
        held = [shortest]
    return held if sum(k.frames - past for k in held) >= LEAST_HELDOUT else []


def _parted(kept: list[Kept], past: int) -> tuple[list[Kept], list[Kept], str]:
    """The clips with the longest as two, its end, which is held out, and why."""
    longest = max(kept, key=lambda k: k.frames)
    held = max(past + LEAST_HELDOUT, round(HELDOUT * sum(k.frames for k in kept)))
    rest = max(0, longest.frames - held)
    end = longest._replace(name=f"{longest.name} from frame {rest}", start=longest.start + rest, frames=held, key=-1)
    others = [k for k in kept if k is not longest]
    why = (
        "there is one clip alone, so its" if not others else f"no clip can be held out whole, so of {longest.name} the"
    )
    return [end, longest._replace(frames=rest), *others], [end], f"{why} last {held:,} frames are held out"


def _refuse_few(what: str, kept: list[Kept], held: list[Kept], past: int, problems: list[Problem]) -> None:
    windows = [sum(max(0, k.frames - past) for k in kept if (k in held) == side) for side in (False, True)]
    if windows[0] >= LEAST and windows[1] >= LEAST_HELDOUT:
        return
    ways = sorted({clips.WAY_TO_FILMS for p in problems if p.kind == "film"})
    why = f" ({ways[0]})" if ways else f" (e.g. {min(problems)})" if problems else ""
    raise DataError(
        f"{what}{why}, with {windows[0]} windows of {past} frames and the next "
        f"to train on and {windows[1]} to hold out; at least {LEAST} and {LEAST_HELDOUT} are needed: give more or "
        "longer clips, or a smaller --past"
    )


def _store(aside: Path, split: str, film: np.ndarray, mine: list[Kept], channels: int, past: int) -> None:
    """The clips of one split: their frames, where each window ends, in an order mixed once and for all, and names."""
    frames = np.concatenate([np.arange(k.start, k.start + k.frames) for k in mine])
    out = np.lib.format.open_memmap(aside / f"{split}.npy", "w+", np.uint8, (len(frames), channels, *film.shape[1:3]))
    for i in range(0, len(frames), PART):
        out[i : i + PART] = film[frames[i : i + PART]][..., :channels].transpose(0, 3, 1, 2)
    out.flush()

    ends, names = [], []
    for k, start in zip(mine, np.cumsum([0, *(k.frames for k in mine)])):
        ends += range(start + past, start + k.frames)
        names += [f"{k.name} frame {i}" for i in range(past, k.frames)]
    order = torch.randperm(len(ends), generator=generator("windows", split)).tolist()
    np.save(aside / f"{split}.ends.npy", np.array(ends, np.int64)[order])
    (aside / f"{split}.names.jsonl").write_text("".join(_lines(names, order)), encoding="utf-8")


def _lines(names: list[str], order: list[int]) -> Iterator[str]:
    for i in order:
        yield json.dumps(names[i]) + "\n"
