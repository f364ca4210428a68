"""What z is drawn from: textbooks say that it matters little.  Where it does, and where not."""

from statistics import median

from ..metrics import coverage
from ..priors import PRIORS, Mixture, Prior
from .claims import Findings, Plot, at_least, at_most, share
from .points import batches, drawn, fresh, listening, pair, played, ring, seeds, settling

DIMS = (2, 16, 128)
SMOOTH = ("normal", "uniform", "truncated", "sphere")  # one connected cloud
PLAYED = [
    *((name, 16) for name in PRIORS),
    ("normal", 2),
    ("normal", 128),
    ("bernoulli", 2),
    ("bernoulli", 128),
    ("sphere", 2),
]


def prior_of(name: str, dim: int) -> Prior:
    return Mixture(dim, components=8, std=0.3) if name == "mixture" else PRIORS[name](dim)


def outcome(prior: Prior, rounds: int, seed: int) -> dict[str, float]:
    """Modes, quality and coverage of the ring that this prior leads to."""
    world = ring()
    s = fresh(lambda: pair(world.spec, listening, prior), seed)
    played(settling(rounds, seed=seed), s, batches(world, seed), rounds)
    x, real = drawn(s.ema, world, 2000), world.draw(1000, 1, heldout=True)[0]
    return world.judge(x) | {"coverage": coverage(real, x[:1000]).value}


def run(seed: int = 0, effort: float = 1.0) -> Findings:
    """Six priors on the ring, some in fewer and more dimensions: modes, quality, coverage."""
    rounds, several = share(effort, 400), seeds(seed, share(effort, 3))
    found = {key: [outcome(prior_of(*key), rounds, k) for k in several] for key in PLAYED}

    def middle(what: str, name: str, dim: int = 16) -> float:
        return median(r[what] for r in found[name, dim])

    def apart(what: str) -> float:
        values = [middle(what, name) for name in SMOOTH]
        return max(values) - min(values)

    said = ", ".join(f"{name} {middle('quality', name):.2f}" for name in SMOOTH)
    text = "normal, uniform, truncated and sphere of 16 dimensions differ little: quality, highest less lowest"
    yield at_most(text, apart("quality"), 0.15, note=said)
    yield at_most("and they cover alike: coverage, highest less lowest", apart("coverage"), 0.15)
    worst = [min(found[name, 16][i]["modes"] for name in SMOOTH) for i in range(len(several))]
    yield at_least("each finds all eight modes", worst, 8)
    drift = [middle("quality", "normal", dim) for dim in DIMS]
    said = ", ".join(f"z of {d}: {q:.2f}" for d, q in zip(DIMS, drift))
    text = "nor does the size of a normal z matter, from 2 to 128: quality, highest less lowest"
    yield at_most(text, max(drift) - min(drift), 0.15, note=said)

    said = ", ".join(f"{dim} coins: {middle('coverage', 'bernoulli', dim):.2f}" for dim in DIMS)
    said += f"; normal, 16: {middle('coverage', 'normal'):.2f}"
    ratio = [a["coverage"] / b["coverage"] for a, b in zip(found["bernoulli", 16], found["normal", 16])]
    yield at_least(
        "textbooks: coins differ little as well; coverage of 16 coins over a normal z's", ratio, 0.9, note=said
    )
    coins = [r["modes"] for r in found["bernoulli", 2]]
    yield at_most("two coins have four outcomes: modes of eight", coins, 4, of=max)
    circle = [r["coverage"] for r in found["sphere", 2]]
    yield at_most("the sphere of two dimensions is a line, and cannot fill a mode: coverage", circle, 0.4)
    gain = [a["quality"] - b["quality"] for a, b in zip(found["mixture", 16], found["normal", 16])]
    yield at_least("a mixture of eight clouds fits eight modes: quality gained over one normal cloud", gain, 0.1)
    yield Plot(lambda figure: draw(figure, found))


def draw(figure, found: dict) -> None:
    from .drawing import CYCLE, titled

    left, right = figure.subplots(1, 2)
    for ax, what in ((left, "quality"), (right, "coverage")):
        titled(ax, f"{what}, by prior and dimensions of z")
        for i, name in enumerate(PRIORS):
            for j, dim in enumerate(DIMS):
                values = [r[what] for r in found.get((name, dim), [])]
                ax.plot(
                    [i + 0.25 * (j - 1)] * len(values),
                    values,
                    "o",
                    ms=4,
                    color=CYCLE[j],
                    label=f"{dim}" if name == "normal" else None,
                )
        ax.set_xticks(range(len(PRIORS)), list(PRIORS))
        ax.set_ylim(0, 1.02)
        ax.legend(title="dimensions", loc="lower left")
