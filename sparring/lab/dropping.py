"""A generator that never draws three of the ten digits: each picture is fine, and some measures see no more."""

import numpy as np
import torch
from torch import Tensor

from .. import worlds
from ..chance import generator
from ..extractors import features, played
from ..extractors.untrained import RandomConv
from ..metrics import prdc
from .claims import Findings, Plot, at_least, at_most, equals, share
from .points import seeds

MISSING = 3
N = 650  # pictures on each side, of real handwriting: no picture is on both


def run(seed: int = 0, effort: float = 1.0) -> Findings:
    """Precision, recall, coverage and the histogram of labels, of all classes and of seven, over choices of three."""
    world = worlds.open("digits")
    x, y = world.draw(1438, seed)[0], world.labels(1438, seed)  # type: ignore[attr-defined]
    look = RandomConv(1, 8)
    h = features(look, played(x, world.spec.x))

    rows = []
    for s in seeds(seed, share(effort, 5)):
        chance = generator("dropping", s)
        order = torch.randperm(len(x), generator=chance)
        real, others = order[:N], order[N:]
        gone = torch.randperm(10, generator=chance)[:MISSING]
        kept = others[~torch.isin(y[others], gone)]
        few = min(len(kept), len(others))
        rows.append(
            {"whole": seen(h, real, others[:few]), "seven": seen(h, real, kept[:few]), "gone": gone, "kept": kept}
        )

    def change(name: str) -> list[float]:
        return [r["seven"][name].value - r["whole"][name].value for r in rows]

    text = "precision does not see it: change of precision"
    yield at_least(text, change("precision"), -0.02, of=min)
    yield at_least("density does not either: change of density", change("density"), -0.05, of=min)
    yield at_most("coverage falls, by most of the three tenths that are gone", change("coverage"), -0.2, of=max)
    yield at_most("recall falls as well", change("recall"), -0.1, of=max)

    sigma = [
        -c / (r["seven"]["coverage"].se ** 2 + r["whole"]["coverage"].se ** 2) ** 0.5
        for c, r in zip(change("coverage"), rows)
    ]
    yield at_least("coverage's fall, in its own standard errors", sigma, 5, of=min)

    truths = [world.judge(x[r["kept"]]) for r in rows]
    yield equals(
        "the histogram of labels counts the digits that are left", [t["modes"] for t in truths], 10 - MISSING, of=max
    )
    yield at_least("and its KL to the data's is large", [t["kl"] for t in truths], 0.25, of=min)

    yield Plot(lambda figure: draw(figure, rows, x, y))


def seen(h: Tensor, real: Tensor, fake: Tensor) -> dict:
    """Precision, recall, density and coverage of the pictures numbered `fake` against those numbered `real`."""
    return prdc(h[real], h[fake])


def draw(figure, rows: list, x: Tensor, y: Tensor) -> None:
    from .drawing import BLUE, INK, RUST, titled

    left, right = figure.subplots(1, 2, width_ratios=[1.4, 1])
    names = ("precision", "density", "recall", "coverage")
    for side, (kind, color, label) in enumerate((("whole", INK, "ten digits"), ("seven", RUST, "seven of ten"))):
        values = np.array([[r[kind][name].value for name in names] for r in rows])
        at, mean = np.arange(4) + 0.36 * side, values.mean(0)
        left.bar(at, mean, 0.34, color=color, alpha=0.75, label=label)
        left.errorbar(at, mean, [mean - values.min(0), values.max(0) - mean], fmt="none", color=INK, lw=0.8)
    left.set_xticks(np.arange(4) + 0.18, names)
    titled(left, "which measures see that three are gone")
    left.legend(loc="upper right", ncols=2)
    left.set_ylim(0, 1.35)

    counts = y[rows[0]["kept"]].bincount(minlength=10).tolist()
    right.bar(range(10), counts, color=BLUE)
    right.set_xticks(range(10))
    titled(right, "the histogram of labels does", "digit", "pictures")
