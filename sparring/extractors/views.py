"""Another look at the same picture: what a network must see through when it learns what a picture is of."""

from math import pi

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from ..augment import cutout, jitter

SHIFT, TURN, ZOOM = 0.15, pi / 12, 0.3  # of the side; radians; powers of two.  No mirror: b is no d


def view(x: Tensor) -> Tensor:
    """(B, C, H, W) in [-1, 1] moved, turned a little, nearer or farther, in other light; half of them with a hole."""
    grid = affine_grid(moves(len(x)).to(x), list(x.shape), align_corners=False)
    x = grid_sample(x, grid, padding_mode="border", align_corners=False)
    return cutout(jitter(x, 1)(x), 0.5)(x)


def moves(n: int) -> Tensor:
    """Where each place of the square [-1, 1]² is taken from: (n, 2, 3)."""

    def upto(most: float, *size: int) -> Tensor:
        return (torch.rand(n, *size) * 2 - 1) * most

    angle, zoom, stretch = upto(TURN), upto(ZOOM).exp2(), upto(ZOOM / 2).exp2()
    x, y = torch.stack([angle.cos(), -angle.sin()], 1), torch.stack([angle.sin(), angle.cos()], 1)
    linear = torch.stack([(zoom * stretch)[:, None] * x, (zoom / stretch)[:, None] * y], 1)
    return torch.cat([linear, upto(2 * SHIFT, 2)[:, :, None]], 2)
