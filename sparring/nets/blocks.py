"""What image networks are built of.  Every block has a second derivative, keeps channels_last and runs in bfloat16."""

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad

from ..spaces import Image, Spec

LEAK = 0.2  # the slope of every leaky rectifier


def image(spec: Spec) -> Image:
    """The image that these networks are to make.

    Raises TypeError if spec.x is another space.
    """
    if not isinstance(spec.x, Image):
        raise TypeError(f"image networks make Image(channels, size), not {spec.x!r}")
    return spec.x


def pyramid(size: int) -> list[int]:
    """The sides of an image at each stage, from the coarsest to `size`: 32 -> [4, 8, 16, 32], 28 -> [7, 14, 28].

    Raises ValueError, with the nearest sizes that fit, unless size = base 2^k with a base of 4, 5, 6 or 7.
    """
    base = size
    while base >= 8 and base % 2 == 0:
        base //= 2
    if not 4 <= base <= 7:
        fits = sorted((b << k for b in (4, 5, 6, 7) for k in range(12)), key=lambda s: (abs(s - size), s))
        low, high = max((s for s in fits if s < size), default=4), min((s for s in fits if s > size), default=4)
        raise ValueError(f"size {size} is none of 4, 5, 6 or 7 times a power of two; the nearest are {low} and {high}")
    return [base << k for k in range((size // base).bit_length())]


class PixelNorm(nn.Module):
    """Karras et al. 2018 (progressive growing): the features of each pixel divided by their root mean square.

    (B, C, H, W) -> the same.  Keeps no statistics, and no sample sees another.
    """

    def forward(self, x: Tensor) -> Tensor:
        return x * (x.square().mean(1, keepdim=True) + 1e-8).rsqrt()


class MinibatchStd(nn.Module):
    """Karras et al. 2018 (progressive growing): how far the samples of a group lie apart, as one feature of each.

    (B, C, H, W) -> (B, 1): the standard deviation over the group at each feature and place, averaged over these.  A
    group is `group` neighbours in the batch, so that pieces of a batch hold the groups of the whole; the last may be
    smaller, and the spread of one alone is 1e-4.
    """

    def __init__(self, group: int = 4):
        super().__init__()
        self.group = group

    def forward(self, x: Tensor) -> Tensor:
        groups = x.float().split(self.group) if len(x) % self.group else [x.float()]
        return torch.cat([self.spread(g) for g in groups]).to(x.dtype)

    def spread(self, x: Tensor) -> Tensor:
        """(B, C, H, W), B a multiple of the group or less than it, to (B, 1)."""
        n = min(self.group, len(x))
        g = x.unflatten(0, (-1, n))
        variance = (g - g.mean(1, keepdim=True)).square().mean(1)  # torch.var is several times slower on a CPU
        return (variance + 1e-8).sqrt().mean((1, 2, 3)).repeat_interleave(n)[:, None]


class Down(nn.Module):
    """Half the size with the kernel [1, 3, 3, 1] / 8 on each side, which is bilinear; beyond the border lies zero.

    (B, C, H, W) -> (B, C, H / 2, W / 2), H and W even.
    """

    def forward(self, x: Tensor) -> Tensor:
        x = pad(x, (1, 1, 1, 1))  # sums of slices: 3 times as fast as a depthwise convolution and its second derivative
        x = x[:, :, :-2:2] + x[:, :, 3::2] + 3 * (x[:, :, 1:-1:2] + x[:, :, 2::2])
        return (x[..., :-2:2] + x[..., 3::2] + 3 * (x[..., 1:-1:2] + x[..., 2::2])) / 64


class Up(nn.Module):
    """Twice the size with the kernel [1, 3, 3, 1] / 4 on each side, which is bilinear; beyond the border it repeats."""

    def forward(self, x: Tensor) -> Tensor:
        return interpolate(x, scale_factor=2, mode="bilinear")


def packed(x: Tensor, pack: int) -> Tensor:
    """(B, ...) -> (ceil(B / pack), pack, ...): neighbours side by side; the last pack is filled up from the first."""
    if short := -len(x) % pack:
        x = x[torch.arange(len(x) + short, device=x.device) % len(x)]
    return x.unflatten(0, (-1, pack))
