"""What a generator is asked for in words, or by the way from one condition to another, and how unusual it may be."""

from collections.abc import Sequence
from itertools import chain
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module

from .chance import generator
from .data import Vocabulary
from .data.frozen import Frozen, of_card
from .names import RequestError, nearest
from .nets.conditions import mixed
from .priors import Normal, Truncated
from .spaces import Label, Spec, Tokens, Vector


def conditions(spec: Spec, card: dict[str, Any], asked: Sequence[str]) -> Tensor:
    """What a generator is asked for in words, as it takes it: captions, or classes by name or number; (n, ...)."""
    if told(spec, card):
        return torch.from_numpy(reader(spec, card).rows(asked))
    match spec.c:
        case Label(classes):
            return torch.tensor(
                [class_number(name, card["classes"] or [str(i) for i in range(classes)]) for name in asked]
            )
    raise RequestError(f"this generator is asked for nothing in words ({spec.c!r}); leave --label and --caption out")


def told(spec: Spec, card: dict[str, Any]) -> bool:
    """Whether a generator is told captions."""
    return not card.keys().isdisjoint(("words", "pieces", "encoder"))


def reader(spec: Spec, card: dict[str, Any]) -> Vocabulary | Frozen:
    """What makes numbers of captions for a generator: the words or pieces it knows, or the encoder of its user."""
    if isinstance(spec.c, Vector):
        return of_card(card, spec.c)
    assert isinstance(spec.c, Tokens)
    return Vocabulary.of(card, spec.c.length)


def way(spec: Spec, c: Tensor, steps: int) -> Tensor:
    """(steps, ...) conditions on the way from the first of c, in stored form, to the second, as `draw` takes them."""
    assert isinstance(spec.c, Label | Tokens | Vector)
    a, b = spec.c.encode(c).split(1)
    found = torch.cat([mixed(spec.c, a, b, t) for t in torch.linspace(0, 1, steps).tolist()])
    return spec.c.decode(found) if isinstance(spec.c, Vector) else found


def unknown(spec: Spec, card: dict[str, Any], caption: str) -> list[str]:
    """A line for what is not read of a caption: words or letters never seen in training, or the end of a long one.

    RequestError if nothing of it was ever seen.
    """
    vocabulary = reader(spec, card)
    lost = vocabulary.unknown(caption)
    like = lambda near: f"; near to it: {', '.join(near)}" if near else ""
    if not vocabulary.encode(caption).any():
        if not lost:
            return [f"--caption {caption!r} has no word in it: drawn as what has no caption"]
        near = like(list(chain(*lost.values()))[:6])
        known = ", ".join([part for part in vocabulary.known if part.strip()][:20])
        have = "words are spelled with" if "pieces" in card else "the most frequent words are"
        raise RequestError(f"--caption {caption!r}: none of its words was ever seen in training{near}; {have} {known}")
    said = [f"unknown word {word!r} is passed over{like(near)}" for word, near in lost.items()]
    if lost and "pieces" in card:
        said = [f"letters never seen in training are passed over: {' '.join(lost)}"]
    end = vocabulary.unread(caption)
    return said + ([f"longer than all captions of training: {end!r} is not read"] if end else [])


def class_number(label: str, names: Sequence[str]) -> int:
    """The place of a class among the names, or the number that it is given by."""
    if label in names:
        return list(names).index(label)
    if label.isdecimal() and int(label) < len(names):
        return int(label)
    raise RequestError(f"--label {label!r} is none of {', '.join(names)}{nearest(label, names)}")


def noise(G: Module, n: int, seed: int, truncation: float | None) -> Tensor:
    """(n, dim): what `draw` draws from, or, with a truncation, normal noise whose coordinates beyond it are redrawn."""
    prior: Any = G.prior
    if truncation is None:
        return prior.sample(n, generator("draw", seed))
    if not isinstance(prior, Normal | Truncated):
        kind = type(prior).__name__
        raise RequestError(f"--truncation {truncation:g} is for normal noise, and this run draws {kind}: leave it out")
    if not truncation > 0:
        raise RequestError(f"--truncation {truncation:g} must be above 0: 0.7 gives the more usual")
    return Truncated(prior.dim, truncation).sample(n, generator("draw", seed))
