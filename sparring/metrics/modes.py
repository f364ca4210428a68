"""Toy counters: where the modes of the data are known, how many does the generator hold, and how well?

After Srivastava et al. 2017 (VEEGAN) and Lin et al. 2018 (PacGAN), and for the width of each mode besides, which those
measures do not see.
"""

from math import exp, log, sqrt

import torch
from torch import Tensor

RADIUS = 3  # a sample is of high quality within so many std of a mode
PERFECT = 1 - exp(-(RADIUS**2) / 2)  # the quality of real draws, .989: the mass of a planar Gaussian inside
TRUNCATED = sqrt(1 - RADIUS**2 / 2 * (1 - PERFECT) / PERFECT)  # their std along an axis, over the whole one
ENOUGH = 30  # samples before the axes of a mode are measured


def modes(x: Tensor, centers: Tensor, std: float) -> dict[str, float]:
    """What points x (N, 2) are, where real ones are equally likely round Gaussians of one std at `centers` (K, 2).

    A point that is not finite is of no mode.

    modes       how many have a sample of high quality, that is within 3 std
    quality     fraction of high quality; .989 of real ones
    kl          KL(modes of the samples of high quality ‖ uniform), nats; log K if there are none
    spread      std of the samples of high quality about their mode's mean, over that of real ones; 1 is best
    spread_min  the same for the narrowest principal axis of any mode with 30 such samples; 0 if none has so many
    spread_max  and for the widest
    """
    x, K = x.detach().cpu().double(), len(centers)
    distance, mode = torch.cdist(x, centers.double(), compute_mode="donot_use_mm_for_euclid_dist").min(1)
    good = distance < RADIUS * std
    x, mode = x[good], mode[good]

    count = mode.bincount(minlength=K).double()
    p = count / count.sum()
    of_mode = lambda v: v.new_zeros(K, *v.shape[1:]).index_add_(0, mode, v)
    away = x - (of_mode(x) / count.clamp_min(1)[:, None])[mode]
    scatter = of_mode(away[:, :, None] * away[:, None, :])  # (K, 2, 2)

    freedom = (count - 1).clamp_min(0)
    pooled = scatter.diagonal(dim1=1, dim2=2).sum() / (2 * freedom.sum()).clamp_min(1)
    enough = count >= ENOUGH
    axes = torch.linalg.eigvalsh(scatter[enough] / freedom[enough, None, None]).clamp_min(0)
    width = lambda variance: (variance.sqrt() / (std * TRUNCATED)).item()
    return {
        "modes": float((count > 0).sum()),
        "quality": good.double().mean().item() if len(good) else 0.0,
        "kl": torch.special.xlogy(p, p * K).sum().item() if len(x) else log(K),
        "spread": width(pooled),
        "spread_min": width(axes.min()) if enough.any() else 0.0,
        "spread_max": width(axes.max()) if enough.any() else 0.0,
    }
