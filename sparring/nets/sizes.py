"""Which networks for which data: a table of pairs, and a choice by kind of data, resolution, examples and device."""

from collections.abc import Callable
from inspect import signature
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch.nn import Module

from ..priors import Prior
from ..spaces import Frames, Image, Spec, Tokens, Vector
from . import dcgan, frame, image, quick, reading, vector
from .conditions import How

Size = Literal["tiny", "small", "medium", "large"]


class Pair(NamedTuple):
    """A kind of players: `make(spec, prior, width, join, **chosen) -> (G, D)`, and its widths from tiny to large."""

    make: Callable[..., tuple[Module, Module]]
    about: str
    widths: tuple[int, int, int, int]


class Choice(NamedTuple):
    """A row of PAIRS, a width, and why in one line."""

    name: str
    width: int
    reason: str


PAIRS = {
    "vector": Pair(vector.pair, "perceptrons for points", (32, 64, 128, 256)),
    "plain": Pair(
        vector.plain, "small perceptrons for points without any help, on which cures can be seen", (32, 64, 128, 256)
    ),
    "quick": Pair(quick.pair, "images in minutes on a CPU", (16, 32, 64, 128)),
    "dcgan": Pair(dcgan.pair, "images by DCGAN (Radford et al. 2016)", (16, 32, 64, 128)),
    "r3gan": Pair(image.pair, "images by norm-free residual networks, for a GPU and hours", (64, 192, 384, 768)),
    "recurrent": Pair(reading.recurrent, "texts by LSTMs", (32, 64, 128, 256)),
    "gated": Pair(reading.gated, "texts by a GRU, before a convolutional critic", (32, 64, 128, 256)),
    "weighing": Pair(reading.weighing, "texts by LSTMs, for the route gumbel", (32, 64, 128, 256)),
    "attentive": Pair(reading.attentive, "texts by causal Transformers", (32, 64, 128, 256)),
    "scratchgan": Pair(reading.scratchgan, "texts by the networks of ScratchGAN", (64, 128, 256, 512)),
    "frame": Pair(frame.pair, "the next frame from past ones, by a U-Net", (16, 32, 64, 128)),
}


def width(name: str, size: Size) -> int:
    """The channels of the pair `name` at a size."""
    return PAIRS[name].widths[get_args(Size).index(size)]


def choose(
    spec: Spec,
    examples: int,
    device: torch.device | str = "cpu",
    route: str | None = None,
    asked: str | None = None,
) -> Choice:
    """The pair and width for so many examples of `spec` on this device, with the reason in words.

    route: how the gradient is to reach G, where that asks for networks of its own.
    asked: a pair by name, whose width alone is to be chosen: of PAIRS, or anybody's own, at the width of what it is
    taken for.

    Raises TypeError where no pair makes spec.x.
    """
    on = torch.device(device).type
    match spec.x:
        case Vector(dim):
            w, name = vector.sizes(spec).width, asked or "vector"
            return Choice(name, w, f"{name}, width {w}: points of {dim} dimensions")
        case Image(_, side) if isinstance(spec.c, Frames):
            size: Size = "small" if on == "cpu" else "medium"
            name, why = "frame", f"{on.upper()}, {side}×{side}, the next of frames"
        case Image(_, side) if on == "cpu":
            size = "tiny" if side > 128 else "small"
            name, why = "quick", f"CPU, {side}×{side}"
        case Image(_, side):
            size = "tiny" if examples < 2_000 else "small" if examples < 20_000 else "medium"
            size = "large" if examples >= 200_000 and side <= 64 else size
            name, why = "r3gan", f"{on.upper()}, {side}×{side}, {examples:,} examples"
        case Tokens(length, vocab):
            size = "small" if vocab <= 100 else "medium" if on == "cpu" else "large"
            name = "weighing" if route == "gumbel" else "recurrent"
            why = f"{on.upper()}, texts of up to {length} tokens of {vocab:,}"
        case _:
            raise TypeError(
                f"no networks for {spec.x!r}; give your own as module:name of (spec, prior, width) -> (G, D)"
            )
    w, name = width(asked if asked in PAIRS else name, size), asked or name
    return Choice(name, w, f"{name}, width {w} ({size}): {why}")


def options(pair: Pair) -> dict[str, Any]:
    """What a pair takes beside (spec, prior, width, join), each with its default."""
    return {k: p.default for k, p in list(signature(pair.make).parameters.items())[4:]}


def build(
    name: str, spec: Spec, prior: Prior | None, width: int | None = None, join: How = "concat", **chosen: Any
) -> tuple[Module, Module]:
    """G and D of the pair `name`; width None is its small one; `chosen` are of its `options`.

    Raises ValueError for a name that is not in PAIRS or a size that does not fit, TypeError for the wrong kind of data.
    """
    if name not in PAIRS:
        raise ValueError(f"networks {name!r} are none of {', '.join(PAIRS)}; for your own, write module:name")
    make, _, widths = PAIRS[name]
    if strange := [k for k in chosen if k not in options(PAIRS[name])]:
        able = [other for other, pair in PAIRS.items() if all(k in options(pair) for k in strange)]
        raise ValueError(f"networks {name!r} take no {', '.join(strange)}; {', '.join(able) or 'none'} do")
    return make(spec, prior, widths[1] if width is None else width, join, **chosen)
