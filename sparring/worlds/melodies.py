"""Simple tunes by rule: four bars over four chords, small steps, a leap turned back, and home at the end.

A token is a note: its pitch and how long it lasts, spelled in ABC notation (C is middle C, c an octave above; D2 lasts
two eighths), so a tune can be given to any program that plays ABC.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from sparring.sequences import END, closed

from .automaton import Automaton, Strings
from .grammar import lengths, spaced

PITCHES = "CDEFGABcdefga"  # of C major, from middle C
LASTS = (1, 2, 3, 4)  # eighths
WORDS = ("", *(f"{p}{'' if n == 1 else n}" for p in PITCHES for n in LASTS))
BARS, BAR = 4, 8  # bars; eighths to one
CHORDS = ((0, 2, 4), (3, 5, 0), (4, 6, 1), (0, 2, 4))  # of each bar, as steps above the tonic: I IV V I
STEPS = {0: 0.10, 1: 0.28, 2: 0.12, 3: 0.04, 4: 0.03}  # how likely a note is so many steps up or down from the last
LEAP = 3  # steps from which on the next note must turn back, by one step or two
RHYTHM = {1: 0.25, 2: 0.5, 3: 0.1, 4: 0.15}


class Place(NamedTuple):
    """Where a tune stands after some notes."""

    time: int  # eighths since the beginning
    pitch: int  # of the last note; -1 before the first
    back: int  # the direction in which a leap must turn back: 1, -1, or 0


def fits(time: int, lasts: int) -> bool:
    """A note may begin here and last so long: eighths between beats, long ones at half bars, none over a half bar
    unless it is on the beat."""
    at = time % (BAR // 2)
    return lasts == 1 if at % 2 else at + lasts <= BAR // 2


def in_harmony(time: int, pitch: int) -> bool:
    """At half bars stand notes of the bar's chord."""
    return time % (BAR // 2) != 0 or pitch % 7 in CHORDS[time // BAR]


def at_home(time: int, pitch: int, lasts: int) -> bool:
    """The last half bar is the tonic alone."""
    return time < BARS * BAR - BAR // 2 or (pitch % 7 == 0 and lasts == BAR // 2)


def likely(before: int, pitch: int, back: int) -> float:
    """How likely a pitch follows another, relative; 0 where the rules forbid it."""
    if before < 0:
        return float(pitch % 7 in CHORDS[0])
    step = pitch - before
    if back and not 1 <= step * back <= 2:
        return 0.0
    return STEPS.get(abs(step), 0.0)


def turned(before: int, pitch: int) -> int:
    """The direction in which the next note must turn back."""
    step = pitch - before
    return 0 if before < 0 or abs(step) < LEAP else -1 if step > 0 else 1


def moves(place: Place) -> Iterator[tuple[float, int, Place]]:
    time, before, back = place
    if time == BARS * BAR:
        yield 1.0, END, place
        return
    for pitch in range(len(PITCHES)):
        for i, lasts in enumerate(LASTS):
            weight = likely(before, pitch, back) * RHYTHM[lasts]
            if weight and fits(time, lasts) and in_harmony(time, pitch) and at_home(time, pitch, lasts):
                yield weight, 1 + len(LASTS) * pitch + i, Place(time + lasts, pitch, turned(before, pitch))


def also(x: Tensor) -> dict[str, float]:
    """Which rules tunes (N, L) keep, each by itself: shares of tunes, of real ones 1.

    in_time    notes begin and last as the bars ask, and fill all four
    smooth     no step is above a fifth, and leaps are turned back
    harmony    of notes at half bars, the share that is of the chord
    home       the last note is the tonic
    """
    kept, harmony = {"in_time": 0, "smooth": 0, "home": 0}, []
    for row in closed(x).tolist():
        time, before, back, in_time, smooth = 0, -1, 0, True, True
        for token in (t - 1 for t in row if t != END):
            pitch, lasts = token // len(LASTS), LASTS[token % len(LASTS)]
            in_time &= time < BARS * BAR and fits(time, lasts)
            smooth &= before < 0 or likely(before, pitch, back) > 0
            if time < BARS * BAR and time % (BAR // 2) == 0:
                harmony.append(in_harmony(time, pitch))
            time, before, back = time + lasts, pitch, turned(before, pitch)
        kept["in_time"] += in_time and time == BARS * BAR
        kept["smooth"] += smooth and before >= 0
        kept["home"] += before % 7 == 0 and before >= 0
    shares = {name: n / max(len(x), 1) for name, n in kept.items()}
    return shares | {"harmony": torch.tensor(harmony, dtype=torch.float64).mean().item() if harmony else 0.0}


def melodies(size: int | None = None) -> Strings:
    """Tunes of at most `size` notes, 24 if left out."""
    automaton = Automaton(Place(0, -1, 0), moves, len(WORDS), lengths(size, 24, 10))  # type: ignore[arg-type]
    return Strings("melodies", "simple tunes by rule, as notes", automaton, spaced(WORDS), (20_000, 4_000), also)
