"""Gaussian clouds in the plane: the small worlds on which a method shows whether it keeps its modes and its detail."""

from math import pi, sqrt

import torch
from torch import Tensor

from sparring.chance import generator
from sparring.metrics.modes import modes as counted
from sparring.spaces import Spec, Vector


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
        """Samples x (N, 2) as `sparring.metrics.modes` counts them; 2,500 are customary, 10,000 steadier."""
        return counted(x, self.centers, self.std)


def ring(size: None = None) -> Points:
    """8 Gaussians of std .01 on the unit circle."""
    angle = torch.arange(8) * (pi / 4)
    centers = torch.stack([angle.cos(), angle.sin()], 1)
    return Points("ring", "8 Gaussians on the unit circle, std .01", centers, 0.01)


def grid(size: None = None) -> Points:
    """25 Gaussians of std .05 at {-4, -2, 0, 2, 4}²."""
    line = torch.arange(-4.0, 5.0, 2.0)
    return Points("grid", "25 Gaussians on a 5 × 5 grid, std .05", torch.cartesian_prod(line, line), 0.05)
