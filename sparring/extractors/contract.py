"""What an extractor is: a module that makes features (B, d) of samples in played form, and says by its name which.

Two of one name give the same features: where weights differ, so do the names.
"""

from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256

import torch
from torch import Tensor, nn

from ..spaces import Frames, Image, Space, Vector, at_once


class ExtractorError(ValueError):
    """An extractor that cannot be had or used as asked; the message is one line for the user."""


def digest(net: nn.Module) -> str:
    """Eight digits of the SHA-256 of all weights, by name, as little-endian bytes."""
    whole = sha256()
    for name, w in sorted(net.state_dict().items()):
        whole.update(name.encode())
        whole.update(w.detach().cpu().flatten().contiguous().view(torch.uint8).numpy().tobytes())  # numpy has no bf16
    return whole.hexdigest()[:8]


def planes(space: Space, name: str) -> tuple[int, int]:
    """Channels and side of pictures, or of frames taken as further channels; refused for what has no pixels."""
    match space:
        case Image(channels, size):
            return channels, size
        case Frames(count, channels, size):
            return count * channels, size
    raise ExtractorError(f"extractor {name!r} looks at pictures or frames, not at {space!r}; leave --extractor out")


def place(extractor: nn.Module) -> torch.device:
    """Where its weights are."""
    return next((t.device for t in (*extractor.parameters(), *extractor.buffers())), torch.device("cpu"))


def features(
    extractor: nn.Module, batches: Iterable[Tensor], progress: Callable[[int, int], object] | None = None, n: int = 0
) -> Tensor:
    """(n, d) float32 on the CPU, of batches that the extractor takes; where its weights are, in the mode it is in.

    progress(done, n) is told after each batch.
    """
    device = place(extractor)
    rows, done = [], 0
    exact = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
    with torch.inference_mode(), torch.autocast(device.type, enabled=False), exact:
        for x in batches:
            rows.append(extractor(x.to(device)).float().cpu())
            done += len(x)
            if progress:
                progress(done, n)

    if not rows:
        raise ValueError("no samples to take features of; give one batch or more")
    return torch.cat(rows).clone()


def batch_of(extractor: nn.Module) -> int:
    """How many samples at once are good for it."""
    return getattr(extractor, "batch", 256)


def played(x: Tensor, space: Space, batch: int = 256) -> Iterator[Tensor]:
    """Samples in stored form as batches that an extractor takes: played, but points as they are."""
    x = torch.as_tensor(x)
    if isinstance(space, Image | Frames) and x.dtype != torch.uint8:
        raise ValueError(
            f"pictures are stored as bytes, uint8 from 0 to 255, and these are {x.dtype}; use space.decode"
        )
    for part in x.split(at_once(space, batch)):
        yield part.float() if isinstance(space, Vector) else space.encode(part)
