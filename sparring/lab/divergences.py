"""Three ways to say how far a generator is from the data, and which of them can still tell where nothing overlaps."""

from math import inf, log

import torch
from torch import Tensor

from ..chance import generator
from ..metrics import divergences as d
from ..metrics import frechet, moments, sliced, wasserstein
from .claims import Findings, Plot, at_least, at_most, equals

LINE = torch.linspace(-30, 30, 60_001, dtype=torch.float64)  # fine and wide enough for every Gaussian here
PILES = torch.tensor([[3.0, 2, 1, 4], [1, 2, 4, 3]])  # the lecture's: from the first row to the second
THETAS = torch.arange(-8, 9) / 4.0


def run(seed: int = 0, effort: float = 1.0) -> Findings:
    """KL, JS and W₁ against closed forms, on piles, and on two parallel lines."""
    p, q = normal(0, 1), normal(1, 2)
    forward, backward = d.kl(p, q).item(), d.kl(q, p).item()
    yield equals("KL(N(0,1) ‖ N(1,2²)), summed, is its closed form", forward, normal_kl(0, 1, 1, 2), 1e-6)
    yield equals("the other way round it is another closed form", backward, normal_kl(1, 2, 0, 1), 1e-6)
    yield at_least("KL is not symmetric: the two differ by", abs(forward - backward), 0.1)

    dice = torch.tensor([[0.5, 0.25, 0.25], [0.25, 0.25, 0.5]], dtype=torch.float64)
    yield equals("KL((½,¼,¼) ‖ (¼,¼,½)) is log(2) / 4", d.kl(*dice), log(2) / 4, 1e-12)

    pairs = torch.rand(2, 1000, 8, generator=generator("pairs", seed), dtype=torch.float64)
    pairs = pairs * (pairs > 0.5)  # many zeros: some pairs hardly overlap
    pairs = pairs[:, (pairs.sum(-1) > 0).all(0)]
    a, b = pairs / pairs.sum(-1, keepdim=True)
    gap = (d.js(a, b) - d.js(b, a)).abs().max().item()
    yield equals("JS is symmetric: the largest gap between its two ways, of 1,000 random pairs", gap, 0, 1e-12)
    yield at_most("JS never exceeds log 2: the largest of those", d.js(a, b).max(), log(2) + 1e-12)

    yield equals("moving the piles (3,2,1,4) to (1,2,4,3) costs 5", d.earth(*PILES), 5, 1e-6)

    x, y = torch.randn(2, 20_000, 1, generator=generator("clouds", seed))
    y = 1.5 + 2 * y
    ratio = sliced(x, y, lines=2).value / frechet(moments(x), moments(y))
    yield equals("W₂² of two Gaussian clouds on a line, over their Fréchet distance", ratio, 1, 0.01)

    lines = [(theta, *parallel(theta)) for theta in THETAS.tolist()]
    apart = [(theta, kl, js, w) for theta, kl, js, w in lines if theta]
    least = min(kl for _, kl, _, _ in apart)
    yield equals("parallel lines: KL is infinite at every distance θ ≠ 0; the least of 16", least, inf)
    yield equals("parallel lines: JS is log 2 at every θ ≠ 0; farthest from it", farthest(apart, 2, log(2)), 0, 1e-9)
    off = max(abs(w - abs(theta)) for theta, _, _, w in lines)
    yield equals("parallel lines: W is |θ| at every θ; farthest from it", off, 0, 1e-6)
    together = max(v for theta, *row in lines if not theta for v in row)
    yield equals("parallel lines: at θ = 0 all three are zero; the largest", together, 0, 1e-6)
    slope = (lines[-1][3] - lines[-2][3]) / (lines[-1][0] - lines[-2][0])
    flat = (lines[-1][2] - lines[-2][2]) / (lines[-1][0] - lines[-2][0])
    yield equals("so JS gives no slope to descend at θ = 2", flat, 0, 1e-9)
    yield equals("and W the slope 1", slope, 1, 1e-6)

    yield Plot(lambda figure: draw(figure, lines))


def normal(mean: float, std: float) -> Tensor:
    """A Gaussian as probabilities of the places of LINE."""
    p = (-((LINE - mean) ** 2) / (2 * std**2)).exp()
    return p / p.sum()


def normal_kl(m: float, s: float, mean: float, std: float) -> float:
    """KL(N(m, s²) ‖ N(mean, std²))."""
    return log(std / s) + (s**2 + (m - mean) ** 2) / (2 * std**2) - 0.5


def parallel(theta: float, n: int = 64) -> tuple[float, float, float]:
    """KL, JS and W₁ of two upright lines a distance theta apart, each of n points with mass 1/n.

    Points with the same height at theta = 0 are one place; elsewhere no two are, so the lines share no place at all.
    """
    height = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    x, y = (torch.stack([torch.full_like(height, at), height], 1) for at in (0.0, theta))
    places, which = torch.cat([x, y]).unique(dim=0, return_inverse=True)
    p, q = (which[part].bincount(minlength=len(places)).double() / n for part in (slice(n), slice(n, None)))
    return d.kl(p, q).item(), d.js(p, q).item(), wasserstein(x, y).value


def farthest(rows: list, column: int, from_: float) -> float:
    return max(abs(row[column] - from_) for row in rows)


def draw(figure, lines: list) -> None:
    from .drawing import BLUE, GREY, INK, RUST, titled

    left, middle, right = figure.subplots(1, 3)
    for ax, title, at, std in (left, "two Gaussians", 1.0, 1.0), (middle, "narrower, and apart", 4.0, 0.5):
        titled(ax, title, "x")
        p, q = normal(-at, std), normal(at, 1.5 * std)
        for v, color in (p, INK), (q, BLUE):
            ax.fill_between(LINE, v, color=color, alpha=0.25, lw=0)
            ax.plot(LINE, v, color=color)
        ax.set(xlim=(-7, 7), yticks=[], ylim=(0, 1.5 * float(p.max())))
        ways = normal_kl(-at, std, at, 1.5 * std), normal_kl(at, 1.5 * std, -at, std)
        said = f"KL {ways[0]:.1f} one way, {ways[1]:.1f} the other\nJS {d.js(p, q):.3f}\nW {d.earth(p, q, LINE):.2f}"
        ax.text(0.03, 0.97, said, transform=ax.transAxes, va="top")

    titled(right, "parallel lines, θ apart", "θ")
    right.plot(*zip(*[(theta, w) for theta, _, _, w in lines]), color=RUST, label="W = |θ|")
    for side in (-1, 1):
        there = [(theta, js) for theta, _, js, _ in lines if theta * side > 0]
        right.plot(*zip(*there), color=BLUE, label="JS = log 2" if side > 0 else None)
    right.axhline(2.3, color=GREY, ls=":", label="KL = ∞")
    right.plot(0, 0, "o", color=INK, ms=4, label="all three at θ = 0")
    right.set_ylim(-0.1, 3.6)
    right.legend(loc="upper center", ncols=2)
