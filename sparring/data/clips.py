"""Moving pictures, however they lie: GIF, animated WebP or PNG, a film, or a folder of numbered frames.

A clip is read frame by frame, each as the bytes of a square; the rules for one frame are those of `pictures`, but that
a frame of one colour is allowed: a film may be dark for a while.
"""

import re
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import torch
from PIL import Image, ImageSequence
from torch import Tensor

from ..spaces import Frames
from .errors import DataError, Problem, Unusable
from .files import Files
from .pictures import SUFFIXES, formats, on_white, read, sides, square

MOVING = (".gif", ".webp", ".png", ".apng", ".avif")  # that may hold several frames
FILMS = (".mp4", ".m4v", ".mov", ".webm", ".mkv", ".avi", ".mpg", ".mpeg")
WAY_TO_FILMS = "films need PyAV: pip install 'sparring[film]', or save it as a GIF or a folder of frames"
MOST = 100_000  # frames of one clip
PEEKED = 48  # files opened to see whether a folder's pictures move

Open = Callable[[str], BinaryIO]


class Clip(NamedTuple):
    """name: of the file, or of the folder of its frames; files: that one, or the frames in order."""

    name: str
    files: tuple[str, ...]

    @property
    def loose(self) -> bool:
        """Whether each frame is a file."""
        return self.files != (self.name,)


# -- which there are --------------------------------------------------------------------------------------------------


def move(files: Files) -> bool:
    """Whether most of the pictures are clips, judged by some of them: then a folder is one of clips."""
    shown = [name for name in files.names if name.lower().endswith((*SUFFIXES, *FILMS))]
    some = shown[:: max(1, len(shown) // PEEKED)]
    return sum(_frames(files.read, name) > 1 for name in some) > len(some) / 2


def clips_of(files: Files) -> tuple[list[Clip], list[Problem]]:
    """The clips, by name, and what is none: a picture at rest makes a clip with the others of its folder, by number."""
    clips, problems, loose, lost = [], list(files.problems), {}, []
    for name in files.names:
        count = _frames(files.read, name)
        if count > 1:
            clips.append(Clip(name, (name,)))
        elif not name.lower().endswith(SUFFIXES):
            problems.append(Problem("no clip", f"{name}: neither pictures that move nor a frame"))
        elif count == 0:
            lost.append(name)
        elif not re.search(r"\d", PurePosixPath(name).stem):
            problems.append(Problem("too short", f"{name}: 1 frame, and no number to say of which clip"))
        else:
            loose.setdefault(str(PurePosixPath(name).parent), []).append(name)
    for name in lost:  # a frame among others, without which its clip would jump; or a clip
        folder = str(PurePosixPath(name).parent)
        if folder in loose and re.search(r"\d", PurePosixPath(name).stem):
            loose[folder].append(name)
        else:
            problems.append(Problem("broken", f"{name}: not what its name says, or damaged"))
    for folder, names in loose.items():
        clips.append(Clip("frames" if folder == "." else folder, tuple(sorted(names, key=natural))))
    return sorted(clips), problems


def _frames(open_: Open, name: str) -> int:
    """How many frames a picture's file holds; 0 if it cannot be opened, 2 for any film."""
    if name.lower().endswith(FILMS):
        return 2
    if not name.lower().endswith(MOVING):
        return 1 if name.lower().endswith(SUFFIXES) else 0
    try:
        with open_(name) as file, Image.open(file, formats=formats()) as image:
            return getattr(image, "n_frames", 1)
    except Exception:  # said when it is read
        return 0


def natural(name: str) -> list[tuple[int, int, str]]:
    """A key by which frame2 comes before frame10."""
    parts = re.split(r"(\d+)", PurePosixPath(name).name)
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts if part]


# -- one of them ------------------------------------------------------------------------------------------------------


def size_of(open_: Open, clip: Clip) -> tuple[int, int]:
    """Width and height by the header; raises Unusable where frames differ in it, or nothing can be read."""
    try:
        if clip.name.lower().endswith(FILMS):
            with open_(clip.name) as file, _film(file) as film:
                return film.streams.video[0].width, film.streams.video[0].height
        found = set()
        for name in clip.files:
            with open_(name) as file:
                found.add(sides(file))
    except Unusable:
        raise
    except Exception as error:
        raise _broken(error) from error
    found.discard((0, 0))  # said when it is read
    if len(found) > 1:
        (w, h), (v, k) = sorted(found)[:2]
        raise Unusable("uneven", f"frames of {len(found)} sizes, such as {w} × {h} and {v} × {k}")
    return next(iter(found), (0, 0))


def frames(open_: Open, clip: Clip, size: int, fit: str) -> Iterator[np.ndarray]:
    """Each frame (size, size, 3) uint8; raises Unusable where one is broken."""
    one = _loose if clip.loose else _of_film if clip.name.lower().endswith(FILMS) else _of_picture
    for n, x in enumerate(one(open_, clip, size, fit), 1):
        if n > MOST:
            raise Unusable("broken", f"more than {MOST:,} frames")
        yield x


def _of_picture(open_: Open, clip: Clip, size: int, fit: str) -> Iterator[np.ndarray]:
    try:
        with open_(clip.name) as file, Image.open(file, formats=formats()) as image:
            for frame in ImageSequence.Iterator(image):
                yield square(on_white(frame.convert("RGBA")), size, fit, whole=True)
    except Exception as error:  # decoders raise all kinds of errors on damaged files
        raise _broken(error) from error


def _of_film(open_: Open, clip: Clip, size: int, fit: str) -> Iterator[np.ndarray]:
    try:
        with open_(clip.name) as file, _film(file) as film:
            for frame in film.decode(video=0):
                yield square(frame.to_image(), size, fit, whole=True)
    except Unusable:
        raise
    except Exception as error:
        raise _broken(error) from error


def _film(file: BinaryIO) -> Any:
    try:
        import av  # type: ignore[import-not-found]
    except ImportError:
        raise Unusable("film", WAY_TO_FILMS) from None
    return av.open(file)


def _loose(open_: Open, clip: Clip, size: int, fit: str) -> Iterator[np.ndarray]:
    for name in clip.files:
        try:
            with open_(name) as file:
                yield read(file, name, size, fit, whole=True).x
        except Exception as error:
            short = PurePosixPath(name).name
            raise Unusable("broken", f"its frame {short} is broken: {_broken(error).why}") from error


def _broken(error: Exception) -> Unusable:
    return error if isinstance(error, Unusable) else Unusable("broken", str(error) or type(error).__name__)


# -- to be continued --------------------------------------------------------------------------------------------------


def past_of(path: Path, space: Frames, fit: str = "crop") -> Tensor:
    """The last frames of a clip, bytes (count, channels, size, size), to be continued; DataError if it has too few."""
    if not path.exists():
        raise DataError(f"the clip {path} does not exist; give a .gif, .webp or .png that moves, or a folder of frames")
    opened = lambda name: (path.parent / name).open("rb")
    clip = Clip(path.name, (path.name,))
    if path.is_dir():
        names = (f"{path.name}/{p.name}" for p in path.iterdir() if p.suffix.lower() in SUFFIXES)
        clip = Clip(path.name, tuple(sorted(names, key=natural)))
        if found := [name for name in clip.files if _frames(opened, name) > 1]:
            raise DataError(
                f"{path} holds clips, not frames of one; give one of them, such as {path.parent / found[0]}"
            )
        if not clip.files:
            raise DataError(f"{path} holds no pictures; give a clip (.gif, .webp, .png) or a folder of its frames")
    try:
        last = deque(frames(opened, clip, space.size, fit), maxlen=space.count)
    except Unusable as error:
        raise DataError(f"the clip {path} cannot be read: {error.why}") from error
    if len(last) < space.count:
        raise DataError(f"the clip {path} has {len(last)} frames; {space.count} are needed to foresee the next")
    past = torch.from_numpy(np.stack(list(last))).permute(0, 3, 1, 2).contiguous()
    if space.channels == 1:
        past = past.float().mean(1, keepdim=True).round().byte()
    return past
