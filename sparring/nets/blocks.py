"""What image networks are built of.  Every block has a second derivative, keeps channels_last and runs in bfloat16."""

from torch import Tensor, nn
from torch.nn.functional import interpolate, pad
from torch.nn.utils.parametrizations import spectral_norm

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


def spectral(net: nn.Module) -> nn.Module:
    """net with the weight of every linear, convolution and embedding divided by its largest singular value.

    Miyato et al. 2018.  One power iteration each time it is asked in training.  A convolution's weight counts as the
    matrix (channels out, all the rest).  Changes net, and returns it; ValueError if a weight begins at zero.
    """
    kinds = nn.Linear, nn.Embedding, nn.Conv1d, nn.Conv2d, nn.ConvTranspose1d, nn.ConvTranspose2d
    layers = {name: m for name, m in net.named_modules() if isinstance(m, kinds)}
    if zero := [name for name, m in layers.items() if not m.weight.any()]:
        raise ValueError(f"spectral normalisation divides weights by their size, and {zero[0]} begins at zero")
    for layer in layers.values():
        spectral_norm(layer)
    return net
