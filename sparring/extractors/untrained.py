"""Extractors that nobody has to download or train: the numbers themselves, and random convolution networks."""

from hashlib import sha256
from math import sqrt

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv2d, leaky_relu


class Identity(nn.Module):
    """The numbers themselves, one row a sample."""

    name = "raw"

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1).float()


class RandomConv(nn.Module):
    """A random convolution network, the same wherever it is made: what stands out locally, at every scale.

    Stages of 3 × 3 convolution, leaky ReLU and halving, down to 4 pixels; of each stage the mean and the standard
    deviation over the picture of each channel; of the last also where things are, in 64 random sums.  About 450
    features for any size.  (B, ..., channels, H, W) in [-1, 1], with frames taken as further channels.

    Weights are uniform draws of 24 bits, scaled in one multiplication, from a generator of their own; `name` has their
    hash.  Random features rank faults sensibly far from photographs (Naeem et al. 2020), noise and blur above all.
    """

    def __init__(self, channels: int, size: int | tuple[int, int], seed: int = 0) -> None:
        super().__init__()
        height, width = (size, size) if isinstance(size, int) else size
        g = torch.Generator().manual_seed(seed)

        def uniform(*shape: int, spread: float) -> Tensor:
            return (torch.rand(shape, generator=g) * 2 - 1) * (sqrt(3) * spread)

        self.takes = (channels, height, width)
        self.stages = max(1, (max(height, width) - 1).bit_length() - 1)  # 4 pixels or less at the last
        made = 192 // self.stages  # channels of each

        for i in range(self.stages):
            seen = made if i else channels
            gain = sqrt(2 / (1 + 0.2**2)) if i else 1.0
            self.register_buffer(f"weight{i}", uniform(made, seen, 3, 3, spread=gain / sqrt(9 * seen)))
            self.register_buffer(f"bias{i}", uniform(made, spread=0.2))

        halvings = 2 ** (self.stages - 1)
        places = made * -(-height // halvings) * -(-width // halvings)
        self.register_buffer("where", uniform(places, 64, spread=1 / sqrt(places)))

        digest = sha256(b"".join(w.numpy().astype("<f4").tobytes() for w in self.buffers())).hexdigest()
        self.register_buffer("blank", torch.zeros(()))
        with torch.no_grad():
            self.blank = self(torch.zeros(1, *self.takes))  # what no picture would give is taken away
        self.name = f"random-conv-{channels}x{height}x{width}-{digest[:8]}"

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1, -3).float()
        if x.shape[1:] != self.takes:
            raise ValueError(f"random convolution takes {self.takes} a sample, not {tuple(x.shape[1:])}")

        seen = []
        for i in range(self.stages):
            x = avg_pool2d(x, 2, ceil_mode=True) if i else x
            x = leaky_relu(conv2d(x, self.get_buffer(f"weight{i}"), self.get_buffer(f"bias{i}"), padding=1), 0.2)
            seen += [x.mean((2, 3)), x.std((2, 3), correction=0)]

        x = torch.cat([*seen, x.flatten(1) @ self.get_buffer("where")], 1)
        return 4 * (x - self.get_buffer("blank"))  # to about 1 for pictures, where kernels bend


class RandomWords(nn.Module):
    """A random convolution along words: what stands beside what, in stretches of 3, 6, 12 …  (B, length, vocab)."""

    def __init__(self, vocab: int, length: int, seed: int = 0) -> None:
        super().__init__()
        self.conv = RandomConv(vocab, (1, length), seed)
        self.name = self.conv.name.replace("conv", "words")
        self.scale = sqrt(vocab)  # one of a vocabulary is 1: to unit variance

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x.transpose(1, 2).unsqueeze(2) * self.scale)
