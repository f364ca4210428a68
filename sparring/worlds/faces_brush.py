"""The brush that draws faces: a canvas of many pictures, shapes by their signed distance, colours to lay there."""

import torch
from torch import Tensor


class Canvas:
    """Pictures (B, 3, H, W) under paint, with the coordinates (B, H, W) u right, v down and |u| of each head.

    `sharp` (B, 1, 1) is how many pixels a head's unit has.
    """

    def __init__(self, picture: Tensor, u: Tensor, v: Tensor, m: Tensor, sharp: Tensor):
        self.picture, self.u, self.v, self.m, self.sharp = picture, u, v, m, sharp

    def of(self, faces: slice | Tensor) -> "Canvas":
        """The canvas of some of the faces: the same paint for a slice, a copy for indices."""
        return Canvas(*(t[faces] for t in (self.picture, self.u, self.v, self.m, self.sharp)))

    def within(self, top: float, bottom: float) -> "Canvas":
        """The strip of the canvas between two heights, 0 to 1."""
        strip = slice(int(top * self.u.shape[1]), -int(-bottom * self.u.shape[1] // 1))
        return Canvas(self.picture[:, :, strip], self.u[:, strip], self.v[:, strip], self.m[:, strip], self.sharp)

    def cover(self, d: Tensor) -> Tensor:
        """How much of each pixel the shape of signed distance d (B, H, W) covers."""
        return (d * self.sharp).neg_().add_(0.5).clamp_(0, 1)

    def lay(self, mask: Tensor, colour: Tensor) -> None:
        """Lay a colour (B, 3) or (B, 3, H, W) over the picture where the mask (B, H, W) is."""
        self.picture.lerp_(colour if colour.ndim == 4 else colour[:, :, None, None], mask[:, None])

    def fill(self, d: Tensor, inner: Tensor, rim: Tensor, width: float) -> None:
        """Lay a shape of one colour (B, 3) within a rim of another."""
        self.lay(self.cover(d), mix(rim, inner, self.cover(d + width)))


def ellipse(u: Tensor, v: Tensor, ru: Tensor | float, rv: Tensor | float) -> Tensor:
    """About the signed distance of (u, v) to an ellipse around the origin, of these radii."""
    r, v = (ru * rv) ** 0.5, v * ((ru / rv) ** 0.5)
    return torch.addcmul((u * (r / ru)).square_(), v, v).sqrt_().sub_(r)


def wave(t: Tensor) -> Tensor:
    """A triangle wave of period 1: 1 at whole numbers, 0 halfway."""
    return (t - t.floor()).sub_(0.5).abs_().mul_(2)


def bump(u: Tensor, v: Tensor, ru: Tensor | float, rv: Tensor | float) -> Tensor:
    """A soft spot: 1 at the origin, 0 from the ellipse outwards."""
    return (1 - (u / ru).square_() - (v / rv).square_()).clamp_(0, 1)


def mix(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """From colours a to b (B, 3) by t (B, H, W): (B, 3, H, W)."""
    return torch.lerp(a[:, :, None, None], b[:, :, None, None], t[:, None])


def palette(colours: tuple[int, ...], like: Tensor) -> Tensor:
    """Colours 0xRRGGBB as (K, 3), 0 to 255."""
    return like.new_tensor([[c >> 16, c >> 8 & 255, c & 255] for c in colours])


def hued(turn: Tensor, light: Tensor | float, depth: float) -> Tensor:
    """Colours (B, 3) of a hue in turns (B,), a lightness and a depth in [0, 1]."""
    far = ((turn[:, None] * 6 + turn.new_tensor([0.0, 4.0, 2.0])) % 6 - 3).abs()
    colour = 255 * (1 - depth * (1 - (far - 1).clamp(0, 1)))
    return colour * (light[:, None] if isinstance(light, Tensor) else light)
