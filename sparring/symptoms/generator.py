"""What may be wrong with the generator: that nothing reaches it, that it goes round, or that its average is late."""

from __future__ import annotations

from statistics import mean, median

from .history import Finding, History, holds, needs, numbers, windows


@needs("push", "slope/fake", "accuracy/heldout")
def vanishing_gradient(h: History, through: float = 0.02, sure: float = 0.95) -> Finding | None:
    """D is right about every fake, and the loss lets nothing of its slope through: the better D, the less G is told.

    Goodfellow et al. 2014, Section 3; Arjovsky & Bottou 2017 measured a fall of five orders in 4,000 steps of D.
    """
    w = windows(h, "push", "slope/fake", "accuracy/heldout")
    since = holds(w, lambda push, slope, right: right > sure and push < through * slope, least=1)
    if since is None:
        return None
    push, slope, right = w[-1].values
    return Finding(
        "vanishing gradient",
        since,
        f"of D's slope at fakes, {slope:.3g}, the loss lets {push / max(slope, 1e-300):.1e} through, while D puts "
        f"{right:.1%} of real examples above fakes",
        "--loss nonsaturating, or --loss relativistic with --r1 1 --r2 1",
    )


@needs("push|G/step", "G/grad|D/step")
def generator_frozen(h: History, lost: float = 1e-6, still: float = 1e-6) -> Finding | None:
    """G does not move: no gradient arrives, though the critic has a slope, or its steps are next to nothing."""
    w = windows(h, "push", "G/grad")
    since = holds(w, lambda push, grad: push > 1e-9 and grad <= lost * push, least=1)
    if since is not None:
        push, grad = w[-1].values
        return Finding(
            "generator frozen",
            since,
            f"D would push each fake by {push:.2g}, and the gradient of G's parameters is {grad:.1e}",
            "look into G for a .detach(), a rounding, or units that are all off; another --net, or a fresh --seed",
        )

    steps = windows(h, "G/step", "D/step")
    if len(steps) < 2 or max(step for _, (step, _) in steps) > still or steps[0].values[1] < 10 * still:
        return None
    return Finding(
        "generator frozen",
        steps[0].seen,
        f"a step of G is {steps[-1].values[0]:.1e} of its weights, and never was above {still:g}; D's are "
        f"{steps[-1].values[1]:.1e}",
        "raise --lr to that of --lr_D",
    )


@needs("swing", "score/average", "score/drawn", "score/train", "coverage", "G/average")
def average_lags(
    h: History, far: float = 0.3, behind: float = 1.0, good: float = 0.2, apart: float = 0.2
) -> Finding | None:
    """The average generator is far behind a G that draws well: D finds its samples plainly worse than G's."""
    w = windows(h, "swing", "score/average", "score/drawn", "score/train", "coverage", "G/average")

    def late(swing: float, average: float, drawn: float, train: float, coverage: float, weights: float) -> bool:
        worse = drawn - average > behind * max(abs(train - drawn), 1e-9)
        return worse and swing > far and weights > apart and coverage > good

    since = holds(w, late, least=max(3, len(w) // 4))
    if since is None:
        return None
    swing, average, drawn, _, _, weights = w[-1].values
    return Finding(
        "average lags",
        since,
        f"samples of the average generator lie {swing:.0%} of the data's spread from G's, D scores them {average:.2g} "
        f"where G's get {drawn:.2g}, and the weights are {weights:.0%} apart",
        "--average 0.02 or less (in a loop of your own, a shorter halflife)",
    )


@needs("swing", "coverage")
def oscillation(h: History, wide: float = 0.55, good: float = 0.25, share: float = 0.2) -> Finding | None:
    """G goes round: it swings widely about its own average, and covers next to nothing of the data for all that.

    The autocorrelation of the score gap, where it has a clear period, is named as further evidence.
    """
    w = windows(h, "swing", "coverage")
    since = holds(w, lambda swing, coverage: swing > wide and coverage < good, least=max(4, round(share * len(w))))
    if since is None:
        return None
    swing, coverage = w[-1].values
    return Finding(
        "oscillation",
        since,
        f"fakes swing by {swing:.0%} of the data's spread about those of the average generator, and cover "
        f"{coverage:.0%} of the data{period(h)}",
        "--beta1 0, half of --lr, and --r1 1 --r2 1",
    )


def period(h: History) -> str:
    """In words, the period of the score gap, if its autocorrelation has a trough below -.3 and then a peak above .3."""
    rows = list(numbers(h, ("score/real", "score/fake")))
    gap = [real - fake for _, (real, fake) in rows][len(rows) // 2 :]
    peak = autocorrelation_peak(gap)
    if peak is None:
        return ""
    lag, height = peak
    usual = median(b[0] - a[0] for a, b in zip(rows, rows[1:]))
    return f"; the score gap returns every {lag * usual:,.0f} samples (autocorrelation {height:.2f})"


def autocorrelation_peak(x: list[float], low: float = -0.3, high: float = 0.3) -> tuple[int, float] | None:
    """The lag and height of the highest peak, above `high`, after a trough below `low`; None if there is none."""
    n = len(x)
    m = mean(x) if x else 0.0
    centred = [v - m for v in x]
    power = sum(v * v for v in centred)
    if n < 16 or power == 0:
        return None
    r = [sum(a * b for a, b in zip(centred, centred[lag:])) / power for lag in range(n // 2)]
    trough = next((lag for lag, v in enumerate(r) if v < low), None)
    if trough is None:
        return None
    lag = max(range(trough, len(r)), key=r.__getitem__)
    return (lag, r[lag]) if r[lag] > high else None
