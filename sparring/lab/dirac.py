"""The Dirac game: the data is the point 0, G is a point θ, and D a slope ψ.  The players meet, or circle for ever."""

from collections.abc import Callable, Sequence
from math import log
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import Module, Parameter

from .. import losses, penalties
from ..losses import Loss
from ..penalties import Penalty
from ..priors import Normal
from ..schedules import Schedule, constant, every
from ..train import Method, State, step
from ..turns import Turn
from .claims import Findings, Plot, at_least, at_most, equals

LOSSES = {
    "minimax": losses.minimax,
    "nonsaturating": losses.nonsaturating,
    "least squares ±1": losses.least_squares_to(fake=-1.0, real=1.0, goal=1.0),
    "hinge": losses.hinge,
    "wasserstein": losses.wasserstein,
    "relativistic": losses.relativistic,
}
PENALTIES: dict[str, tuple[tuple[Penalty, Schedule], ...]] = {
    "none": (),
    "R1": ((penalties.r1, constant(1.0)),),
    "R2": ((penalties.r2, constant(1.0)),),
    "WGAN-GP": ((penalties.wgan_gp, constant(1.0)),),
    "DRAGAN": ((penalties.dragan, constant(1.0)),),
}
SLOPE = 0.5  # f'(0) of the logistic losses
GAMMAS = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 4.0)


class Theta(Module):
    """G: the point itself, of n games at once; its noise does nothing."""

    def __init__(self, n: int, start: float = 1.0):
        super().__init__()
        self.prior = Normal(1)
        self.theta = Parameter(torch.full((n, 1), start, dtype=torch.float64))

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        return self.theta + 0


class Psi(Module):
    """D(x) = ψx, of n games at once."""

    def __init__(self, n: int, start: float = 1.0):
        super().__init__()
        self.psi = Parameter(torch.full((n, 1), start, dtype=torch.float64))

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        return (self.psi * x).squeeze(1)


class Path(NamedTuple):
    """Where n games went: (steps + 1, n)."""

    theta: Tensor
    psi: Tensor

    @property
    def radius(self) -> Tensor:
        return (self.theta.square() + self.psi.square()).sqrt()


def play(
    loss: Loss,
    weighted: Sequence[tuple[Penalty, Schedule]] = (),
    steps: int = 400,
    n: int = 1,
    lr: float = 0.1,
    start: float = 1.0,
    project: Callable[[Module], None] | None = None,
) -> Path:
    """n games side by side through the library's own step, with plain gradient descent: D moves, then G."""
    s = State.begin(Theta(n, start), Psi(n, start), torch.optim.SGD)
    rate = constant(lr * n)  # the loss is a mean over the games
    m = Method(loss, tuple(weighted), lr_G=rate, lr_D=rate, project=project)
    x = torch.zeros(n, 1, dtype=torch.float64)

    def places() -> Tensor:
        return torch.stack([s.G.theta, s.D.psi]).detach()[..., 0]  # type: ignore[arg-type]

    path = [places()]
    for _ in range(steps):
        step(m, s, x)
        path.append(places())
    return Path(*torch.stack(path, 1))


def side_by_side(*several: Loss) -> Loss:
    """A game each: the first loss for the first sample, the second for the second."""

    def each(player: str) -> Callable[[Tensor, Tensor], Tensor]:
        of = [getattr(loss, player) for loss in several]
        return lambda real, fake: torch.cat([f(r, g) for f, r, g in zip(of, real.split(1), fake.split(1))])

    return Loss(each("critic"), each("generator"))


def times(penalty: Penalty, gammas: Sequence[float]) -> Penalty:
    """The penalty, with a weight of its own in each game."""
    g = torch.tensor(gammas, dtype=torch.float64)

    def weighed(t: Turn) -> Tensor:
        return g * penalty(t)

    return weighed


def eigenvalue(gamma: float) -> complex:
    """The slower of -γ/2 ± √(γ²/4 - f'(0)²), a unit of time, of a game with R1 or R2 (Mescheder et al. 2018)."""
    return max((-gamma / 2 + sign * complex(gamma**2 / 4 - SLOPE**2) ** 0.5 for sign in (1, -1)), key=lambda v: v.real)


def run(seed: int = 0, effort: float = 1.0) -> Findings:
    """Rates against eigenvalues; the table of losses and penalties; what clipping, LeCam and laziness do."""
    lr = 0.05
    slow, rates = {}, {}
    for name, penalty in ("R1", penalties.r1), ("R2", penalties.r2):
        slow[name] = play(losses.minimax, [(times(penalty, GAMMAS), constant(1.0))], 1600, len(GAMMAS), lr, start=0.3)
        rates[name] = [decay(slow[name].radius[:, i]) / lr for i in range(len(GAMMAS))]
    for gamma in (0.25, 0.5, 2.0, 4.0):
        found = rates["R1"][GAMMAS.index(gamma)] / eigenvalue(gamma).real
        text = f"with R1, γ = {gamma:g}, the players meet at the rate {-eigenvalue(gamma).real:.3f}: measured over it"
        yield equals(text, found, 1, 0.05)
    off = max((abs(r / eigenvalue(g).real - 1) for r, g in zip(rates["R2"], GAMMAS) if g != 1), default=0)
    yield equals("R2's rates are those of R1: farthest from the eigenvalue, γ from .25 to 4, 1 left out", off, 0, 0.05)

    turn = turning(slow["R1"], GAMMAS.index(0.5)) / lr
    yield equals(
        "at γ = ½ they turn by √(f′² - γ²/4) a unit of time: measured over it", turn / eigenvalue(0.5).imag, 1, 0.05
    )
    fastest = GAMMAS[int(np.argmin(rates["R1"]))]
    yield equals("the fastest of eight γ is the critical 2 f′(0)", fastest, 2 * SLOPE)

    several = side_by_side(*LOSSES.values())
    table = {name: play(several, weighted, 400, len(LOSSES)) for name, weighted in PENALTIES.items()}
    last = {name: p.radius[-50:].max(0).values for name, p in table.items()}
    for name in ("R1", "R2"):
        yield at_most(f"with {name} all six losses meet: largest radius after 400 steps", last[name].max(), 1e-4)
    yield at_least("without a penalty none does: least radius", last["none"].min(), 0.05)
    for name in ("WGAN-GP", "DRAGAN"):
        text = f"{name} keeps a slope where the two agree, and none meets: least radius"
        yield at_least(text, last[name].min(), 0.05)

    orbit = table["none"].radius[:, list(LOSSES).index("minimax")]
    long = play(losses.nonsaturating, steps=3000).radius[:, 0]
    yield equals(
        "minimax alone orbits: its last width over its first", (orbit[-100:].max() / orbit[:100].max()), 1, 0.05
    )
    yield equals("the non-saturating loss alone creeps in as t^-½: measured power", power(long), -0.5, 0.1)

    lecam = play(losses.nonsaturating, [(penalties.lecam, constant(0.3))], 1000).radius[-100:].max()
    yield at_least("LeCam alone creeps as well: radius after 1,000 steps", lecam, 0.05)
    clipped = play(losses.wasserstein, steps=1000, project=penalties.clip(0.5)).radius[-200:].max()
    yield equals("a critic clipped to ±½ circles for ever, no nearer: radius after 1,000 steps", clipped, 0.5, 0.05)

    edges = (1.0, 1.5, 1.8, 1.9, 1.95, 2.05, 2.1, 2.2, 3.0)  # lr k γ
    k = 8
    lazy = times(penalties.r1, [e / (0.1 * k) for e in edges])
    n = len(edges)
    lazies = play(losses.minimax, [(lazy, every(k, n, constant(1.0)))], 1200, n, start=1e-3).radius
    grows = [(lazies[-k:, i].max() / lazies[0, i]).item() for i in range(n)]
    met = [e for e, g in zip(edges, grows) if g < 1]
    yield equals(
        "a lazy R1, every 8th step, flies apart from lr·k·γ = 2 on: largest that still meets",
        max(met, default=0.0),
        1.95,
        0.05,
    )
    yield at_least(
        "and every larger one does: growth of the slowest", min(g for e, g in zip(edges, grows) if e > 2), 1.1
    )

    yield Plot(lambda figure: draw(figure, slow, rates, table, last, edges, grows), (9.5, 6.0))


def decay(r: Tensor) -> float:
    """The slope of log r a step, by a line through the later two thirds, above the noise of numbers."""
    log_r = r.log()
    log_r = log_r[: int((log_r > log(1e-13)).long().cumprod(0).sum())]
    later = log_r[len(log_r) // 3 :].numpy()
    return float(np.polyfit(np.arange(len(later)), later, 1)[0])


def turning(p: Path, i: int) -> float:
    """The angle of game i a step."""
    angle = np.unwrap(torch.atan2(p.psi[:, i], p.theta[:, i]).numpy())
    later = angle[len(angle) // 4 :]
    return abs(float(later[-1] - later[0])) / (len(later) - 1)


def power(r: Tensor) -> float:
    """The slope of log r over log t, of the later nine tenths."""
    t = np.arange(1, len(r) + 1)
    start = len(r) // 10
    return float(np.polyfit(np.log(t[start:]), r.log().numpy()[start:], 1)[0])


def draw(figure, slow, rates, table, last, edges, grows) -> None:
    from .drawing import BLUE, GREY, INK, MOSS, RUST, titled

    ax = figure.subplot_mosaic([["paths", "rates", "lazy"], ["table"] * 3], height_ratios=[1.25, 1])
    paths = titled(ax["paths"], "where the players go", "θ", "ψ")
    minimax = list(LOSSES).index("minimax")
    for name, color in ("none", GREY), ("WGAN-GP", RUST), ("R1", BLUE):
        p = table[name]
        paths.plot(p.theta[:, minimax], p.psi[:, minimax], color=color, label=f"minimax, {name}")
    paths.plot(1, 1, "o", color=INK, ms=3)
    paths.legend(loc="lower right")
    paths.set_aspect("equal", adjustable="datalim")

    grid = np.linspace(0.02, 4.2, 200)
    titled(ax["rates"], "how fast they meet, by γ", "γ", "rate a unit of time")
    ax["rates"].plot(grid, [-eigenvalue(g).real for g in grid], color=GREY, label="-Re of the eigenvalue")
    for (name, found), mark in zip(rates.items(), "ox"):
        ax["rates"].plot(
            GAMMAS, [-r for r in found], mark, color=BLUE if name == "R1" else RUST, label=f"{name}, measured"
        )
    ax["rates"].legend()

    titled(ax["lazy"], "R1 every 8th step", "lr k γ", "radius after 1,200 steps, over the first")
    for e, g in zip(edges, grows):
        ax["lazy"].semilogy(e, g, "o", color=MOSS if g < 1 else RUST)
    ax["lazy"].axhline(1, color=GREY, lw=0.6)
    ax["lazy"].axvline(2, color=GREY, lw=0.6)

    grid = torch.stack([last[name].clamp_min(1e-6).log10() for name in last])
    ax["table"].imshow(grid.numpy(), aspect="auto", cmap="RdYlBu_r", vmin=-6, vmax=1, alpha=0.6)
    ax["table"].set_xticks(range(len(LOSSES)), list(LOSSES))
    ax["table"].set_yticks(range(len(last)), list(last))
    titled(ax["table"], "radius after 400 steps: blue meets")
    for i, name in enumerate(last):
        for j in range(len(LOSSES)):
            r = last[name][j].item()
            ax["table"].text(j, i, f"{r:.2f}" if r > 0.005 else f"{r:.0e}", ha="center", va="center")
