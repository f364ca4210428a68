"""Pictures or points in one .npy or .npz, read in parts, never whole."""

import math
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from .errors import DataError
from .pictures import Picture, on_white, refuse_blank, square

PART = 256  # rows read at once
X = ("images", "x", "x_train", "train_images", "data", "points", "samples", "arr_0")
Y = ("labels", "y", "y_train", "train_labels")
_WAY_OUT = "give uint8 pictures (N, H, W), (N, H, W, C) or (N, C, H, W) with C of 1, 3 or 4, or float points (N, d)"


@dataclass(frozen=True)
class Array:
    """The array of a file: `pictures` (N, H, W[, C]) or (N, C, H, W) in bytes, or else points (N, d).

    path: the file; name: of the array in an .npz, "" in an .npy; labels: (N,) or None; unused: other arrays.
    """

    path: Path
    name: str
    shape: tuple[int, ...]
    pictures: bool
    labels: np.ndarray | None
    unused: Sequence[str] = ()

    @property
    def sides(self) -> tuple[int, int]:
        """Width and height of the pictures."""
        h, w = self.shape[2:] if self._channels_first else self.shape[1:3]
        return w, h

    @property
    def _channels_first(self) -> bool:
        return len(self.shape) == 4 and self.shape[-1] not in (1, 3, 4)

    def rows(self) -> Iterator[np.ndarray]:
        """Each row: bytes (H, W, C) of a picture, or floats (d,) of a point; DataError at one that is not finite."""
        for start, part in _parts(self.path, self.name):
            if not self.pictures:
                part = self._finite(part, start)
            elif part.ndim == 3:
                part = part[..., None]
            elif self._channels_first:
                part = part.transpose(0, 2, 3, 1)
            yield from part

    def _finite(self, part: np.ndarray, start: int) -> np.ndarray:
        with np.errstate(over="ignore"):
            narrow = part.astype(np.float32)
        bad = np.argwhere(~np.isfinite(narrow))
        if len(bad):
            row, column = map(int, bad[0])
            value = part[row, column]
            what = "NaN" if np.isnan(value) else "infinity" if np.isinf(value) else f"{value:g}, beyond 32-bit floats,"
            raise DataError(
                f"{self.path} has {what} at index ({start + row}, {column}); "
                "take such rows out, e.g. x = x[np.isfinite(x).all(1)]"
            )
        return narrow


def open_array(path: Path) -> Array:
    """The pictures or points of a file, with their labels; DataError if it holds neither."""
    try:
        names = _members(path)
        name = next((n for n in X if n in names), None)
        rest = [n for n in names if n not in Y]
        if name is None and len(rest) == 1:
            name = rest[0]
        if name is None:
            found = f"arrays {', '.join(names)}" if names else "no array"
            raise DataError(f"{path} has {found}; call one of them {' or '.join(X[:2])}")
        shape, dtype = _header(path, name)
        label = next((n for n in Y if n in names and n != name), None)
        labels = None if label is None else _labels(path, label, shape)
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} cannot be read as {path.suffix[1:]} ({error}); save it again with numpy") from error
    unused = [n for n in names if n not in (name, label)]
    return Array(path, name, shape, _pictures(path, shape, dtype), labels, unused)


def picture(row: np.ndarray, size: int, fit: str, whole: bool = False) -> Picture:
    """A row of bytes (H, W, C) as (size, size, 3); raises Unusable, but of a `whole`, if it is blank."""
    if row.shape in ((size, size, 3), (size, size, 1)):
        x = row if row.shape[2] == 3 else np.repeat(row, 3, axis=2)
        if not whole:
            refuse_blank(x)
        return Picture(x)
    if row.shape[2] == 4:
        rgba = Image.fromarray(np.ascontiguousarray(row))
        return Picture(
            square(on_white(rgba), size, fit, whole), () if (row[..., 3] == 255).all() else ("laid on white",)
        )
    image = Image.fromarray(np.ascontiguousarray(row if row.shape[2] == 3 else row[..., 0]))
    return Picture(square(image.convert("RGB"), size, fit, whole))


def _pictures(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> bool:
    """Whether these are pictures, not points; DataError if they are neither."""
    if 0 in shape:
        raise DataError(f"{path} has an array of shape {shape}, which holds nothing; {_WAY_OUT}")
    if len(shape) == 2 and dtype.kind in "fiub":
        return False
    images = len(shape) == 3 or (len(shape) == 4 and (shape[3] in (1, 3, 4) or shape[1] in (1, 3, 4)))
    if images and dtype == np.uint8:
        return True
    if images and dtype.kind in "fiub":
        scales = "(255 * x).round().astype('uint8') if x is in [0, 1], with 127.5 * (x + 1) if it is in [-1, 1]"
        convert = scales if dtype.kind == "f" else "x.astype('uint8')"
        raise DataError(f"{path} has pictures {shape} of {dtype}; give bytes 0 to 255: {convert}")
    raise DataError(f"{path} has an array of shape {shape} and type {dtype}; {_WAY_OUT}")


def _labels(path: Path, name: str, shape: tuple[int, ...]) -> np.ndarray:
    with _open(path, name) as file:
        if _read_header(file)[2].hasobject:
            raise DataError(f"{path} has {name} of Python objects, which are never loaded; save {name}.astype(str)")
    with np.load(path, allow_pickle=False) as saved:
        labels = saved[name]
    if labels.size != shape[0] or labels.ndim > 2:
        raise DataError(f"{path} has labels {labels.shape} for {shape[0]} examples; give one label each, (N,)")
    labels = labels.reshape(-1)
    if labels.dtype.kind == "f" and (labels == np.round(labels)).all():
        labels = labels.astype(np.int64)
    if labels.dtype.kind not in "iubUS":
        raise DataError(f"{path} has labels of {labels.dtype}; give whole numbers or names of classes")
    return labels.astype(np.int64) if labels.dtype.kind in "iub" else labels.astype(str)


def _members(path: Path) -> list[str]:
    if path.suffix.lower() == ".npy":
        return ["arr_0"]
    with zipfile.ZipFile(path) as archive:
        return [n.removesuffix(".npy") for n in archive.namelist() if n.endswith(".npy")]


def _open(path: Path, name: str) -> BinaryIO:
    if path.suffix.lower() == ".npy":
        return path.open("rb")
    return zipfile.ZipFile(path).open(f"{name}.npy")  # type: ignore[return-value]


def _read_header(file: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return read(file)


def _header(path: Path, name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    with _open(path, name) as file:
        shape, _, dtype = _read_header(file)
    if dtype.hasobject:
        raise DataError(f"{path} holds Python objects, which are never loaded; {_WAY_OUT}")
    return shape, dtype


def _parts(path: Path, name: str) -> Iterator[tuple[int, np.ndarray]]:
    """The first index and the rows of each part, in order; a packed .npz is unpacked as it is read."""
    with _open(path, name) as file:
        shape, fortran, dtype = _read_header(file)
        if fortran:  # lies column by column: there is no reading it in rows
            file.seek(0)
            x = np.lib.format.read_array(file, allow_pickle=False)
            yield from ((i, x[i : i + PART]) for i in range(0, shape[0], PART))
            return
        one = math.prod(shape[1:]) * dtype.itemsize
        for start in range(0, shape[0], PART):
            n = min(PART, shape[0] - start)
            try:
                data = file.read(n * one)
            except (OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
                raise DataError(f"{path} is damaged near row {start} ({error}); save it again") from error
            if len(data) < n * one:
                raise DataError(f"{path} ends after row {start + len(data) // one} of {shape[0]}; save it again")
            yield start, np.frombuffer(data, dtype).reshape(n, *shape[1:])
