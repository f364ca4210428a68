"""Gaussian clouds in the plane: the small worlds on which a method shows whether it keeps its modes and its detail."""

from math import exp, log, pi, sqrt

import torch
from torch import Tensor

from sparring.chance import generator
from sparring.spaces import Spec, Vector

RADIUS = 3  # a sample is of high quality within so many std of a mode
PERFECT = 1 - exp(-(RADIUS**2) / 2)  # the quality of real draws, .989: the mass of a planar Gaussian inside
TRUNCATED = sqrt(1 - RADIUS**2 / 2 * (1 - PERFECT) / PERFECT)  # their std along an axis, over the whole one
ENOUGH = 30  # samples before the axes of a mode are measured


class Points:
    """Equally likely round Gaussians at `centers` (K, 2), all of one `std`; stored as floats (N, 2).

    Judged as in Srivastava et al. 2017 (VEEGAN) and Lin et al. 2018 (PacGAN), and for the width of each mode besides,
    which those measures do not see.
    """

    examples = (100_000, 10_000)

    def __init__(self, name: str, about: str, centers: Tensor, std: float):
        self.name, self.about, self.centers, self.std = name, about, centers, std
        scale = sqrt(centers.var(0, correction=0).mean().item() + std**2)
        self.spec = Spec(Vector(2, center=centers.mean().item(), scale=scale))

    def draw(self, n: int, seed: int, heldout: bool = False) -> tuple[Tensor, None]:
        """n points (n, 2), independent; those of training and held-out come from unrelated streams."""
        g = generator(self.name, "heldout" if heldout else "train", seed)
        mode = torch.randint(len(self.centers), (n,), generator=g)
        return self.centers[mode] + self.std * torch.randn(n, 2, generator=g), None

    def judge(self, x: Tensor, c: Tensor | None = None) -> dict[str, float]:
        """What samples x (N, 2) are; 2,500 are customary, 10,000 steadier.  A point that is not finite is none.

        modes       how many have a sample of high quality, that is within 3 std
        quality     fraction of high quality; .989 of real ones
        kl          KL(modes of the samples of high quality ‖ uniform), nats; log K if there are none
        spread      std of the samples of high quality about their mode's mean, over that of real ones; 1 is best
        spread_min  the same for the narrowest principal axis of any mode with 30 such samples; 0 if none has so many
        spread_max  and for the widest
        """
        x, K = x.detach().cpu().double(), len(self.centers)
        distance, mode = torch.cdist(x, self.centers.double(), compute_mode="donot_use_mm_for_euclid_dist").min(1)
        good = distance < RADIUS * self.std
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
        width = lambda variance: (variance.sqrt() / (self.std * TRUNCATED)).item()
        return {
            "modes": float((count > 0).sum()),
            "quality": good.double().mean().item() if len(good) else 0.0,
            "kl": torch.special.xlogy(p, p * K).sum().item() if len(x) else log(K),
            "spread": width(pooled),
            "spread_min": width(axes.min()) if enough.any() else 0.0,
            "spread_max": width(axes.max()) if enough.any() else 0.0,
        }


def ring(size: None = None) -> Points:
    """8 Gaussians of std .01 on the unit circle."""
    angle = torch.arange(8) * (pi / 4)
    centers = torch.stack([angle.cos(), angle.sin()], 1)
    return Points("ring", "8 Gaussians on the unit circle, std .01", centers, 0.01)


def grid(size: None = None) -> Points:
    """25 Gaussians of std .05 at {-4, -2, 0, 2, 4}²."""
    line = torch.arange(-4.0, 5.0, 2.0)
    return Points("grid", "25 Gaussians on a 5 × 5 grid, std .05", torch.cartesian_prod(line, line), 0.05)
