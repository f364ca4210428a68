"""One picture, however odd, as the bytes of a square.

The rules, in order: the first frame; upright by its EXIF; 16 bits divided by 257; transparent ones laid on white;
then the middle square (crop), the whole on white (pad) or the whole distorted (stretch), scaled with Lanczos.
"""

from math import ceil
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from .errors import Unusable

FITS = {
    "crop": "the middle square of each",
    "pad": "the whole of each, padded with white to a square",
    "stretch": "the whole of each, stretched to a square",
}
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF", "JPEG2000")
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".avif", ".jp2")

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class Picture(NamedTuple):
    """x (size, size, 3) uint8, and what was done to it beside scaling."""

    x: np.ndarray
    done: tuple[str, ...] = ()


def formats() -> list[str]:
    """Those of FORMATS that this Pillow reads."""
    Image.init()
    return [f for f in FORMATS if f in Image.OPEN]


def sides(file: BinaryIO) -> tuple[int, int]:
    """Width and height by the file's header (before any turn); (0, 0) if it is no picture."""
    try:
        with Image.open(file, formats=formats()) as image:
            return image.size
    except Exception:
        return 0, 0


def read(file: BinaryIO, name: str, size: int, fit: str, whole: bool = False) -> Picture:
    """The picture in a file; raises Unusable if it is broken or none, and, but of a `whole`, if it is blank."""
    try:
        with Image.open(file, formats=formats()) as image:
            done = ("first frame of several",) if getattr(image, "n_frames", 1) > 1 else ()
            _shrink_early(image, size, fit)
            image.load()
            turn = _TURNS.get(_orientation(image))
            plain, more = _rgb(image)
            if turn is not None:
                plain, more = plain.transpose(turn), (*more, "turned upright by EXIF")
            return Picture(square(plain, size, fit, whole), (*done, *more))
    except Unusable:
        raise
    except UnidentifiedImageError:
        if name.lower().endswith(SUFFIXES):
            raise Unusable("broken", "not what its name says, or damaged") from None
        raise Unusable("no picture", "not a format that is read") from None
    except Exception as error:  # decoders raise all kinds of errors on damaged files
        raise Unusable("broken", f"{error}" or type(error).__name__) from error


def square(image: Image.Image, size: int, fit: str, whole: bool = False) -> np.ndarray:
    """An RGB image as (size, size, 3) uint8; raises Unusable, but of a `whole`, if all that is seen has one colour."""
    width, height = image.size
    if fit == "crop":
        side = min(width, height)
        left, top = (width - side) // 2, (height - side) // 2
        inner = _resize(image, (size, size), (left, top, left + side, top + side))
    elif fit == "pad":
        long = max(width, height)
        inner = _resize(image, (max(1, round(width * size / long)), max(1, round(height * size / long))))
    else:
        inner = _resize(image, (size, size))

    x = np.asarray(inner)
    if not whole:
        refuse_blank(x)
    if x.shape[:2] == (size, size):
        return x
    canvas = np.full((size, size, 3), 255, np.uint8)
    top, left = (size - x.shape[0]) // 2, (size - x.shape[1]) // 2
    canvas[top : top + x.shape[0], left : left + x.shape[1]] = x
    return canvas


def refuse_blank(x: np.ndarray) -> None:
    """Raises Unusable if (H, W, 3) has one colour."""
    middle = x[len(x) // 2]  # rarely of one colour, and soon seen
    if (middle == middle[0]).all() and (x == middle[0]).all():
        raise Unusable("blank", f"a single colour {tuple(map(int, x[0, 0]))}")


def on_white(rgba: Image.Image) -> Image.Image:
    """What is seen of a transparent picture on white paper."""
    return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")


def _resize(image: Image.Image, size: tuple[int, int], box: tuple[int, int, int, int] | None = None) -> Image.Image:
    return image.resize(size, Image.Resampling.LANCZOS, box=box, reducing_gap=3.0)


def _shrink_early(image: Image.Image, size: int, fit: str) -> None:
    """JPEG can decode at 1/2, 1/4 or 1/8: three times what is needed is enough."""
    k = 3 * size / (max if fit == "pad" else min)(image.size)
    if k < 1:
        image.draft(image.mode, (ceil(image.width * k), ceil(image.height * k)))


def _orientation(image: Image.Image) -> int:
    try:
        return image.getexif().get(0x0112, 1)
    except Exception:  # a damaged EXIF block does no harm to the picture
        return 1


def _rgb(image: Image.Image) -> tuple[Image.Image, tuple[str, ...]]:
    """8 bits of red, green and blue, and what had to be done for it."""
    mode = image.mode
    if mode == "F" or mode.startswith("I"):
        v = np.asarray(image)
        if mode == "F" or v.min() < 0 or v.max() > 65535:
            raise Unusable("broken", "pixels of more than 16 bits")
        v = ((v.astype(np.int64) + 128) // 257).astype(np.uint8)  # 65535 = 257 · 255
        return Image.fromarray(v).convert("RGB"), ("16 bits scaled to 8",)
    if mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        return on_white(rgba), () if rgba.getchannel(3).getextrema() == (255, 255) else ("laid on white",)
    return image.convert("RGB"), () if mode in ("RGB", "L", "1", "P", "YCbCr") else (f"{mode} made RGB",)
