"""From a recipe to the way in which the game reaches G: the loss of its turn, by the name of a route."""

from collections.abc import Callable
from typing import Any

from . import policy
from .names import find
from .relaxed import gumbel
from .routes import unrolled
from .schedules import geometric
from .settings import Recipe
from .train import pathwise


def paid(r: Recipe) -> policy.Returns:
    """What a token is worth."""
    return policy.Returns(find(policy.REWARDS, r.reward, "reward"), r.discount, r.baseline, r.baseline_decay, r.entropy)


def reinforce(r: Recipe) -> policy.Route:
    """The recipe's policy gradient."""
    several = r.generator_steps > 1
    return policy.proximal(r.generator_steps, r.ratio, paid(r)) if several else policy.score_function(paid(r))


ROUTES: dict[str, Callable[[Recipe], Callable[..., Any]]] = {
    "pathwise": lambda r: unrolled(r.unroll) if r.unroll else pathwise,
    "reinforce": reinforce,
    "rollouts": lambda r: policy.rollouts(r.rollouts, paid(r)),
    "gumbel": lambda r: gumbel(geometric(r.tau, r.tau_end or r.tau, r.samples or 1), r.relax == "soft"),
    "likelihood": lambda r: policy.likelihood,
}
OF_TEXTS = ("reinforce", "rollouts", "gumbel", "likelihood")


def check(r: Recipe) -> None:
    """Refuses names that stand for nothing."""
    find(policy.REWARDS, r.reward, "reward")
    if r.route:
        find(ROUTES, r.route, "route")


def route(r: Recipe) -> Callable[..., Any]:
    """How the gradient reaches G."""
    found = find(ROUTES, r.route or "pathwise", "route")
    found = found(r) if (r.route or "pathwise") in ROUTES else found
    return policy.pretrained(r.pretrain, found) if r.pretrain else found
