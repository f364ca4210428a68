"""Moving pictures, however they lie: GIF, animated WebP or PNG, or a folder of frames, each as the bytes of squares."""

import io
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import numpy as np
import torch
from PIL import Image, ImageSequence
from torch import Tensor

from ..spaces import Frames
from .errors import DataError, Unusable
from .pictures import SUFFIXES, formats, read, square

MOST = 100_000  # frames of one clip


def moving(file: BinaryIO, name: str, size: int, fit: str) -> np.ndarray:
    """All frames of one file (T, size, size, 3) uint8; raises Unusable if it is broken or none."""
    frames = []
    try:
        with Image.open(file, formats=formats()) as image:
            for frame in ImageSequence.Iterator(image):
                rgba = frame.convert("RGBA")
                plain = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
                frames.append(_square(plain, size, fit))
                if len(frames) > MOST:
                    raise Unusable("broken", f"more than {MOST:,} frames")
    except Unusable:
        raise
    except Exception as error:  # decoders raise all kinds of errors on damaged files
        raise Unusable("broken", " ".join(str(error).split()) or type(error).__name__) from error
    return np.stack(frames)


def _square(image: Image.Image, size: int, fit: str) -> np.ndarray:
    try:
        return square(image, size, fit)
    except Unusable:  # of one colour: allowed, a film may be dark for a while
        return np.broadcast_to(np.asarray(image)[0, 0], (size, size, 3)).copy()


def in_folder(folder: Path, size: int, fit: str) -> np.ndarray:
    """The pictures of a folder, in the order of their names, as one clip."""
    names = sorted((p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES), key=lambda p: natural(p.name))
    if not names:
        raise DataError(f"{folder} holds no pictures; give a clip (.gif, .webp, .png) or a folder of its frames")
    try:
        return np.stack([read(io.BytesIO(p.read_bytes()), p.name, size, fit).x for p in names])
    except Unusable as error:
        raise DataError(f"{folder} has a frame that cannot be used: {error.why}") from error


def natural(name: str) -> list[tuple[int, str | int]]:
    """A key by which frame2 comes before frame10."""
    digits, parts = "", []
    for c in PurePosixPath(name).name + "\0":
        if c.isdigit():
            digits += c
            continue
        if digits:
            parts.append((0, int(digits)))
            digits = ""
        parts.append((1, c))
    return parts


def past_of(path: Path, space: Frames) -> Tensor:
    """The last frames of a clip, bytes (count, channels, size, size), to be continued; DataError if it has too few."""
    if not path.exists():
        raise DataError(f"the clip {path} does not exist; give a .gif, .webp or .png that moves, or a folder of frames")
    if path.is_dir():
        x = in_folder(path, space.size, "crop")
    else:
        try:
            with path.open("rb") as file:
                x = moving(file, path.name, space.size, "crop")
        except Unusable as error:
            raise DataError(f"the clip {path} cannot be read: {error.why}") from error
    if len(x) < space.count:
        raise DataError(f"the clip {path} has {len(x)} frames; {space.count} are needed to foresee the next")
    past = torch.from_numpy(x[-space.count :]).permute(0, 3, 1, 2).contiguous()
    if space.channels == 1:
        past = past.float().mean(1, keepdim=True).round().byte()
    return past
