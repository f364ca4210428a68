"""Measures of a foreseen frame against the one that came: how near, how alike, and how sharp where something moves.

Where the future is open, nearness rewards the mean of all futures: a blur is nearer to what comes than a sharp guess
that may be wrong.  So read `psnr` and `ssim` beside `sharpness`, which is 1 for a frame as sharp as the one that came.
"""

from collections.abc import Callable
from contextlib import suppress
from math import sqrt
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import conv2d, max_pool2d

from .measure import Measure, one_kind, tensor

TOGETHER = 2**22  # numbers of a part of the frames, of each kind


def of_each(
    f: Callable[..., tuple[Tensor, ...]], *frames: Any, names: tuple[str, ...], peak: float | None
) -> tuple[list[Tensor], float]:
    """What f finds in each of the frames (n, ..., H, W), all of one shape, and the brightest they can be.

    f: frames (b, channels, H, W) as floats, by parts of the whole, and the peak -> some (b,).
    """
    one_kind(frames[0], frames[-1])
    kept = [tensor(x) for x in frames]
    for x, name in zip(kept, names):
        if x.ndim < 3 or x.shape != kept[0].shape:
            raise ValueError(
                f"{name} has shape {tuple(x.shape)} and {names[0]} {tuple(kept[0].shape)}; give (n, ..., H, W)"
            )
        if x.is_floating_point() and not x.isfinite().all():
            raise ValueError(f"{name} has NaN or infinite pixels")
    if len(kept[0]) < 2:
        raise ValueError(f"{len(kept[0])} frames are too few for a mean with an error; give 2 or more")
    if peak is None:
        if kept[0].dtype != torch.uint8:
            raise ValueError("the range of floats is not known; say peak=, 2.0 for played pictures in [-1, 1]")
        peak = 255.0
    rows = []
    for some in zip(*(x.split(max(1, TOGETHER // x[0].numel())) for x in kept)):
        rows.append(f(*(x.float().flatten(1, -3) if x.ndim > 3 else x.float()[:, None] for x in some), peak))
    return [torch.cat(column).double() for column in zip(*rows)], peak


def averaged(v: Tensor, name: str, better: Literal["lower", "higher"] = "higher") -> Measure:
    return Measure(
        float(v.double().mean()), float(v.double().std() / sqrt(len(v))), better, len(v), len(v), {"measure": name}
    )


def psnr(truth: Any, made: Any, peak: float | None = None) -> Measure:
    """Mean over frames of 10 log10(peak² / mean squared error), decibels; 100 at most, for frames that are equal.

    peak: 255 for bytes; of floats it must be said.
    """

    def error(x: Tensor, y: Tensor, peak: float) -> tuple[Tensor]:
        return ((x - y).square().flatten(1).mean(1) / peak**2,)

    (errors,), _ = of_each(error, truth, made, names=("truth", "made"), peak=peak)
    return averaged(-10 * errors.clamp_min(1e-10).log10(), "psnr")


def ssim(truth: Any, made: Any, peak: float | None = None) -> Measure:
    """Mean structural similarity, 1 for equal frames.  Wang et al. 2004: a Gaussian window of 11 with std 1.5 (smaller
    where the frame is), constants (.01 peak)² and (.03 peak)²; over all windows that lie inside the frame."""

    def alike(x: Tensor, y: Tensor, peak: float) -> tuple[Tensor]:
        size = min(11, (min(x.shape[-2:]) - 1) // 2 * 2 + 1)
        at = torch.arange(size, dtype=torch.float32, device=x.device) - size // 2
        w = torch.exp(-(at**2) / (2 * 1.5**2))
        w = torch.outer(w, w) / w.sum() ** 2
        local = lambda v: conv2d(v.flatten(0, 1)[:, None], w[None, None]).unflatten(0, x.shape[:2])

        mx, my = local(x), local(y)
        xx, yy, xy = local(x * x) - mx**2, local(y * y) - my**2, local(x * y) - mx * my
        a, b = (0.01 * peak) ** 2, (0.03 * peak) ** 2
        s = (2 * mx * my + a) * (2 * xy + b) / ((mx**2 + my**2 + a) * (xx + yy + b))
        return (s.flatten(1).mean(1),)

    (each,), _ = of_each(alike, truth, made, names=("truth", "made"), peak=peak)
    return averaged(each, "ssim")


def moving(before: Tensor, truth: Tensor, peak: float) -> Tensor:
    """Where a frame differs from the one before by 2 % of the peak or more, and the pixels around: (n, 1, H, W)."""
    moved = ((truth - before).abs() >= 0.02 * peak).any(1, keepdim=True).float()
    return max_pool2d(moved, 3, 1, 1) > 0


def slopes(x: Tensor) -> Tensor:
    """|∇x|² at each pixel, summed over channels: (n, 1, H, W).  Squared, so that a figure that is half here and half
    there has half of it."""
    across, down = x.diff(dim=-1, append=x[..., -1:]), x.diff(dim=-2, append=x[..., -1:, :])
    return (across.square() + down.square()).sum(1, keepdim=True)


def sharpness(before: Any, truth: Any, made: Any, peak: float | None = None) -> Measure:
    """Energy of the made frames' slopes, Σ |∇|², where something moves, over that of the ones that came.

    before, truth, made: (n, ..., H, W).  1 if as sharp, less if blurred; ½ for a figure that is half in one of two
    places and half in the other.  One that is whole but in the wrong place still gets about 1.
    """

    def energies(b: Tensor, x: Tensor, y: Tensor, peak: float) -> tuple[Tensor, Tensor]:
        where = moving(b, x, peak) | moving(b, y, peak)
        return (slopes(y) * where).flatten(1).sum(1), (slopes(x) * where).flatten(1).sum(1)

    (top, bottom), _ = of_each(energies, before, truth, made, names=("before", "truth", "made"), peak=peak)
    if not float(bottom.sum()):
        raise ValueError("nothing moves between the frames before and those that came, so sharpness has no place")
    ratio = float(top.sum() / bottom.sum())
    left = (top - ratio * bottom) / bottom.mean()
    n = len(left)
    return Measure(ratio, float(left.std() / sqrt(n)), "higher", n, n, {"measure": "sharpness"})


def moving_error(before: Any, truth: Any, made: Any, peak: float | None = None) -> Measure:
    """Mean absolute error over the pixels where something moves in the frame that came, as a share of the peak."""

    def errors(b: Tensor, x: Tensor, y: Tensor, peak: float) -> tuple[Tensor, Tensor]:
        where = moving(b, x, peak)
        return ((x - y).abs().mean(1, keepdim=True) * where).flatten(1).sum(1), where.flatten(1).sum(1)

    (top, bottom), peak = of_each(errors, before, truth, made, names=("before", "truth", "made"), peak=peak)
    if not float(bottom.sum()):
        raise ValueError("nothing moves between the frames before and those that came")
    ratio = float(top.sum() / bottom.sum()) / peak
    left = (top / peak - ratio * bottom) / bottom.mean()
    n = len(left)
    return Measure(ratio, float(left.std() / sqrt(n)), "lower", n, n, {"measure": "moving_error"})


def foreseen(past: Any, truth: Any, made: Any, peak: float | None = None) -> dict[str, Measure]:
    """All of these of frames made (n, ..., H, W), after their past (n, T, ..., H, W); those that have a place."""
    before = past[:, -1]
    found = {"psnr": psnr(truth, made, peak), "ssim": ssim(truth, made, peak)}
    for measured in (sharpness, moving_error):
        with suppress(ValueError):  # nothing moves
            found[measured.__name__] = measured(before, truth, made, peak)
    return found
