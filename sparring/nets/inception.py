"""The network behind FID: Inception v3 as it was trained in 2015, with the names that its published weights have.

Szegedy et al. 2016, Rethinking the Inception Architecture, differing from the stock network where those weights need
it: 1008 classes and nothing beside the main way; averages that leave out what lies beyond the border; in the last block
a maximum in place of an average.  A network with these weights and without these differences gives another FID.
"""

from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, max_pool2d, relu
from torch.nn.utils.fusion import fuse_conv_bn_eval

FEATURES, CLASSES, SIDE = 2048, 1008, 299

halve = partial(max_pool2d, kernel_size=3, stride=2)
average = partial(avg_pool2d, kernel_size=3, stride=1, padding=1, count_include_pad=False)
greatest = partial(max_pool2d, kernel_size=3, stride=1, padding=1)


class Conv(nn.Module):
    """Convolution, batch normalisation, rectifier; `fold` makes one of the first two."""

    def __init__(
        self, seen: int, made: int, kernel: int | tuple[int, int], stride: int, padding: int | tuple[int, int]
    ):
        super().__init__()
        self.conv = nn.Conv2d(seen, made, kernel, stride, padding, bias=False)
        self.bn: nn.Module = nn.BatchNorm2d(made, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        return relu(self.bn(self.conv(x)), inplace=True)

    def fold(self) -> None:
        self.conv = fuse_conv_bn_eval(self.conv.double(), self.bn.double()).float()  # type: ignore[arg-type]
        self.bn = nn.Identity()


Named = tuple[str, Conv]
Step = Named | list[Named] | Callable[[Tensor], Tensor]


def conv(name: str, seen: int, made: int, kernel: int | tuple[int, int] = 1, stride: int = 1) -> Named:
    """A convolution that keeps the size at stride 1, and stays inside the picture at stride 2."""
    high, wide = (kernel, kernel) if isinstance(kernel, int) else kernel
    return name, Conv(seen, made, kernel, stride, (high // 2, wide // 2) if stride == 1 else 0)


class Mixed(nn.Module):
    """Ways side by side, their channels joined.  A step of a way is a convolution, a pool, or convolutions abreast."""

    def __init__(self, *ways: list[Step]):
        super().__init__()
        self.ways = [[self.add(step) for step in way] for way in ways]

    def add(self, step: Step) -> list[str] | Callable[[Tensor], Tensor]:
        if callable(step):
            return step
        abreast = step if isinstance(step, list) else [step]
        for name, net in abreast:
            self.add_module(name, net)
        return [name for name, _ in abreast]

    def walk(self, way: list[list[str] | Callable[[Tensor], Tensor]], x: Tensor) -> list[Tensor]:
        made = [x]
        for step in way:
            made = [step(x)] if callable(step) else [self.get_submodule(name)(x) for name in step]
            x = made[0]
        return made

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([y for way in self.ways for y in self.walk(way, x)], 1)


def block_a(seen: int, pooled: int) -> Mixed:
    """(B, seen, H, W) -> (B, 224 + pooled, H, W)."""
    return Mixed(
        [conv("branch1x1", seen, 64)],
        [conv("branch5x5_1", seen, 48), conv("branch5x5_2", 48, 64, 5)],
        [conv("branch3x3dbl_1", seen, 64), conv("branch3x3dbl_2", 64, 96, 3), conv("branch3x3dbl_3", 96, 96, 3)],
        [average, conv("branch_pool", seen, pooled)],
    )


def block_b(seen: int) -> Mixed:
    """(B, seen, H, W) -> (B, seen + 480, H / 2, W / 2)."""
    return Mixed(
        [conv("branch3x3", seen, 384, 3, 2)],
        [conv("branch3x3dbl_1", seen, 64), conv("branch3x3dbl_2", 64, 96, 3), conv("branch3x3dbl_3", 96, 96, 3, 2)],
        [halve],
    )


def block_c(seen: int, n: int) -> Mixed:
    """(B, seen, H, W) -> (B, 768, H, W): a square of 7 as a row after a column, with n channels between."""
    row, column = (1, 7), (7, 1)
    return Mixed(
        [conv("branch1x1", seen, 192)],
        [conv("branch7x7_1", seen, n), conv("branch7x7_2", n, n, row), conv("branch7x7_3", n, 192, column)],
        [
            conv("branch7x7dbl_1", seen, n),
            conv("branch7x7dbl_2", n, n, column),
            conv("branch7x7dbl_3", n, n, row),
            conv("branch7x7dbl_4", n, n, column),
            conv("branch7x7dbl_5", n, 192, row),
        ],
        [average, conv("branch_pool", seen, 192)],
    )


def block_d(seen: int) -> Mixed:
    """(B, seen, H, W) -> (B, seen + 512, H / 2, W / 2)."""
    return Mixed(
        [conv("branch3x3_1", seen, 192), conv("branch3x3_2", 192, 320, 3, 2)],
        [
            conv("branch7x7x3_1", seen, 192),
            conv("branch7x7x3_2", 192, 192, (1, 7)),
            conv("branch7x7x3_3", 192, 192, (7, 1)),
            conv("branch7x7x3_4", 192, 192, 3, 2),
        ],
        [halve],
    )


def block_e(seen: int, pool: Callable[[Tensor], Tensor]) -> Mixed:
    """(B, seen, H, W) -> (B, 2048, H, W): a row and a column abreast."""

    def abreast(name: str) -> list[Named]:
        return [conv(f"{name}a", 384, 384, (1, 3)), conv(f"{name}b", 384, 384, (3, 1))]

    return Mixed(
        [conv("branch1x1", seen, 320)],
        [conv("branch3x3_1", seen, 384), abreast("branch3x3_2")],
        [conv("branch3x3dbl_1", seen, 448), conv("branch3x3dbl_2", 448, 384, 3), abreast("branch3x3dbl_3")],
        [pool, conv("branch_pool", seen, 192)],
    )


class Inception(nn.Module):
    """(B, 3, H, W) in [-1, 1], 75 pixels or more, customarily 299, to features (B, 2048)."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = Conv(3, 32, 3, 2, 0)
        self.Conv2d_2a_3x3 = Conv(32, 32, 3, 1, 0)
        self.Conv2d_2b_3x3 = Conv(32, 64, 3, 1, 1)
        self.Conv2d_3b_1x1 = Conv(64, 80, 1, 1, 0)
        self.Conv2d_4a_3x3 = Conv(80, 192, 3, 1, 0)
        self.Mixed_5b = block_a(192, 32)
        self.Mixed_5c = block_a(256, 64)
        self.Mixed_5d = block_a(288, 64)
        self.Mixed_6a = block_b(288)
        self.Mixed_6b = block_c(768, 128)
        self.Mixed_6c = block_c(768, 160)
        self.Mixed_6d = block_c(768, 160)
        self.Mixed_6e = block_c(768, 192)
        self.Mixed_7a = block_d(768)
        self.Mixed_7b = block_e(1280, average)
        self.Mixed_7c = block_e(2048, greatest)
        self.fc = nn.Linear(FEATURES, CLASSES)

    @classmethod
    def of(cls, weights: Mapping[str, Tensor]) -> "Inception":
        """The network with these weights, in eval mode; it takes their memory, and does not copy them."""
        with torch.device("meta"):
            net = cls()
        counts = {k: torch.zeros((), dtype=torch.long) for k in net.state_dict() if k.endswith("num_batches_tracked")}
        net.load_state_dict({**counts, **weights}, assign=True)
        return net.requires_grad_(False).eval()

    def fold(self) -> "Inception":
        """Itself, with every batch normalisation inside the convolution before it, for pictures in channels_last."""
        for net in list(self.modules()):
            if isinstance(net, Conv):
                net.fold()
        return self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, x: Tensor) -> Tensor:
        for net in (self.Conv2d_1a_3x3, self.Conv2d_2a_3x3, self.Conv2d_2b_3x3, halve):
            x = net(x)
        for net in (self.Conv2d_3b_1x1, self.Conv2d_4a_3x3, halve):
            x = net(x)
        for net in (self.Mixed_5b, self.Mixed_5c, self.Mixed_5d):
            x = net(x)
        for net in (self.Mixed_6a, self.Mixed_6b, self.Mixed_6c, self.Mixed_6d, self.Mixed_6e):
            x = net(x)
        for net in (self.Mixed_7a, self.Mixed_7b, self.Mixed_7c):
            x = net(x)
        return x.mean((2, 3))

    def logits(self, features: Tensor) -> Tensor:
        """(B, 1008) from features, without the bias, as the Inception score takes them."""
        return features @ self.fc.weight.T.to(features.dtype)
