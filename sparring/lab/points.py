"""The small games that several experiments play: points of the plane, plain perceptrons, the library's own step."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from math import pi
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module
from torch.optim import Adam, Optimizer

from ..chance import generator, seeded
from ..nets.vector import Critic, Generator
from ..penalties import r1, r2
from ..priors import Normal, Prior
from ..schedules import cosine
from ..spaces import Spec
from ..train import Batch, Method, State, step
from ..worlds.points import Points

BATCH = 128

Pair = Callable[[], tuple[Module, Module]]
Critics = Callable[[Spec], Module]


def ring(std: float = 0.05) -> Points:
    """The world `ring`, with wider modes: small players see them within seconds."""
    angle = torch.arange(8) * (pi / 4)
    return Points("ring", "8 Gaussians on the unit circle", torch.stack([angle.cos(), angle.sin()], 1), std)


def grid(std: float = 0.1) -> Points:
    """The world `grid`, with wider modes."""
    line = torch.arange(-4.0, 5.0, 2.0)
    return Points("grid", "25 Gaussians on a 5 × 5 grid", torch.cartesian_prod(line, line), std)


def plain(spec: Spec) -> Critic:
    """A critic that hears no waves, as in textbooks."""
    return Critic(spec, width=64, depth=3, waves=0)


def listening(spec: Spec) -> Critic:
    """The library's own critic for points, a little smaller."""
    return Critic(spec, width=64, depth=3, waves=24, fastest=60.0)


def pair(spec: Spec, critic: Critics = plain, prior: Prior | None = None) -> tuple[Module, Module]:
    return Generator(spec, prior or Normal(2), 64, 3), critic(spec)


def fresh(make: Pair, seed: int, optimizer: Callable[..., Optimizer] = Adam) -> State:
    """Two players who have not played yet; their weights are this seed's."""
    with seeded(torch.device("cpu"), "lab players", seed):
        return State.begin(*make(), optimizer)


def settling(rounds: int, top: float = 2e-3, gamma: float = 0.3, **more: Any) -> Method:
    """The library's recipe made short: the relativistic loss, R1 and R2, all rates falling to their end."""
    rate, weight = cosine(top, 0.0, rounds * BATCH), cosine(gamma, gamma / 50, rounds * BATCH)
    m = Method(penalties=((r1, weight), (r2, weight)), lr_G=rate, lr_D=rate, halflife=lambda seen: seen / 20)
    return replace(m, **more)


def batches(world: Points, seed: int, size: int = BATCH, labels: bool = False, n: int = 50_000) -> Iterator[Batch]:
    """Endless batches of n points; with `labels`, of each point's mode too."""
    x, _ = world.draw(n, seed)
    c = torch.cdist(x, world.centers).argmin(1) if labels else None
    x, chance = world.spec.x.encode(x), generator("lab batches", seed)
    while True:
        at = torch.randint(n, (size,), generator=chance)
        yield x[at], None if c is None else c[at]


def played(m: Method, s: State, data: Iterator[Batch], rounds: int) -> State:
    """The players after so many rounds more: G moves once in each."""
    for _ in range(rounds * m.critic_steps):
        step(m, s, *next(data))
    return s


@torch.no_grad()
def drawn(G: Module, world: Points, n: int = 2500, c: Tensor | None = None) -> Tensor:
    """n points of a generator as they lie in the world; the same noise every time."""
    z = G.prior.sample(n, generator("lab drawn"))  # type: ignore[union-attr]
    return world.spec.x.decode(G(z, c))


def obeyed(G: Module, world: Points, n: int = 2000) -> float:
    """The share of points that lie nearest to the mode that was asked for."""
    c = torch.arange(n) % len(world.centers)
    x = drawn(G, world, n, c)
    return (torch.cdist(x, world.centers).argmin(1) == c).double().mean().item()


def seeds(seed: int, n: int) -> range:
    """The n seeds of an experiment that begins at `seed`."""
    return range(1000 * seed, 1000 * seed + n)
