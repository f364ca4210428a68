"""What data is made of.  A task is nothing but a pair of spaces: what is made (x), and what it is made from (c).

A space has a *stored* form (bytes and integers, small on disk) and a *played* form (floats, where gradients live);
`encode` goes from stored to played and `decode` back.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import one_hot


@dataclass(frozen=True)
class Vector:
    """Points.  Stored as floats (B, dim); played with `center` taken away and divided by `scale`."""

    dim: int
    center: float = 0.0
    scale: float = 1.0

    def encode(self, x: Tensor) -> Tensor:
        return (x.float() - self.center) / self.scale

    def decode(self, x: Tensor) -> Tensor:
        return x.float() * self.scale + self.center


@dataclass(frozen=True)
class Image:
    """Square pictures.  Stored as bytes (B, channels, size, size), played as floats in [-1, 1]."""

    channels: int
    size: int

    def encode(self, x: Tensor) -> Tensor:
        return x.float() / 127.5 - 1

    def decode(self, x: Tensor) -> Tensor:
        return (x.float().clamp(-1, 1) * 127.5 + 127.5).round().byte()


@dataclass(frozen=True)
class Frames:
    """Moving pictures.  Stored as bytes (B, count, channels, size, size), played as floats in [-1, 1]."""

    count: int
    channels: int
    size: int

    def encode(self, x: Tensor) -> Tensor:
        return x.float() / 127.5 - 1

    def decode(self, x: Tensor) -> Tensor:
        return (x.float().clamp(-1, 1) * 127.5 + 127.5).round().byte()


@dataclass(frozen=True)
class Tokens:
    """Words or letters.  Stored as integers (B, length), played as points of the simplex (B, length, vocab)."""

    length: int
    vocab: int

    def encode(self, x: Tensor) -> Tensor:
        return torch.zeros(*x.shape, self.vocab, device=x.device).scatter_(-1, x.long()[..., None], 1.0)

    def decode(self, x: Tensor) -> Tensor:
        return x.argmax(-1)


@dataclass(frozen=True)
class Label:
    """One class of a few.  Stored and played as integers (B,)."""

    classes: int

    def encode(self, x: Tensor) -> Tensor:
        return x.long()

    def decode(self, x: Tensor) -> Tensor:
        return x


Space = Vector | Image | Frames | Tokens | Label


class Spec(NamedTuple):
    """(Image, None) draws freely, (Image, Label) by class, (Image, Tokens) from a caption,
    (Tokens, None) writes, (Image, Frames) foresees the next frame."""

    x: Space
    c: Space | None = None


def to_json(spec: Spec) -> dict[str, Any]:
    """A spec as plain values, to lie beside weights in a file."""
    return {k: None if s is None else {"space": type(s).__name__, **asdict(s)} for k, s in spec._asdict().items()}


def from_json(saved: dict[str, Any]) -> Spec:
    """The spec that `to_json` wrote."""
    kinds = {cls.__name__: cls for cls in (Vector, Image, Frames, Tokens, Label)}

    def space(fields: dict[str, Any] | None) -> Space | None:
        return None if fields is None else kinds[fields["space"]](**{k: v for k, v in fields.items() if k != "space"})

    x = space(saved["x"])
    assert x is not None
    return Spec(x, space(saved["c"]))


def shape(space: Space, batch: int = 1) -> tuple[int, ...]:
    """The shape of `batch` samples in played form."""
    match space:
        case Vector(dim):
            return (batch, dim)
        case Image(channels, size):
            return (batch, channels, size, size)
        case Frames(count, channels, size):
            return (batch, count, channels, size, size)
        case Tokens(length, vocab):
            return (batch, length, vocab)
        case Label():
            return (batch,)
    raise TypeError(f"{space!r} is no space")


def at_once(space: Space, most: int = 256) -> int:
    """How many samples to hold as floats together: `most`, or fewer of large pictures."""
    return max(1, min(most, 2**22 // math.prod(shape(space)))) if isinstance(space, Image | Frames) else most


def any_samples(space: Space, n: int, generator: torch.Generator | None = None) -> Tensor:
    """n random samples in played form: what a conformance check shows to a pair of players."""
    match space:
        case Tokens(length, vocab):
            return one_hot(torch.randint(vocab, (n, length), generator=generator), vocab).float()
        case Label(classes):
            return torch.randint(classes, (n,), generator=generator)
        case Vector():
            return torch.randn(shape(space, n), generator=generator)
    return torch.rand(shape(space, n), generator=generator) * 2 - 1
