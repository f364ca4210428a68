"""What an experiment yields: claims, each with what was expected and what was measured, and one plot."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from math import inf, isfinite, isnan
from statistics import median
from typing import TYPE_CHECKING, Any, Literal

from torch import Tensor

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Claim:
    """One sentence that can turn out false, and the number that decides it."""

    text: str
    measured: float
    expected: float
    tolerance: float = 0.0  # of the measured number, in its own unit
    relation: Literal["is", "at most", "at least"] = "is"
    runs: tuple[float, ...] = ()  # of each seed, where several were played; `measured` says what of them in `text`
    note: str = ""  # what was found, where that is not what textbooks say

    @property
    def holds(self) -> bool:
        """Whether the measured number is, or is within, the expected one, give or take the tolerance."""
        if isnan(self.measured):
            return False
        if self.relation == "at most":
            return self.measured <= self.expected + self.tolerance
        if self.relation == "at least":
            return self.measured >= self.expected - self.tolerance
        return self.measured == self.expected or abs(self.measured - self.expected) <= self.tolerance

    def line(self) -> str:
        """The claim for a reader at a terminal."""
        bound = "" if self.relation == "is" else f"{self.relation} "
        give = f" ± {short(self.tolerance)}" if self.tolerance else ""
        seeds = f", over {len(self.runs)} seeds {short(min(self.runs))} to {short(max(self.runs))}" if self.runs else ""
        verdict = "holds  " if self.holds else "DIFFERS"
        line = f"{verdict}  {self.text}: {short(self.measured)}  (expected {bound}{short(self.expected)}{give}{seeds})"
        return line + (f"\n         {self.note}" if self.note else "")

    def row(self, experiment: str, seconds: tuple[float, float]) -> dict[str, Any]:
        """The claim in JSON; numbers that JSON does not know are "infinity", "-infinity" or null."""
        return {
            "experiment": experiment,
            "claim": self.text,
            "relation": self.relation,
            "expected": plain(self.expected),
            "measured": plain(self.measured),
            "tolerance": self.tolerance,
            "holds": self.holds,
            "seconds": round(seconds[0], 2),
            "cpu_seconds": round(seconds[1], 2),
            "runs": [plain(v) for v in self.runs],
            "note": self.note,
        }


@dataclass(frozen=True)
class Plot:
    """One picture of an experiment, drawn when it is asked for."""

    draw: "Callable[[Figure], None]"
    inches: tuple[float, float] = (9.0, 3.4)


Findings = Iterator[Claim | Plot]
Experiment = Callable[..., Findings]  # (seed: int, effort: float) -> claims as they are measured, then a plot


@dataclass
class Result:
    """What an experiment found, and how long each claim took."""

    name: str
    claims: list[Claim] = field(default_factory=list)
    seconds: list[tuple[float, float]] = field(default_factory=list)  # by the clock, and of the processor
    plot: Plot | None = None

    def rows(self) -> list[dict[str, Any]]:
        return [claim.row(self.name, seconds) for claim, seconds in zip(self.claims, self.seconds)]


Measured = float | Tensor | Sequence[float]
Of = Callable[[Sequence[float]], float]


def equals(
    text: str, measured: Measured, expected: float, tolerance: float = 0.0, of: Of = median, note: str = ""
) -> Claim:
    """The number is the expected one, give or take the tolerance; of several seeds' numbers, `of` them is."""
    value, runs = one(measured, of)
    return Claim(text, value, expected, tolerance, "is", runs, note)


def at_most(text: str, measured: Measured, bound: float, of: Of = median, note: str = "") -> Claim:
    """The number, or of several seeds' numbers what `of` says, is no larger than the bound."""
    value, runs = one(measured, of)
    return Claim(text, value, bound, 0.0, "at most", runs, note)


def at_least(text: str, measured: Measured, bound: float, of: Of = median, note: str = "") -> Claim:
    """The number, or of several seeds' numbers what `of` says, is no smaller than the bound."""
    value, runs = one(measured, of)
    return Claim(text, value, bound, 0.0, "at least", runs, note)


def one(measured: Measured, of: Of) -> tuple[float, tuple[float, ...]]:
    """The number that decides, and those of all seeds where there are several."""
    if isinstance(measured, Sequence):
        return float(of(measured)), tuple(float(v) for v in measured)
    return float(measured), ()


def share(effort: float, whole: int, least: int = 1) -> int:
    """So many of `whole` steps or seeds as the effort allows."""
    return max(least, round(whole * effort))


def short(v: float) -> str:
    return f"{v:.4g}"


def plain(v: float) -> float | str | None:
    if isfinite(v):
        return v
    return None if isnan(v) else "infinity" if v == inf else "-infinity"
