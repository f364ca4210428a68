"""A figure turns left or right.  Regression draws half of each, or nothing; a generator with coins draws one."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import Module
from torch.optim import Adam

from ..chance import generator, seeded
from ..nets.vector import Critic, Generator
from ..penalties import r1, r2
from ..priors import Bernoulli
from ..schedules import cosine
from ..spaces import Label, Spec, Vector
from ..train import Method, State, step
from .claims import Findings, Plot, at_least, at_most, share
from .points import seeds

SIDE, CROSSINGS, COINS = 8, 3, 4
SPEC = Spec(Vector(SIDE * SIDE), Label(CROSSINGS))


def frame(crossing: int, way: str) -> Tensor:
    """The next picture (64,): a figure of 2 × 2 pixels, come from below, has gone left, right or straight on."""
    x = -torch.ones(SIDE, SIDE)
    row = 2 * crossing + 1
    column, row = {"left": (0, row), "right": (6, row), "on": (3, row - 1)}[way]
    x[row : row + 2, column : column + 2] = 1
    return x.flatten()


def futures(ways: tuple[str, ...]) -> Tensor:
    """Every picture that may follow: (CROSSINGS, ways, 64)."""
    return torch.stack([torch.stack([frame(k, way) for way in ways]) for k in range(CROSSINGS)])


def batch(all_futures: Tensor, n: int, chance: torch.Generator) -> tuple[Tensor, Tensor]:
    """Pictures (n, 64) and the crossings (n,) that they follow; each way is equally likely."""
    c = torch.randint(CROSSINGS, (n,), generator=chance)
    return all_futures[c, torch.randint(all_futures.shape[1], (n,), generator=chance)], c


def generator_of(seed: int) -> Generator:
    with seeded(torch.device("cpu"), "average", seed):
        return Generator(SPEC, Bernoulli(COINS), width=128, depth=2)


def regressed(f: Callable[[Tensor], Tensor], ways: tuple[str, ...], steps: int, seed: int) -> Module:
    """The same network with the same coins, taught to come close: E f(G(z, c) - x) is lowered."""
    G, chance, truth = generator_of(seed), generator("regression", seed), futures(ways)
    opt = Adam(G.parameters(), 2e-3)
    for i in range(steps):
        opt.param_groups[0]["lr"] = 2e-3 * (1 - i / steps)
        x, c = batch(truth, 64, chance)
        opt.zero_grad()
        f(G(G.prior.sample(64, chance), c) - x).mean().backward()
        opt.step()
    return G


def played(ways: tuple[str, ...], steps: int, seed: int, n: int = 64) -> Module:
    """A generator with coins against a critic, by the library's own step."""
    G, chance, truth = generator_of(seed), generator("game", seed), futures(ways)
    with seeded(torch.device("cpu"), "average critic", seed):
        D = Critic(SPEC, width=128, depth=2, waves=0)
    s, rate = State.begin(G, D), cosine(2e-3, 0.0, steps * n)
    gamma = cosine(1.0, 0.05, steps * n)
    m = Method(penalties=((r1, gamma), (r2, gamma)), lr_G=rate, lr_D=rate, seed=seed)
    for _ in range(steps):
        step(m, s, *batch(truth, n, chance))
    return s.G


@torch.no_grad()
def drawn(G: Module, n: int = 200) -> Tensor:
    """n pictures at each crossing: (CROSSINGS, n, 64)."""
    z = G.prior.sample(n, generator("average, drawn"))  # type: ignore[union-attr]
    return torch.stack([G(z, torch.full((n,), k)) for k in range(CROSSINGS)])


def whole(x: Tensor, truth: Tensor) -> Tensor:
    """Which future each picture shows, or -1 if none whole: (CROSSINGS, n).

    Whole means that no figure's pixel, and no pixel where a figure could be, is off by more than a quarter of the way
    from dark to bright.
    """
    could = (truth > 0).any(1)  # (CROSSINGS, 64)
    off = (x[:, :, None] - truth[:, None]).abs() * could[:, None, None]
    best = off.amax(-1).min(-1)
    return torch.where(best.values < 0.5, best.indices, -1)


def run(seed: int = 0, effort: float = 1.0) -> Findings:
    """Squares, absolute differences and a critic, on the same pictures."""
    steps, two, three = share(effort, 1200), ("left", "right"), ("left", "on", "right")
    truth = futures(two)
    squares = drawn(regressed(torch.square, two, share(effort, 600), seed))
    mean = truth.mean(1, keepdim=True)
    yield at_most(
        "least squares draws the mean of both ways: root mean square from it",
        (squares - mean).square().mean().sqrt(),
        0.1,
    )
    yield at_most("so no figure is whole: share", (whole(squares, truth) >= 0).double().mean(), 0)

    absolute = drawn(regressed(torch.abs, three, share(effort, 600), seed))
    text = "with three ways, least absolute differences lets the figure vanish: brightest pixel, -1 is dark"
    yield at_most(text, absolute.max(), -0.8)

    several = [drawn(played(two, steps, k)) for k in seeds(seed, share(effort, 3))]
    shown = [whole(x, truth) for x in several]
    yield at_least("against a critic a figure is whole: share", [(w >= 0).double().mean().item() for w in shown], 0.9)
    rarest = [min((w == k).double().mean(1).min().item() for k in (0, 1)) for w in shown]
    yield at_least("and both ways are gone at every crossing: share of the rarest, of a half", rarest, 0.2)

    yield Plot(lambda figure: draw(figure, truth, squares, absolute, several[0]), (9.0, 3.9))


def draw(figure, truth: Tensor, squares: Tensor, absolute: Tensor, game: Tensor) -> None:
    axes = figure.subplots(CROSSINGS, 9)
    for k in range(CROSSINGS):
        row = [*truth[k], squares[k][0], absolute[k][0], *game[k][:5]]
        for ax, x in zip(axes[k], row):
            ax.imshow(x.view(SIDE, SIDE).numpy(), cmap="gray", vmin=-1, vmax=1)
            ax.set(xticks=[], yticks=[])
    titles = ["left", "right", "least\nsquares", "least abs.,\n3 ways", *[f"game,\ncoins {i + 1}" for i in range(5)]]
    for ax, title in zip(axes[0], titles):
        ax.set_title(title)
