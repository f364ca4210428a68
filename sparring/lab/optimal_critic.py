"""What the best critic knows: the share of real samples at every place, and so how far G is from the data."""

from collections.abc import Callable
from math import log

import torch
from torch import Tensor
from torch.nn import Module, Parameter

from ..chance import generator, seeded
from ..losses import DIVERGENCES, LOSSES, Loss, minimax
from ..metrics.divergences import js
from ..nets.vector import Critic
from ..priors import Normal
from ..schedules import cosine
from ..spaces import Spec, Vector
from ..train import Method, State, descend
from .claims import Findings, Plot, at_most, equals, share

LINE = torch.linspace(-8, 8, 3201, dtype=torch.float64)
THETAS = (0.0, 0.5, 1.0, 2.0, 4.0)  # G makes N(θ, 1); the data are two hills, at -1.5 and 1.5

F: dict[str, Callable[[Tensor], Tensor]] = {  # Nowozin et al. 2016: the divergence is Σ q f(p / q)
    "kl": lambda u: u * u.log(),
    "reverse_kl": lambda u: -u.log(),
    "pearson": lambda u: (u - 1) ** 2,
    "squared_hellinger": lambda u: (u.sqrt() - 1) ** 2,
    "jensen_shannon": lambda u: u * u.log() - (u + 1) * ((u + 1) / 2).log(),
    "gan": lambda u: u * u.log() - (u + 1) * (u + 1).log(),
    "total_variation": lambda u: (u - 1).abs() / 2,
}


class Shifted(Module):
    """G: N(θ, 1), and stays there."""

    def __init__(self, theta: float):
        super().__init__()
        self.prior = Normal(1)
        self.theta = Parameter(torch.tensor(theta))

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        return z + self.theta


def bell(x: Tensor, mean: float, std: float) -> Tensor:
    return (-((x - mean) ** 2) / (2 * std**2)).exp() / std


def data_at(x: Tensor) -> Tensor:
    """The density of the data, up to a factor."""
    return (bell(x, -1.5, 0.5) + bell(x, 1.5, 0.5)) / 2


def evenly(n: int) -> Tensor:
    """n numbers that lie as N(0, 1) does, without chance: the integral over them is a midpoint rule."""
    return torch.special.ndtri((torch.arange(n, dtype=torch.float64) + 0.5) / n).float()[:, None]


def hills(z: Tensor) -> Tensor:
    """The data, from N(0, 1): every other sample of the left hill."""
    side = torch.ones(len(z), 1)
    side[::2] = -1
    return 1.5 * side + 0.5 * z


def trained(theta: float, steps: int, seed: int, batch: int = 256) -> Critic:
    """A critic of minimax that has seen fresh data against N(θ, 1), by the library's own turn, and no penalty."""
    with seeded(torch.device("cpu"), "optimal-critic", seed, str(theta)):
        D = Critic(Spec(Vector(1)), width=64, depth=2, waves=0)
    s = State.begin(Shifted(theta), D)
    m = Method(minimax, penalties=(), lr_D=cosine(1e-2, 0.0, steps * batch), beta1=0.5, seed=seed)
    chance = generator("hills", seed)
    for _ in range(steps):
        descend(m.critic_loss, m, s, s.D, hills(torch.randn(batch, 1, generator=chance)), None)
        s.seen += batch
    return D


@torch.no_grad()
def value(D: Module, theta: float, n: int = 8192) -> float:
    """V = E log D(x) + E log(1 - D(G(z))): what the critic of minimax has reached."""
    z = evenly(n)
    twice = z.repeat_interleave(2, 0)  # both hills get every z
    return -minimax.critic(D(hills(twice)), D(theta + twice)).double().mean().item()


def run(seed: int = 0, effort: float = 1.0) -> Findings:
    """Critics trained against a generator held still, and against tables of probabilities."""
    steps = share(effort, 1200)
    critics = {theta: trained(theta, steps, seed) for theta in THETAS}

    p, q = data_at(LINE), bell(LINE, 1.0, 1.0)
    best = p / (p + q)
    with torch.no_grad():
        learned = critics[1.0](LINE.float()[:, None]).double().sigmoid()
    off = ((learned - best).abs() * (p + q)).sum() / (p + q).sum()
    yield at_most("a trained critic is p / (p + q): mean distance where samples are", off, 0.02)

    values = {theta: value(D, theta) for theta, D in critics.items()}
    truth = {theta: 2 * js(mass(data_at(LINE)), mass(bell(LINE, theta, 1.0))).item() - 2 * log(2) for theta in THETAS}
    gap = max(abs(values[t] - truth[t]) for t in THETAS)
    yield at_most("V(D*, G) = 2 JS - 2 log 2 along a path of generators: farthest trained critic", gap, 0.03)

    p, q = torch.rand(2, 12, generator=generator("tables", seed), dtype=torch.float64) + 0.02
    p, q = p / p.sum(), q / q.sum()
    v = climbed(minimax, p, p)
    yield equals(
        "where G is the data, the best critic says ½ everywhere: farthest", (v.sigmoid() - 0.5).abs().max(), 0, 1e-4
    )
    yield equals("and the value is -2 log 2", -expected(minimax, v, p, p), -2 * log(2), 1e-6)

    v = climbed(minimax, p, q)
    off = (v.sigmoid() - p / (p + q)).abs().max()
    yield equals("on a table of 12 places, D* = p / (p + q): farthest", off, 0, 1e-3)
    v = climbed(LOSSES["smoothed"], p, q)
    off = (v.sigmoid() - 0.9 * p / (p + q)).abs().max()
    yield equals("with one-sided labels of .9, D* = .9 p / (p + q): farthest", off, 0, 1e-3)

    above = []
    for name in DIVERGENCES:
        loss, truly = LOSSES[name], (q * F[name](p / q)).sum()
        found = -expected(loss, climbed(loss, p, q), p, q)
        yield equals(f"the critic of f-GAN finds the divergence: {name}", found, truly.item(), 1e-3)
        others = torch.randn(200, 12, generator=generator("others", seed), dtype=torch.float64)
        above += [(-expected(loss, v, p, q) - truly).item() for v in others]
    yield at_most("and no critic exceeds it: the best of 1,400 others, above its divergence by", max(above), 0)

    yield Plot(lambda figure: draw(figure, best, learned, values))


def mass(p: Tensor) -> Tensor:
    return p / p.sum()


def expected(loss: Loss, v: Tensor, p: Tensor, q: Tensor) -> Tensor:
    """The critic's loss when it says v (K,) at the K places where the data are with probability p and G with q."""
    K = len(v)
    pairs = loss.critic(v.repeat_interleave(K), v.repeat(K))  # every real place against every fake one
    return (pairs * torch.outer(p, q).flatten()).sum()


def climbed(loss: Loss, p: Tensor, q: Tensor) -> Tensor:
    """The scores (K,) that lower the critic's expected loss most, by L-BFGS."""
    v = torch.zeros_like(p).requires_grad_()
    opt = torch.optim.LBFGS(
        [v], max_iter=500, tolerance_grad=1e-10, tolerance_change=1e-14, line_search_fn="strong_wolfe"
    )

    def again() -> float:
        opt.zero_grad()
        cost = expected(loss, v, p, q)
        cost.backward()
        return cost.item()

    opt.step(again)
    return v.detach()


def draw(figure, best: Tensor, learned: Tensor, values: dict[float, float]) -> None:
    from .drawing import BLUE, GREY, INK, RUST, titled

    left, right = figure.subplots(1, 2)
    titled(left, "D against two hills of data and one of G (θ = 1)", "x")
    for density, color, name in (data_at(LINE), INK, "data"), (bell(LINE, 1.0, 1.0), BLUE, "G"):
        left.fill_between(LINE, density / 3, color=color, alpha=0.2, lw=0, label=name)
    left.plot(LINE, best, color=GREY, lw=3, label="p / (p + q)")
    left.plot(LINE, learned, color=RUST, label="trained critic")
    left.set(xlim=(-4, 5), ylim=(0, 1.05))
    left.legend(loc="upper right")

    titled(right, "what the critic reaches, as G moves away", "θ", "V")
    theta = torch.linspace(0, 4, 41).tolist()
    curve = [2 * js(mass(data_at(LINE)), mass(bell(LINE, t, 1.0))).item() - 2 * log(2) for t in theta]
    right.plot(theta, curve, color=GREY, lw=3, label="2 JS - 2 log 2")
    right.plot(*zip(*values.items()), "o", color=RUST, label="trained critics")
    right.axhline(-2 * log(2), color=INK, ls=":", lw=0.8, label="-2 log 2: G is the data")
    right.legend()
