"""Plain games lose modes of the data; the same networks, in the same time, with each cure: one table, a row a cure."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from statistics import mean
from typing import Any

from torch import Tensor
from torch.nn import Module

from .. import losses
from ..losses import Loss
from ..nets import vector
from ..penalties import Penalty, lecam, r1, r2, wgan_gp
from ..priors import Normal
from ..schedules import constant
from ..spaces import Spec
from ..train import Method
from ..worlds.points import Points
from .claims import Findings, Plot, at_least, at_most, share
from .points import batches, drawn, fresh, grid, played, ring, seeds

Players = Callable[[Spec, Normal], tuple[Module, Module]]


@dataclass(frozen=True)
class Row:
    """One way to play: what is changed of a plain game, and who plays."""

    method: dict[str, Any]
    players: Players = vector.plain


def row(loss: Loss, *weighted: tuple[Penalty, float], players: Players = vector.plain, **method: Any) -> Row:
    """A row of the table: a loss, penalties with their weights, other players, anything else of `Method`."""
    return Row(dict(loss=loss, penalties=tuple((p, constant(w)) for p, w in weighted)) | method, players)


GAME = Method(lr_G=constant(1e-3), lr_D=constant(1e-3), beta1=0.9)  # Adam as it comes out of the box
PLAIN = {
    "minimax": row(losses.minimax),
    "non-saturating": row(losses.nonsaturating),
    "least squares": row(losses.least_squares),
    "hinge": row(losses.hinge),
}
CURES = {  # each of the non-saturating game, if it names no other; one line a cure
    "no momentum": row(losses.nonsaturating, beta1=0.0),
    "R1 and R2": row(losses.nonsaturating, (r1, 0.1), (r2, 0.1)),
    "relativistic, R1 and R2, no momentum": row(losses.relativistic, (r1, 0.1), (r2, 0.1), beta1=0.0),
    "LeCam": row(losses.nonsaturating, (lecam, 0.3)),
    "WGAN-GP": row(losses.wasserstein, (wgan_gp, 1.0), critic_steps=3),
    "packs of three": row(losses.nonsaturating, players=partial(vector.plain, pack=3)),
    "minibatch spread": row(losses.nonsaturating, players=partial(vector.plain, group=4)),
}
WORLDS: dict[str, Callable[[], Points]] = {"ring": ring, "grid": grid}
LOOKS = 4  # over the second half of a game: modes that come and go are not held


@dataclass(frozen=True)
class End:
    """How one game ended: the mean of several looks, and the last points."""

    modes: float
    kl: float
    x: Tensor


def game(r: Row, world: Points, rounds: int, seed: int) -> End:
    """One game; a row with more turns of D for each of G has as many fewer rounds."""
    m = replace(GAME, seed=seed, **r.method)
    s, data = fresh(lambda: r.players(world.spec, Normal(2)), seed), batches(world, seed)
    rounds = rounds // m.critic_steps
    played(m, s, data, rounds // 2)
    looks = []
    for _ in range(LOOKS):
        played(m, s, data, rounds // (2 * LOOKS))
        looks.append(world.judge(drawn(s.G, world)))
    x = drawn(s.G, world)
    return End(mean(look["modes"] for look in looks), mean(look["kl"] for look in looks), x)


def table(
    rows: dict[str, Row], worlds: dict[str, Points], rounds: int, several: range
) -> dict[tuple[str, str], list[End]]:
    """The ends of every row's games, by row and world."""
    return {(row, w): [game(rows[row], worlds[w], rounds, k) for k in several] for row in rows for w in worlds}


def run(seed: int = 0, effort: float = 1.0) -> Findings:
    """Modes held over the second half of each game, on the ring and on the grid."""
    rounds, several = share(effort, 600, 8), seeds(seed, share(effort, 3))
    worlds = {name: make() for name, make in WORLDS.items()}
    found: dict[tuple[str, str], list[End]] = {}

    for name, of in PLAIN.items():
        found |= table({name: of}, worlds, rounds, several)
        for w, world in worlds.items():
            text = f"{w}: plain, {name}: mean modes held, of {len(world.centers)}"
            yield at_most(text, [e.modes for e in found[name, w]], 0.8 * len(world.centers), of=mean)
    for name, of in CURES.items():
        found |= table({name: of}, worlds, rounds, several)
        for w, world in worlds.items():
            text = f"{w}: {name}: mean modes held, of {len(world.centers)}"
            yield at_least(text, [e.modes for e in found[name, w]], 0.8 * len(world.centers), of=mean)

    yield Plot(lambda figure: draw(figure, found, worlds), (10.0, 6.4))


def draw(figure, found: dict[tuple[str, str], list[End]], worlds: dict[str, Points]) -> None:
    from .drawing import BLUE, GREY, INK, RUST, titled

    names = [*PLAIN, *CURES]
    shown = ["non-saturating", "no momentum", "R1 and R2", "WGAN-GP"]
    top, bottom = figure.subfigures(2, 1, height_ratios=[1, 1.15])
    for ax, (w, name) in zip(top.subplots(1, 4), [("ring", name) for name in shown]):
        ax.scatter(*worlds[w].centers.T.tolist(), s=60, facecolors="none", edgecolors=GREY, lw=0.8)
        ax.scatter(*found[name, w][-1].x[:800].T.tolist(), s=1.5, color=BLUE if name in CURES else RUST)
        ax.set(xlim=(-1.6, 1.6), ylim=(-1.6, 1.6), xticks=[], yticks=[], aspect="equal")
        titled(ax, name)
    for ax, (w, world) in zip(bottom.subplots(1, 2, sharey=True), worlds.items()):
        for i, name in enumerate(names):
            held = [e.modes for e in found[name, w]]
            ax.barh(i, mean(held), color=RUST if name in PLAIN else BLUE, alpha=0.6)
            ax.plot(held, [i] * len(held), "o", color=INK, ms=3)
        ax.axvline(len(world.centers), color=GREY, lw=0.6)
        ax.set_yticks(range(len(names)), names)
        titled(ax, f"{w}: modes held over the second half")
    bottom.axes[0].invert_yaxis()
