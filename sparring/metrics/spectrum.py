"""Low-level statistics of pictures: how much of their power lies at which scale.  No network is asked."""

from math import log, sqrt
from typing import Any

import torch
from torch import Tensor

from .measure import Measure, one_kind, tensor

DECIBEL = 10 / log(10)


def profile(x: Tensor) -> Tensor:
    """Log power at each radius of frequency of pictures (n, ..., H, W), in decibels: (n, radii), from 1 cycle a
    picture to the greatest that both sides hold.  Channels and frames are averaged; the mean brightness is left out."""
    x = x.flatten(1, -3) if x.ndim > 3 else x[:, None]
    height, width = x.shape[-2:]
    most = min(height, width) // 2
    radius = torch.hypot(torch.fft.fftfreq(height)[:, None] * height, torch.fft.fftfreq(width) * width).round().long()
    radius = radius.clamp_max(most + 1).flatten().to(x.device)  # beyond: the corners, left out

    rows = []
    for part in x.split(max(1, min(256, 2**22 // x[0].numel()))):
        part = part.float()
        power = torch.fft.fft2(part - part.mean((-2, -1), keepdim=True)).abs().square().mean(1).flatten(1)
        ring = power.new_zeros(len(part), most + 2).index_add_(1, radius, power) / radius.bincount(minlength=most + 2)
        rows.append(ring[:, 1 : most + 1].double())
    power = torch.cat(rows)
    return DECIBEL * (power + 1e-9 * (1 + power.mean())).log()


def spectrum(real: Any, fake: Any) -> Measure:
    """How far apart the mean log power of two sets of pictures is over all scales: root mean square, in decibels.

    (n, ..., H, W), bytes or floats, both of one form.  Blur lacks power at small scales, noise and the patterns of
    upsampling have too much (Durall et al. 2020).  `se` by the delta method.  Of two sets from one source it is about
    what `se` would be at the worst scale; read it beside real against real.
    """
    one_kind(real, fake)
    real, fake = (tensor(x) for x in (real, fake))
    for x, name in ((real, "real"), (fake, "fake")):
        if x.ndim < 3 or min(x.shape[-2:]) < 4:
            raise ValueError(f"{name} has shape {tuple(x.shape)}; pictures are (n, ..., H, W), 4 or more to a side")
        if len(x) < 2:
            raise ValueError(f"{name} has {len(x)} samples and this measure needs 2 or more; draw more")
        if x.is_floating_point() and not x.isfinite().all():
            bad = (~x.isfinite().flatten(1).all(1)).nonzero()
            raise ValueError(f"{name} has NaN or infinite pixels in {len(bad)} samples, first number {int(bad[0])}")
    if real.shape[1:] != fake.shape[1:]:
        raise ValueError(f"real pictures are {tuple(real.shape[1:])} and fake {tuple(fake.shape[1:])}; use one resize")

    a, b = profile(real), profile(fake)
    apart = b.mean(0) - a.mean(0)
    value = sqrt(float(apart.square().mean()))

    slope = apart / (len(apart) * max(value, 1e-12))
    se = sqrt(sum(float((p @ slope).var()) / len(p) for p in (a, b)))
    return Measure(value, se, "lower", len(real), len(fake), {"measure": "spectrum"})
