"""What the numbers mean.  A symptom is a function of the history and gives a finding or nothing.

Symptoms only read numbers that a run has written: they judge a live run and a run of last year alike.  They look at
medians over windows of samples seen, never at one row, and say nothing where the keys that they need are missing.
To add one: write a function History -> Finding | None, here into SYMPTOMS or for yourself into `diagnose`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import isfinite
from statistics import median
from typing import Any, NamedTuple

History = Sequence[Mapping[str, Any]]  # rows of stats.jsonl, by rising "seen"; any row may lack any key


class Finding(NamedTuple):
    """What is wrong, and what to do."""

    name: str
    since: int  # samples seen
    evidence: str  # the numbers, in words
    advice: str  # what to change first


Symptom = Callable[[History], Finding | None]


class Window(NamedTuple):
    """Medians over the rows of a stretch of the run."""

    seen: int  # of its first row
    values: tuple[float, ...]


def not_finite(h: History) -> Finding | None:
    """A number is NaN or infinite: nothing learned after it means anything."""
    for row in h:
        if lost := [k for k, v in row.items() if isinstance(v, float) and not isfinite(v)]:
            return Finding(
                "not finite",
                _seen(row),
                f"{', '.join(lost)} became NaN or infinite",
                "go on from a checkpoint before it with half the learning rate, or with r1 and r2 raised tenfold; "
                "keep to bfloat16 or float32, for float16 breaks this kind of training",
            )
    return None


def critic_unbounded(h: History, limit: float = 100.0) -> Finding | None:
    """The scores of real and fake part without end: nothing keeps D smooth.

    The gap is beyond `limit` and half as large again as when half the samples had been seen.
    """
    w = windows(h, "score/real", "score/fake")
    gaps = [Window(seen, (abs(real - fake),)) for seen, (real, fake) in w]
    since = holds(gaps, lambda gap: gap > limit)
    if since is None:
        return None

    last = gaps[-1].values[0]
    half = [g.values[0] for g in gaps if g.seen <= gaps[-1].seen / 2]
    if half and last < 1.5 * half[-1]:
        return None
    return Finding(
        "critic unbounded",
        since,
        f"the scores of real and fake lie {last:,.0f} apart, above {limit:g}, and part further",
        "add r1 and r2, or raise their weight tenfold; a Wasserstein loss needs them, wgan_gp or clipping",
    )


def critic_wins(h: History, margin: float = 4.0, loss: float = 0.02) -> Finding | None:
    """D tells real from fake by far: it has stopped learning, and G learns from a critic that is only right.

    The gap of the scores is above `margin`, or D's loss below `loss` and not below zero.  A loss that is linear in the
    scores, as Wasserstein's, falls as fast as the gap grows; there a wide gap alone is no sign.
    """
    w = windows(h, "score/real", "score/fake", "D/loss") or [
        Window(seen, (*scores, float("nan"))) for seen, scores in windows(h, "score/real", "score/fake")
    ]

    def wins(real: float, fake: float, d_loss: float) -> bool:
        gap = real - fake
        return (gap > margin and not d_loss < -gap / 2) or (gap > 0 and 0 <= d_loss < loss)

    since = holds(w, wins, least=2)
    if since is None:
        return None
    real, fake, d_loss = w[-1].values
    said = f", and D's loss is {d_loss:.3g}" if isfinite(d_loss) else ""
    return Finding(
        "critic wins",
        since,
        f"the scores of real and fake lie {real - fake:.2g} apart{said}",
        "raise r1 and r2; with few examples augment (ada); or give D fewer channels",
    )


def collapse(h: History, floor: float = 0.25, healthy: float = 0.5) -> Finding | None:
    """Fakes differ far less from one another than real samples do.

    `spread` is below `floor` after it had been above `healthy`, or for long: a generator begins with hardly any.
    """
    w = windows(h, "spread")
    fell = any(spread > healthy for _, (spread,) in w)
    since = holds(w, lambda spread: spread < floor, least=2 if fell else 12)
    if since is None:
        return None
    return Finding(
        "collapse",
        since,
        f"fakes have {w[-1].values[0]:.0%} of the spread of the data" + ("" if fell else ", and never had half of it"),
        "use the relativistic loss with r1 and r2, or halve the learning rate",
    )


SYMPTOMS: tuple[Symptom, ...] = (not_finite, critic_unbounded, critic_wins, collapse)


def diagnose(h: History, symptoms: Sequence[Symptom] = SYMPTOMS) -> list[Finding]:
    """What the symptoms find, in their order."""
    return [finding for symptom in symptoms if (finding := symptom(h)) is not None]


# What symptoms are made of -------------------------------------------------------------------------------------------


def windows(h: History, *keys: str, rows: int = 5, most: int = 40) -> list[Window]:
    """Medians of the keys, one window after the other; the last ends at the last row and is as full as the others.

    A window is a fortieth of the samples seen (1 / most), yet no fewer than `rows` rows of usual distance.  Rows count
    that have all keys, as finite numbers; where they are fewer than `rows`, there is no window.
    """
    kept = list(_numbers(h, keys))
    if len(kept) < rows:
        return []
    seen = [at for at, _ in kept]
    usual = median(b - a for a, b in zip(seen, seen[1:]))
    width = max(rows * usual, seen[-1] / most, 1)

    stretches: dict[int, list[tuple[int, tuple[float, ...]]]] = {}
    for at, values in kept:
        stretches.setdefault(int((seen[-1] - at) / width), []).append((at, values))
    full = [stretches[i] for i in sorted(stretches, reverse=True) if len(stretches[i]) >= rows or i == 0]
    return [Window(s[0][0], tuple(median(column) for column in zip(*(values for _, values in s)))) for s in full]


def holds(w: Sequence[Window], bad: Callable[..., bool], least: int = 1) -> int | None:
    """Since when all windows to the last are bad; None if fewer than `least` are."""
    since = None
    for i, (seen, values) in enumerate(reversed(w)):
        if not bad(*values):
            return since if i >= least else None
        since = seen
    return since if len(w) >= least else None


def _numbers(h: History, keys: Sequence[str]) -> Iterator[tuple[int, tuple[float, ...]]]:
    for row in h:
        values = tuple(row.get(k) for k in ("seen", *keys))
        if all(map(_number, values)):
            yield _seen(row), values[1:]  # type: ignore[misc]


def _number(v: Any) -> bool:
    return isinstance(v, int | float) and -1e150 < v < 1e150  # what is left can be subtracted and divided


def _seen(row: Mapping[str, Any]) -> int:
    seen = row.get("seen", 0)
    return int(seen) if _number(seen) else 0
