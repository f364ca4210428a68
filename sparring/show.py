"""Samples -> pictures: sheets of images, clouds of points, lines of words, clips that move."""

from collections.abc import Callable, Sequence
from functools import singledispatch
from math import ceil, floor, log10, sqrt
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image as Picture
from PIL import ImageDraw, ImageFont
from torch import Tensor

from .folder import RunFolder
from .sequences import END
from .spaces import Frames, Image, Tokens, Vector

Words = Sequence[str] | None
WIDTH = 850  # pixels; a sheet is enlarged by the whole factor that comes nearest to it
PAPER, FAINT, MUTED, GRAY, BLUE = "#ffffff", "#eceae6", "#8b877f", (150, 146, 138), (35, 87, 184)


@singledispatch
def show(
    space: Any, x: Tensor, path: str | Path, real: Tensor | None = None, words: Words = None, columns: int | None = None
) -> Path:
    """Writes a picture of samples x (stored form) and returns its path, whose suffix is that of the space.

    Images become a sheet (.png), points a cloud (.png) over `real` in gray, frames a sheet of moving clips (.webp),
    tokens one sample a line (.txt), spelled in `words` where given.  `columns` are of a sheet of images.  Written aside
    and renamed.
    """
    raise TypeError(f"samples of {space!r} cannot be shown; known are Vector, Image, Frames and Tokens")


@show.register
def _(
    space: Image,
    x: Tensor,
    path: str | Path,
    real: Tensor | None = None,
    words: Words = None,
    columns: int | None = None,
) -> Path:
    return _write(path, ".png", sheet(x, columns).save)


@show.register
def _(
    space: Vector,
    x: Tensor,
    path: str | Path,
    real: Tensor | None = None,
    words: Words = None,
    columns: int | None = None,
) -> Path:
    return _write(path, ".png", scatter(*plane(x, real)).save)


@show.register
def _(
    space: Frames,
    x: Tensor,
    path: str | Path,
    real: Tensor | None = None,
    words: Words = None,
    columns: int | None = None,
) -> Path:
    return _write(path, ".webp", lambda aside: _save_moving([sheet(frame) for frame in x.unbind(1)], aside, 250, 250))


@show.register
def _(
    space: Tokens,
    x: Tensor,
    path: str | Path,
    real: Tensor | None = None,
    words: Words = None,
    columns: int | None = None,
) -> Path:
    return _write(path, ".txt", lambda aside: aside.write_text(lines(x, words) + "\n", encoding="utf-8"))


# -- images -----------------------------------------------------------------------------------------------------------


def sheet(x: Tensor, columns: int | None = None, scale: int | None = None, gap: int = 4) -> Picture.Image:
    """Images x, bytes (n, C, H, W), in a grid, each enlarged by the whole factor `scale`, `gap` pixels apart.

    columns: by default the grid near a square that leaves the fewest places empty.
    scale: by default the factor whose sheet is nearest to 850 pixels wide.
    """
    n, _, h, w = x.shape
    columns = columns or tidy(n)
    scale = scale or max(1, round(WIDTH / (columns * w)))
    rows = ceil(n / columns)

    tiles = _rgb(x).repeat_interleave(scale, 1).repeat_interleave(scale, 2)  # (n, h, w, 3)
    H, W = h * scale + gap, w * scale + gap
    page = torch.full((rows * H + gap, columns * W + gap, 3), 255, dtype=torch.uint8)
    for i, tile in enumerate(tiles):
        top, left = i // columns * H + gap, i % columns * W + gap
        page[top : top + H - gap, left : left + W - gap] = tile
    return Picture.fromarray(page.numpy())


def strip(x: Tensor, scale: int | None = None, gap: int = 4) -> Picture.Image:
    """Clips x, bytes (n, T, C, H, W), at rest: one clip a row, time to the right."""
    return sheet(x.flatten(0, 1), columns=x.shape[1], scale=scale, gap=gap)


def futures(past: Tensor, made: Tensor, path: str | Path, real: Tensor | None = None) -> Path:
    """Writes strips (.png): each row past frames (n, T, ...), the real next one if known (n, ...), then those made.

    made: bytes (n, k, C, H, W), k frames that may follow or k frames of one future; a wider gap parts what is from what
    is made.
    """
    known = past if real is None else torch.cat([past, real[:, None]], 1)
    scale = max(1, round(WIDTH / ((known.shape[1] + made.shape[1]) * past.shape[-1])))
    left, right = strip(known, scale), strip(made, scale)
    page = Picture.new("RGB", (left.width + 8 + right.width, left.height), PAPER)
    page.paste(left, (0, 0))
    page.paste(right, (left.width + 8, 0))
    return _write(path, ".png", page.save)


def film(clips: Tensor, path: str | Path, pause: int = 120) -> Path:
    """Writes clips, bytes (n, T, C, H, W), side by side as they move: .gif by the path's suffix, else .webp."""
    frames = [sheet(frame) for frame in clips.unbind(1)]
    if Path(path).suffix == ".gif":
        times = dict(duration=pause, loop=0, save_all=True, append_images=frames[1:])
        return _write(path, ".gif", lambda aside: frames[0].save(aside, format="GIF", **times))
    return _write(path, ".webp", lambda aside: _save_moving(frames, aside, pause, 8 * pause))


def tidy(n: int) -> int:
    """The columns of a grid for n things, no wider than twice its height, with the fewest places empty."""
    return min(range(ceil(sqrt(n)), max(ceil(sqrt(n)), floor(sqrt(2 * n))) + 1), key=lambda c: (-n % c, c), default=1)


def _rgb(x: Tensor) -> Tensor:
    """(n, C, h, w) -> (n, h, w, 3): gray is repeated, a fourth channel is opacity over white."""
    x = x.detach().cpu()
    if x.dtype != torch.uint8:
        raise TypeError(f"images are bytes in stored form, not {x.dtype}; decode them with the space's `decode`")
    if x.shape[1] == 1:
        x = x.expand(-1, 3, -1, -1)
    if x.shape[1] == 2:
        x = torch.cat([x, torch.zeros_like(x[:, :1])], 1)
    if x.shape[1] == 4:
        opacity = x[:, 3:].float() / 255
        x = (x[:, :3] * opacity + 255 * (1 - opacity)).round().byte()
    return x[:, :3].permute(0, 2, 3, 1)


# -- points -----------------------------------------------------------------------------------------------------------


def plane(x: Tensor, real: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
    """Points (n, dim) in two dimensions: as they are, along the two widest axes of `real` (or of x), or one dimension
    as its empirical distribution function, (value, share below)."""
    x, real = x.float().cpu(), None if real is None else real.float().cpu()
    if x.shape[1] == 2:
        return x, real
    if x.shape[1] == 1:
        curve = lambda v: torch.stack([v[:, 0].sort().values, torch.linspace(0, 1, len(v))], 1)
        return curve(x), None if real is None else curve(real)
    like = x.nan_to_num() if real is None else real
    if len(like) < 2:  # has no axes
        return x[:, :2], None if real is None else real[:, :2]
    axes = torch.linalg.svd(like - like.mean(0), full_matrices=False).Vh[:2].T  # (dim, 2)
    return (x - like.mean(0)) @ axes, None if real is None else (real - like.mean(0)) @ axes


def scatter(x: Tensor, real: Tensor | None = None, size: int = WIDTH) -> Picture.Image:
    """Points x (n, 2) in blue over `real` (m, 2) in gray, on one scale for both axes; denser is darker.

    The frame fits `real` where given, else x; points outside it are counted in the corner.
    """
    like = x if real is None or not len(real) else real
    like = like.detach().cpu().float()[like.isfinite().all(1).cpu()]
    low, high = (like.amin(0), like.amax(0)) if len(like) else (torch.zeros(2), torch.zeros(2))
    half = max(float((high - low).max()) / 2 * 1.15, 1e-6)
    left, bottom = ((low + high) / 2 - half).tolist()

    page = Picture.new("RGB", (size, size), PAPER)
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(size // 54)
    for tick in _ticks(left, left + 2 * half):
        at = (tick - left) / (2 * half) * size
        pen.line([(at, 0), (at, size)], fill=FAINT)
        pen.text((at + 5, size - 8), f"{tick:g}", MUTED, font, anchor="ls")
    for tick in _ticks(bottom, bottom + 2 * half):
        at = size - (tick - bottom) / (2 * half) * size
        pen.line([(0, at), (size, at)], fill=FAINT)
        pen.text((8, at - 5), f"{tick:g}", MUTED, font, anchor="ls")

    ink, outside = np.asarray(page, dtype=np.float32), 0
    for points, color, wide in ((real, GRAY, 1.4), (x, BLUE, 1.0)):
        if points is not None:
            opacity, outside = _dots(points.detach().cpu().numpy(), left, bottom, half, size, wide)
            ink = ink + opacity[..., None] * (np.array(color, dtype=np.float32) - ink)
    page = Picture.fromarray(ink.round().astype(np.uint8))
    if outside:
        ImageDraw.Draw(page).text((size - 10, 10), f"{outside:,} of {len(x):,} outside", MUTED, font, anchor="rt")
    return page


def _dots(p: np.ndarray, left: float, bottom: float, half: float, size: int, wide: float) -> tuple[np.ndarray, int]:
    """The opacity (size, size) of soft round dots at p (n, 2), and how many of them are outside."""
    from scipy.ndimage import convolve

    p = p[np.isfinite(p).all(1)] if len(p) else p.reshape(0, 2)
    at = np.floor((p - [left, bottom]) / (2 * half) * size)
    inside = ((at >= 0) & (at < size)).all(1)
    column, row = at[inside].astype(int).T
    count = np.zeros((size, size), dtype=np.float32)
    np.add.at(count, (size - 1 - row, column), 1)

    radius = size / 340 * (1 if len(p) > 3000 else 1.5) * wide
    reach = np.arange(-ceil(radius), ceil(radius) + 1)
    disc = np.clip(radius + 0.5 - np.hypot(*np.meshgrid(reach, reach)), 0, 1).astype(np.float32)
    return 1 - (1 - 0.55) ** convolve(count, disc, mode="constant"), int((~inside).sum())


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers inside (low, high), four to nine of them."""
    step = 10.0 ** floor(log10((high - low) / 4))
    step *= max(k for k in (1, 2, 2.5, 5, 10) if k * step <= (high - low) / 4 * (1 + 1e-9))
    return [round(k * step, 12) for k in range(ceil(low / step), floor(high / step) + 1)]


# -- words and time ---------------------------------------------------------------------------------------------------


def lines(x: Tensor, words: Words = None) -> str:
    """Texts x, integers (n, L), a line each, up to their end: `words`, the tokens' spellings, one after the other.

    Without spellings: the numbers, with blanks between.
    """
    told = [row[: row.index(END)] if END in row else row for row in x.tolist()]
    if words is None:
        return "\n".join(" ".join(map(str, row)) for row in told)
    spell: Callable[[int], str] = lambda i: words[i] if 0 <= i < len(words) else "\N{REPLACEMENT CHARACTER}"
    return "\n".join("".join(map(spell, row)).replace("\n", "⏎").strip() for row in told)


def animate(paths: Sequence[str | Path], out: str | Path, pause: int = 180, rest: int = 1500) -> Path:
    """Sheets over time as one animated WebP: each shown for `pause` milliseconds, the last for `rest`.

    Sheets of another size than the last are fitted to it.
    """
    sheets = [Picture.open(path).convert("RGB") for path in paths]
    if not sheets:
        raise ValueError("there are no sheets to animate; a run writes them to its folder samples/")
    sheets = [s if s.size == sheets[-1].size else s.resize(sheets[-1].size) for s in sheets]
    return _write(out, ".webp", lambda aside: _save_moving(sheets, aside, pause, rest))


def _save_moving(frames: list[Picture.Image], path: Path, pause: int, rest: int) -> None:
    times = [pause] * (len(frames) - 1) + [rest]
    frames[0].save(
        path, save_all=True, append_images=frames[1:], duration=times, loop=0, quality=85, minimize_size=True
    )


def _write(path: str | Path, suffix: str, write: Callable[[Path], object]) -> Path:
    place = Path(path).with_suffix(suffix)
    return RunFolder(place.parent).write(place.name, write)
