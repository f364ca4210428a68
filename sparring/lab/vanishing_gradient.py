"""The better D, the less G learns: a fresh critic is trained against a still generator, and G's gradient watched."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import log10

import torch
from torch import Tensor
from torch.nn import Module

from ..chance import generator, seeded
from ..losses import LOSSES
from ..nets.vector import Critic, Generator
from ..penalties import PENALTIES, Penalty
from ..priors import Normal, Uniform
from ..schedules import Schedule, constant
from ..spaces import Spec, Vector
from ..train import Method, State, descend, step
from .claims import Findings, Plot, at_least, at_most, share
from .points import BATCH, batches, ring
from .supports import DIM, Curves

STAGES = {"early": 0, "middle": 100, "late": 800}  # rounds that G has played when it is held still
Weighted = tuple[tuple[Penalty, Schedule], ...]
ZERO: Weighted = ((PENALTIES["r1"], constant(1.0)), (PENALTIES["r2"], constant(1.0)))
ONE: Weighted = ((PENALTIES["wgan_gp"], constant(10.0)),)
GAMES = ("minimax", "nonsaturating", "least_squares", "hinge", "relativistic", "wasserstein")


@dataclass(frozen=True)
class Watch:
    """What came back to G while D learned: at each look, |∇ L_G| and its spread over parts of the batch."""

    looks: list[int]  # steps of D
    size: list[float]
    spread: list[float]

    @property
    def orders(self) -> float:
        """By how many orders of magnitude the gradient fell from its largest; below zero it only grew."""
        return log10(max(self.size) / max(self.size[-1], 1e-300))


def thin(seed: int) -> Iterator[Tensor]:
    """The data: a closed curve in 64 dimensions."""
    curves, chance = Curves(seed), generator("vanishing", seed)
    while True:
        yield curves(Uniform(1).sample(BATCH, chance))


def flat(seed: int) -> Iterator[Tensor]:
    """Data that fill a part of their whole space: the ring, in the plane."""
    return (x for x, _ in batches(ring(), seed))


def players(dim: int, seed: int) -> tuple[Module, Module]:
    with seeded(torch.device("cpu"), "vanishing", dim, seed):
        spec = Spec(Vector(dim))
        return Generator(spec, Normal(2), 128, 3), Critic(spec, 128, 3, waves=0)


def generators(data: Iterator[Tensor], dim: int, seed: int, stages: dict[str, int]) -> dict[str, Module]:
    """G as it is after some rounds of a healthy game."""
    s = State.begin(*players(dim, seed))
    m = Method(penalties=ZERO, lr_G=constant(5e-4), lr_D=constant(1e-3), seed=seed)
    found, rounds = {}, 0
    for name, until in stages.items():
        while rounds < until:
            step(m, s, next(data))
            rounds += 1
        found[name] = copy.deepcopy(s.G)
    return found


def watched(G: Module, data: Iterator[Tensor], dim: int, m: Method, steps: int, seed: int, looks: int = 10) -> Watch:
    """Trains a fresh critic against G, which stays as it is, and looks at what G would be told."""
    s = State.begin(copy.deepcopy(G), players(dim, seed + 1)[1])
    x, z = next(data), s.G.prior.sample(BATCH, generator("vanishing, look"))  # type: ignore[union-attr]
    found = Watch([0], *[[v] for v in push(m, s, x, z)])
    for i in range(1, steps + 1):
        descend(m.critic_loss, m, s, s.D, next(data), None)
        s.seen += BATCH
        if i % max(steps // looks, 1) == 0:
            size, spread = push(m, s, x, z)
            found.looks.append(i)
            found.size.append(size)
            found.spread.append(spread)
    return found


def push(m: Method, s: State, x: Tensor, z: Tensor, parts: int = 8) -> tuple[float, float]:
    """|∇ L_G| over G's parameters, of the whole batch, and the root of its summed variance over parts of it."""
    s.G.requires_grad_(True)
    grads = []
    for part, noise in zip(x.chunk(parts), z.chunk(parts)):
        loss, _ = m.generator_loss(m, s, part, None, noise)
        grads.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss.mean(), list(s.G.parameters()))]))
    g = torch.stack(grads).double()
    return g.mean(0).norm().item(), g.var(0).sum().sqrt().item()


def run(seed: int = 0, effort: float = 1.0) -> Findings:
    """Every loss, alone and with R1 and R2, against a generator early, in the middle and late."""
    steps, stages = share(effort, 900), {name: share(effort, rounds, 0) for name, rounds in STAGES.items()}
    G = generators(thin(seed), DIM, seed, stages)
    base = Method(penalties=(), lr_D=constant(2e-3), beta1=0.5, seed=seed)

    def watch(stage: str, game: str, weighted: Weighted = ()) -> Watch:
        m = replace(base, loss=LOSSES[game], penalties=weighted)
        return watched(G[stage], thin(seed), DIM, m, steps, seed)

    alone = {stage: watch(stage, "minimax") for stage in stages}
    for stage, w in alone.items():
        text = f"minimax, {stage} generator: orders of magnitude that G's gradient loses in {steps:,} steps of D"
        yield at_least(text, w.orders, 3)

    others = {game: watch("middle", game) for game in GAMES[1:5]}
    others = {"minimax": alone["middle"], **others}
    grown = others["nonsaturating"].spread
    yield at_least(
        "with -log D instead, the gradient's spread grows: orders of magnitude", log10(grown[-1] / grown[0]), 1
    )
    kept = max(others[game].orders for game in ("nonsaturating", "hinge", "relativistic"))
    text = "non-saturating, hinge and relativistic losses do not vanish: most orders lost"
    yield at_most(text, kept, 1)

    least = others["least_squares"].orders
    yield at_most("least squares loses some: orders lost", least, 2)

    smooth = {game: watch("middle", game, ZERO) for game in GAMES}
    yield at_most("with R1 and R2 no loss does: most orders lost, of six", max(w.orders for w in smooth.values()), 1)
    earth = {stage: watch(stage, "wasserstein", ONE) for stage in stages}
    text = "Wasserstein with a gradient penalty loses less than one, early, middle and late: most orders lost"
    yield at_most(text, max(w.orders for w in earth.values()), 1)

    late = {"late": share(effort, 600, 0)}
    full = generators(flat(seed), 2, seed, late)["late"]
    m = replace(base, loss=LOSSES["minimax"])
    filled = watched(full, flat(seed), 2, m, steps, seed)
    note = "textbooks expect it to vanish always; it takes supports that can be parted"
    yield at_most("minimax where data and G fill the plane and overlap: orders lost", filled.orders, 1, note=note)
    yield Plot(lambda figure: draw(figure, alone, others, smooth, earth, filled))


def draw(figure, alone: dict, others: dict, smooth: dict, earth: dict, filled: Watch) -> None:
    from .drawing import CYCLE, GREY, titled

    left, middle, right = figure.subplots(1, 3, sharey=True)
    titled(left, "minimax, three generators", "steps of D", "|gradient| of G")
    for name, w in alone.items():
        left.semilogy(w.looks, w.size, label=name)
    left.semilogy(filled.looks, filled.size, ":", color=GREY, label="in the plane, late")
    titled(middle, "no penalty, middle generator", "steps of D")
    titled(right, "with R1 and R2 (or WGAN-GP)", "steps of D")
    for color, game in zip(CYCLE, GAMES):
        if game in others:
            middle.semilogy(others[game].looks, others[game].size, color=color, label=game.replace("_", " "))
        right.semilogy(smooth[game].looks, smooth[game].size, color=color, label=game.replace("_", " "))
    right.semilogy(earth["middle"].looks, earth["middle"].size, "--", color=CYCLE[5], label="wasserstein, WGAN-GP")
    for ax in (left, middle, right):
        ax.legend()
