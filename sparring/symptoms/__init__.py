"""What the numbers mean.  A symptom is a function of the history and gives a finding or nothing.

    from sparring import diagnose
    for finding in diagnose(history):           # rows such as {"seen": 6400, "score/real": .8, "score/fake": -.3}
        print(*finding, sep="\\n")

Symptoms only read numbers that a run has written: they judge a live run and a run of last year alike.  They look at
medians over windows of samples seen, never at one row, and say nothing where the keys that they need are missing.
To add one: write a function History -> Finding | None, here into SYMPTOMS or for yourself into `diagnose`.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

from .critic import (
    clip_too_loose,
    clip_too_tight,
    critic_blind,
    critic_overfits,
    critic_unbounded,
    critic_wins,
    exploding_slope,
)
from .data import data_faults, far_off
from .generator import average_lags, generator_frozen, oscillation, vanishing_gradient
from .history import ROWS, Finding, History, Symptom, Window, holds, needs, number, seen_of, windows
from .samples import augmentation_leak, collapse, condition_ignored, copying, modes_missing, noise_ignored, one_future
from .texts import entropy_collapse, length_collapse, repetition, reward_saturation

__all__ = [
    "ROWS",
    "SYMPTOMS",
    "Finding",
    "Symptom",
    "Window",
    "data_faults",
    "diagnose",
    "far_off",
    "holds",
    "needs",
    "unable",
    "windows",
]


def not_finite(h: History) -> Finding | None:
    """A number is NaN or infinite: nothing learned after it means anything."""
    for row in h:
        if lost := [k for k, v in row.items() if isinstance(v, float) and not isfinite(v)]:
            return Finding(
                "not finite",
                seen_of(row),
                f"{', '.join(lost)} became NaN or infinite",
                "go on from a checkpoint before it with half of --lr and --lr_D, or with --r1 and --r2 raised tenfold; "
                "keep to bfloat16 or float32, for float16 breaks this kind of training",
            )
    return None


SYMPTOMS: tuple[Symptom, ...] = (  # what is the cause stands before what it brings about
    not_finite,
    clip_too_tight,
    clip_too_loose,
    generator_frozen,
    vanishing_gradient,
    critic_unbounded,
    exploding_slope,
    augmentation_leak,
    condition_ignored,
    noise_ignored,
    one_future,
    copying,
    critic_overfits,
    average_lags,
    oscillation,
    critic_blind,
    reward_saturation,
    entropy_collapse,
    length_collapse,
    repetition,
    collapse,
    critic_wins,
    modes_missing,
)


def diagnose(h: History, symptoms: Sequence[Symptom] = SYMPTOMS) -> list[Finding]:
    """What the symptoms find in the rows of a run, in their order: the first is the likeliest cause of the others.

    Rows are mappings with "seen", samples seen so far, and any of the keys that `sparring.probes.probe` and a step's
    own numbers have: "score/real", "score/fake", "D/loss", "G/loss", …  Where no row has "seen", rows are counted.
    """
    if not any("seen" in row for row in h):
        h = [{"seen": i, **row} for i, row in enumerate(h)]
    return [finding for symptom in symptoms if (finding := symptom(h)) is not None]


def unable(h: History, symptoms: Sequence[Symptom] = SYMPTOMS) -> dict[str, list[str]]:
    """Of each symptom that these rows cannot show: the keys that are missing."""
    known = {key for row in h for key, v in row.items() if number(v)}
    lacks = lambda key: not any(k in known for k in key.split("|"))
    lacking = {f.__name__.replace("_", " "): [k for k in getattr(f, "needs", ()) if lacks(k)] for f in symptoms}
    return {name: keys for name, keys in lacking.items() if keys}
