"""Thin sets in a wide space: the data and G are curves in 64 dimensions.  They hardly ever meet, and D knows it all."""

from math import log, pi, sqrt

import torch
from torch import Tensor
from torch.nn import Module, Parameter

from ..augment import instance_noise
from ..chance import generator, seeded
from ..losses import minimax
from ..metrics import wasserstein
from ..nets.vector import Critic
from ..priors import Uniform
from ..schedules import constant, cosine
from ..spaces import Spec, Vector
from ..train import Method, State, descend
from ..turns import Augment
from .claims import Findings, Plot, at_least, at_most, share

DIM = 64
DISTANCES = (4.0, 2.0, 1.0, 0.5)  # of G's curve from the data's, whose points are √64 = 8 from the middle
NOISE = 1.0  # of the cure, along each axis


class Curves:
    """A closed curve in 64 dimensions, and one that winds around it at a distance, so that no plane parts the two."""

    def __init__(self, seed: int):
        axes = torch.linalg.qr(torch.randn(DIM, 6, generator=generator("curves", seed)))[0].T
        self.along, self.around = axes[:4], axes[4:]

    def __call__(self, turn: Tensor, distance: float = 0.0) -> Tensor:
        """Points (n, 64) at `turn` (n, 1) from -1 to 1, `distance` away from the data's curve."""
        t = pi * turn
        flat = sqrt(DIM / 2) * torch.cat([t.cos(), t.sin(), (2 * t).cos(), (2 * t).sin()], 1)
        return flat @ self.along + distance * torch.cat([(3 * t).cos(), (3 * t).sin()], 1) @ self.around


class Still(Module):
    """G: the second curve, held still."""

    def __init__(self, curves: Curves, distance: float):
        super().__init__()
        self.prior, self.curves = Uniform(1), curves
        self.distance = Parameter(torch.tensor(distance))

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        return self.curves(z, self.distance.item())


def trained(curves: Curves, distance: float, glass: Augment | None, steps: int, seed: int, batch: int = 128) -> State:
    """A critic of minimax that has seen both curves through the glass."""
    with seeded(torch.device("cpu"), "supports", seed):
        D = Critic(Spec(Vector(DIM)), width=128, depth=3, waves=0)
    s = State.begin(Still(curves, distance), D)
    m = Method(minimax, (), augment=glass, lr_D=cosine(1e-3, 0.0, steps * batch), beta1=0.5, seed=seed)
    chance = generator("supports", seed)
    for _ in range(steps):
        descend(m.critic_loss, m, s, s.D, curves(Uniform(1).sample(batch, chance)), None)
        s.seen += batch
    return s


@torch.no_grad()
def known(s: State, curves: Curves, glass: Augment | None, n: int = 10_000) -> tuple[float, float]:
    """Of fresh points: how many D tells rightly, and how much JS its value shows."""
    chance = generator("supports, fresh")
    real, fake = curves(Uniform(1).sample(n, chance)), s.G(Uniform(1).sample(n, chance))
    with seeded(torch.device("cpu"), "supports, fresh"):
        see = glass(real, {}, 0) if glass else lambda x: x
        d_real, d_fake = s.D(see(real)), s.D(see(fake))
    right = ((d_real > 0).double().mean() + (d_fake < 0).double().mean()) / 2
    return right.item(), log(2) - minimax.critic(d_real, d_fake).double().mean().item() / 2


def nearness(dim: int, seed: int, n: int = 400) -> float:
    """The least distance of two random closed curves, over the way between neighbouring points of one."""
    t = torch.arange(n) * (2 * pi / n)
    waves = torch.stack([t.cos(), t.sin(), (2 * t).cos(), (2 * t).sin()], 1)
    a, b = (waves @ torch.randn(4, dim, generator=generator("nearness", dim, seed, side)) for side in "ab")
    way = (a - a.roll(1, 0)).norm(dim=1).mean()
    return (torch.cdist(a, b).min() / way).item()


def run(seed: int = 0, effort: float = 1.0) -> Findings:
    """Critics against curves ever nearer, with and without noise before their eyes."""
    flat, wide = ([nearness(dim, 100 * seed + k) for k in range(100)] for dim in (2, DIM))
    crossing = sum(v < 1 for v in flat) / len(flat)
    yield at_least("two random closed curves in the plane cross: share of 100 pairs", crossing, 0.9)
    text = "in 64 dimensions they never come near: least distance, in steps along a curve"
    yield at_least(text, min(wide), 5)

    curves = Curves(seed)
    steps = share(effort, 600)
    sharp = {d: known(trained(curves, d, None, steps, seed), curves, None) for d in DISTANCES}
    noisy = instance_noise(constant(NOISE))
    blurred = {d: known(trained(curves, d, noisy, steps, seed), curves, noisy) for d in DISTANCES}
    turn = torch.linspace(-1, 1, 401)[:-1, None]
    earth = {d: wasserstein(curves(turn), curves(turn, d)).value for d in DISTANCES}

    least = min(right for right, _ in sharp.values())
    yield at_least(
        "a perfect critic is found at every distance: least share of fresh points told rightly", least, 0.999
    )
    text = "so JS stays at log 2 wherever G is: least that a critic's value shows, over log 2"
    yield at_least(text, min(js for _, js in sharp.values()) / log(2), 0.98)
    yield at_most("while W falls as G comes nearer: at the last distance over the first", earth[0.5] / earth[4.0], 0.2)

    yield at_most(
        "with noise before D its eyes no longer suffice: told rightly at the last distance", blurred[0.5][0], 0.75
    )
    js = [js for _, js in blurred.values()]
    yield at_least("and JS falls at every step nearer: least fall", min(a - b for a, b in zip(js, js[1:])), 0.02)
    yield Plot(lambda figure: draw(figure, sharp, blurred, earth, wide))


def draw(figure, sharp: dict, blurred: dict, earth: dict, wide: list) -> None:
    from .drawing import BLUE, GREY, INK, RUST, titled

    left, right = figure.subplots(1, 2)
    d = list(sharp)
    titled(left, "what D knows, as G's curve nears the data's", "distance", "told rightly")
    left.plot(d, [sharp[k][0] for k in d], "o-", color=INK, label="as they are")
    left.plot(d, [blurred[k][0] for k in d], "o-", color=BLUE, label="with noise")
    left.axhline(0.5, color=GREY, lw=0.6)
    left.set(ylim=(0.48, 1.02))
    left.legend()

    titled(right, "what it would tell G", "distance")
    right.axhline(log(2), color=GREY, lw=0.6)
    right.plot(d, [sharp[k][1] for k in d], "o-", color=INK, label="JS shown by D: log 2 everywhere")
    right.plot(d, [blurred[k][1] for k in d], "o-", color=BLUE, label="the same, with noise")
    right.plot(d, [earth[k] / 4 for k in d], "o-", color=RUST, label="W / 4")
    right.set(ylim=(-0.02, 1.1))
    right.legend(loc="upper left")
