"""What an extractor is: a module that makes features (B, d) of samples in played form, and says by its name which.

Two of one name give the same features: where weights differ, so do the names.
"""

from hashlib import sha256
from typing import NamedTuple

from torch import Tensor, nn

from ..spaces import Frames, Image, Space


class ExtractorError(ValueError):
    """An extractor that cannot be had or used as asked; the message is one line for the user."""


class Features(NamedTuple):
    """Features (n, d) float32 of n samples, and the name of the extractor that made them."""

    x: Tensor
    of: str


def digest(net: nn.Module) -> str:
    """Eight digits of the SHA-256 of all weights, by name, as little-endian bytes."""
    whole = sha256()
    for name, w in sorted(net.state_dict().items()):
        whole.update(name.encode())
        whole.update(w.detach().cpu().contiguous().numpy().tobytes())
    return whole.hexdigest()[:8]


def planes(space: Space, name: str) -> tuple[int, int]:
    """Channels and side of pictures, or of frames taken as further channels; refused for what has no pixels."""
    match space:
        case Image(channels, size):
            return channels, size
        case Frames(count, channels, size):
            return count * channels, size
    raise ExtractorError(f"extractor {name!r} looks at pictures or frames, not at {space!r}; leave --extractor out")
