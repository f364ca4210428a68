"""How a condition enters: beside the noise or added to it, beside the sample or projected onto it."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import Module

from ..nets.conditions import How, embedding
from ..nets.vector import Critic, Generator
from ..priors import Normal
from ..spaces import Label, Spec, Vector
from ..worlds.points import Points
from .claims import Findings, Plot, at_least, at_most, share
from .points import batches, drawn, fresh, obeyed, plain, played, ring, seeds, settling

CLASSES = Label(8)  # the modes of the ring


class Concatenating(Module):
    """D by concatenation: an embedding of c beside x, and no more (Mirza & Osindero 2014)."""

    def __init__(self, spec: Spec, dim: int = 8):
        super().__init__()
        assert isinstance(spec.x, Vector) and spec.c is not None
        self.embed = embedding(spec.c, dim)
        self.critic = Critic(Spec(Vector(spec.x.dim + dim)), 64, 3, waves=0)

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        return self.critic(torch.cat([x, self.embed(c)], 1))


CRITICS: dict[str, Callable[[Spec], Module]] = {"projection": plain, "concatenation": Concatenating}


WAYS: dict[str, tuple[How, int, str]] = {  # how G joins, the dimensions of z, how D does
    "beside z of 4, projection": ("concat", 4, "projection"),
    "beside z of 4, concatenation": ("concat", 4, "concatenation"),
    "added to z of 4, projection": ("add", 4, "projection"),
    "beside z of 32, projection": ("concat", 32, "projection"),
    "added to z of 32, projection": ("add", 32, "projection"),
}


def game(world: Points, way: str, rounds: int, looks: int, seed: int) -> tuple[list[float], Tensor]:
    """How many points obey, at each look of one game; and the points of its end, of every class alike."""
    (how, dim, critic), spec = WAYS[way], Spec(world.spec.x, CLASSES)
    s = fresh(lambda: (Generator(spec, Normal(dim), 64, 3, how), CRITICS[critic](spec)), seed)
    m, data, curve = settling(rounds, seed=seed), batches(world, seed, labels=True), []
    for _ in range(looks):
        played(m, s, data, rounds // looks)
        curve.append(obeyed(s.G, world))
    return curve, drawn(s.ema, world, 2000, torch.arange(2000) % CLASSES.classes)


def run(seed: int = 0, effort: float = 1.0) -> Findings:
    """Ways of joining, on the ring with its modes as classes."""
    world, rounds, looks = ring(), share(effort, 400), 8
    several = seeds(seed, share(effort, 3))
    found = {way: [game(world, way, rounds, looks, k) for k in several] for way in WAYS}
    end = {way: [curve[-1] for curve, _ in runs] for way, runs in found.items()}
    quality = {way: [world.judge(x)["quality"] for _, x in runs] for way, runs in found.items()}

    for way, shares in end.items():
        books = "textbooks: adding serves as well; " if way.startswith("added to z of 4") else ""
        note = "z is as large as what is added to it, so the classes overlap before G has seen them" if books else ""
        yield at_least(f"{books}c {way} in D: share of points that obey", shares, 0.95, note=note)
    gap = [abs(a - b) for a, b in zip(quality["beside z of 32, projection"], quality["added to z of 32, projection"])]
    yield at_most("in 32 dimensions the two are as good as each other: difference of quality", gap, 0.1)
    gap = [abs(a - b) for a, b in zip(quality["beside z of 4, projection"], quality["beside z of 4, concatenation"])]
    yield at_most("in D projection and concatenation are as good as each other: difference of quality", gap, 0.1)

    yield Plot(lambda figure: draw(figure, found, rounds, looks))


def draw(figure, found: dict, rounds: int, looks: int) -> None:
    from .drawing import CYCLE, titled

    left, right = figure.subplots(1, 2, width_ratios=[1.4, 1])
    titled(left, "points that obey, while they play", "rounds", "share")
    at = [(i + 1) * rounds // looks for i in range(looks)]
    for color, (way, runs) in zip(CYCLE, found.items()):
        for i, (curve, _) in enumerate(runs):
            left.plot(at, curve, color=color, lw=1, label=None if i else f"{way} in D")
    left.set_ylim(0, 1.02)
    left.legend(loc="lower right")

    x = found["added to z of 4, projection"][0][1]
    right.scatter(*x.T.tolist(), c=[i % CLASSES.classes for i in range(len(x))], cmap="tab10", s=2)
    right.set_aspect("equal")
    titled(right, "points by the class asked for, added to z of 4")
