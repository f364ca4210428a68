"""The standard of published numbers: features of the Inception network that FID was first measured with."""

import torch
from torch import Tensor, nn

from ..nets.inception import SIDE, Inception
from .contract import ExtractorError
from .weights import inception

SMALLEST = 75  # pixels of a side: below, nothing is left to average


class FidInception(nn.Module):
    """(B, 3, H, W) in [-1, 1], customarily 299 pixels, to features (B, 2048) float32.

    given: see `weights.inception`.  bf16: the network in bfloat16, some times as fast where the processor has it, with
    features half a per cent off; its name then says so.
    """

    side, channels, batch = SIDE, 3, 32

    def __init__(self, given: str | None = None, bf16: bool = False) -> None:
        super().__init__()
        weights, digest = inception(given)
        self.net = Inception.of(weights).fold()
        self.dtype = torch.bfloat16 if bf16 else torch.float32
        self.net.to(self.dtype)
        self.name = f"inception{'-bf16' if bf16 else ''}-{digest[:8]}"

    def forward(self, x: Tensor) -> Tensor:
        if min(x.shape[2:]) < SMALLEST:
            size = " × ".join(map(str, x.shape[2:]))
            raise ExtractorError(f"{self.name} needs {SMALLEST} pixels or more, not {size}; take --resize clean")
        x = x * (127.5 / 128) - 1 / 256  # (byte − 128) / 128, as the network was trained
        return self.net(x.to(self.dtype, memory_format=torch.channels_last)).float()

    def logits(self, features: Tensor) -> Tensor:
        """(B, 1008) of features, without bias: what the Inception score takes."""
        return self.net.logits(features)
