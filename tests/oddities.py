"""A folder of some 500 pictures such as people have them: every format, shape and fault that a data set may hold."""

import io
import json
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

CLASSES = ("circles", "stripes")
LEFT_OUT = {"blank": 4, "broken": 6, "duplicate": 4, "no picture": 3}


class Expected(NamedTuple):
    """What `sparring.data.open` should find in the folder: files, usable pictures, and what is left out by kind."""

    found: int
    usable: int
    left_out: dict[str, int]


def drawing(rng: np.random.Generator, kind: str, width: int, height: int) -> np.ndarray:
    """A coloured disc or coloured stripes with a little noise, (height, width, 3) uint8; no two alike."""
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    fore, back = rng.integers(0, 256, (2, 3))
    if kind == "circles":
        inside = (x - rng.uniform(-0.3, 0.3)) ** 2 + (y - rng.uniform(-0.3, 0.3)) ** 2 < rng.uniform(0.2, 0.6)
    else:
        inside = np.sin(rng.uniform(5, 15) * (x + rng.uniform(-1, 1) * y)) > 0
    picture = np.where(inside[..., None], fore, back) + rng.integers(-9, 10, (height, width, 3))
    return picture.clip(0, 255).astype(np.uint8)


def _save(path: Path, x: np.ndarray, number: int, rng: np.random.Generator) -> None:
    """One of 16 ways of keeping a picture, in turn."""
    image, gray = Image.fromarray(x), Image.fromarray(x[..., 0])
    alpha = Image.fromarray(rng.integers(0, 256, x.shape[:2]).astype(np.uint8))
    exif = Image.Exif()
    exif[0x0112] = number // 16 % 8 + 1
    match number % 16:
        case 0:
            image.save(path.with_suffix(".jpg"), quality=90)
        case 1:
            image.save(path.with_suffix(".png"))
        case 2:
            image.save(path.with_suffix(".webp"))
        case 3:
            image.save(path.with_suffix(".gif"), save_all=True, append_images=[image.rotate(180)])
        case 4:
            gray.save(path.with_suffix(".png"))
        case 5:
            image.quantize(16).save(path.with_suffix(".png"))
        case 6:
            image.putalpha(alpha)
            image.save(path.with_suffix(".png"))
        case 7:
            image.convert("CMYK").save(path.with_suffix(".JPG"))
        case 8:
            Image.fromarray(x[..., 0].astype(np.uint16) * 257).save(path.with_suffix(".png"))
        case 9:
            image.save(path.with_suffix(".jpeg"), exif=exif)
        case 10:
            gray.convert("1").save(path.with_suffix(".png"))
        case 11:
            gray.putalpha(alpha)
            gray.save(path.with_suffix(".png"))
        case 12:
            image.quantize(16).save(path.with_suffix(".png"), transparency=3)
        case 13:
            image.save(path.with_suffix(".bmp"))
        case 14:
            image.convert("CMYK").save(path.with_suffix(".tif"))
        case 15:
            image.save(path.with_name(f"PNG, really {number}.jpg"), format="PNG")


def build(folder: Path, n: int = 480, seed: int = 0) -> Expected:
    """n good pictures in two class folders, 17 that must be left out, and hidden files that must not be seen."""
    rng = np.random.default_rng(seed)
    for name in CLASSES:
        (folder / name).mkdir(parents=True)
    for i in range(n):
        kind = CLASSES[i // 16 % 2]
        width, height = (int(v) for v in rng.integers(40, 100, 2))
        if i % 50 == 49:
            width, height = ((300, 7), (5, 200), (1, 60))[i // 50 % 3]
        _save(folder / kind / f"{kind} № {i}.x", drawing(rng, kind, width, height), i, rng)

    circles, stripes = (folder / name for name in CLASSES)
    packed = {}
    for kind in ("JPEG", "PNG", "GIF", "WEBP"):
        buffer = io.BytesIO()
        Image.fromarray(drawing(rng, "circles", 64, 64)).save(buffer, kind)
        packed[kind] = buffer.getvalue()
    (circles / "half.jpg").write_bytes(packed["JPEG"][: len(packed["JPEG"]) // 2])
    (circles / "half.png").write_bytes(packed["PNG"][: len(packed["PNG"]) // 2])
    (stripes / "half.webp").write_bytes(packed["WEBP"][: len(packed["WEBP"]) // 2])
    (stripes / "header.gif").write_bytes(packed["GIF"][:10])
    (stripes / "empty.jpg").write_bytes(b"")
    (stripes / "page.png").write_text("<html>404 Not Found</html>")

    Image.new("RGB", (64, 64), (10, 20, 30)).save(circles / "one colour.png")
    Image.new("L", (64, 64), 255).save(circles / "white.jpg")
    Image.new("RGBA", (64, 64), (200, 0, 0, 0)).save(stripes / "nothing.png")
    Image.new("RGB", (1, 1), (9, 9, 9)).save(stripes / "point.gif")

    x = drawing(rng, "stripes", 70, 60)
    for copy in ("a.png", "a copy.png", "a.bmp"):
        Image.fromarray(x).save(stripes / copy)
    Image.fromarray(x).save(circles / "a in the wrong class.png")
    Image.fromarray(np.rot90(x)).save(stripes / "turned back.tif", exif=_turned())

    (folder / "README.txt").write_text("my pictures")
    (circles / "list.csv").write_text("name,class\n")
    (stripes / "film.mp4").write_bytes(bytes(range(256)))
    (folder / ".hidden.png").write_bytes(packed["PNG"])
    (folder / ".git").mkdir()
    (folder / ".git" / "x.png").write_bytes(packed["PNG"])
    (folder / "__MACOSX").mkdir()
    (folder / "__MACOSX" / "x.png").write_bytes(b"resource fork")
    (folder / "Thumbs.db").write_bytes(b"\xd0\xcf")
    return Expected(n + 1 + sum(LEFT_OUT.values()), n + 1, dict(LEFT_OUT))


def _turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be seen, turn by 90 degrees clockwise
    return exif


def captioned(folder: Path, n: int = 40) -> Path:
    """A flat folder with a metadata.jsonl: a class each, and no, one or two captions."""
    rng = np.random.default_rng(1)
    folder.mkdir(parents=True)
    lines = []
    for i in range(n):
        kind = CLASSES[i % 2]
        Image.fromarray(drawing(rng, kind, 40, 40)).save(folder / f"{i}.png")
        text = [f"picture {i}", f"{kind} in colour, «{i}»"][: i % 3]
        lines.append(json.dumps({"file_name": f"{i}.png", "label": kind, "text": text[0] if len(text) == 1 else text}))
    (folder / "metadata.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def zipped(folder: Path, path: Path) -> Path:
    """The folder in a zip, under one top folder, as people pack it."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, f"{folder.name}/{file.relative_to(folder).as_posix()}")
    return path
