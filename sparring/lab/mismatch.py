"""The third kind of pair: a real sample with another's condition.  What D and G make of the condition without it."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import Module

from ..losses import nonsaturating
from ..nets.vector import Generator
from ..penalties import mismatch
from ..priors import Normal
from ..schedules import constant
from ..spaces import Label, Spec
from ..worlds.points import Points
from .claims import Findings, Plot, at_least, at_most, equals, share
from .join import Concatenating
from .points import batches, fresh, grid, obeyed, plain, played, seeds, settling

CLASSES = Label(25)  # the modes of the grid


class Blind(Module):
    """D that is never shown the condition."""

    def __init__(self, spec: Spec):
        super().__init__()
        self.critic = plain(Spec(spec.x))

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        return self.critic(x)


def game(
    world: Points, critic: Callable[[Spec], Module], third: float, rounds: int, looks: int, seed: int
) -> dict[str, list[float]]:
    """How many points obey, and how much lower D scores a real point with a wrong condition, at each look."""
    spec = Spec(world.spec.x, CLASSES)
    s = fresh(lambda: (Generator(spec, Normal(4), 64, 3), critic(spec)), seed)
    m = settling(rounds, loss=nonsaturating, seed=seed)
    m = replace(m, penalties=(*m.penalties, (mismatch, constant(third))))
    data, probe = batches(world, seed, labels=True), next(batches(world, seed + 1, 1000, labels=True))
    found: dict[str, list[float]] = {"obeyed": [], "told": []}
    for _ in range(looks):
        played(m, s, data, rounds // looks)
        found["obeyed"].append(obeyed(s.G, world))
        found["told"].append(told(s.D, *probe))
    return found


@torch.no_grad()
def told(D: Module, x: Tensor, c: Tensor | None) -> float:
    """How often D prefers a real point with its own condition to the same with another."""
    assert c is not None
    wrong = (c + 1 + torch.arange(len(c)) % (CLASSES.classes - 1)) % CLASSES.classes
    return (D(x, c) > D(x, wrong)).double().mean().item()


def run(seed: int = 0, effort: float = 1.0) -> Findings:
    """Plain conditional games, with the third kind of pair and without; and one whose D is blind to the condition."""
    world, rounds, looks = grid(), share(effort, 400), 8
    several = seeds(seed, share(effort, 4))
    rows: dict[str, tuple[Callable[[Spec], Module], float]] = {
        "without": (Concatenating, 0.0),
        "with": (Concatenating, 1.0),
        "blind": (Blind, 0.0),
    }
    found = {
        name: [game(world, critic, third, rounds, looks, k) for k in several] for name, (critic, third) in rows.items()
    }
    end = {name: [r["obeyed"][-1] for r in runs] for name, runs in found.items()}
    early = {name: [r["obeyed"][1] for r in runs] for name, runs in found.items()}

    yield at_least("with the third kind of pair the condition is obeyed: share of points", end["with"], 0.95)
    note = "D still sees that a fake does not lie where its condition puts it; the pair makes that known sooner"
    text = "textbooks: without it the condition is ignored; share that obeys, where chance is 1/25"
    yield at_most(text, end["without"], 0.25, note=note)
    gain = [a - b for a, b in zip(early["with"], early["without"])]
    yield at_least(f"without it the condition is weaker: obedience lost after {2 * rounds // looks} rounds", gain, 0.05)
    sharper = [a["told"][1] - b["told"][1] for a, b in zip(found["with"], found["without"])]
    yield at_least("and D tells a wrong condition later: share lost at that time", sharper, 0.02)
    yield equals("it is ignored where D is not shown it: share that obeys", end["blind"], 1 / 25, 0.03)

    yield Plot(lambda figure: draw(figure, found, rounds, looks))


def draw(figure, found: dict, rounds: int, looks: int) -> None:
    from .drawing import BLUE, GREY, RUST, titled

    left, right = figure.subplots(1, 2, sharey=True)
    at = [(i + 1) * rounds // looks for i in range(looks)]
    names = {"without": "two kinds of pair", "with": "and the third", "blind": "D is not shown c"}
    for ax, what, title in (left, "obeyed", "points of G that obey"), (right, "told", "D prefers the right condition"):
        titled(ax, title, "rounds", "share")
        for color, (name, runs) in zip((RUST, BLUE, GREY), found.items()):
            if what == "told" and name == "blind":
                continue  # it prefers neither
            for i, r in enumerate(runs):
                ax.plot(at, r[what], color=color, lw=1, label=None if i else names[name])
        ax.axhline(1 / 25 if ax is left else 1 / 2, color=GREY, ls=":", lw=0.8)
    left.set_ylim(0, 1.02)
    left.legend(loc="center right")
