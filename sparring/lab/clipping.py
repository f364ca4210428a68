"""Weight clipping keeps a Wasserstein critic's slope bounded, and is a terrible way to do it."""

from dataclasses import replace
from math import log, log10
from statistics import median

import numpy as np
import torch
from torch import Tensor
from torch.optim import Adam, RMSprop

from ..chance import generator
from ..losses import wasserstein
from ..metrics import wasserstein as earth
from ..penalties import clip, slope2, wgan_gp
from ..schedules import constant
from ..train import Method
from .claims import Findings, Plot, at_least, at_most, share
from .points import batches, drawn, fresh, pair, played, ring, seeds

BOUNDS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
WGAN = Method(wasserstein, (), lr_G=constant(5e-4), lr_D=constant(5e-4), critic_steps=5, halflife=constant(2000))
SMOOTH = replace(WGAN, penalties=((wgan_gp, constant(1.0)),))  # at the customary 10 this small game swings


class Game:
    """One game, played to its end, and what it shows."""

    def __init__(self, m: Method, optimizer, rounds: int, seed: int):
        self.world = ring()
        s = fresh(lambda: pair(self.world.spec), seed, optimizer)
        self.s = played(replace(m, seed=seed), s, batches(self.world, seed, 64), rounds)

    @property
    def slope(self) -> float:
        """The mean |grad D| where G draws: what G is told."""
        z = self.s.G.prior.sample(500, generator("clipping"))  # type: ignore[union-attr]
        x = self.s.G(z).detach().requires_grad_()
        return slope2(self.s.D(x), x).sqrt().mean().item()

    @property
    def weights(self) -> Tensor:
        return torch.cat([p.detach().flatten() for p in self.s.D.parameters()])

    def piled(self, bound: float) -> float:
        """The share of D's weights within a hundredth of the bound."""
        return (self.weights.abs() > 0.99 * bound).double().mean().item()

    @property
    def way(self) -> float:
        """W₁ from the average generator's points to the data's."""
        return earth(self.world.draw(400, 1, heldout=True)[0], drawn(self.s.ema, self.world, 400)).value


def clipped(c: float, m: Method = WGAN) -> Method:
    return replace(m, project=clip(c))


def run(seed: int = 0, effort: float = 1.0) -> Findings:
    """WGAN on the ring with bounds from 1e-4 to 1; the penalty instead; momentum against none."""
    rounds, several = share(effort, 200), seeds(seed, share(effort, 3))
    games = {c: [Game(clipped(c), RMSprop, rounds, k) for k in several] for c in BOUNDS}
    free = [Game(SMOOTH, RMSprop, rounds, k) for k in several]

    slopes = {c: [g.slope for g in of] for c, of in games.items()}
    yield at_most("too small, c = 1e-4: the slope that G is told", slopes[1e-4], 1e-6, of=max)
    low = log10(median(slopes[1e-2]) / median(slopes[1e-4])) / 2
    yield at_least("it falls as a power of c, for each of D's four layers has its share: power from 1e-2 down", low, 3)
    yield at_least("too large, c = 1: the slope explodes, to", slopes[1.0], 10, of=min)
    told = [g.slope for g in free]
    yield at_most(
        "with the gradient penalty it is about 1: farthest, in log", [abs(log(v)) for v in told], log(2), of=max
    )

    piles = [g.piled(0.01) for g in games[0.01]]
    yield at_least("weights pile up at ±c: share at the bound, c = 0.01", piles, 0.5, of=min)
    largest = [g.piled(g.weights.abs().max().item()) for g in free]
    yield at_most("with the gradient penalty they do not: share at the largest", largest, 0.02, of=max)
    slow = [g.piled(1.0) for g in games[1.0]]
    yield at_most("a large c is slow: share of weights that have reached c = 1", slow, 0.05, of=max)

    ways = {c: [g.way for g in of] for c, of in games.items()}
    begun = [Game(WGAN, RMSprop, 0, k).way for k in several]
    still = [a / b for a, b in zip(ways[1e-4], begun)]
    yield at_least("too small a c teaches nothing: W to the data at the end over W at the start", still, 0.9, of=min)
    end = [g.way for g in free]
    best = min(BOUNDS, key=lambda c: sum(ways[c]))
    note = f"W with the penalty {median(end):.2f}; with c = {best:g}, the best of five, {median(ways[best]):.2f}"
    ratios = [a / b for a, b in zip(end, ways[0.01])]
    yield at_most("the penalty comes nearer than the customary clip, c = 0.01: W over its W", ratios, 0.9, note=note)

    quick = replace(clipped(0.01), lr_G=constant(1e-3), lr_D=constant(1e-3))
    without, momentum = ([Game(replace(quick, beta1=b), Adam, rounds, k).way for k in several] for b in (0.0, 0.9))
    note = f"W without: {', '.join(f'{v:.2f}' for v in without)}; with: {', '.join(f'{v:.2f}' for v in momentum)}"
    text = "textbooks: momentum makes it worse; W of Adam with β₁ = .9 over that with 0, c = 0.01"
    yield at_least(text, [a / b for a, b in zip(momentum, without)], 1, note=note)

    yield Plot(lambda figure: draw(figure, games, free, slopes, ways, end))


def draw(figure, games: dict, free: list, slopes: dict, ways: dict, end: list) -> None:
    from .drawing import BLUE, GREY, INK, RUST, titled

    left, middle, right = figure.subplots(1, 3)
    titled(left, "the slope that G is told", "c")
    for c in BOUNDS:
        left.loglog([c] * len(slopes[c]), slopes[c], "o", color=RUST, ms=4)
    left.axhline(np.mean([g.slope for g in free]), color=BLUE, label="with the gradient penalty")
    left.axhline(1, color=GREY, lw=0.6)
    left.legend()

    titled(middle, "D's weights", "weight over the bound (or over the largest)")
    for g, bound, color, name in (
        (games[0.01][0], 0.01, RUST, "clipped at 0.01"),
        (free[0], float(free[0].weights.abs().max()), BLUE, "gradient penalty"),
    ):
        middle.hist((g.weights / bound).numpy(), 41, (-1.02, 1.02), density=True, color=color, alpha=0.6, label=name)
    middle.set_yticks([])
    middle.legend()

    titled(right, "how far G's points are from the data", "c", "W")
    for c in BOUNDS:
        right.semilogx([c] * len(ways[c]), ways[c], "o", color=RUST, ms=4)
    right.axhline(np.mean(end), color=BLUE, label="with the gradient penalty")
    right.axhline(0, color=INK, lw=0.6)
    right.legend()
