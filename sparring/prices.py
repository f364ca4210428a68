"""What the players are charged, by name: the loss, D's penalties, G's terms."""

from typing import Any

from . import augment, penalties
from .losses import LOSSES, Loss, smoothed
from .names import RequestError, find, number, requested, weighted
from .settings import Recipe
from .terms import TERMS

PENALTIES = penalties.PENALTIES | {"consistency": penalties.consistency(augment.diffaugment("color,translation"))}


def loss(r: Recipe) -> Loss:
    """The recipe's loss; smoothed=LABEL is made with its label."""
    name, _, label = (r.loss or "relativistic").partition("=")
    if not label:
        if not isinstance(found := find(LOSSES, name, "loss"), Loss):
            raise RequestError(f"--loss {name} is a {type(found).__name__}; make it a Loss(critic=…, generator=…)")
        return found
    if name != "smoothed":
        raise RequestError(f"--loss {r.loss}: smoothed alone takes a number, the label of reals; write --loss {name}")
    if (alpha := number(label)) is None:
        raise RequestError(f"--loss {r.loss}: give a label above 0.5, such as smoothed=0.9")
    with requested():
        return smoothed(alpha)


def named_terms(r: Recipe) -> dict[str, tuple[Any, float, float]]:
    """The terms of G's turn by name, each with its first and last weight."""
    return weighted(r.terms or "", TERMS, "term")


def named_penalties(r: Recipe) -> dict[str, tuple[Any, float, float]]:
    """The further penalties of D by name, each with its first and last weight."""
    found = weighted(r.penalties, PENALTIES, "penalty")
    for name in found:
        if penalties.pairing(name) and r.condition in (None, "none"):
            raise RequestError(
                f"penalty {name!r} compares conditions; give --condition class or caption, or leave it out"
            )
    return found
