"""How a loop comes to its end: asked to by a signal, everywhere at the same place, or by what held-out data says."""

import signal
import statistics
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from . import parallel

Rows = Sequence[Mapping[str, Any]]  # of evaluations.jsonl, by rising "seen"


class Stop:
    """Whether somebody asked the run to stop; several processes stop at the same place."""

    asked: int = 0  # the signal's number
    signalled: int = 0

    def agreed(self, at: bool) -> int:
        """The signal's number, once all processes know of it; they talk about it where `at` is true."""
        if parallel.size() == 1 or (at and parallel.agree(bool(self.signalled))):
            self.asked = self.signalled or (signal.SIGTERM if parallel.size() > 1 else 0)
        return self.asked


@contextmanager
def stopping() -> Iterator[Stop]:
    """Inside, Ctrl-C and SIGTERM ask the loop to save and stop; a second Ctrl-C stops at once."""
    stop = Stop()

    def ask(number: int, frame: Any) -> None:
        stop.signalled = number
        signal.signal(signal.SIGINT, signal.default_int_handler)

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# -- what held-out data says ------------------------------------------------------------------------------------------


class Measured(NamedTuple):
    """One measure of one evaluation; se is 0 where none is known."""

    seen: int
    value: float
    se: float
    better: str  # lower or higher

    def beats(self, other: "Measured", by: float = 0.0) -> bool:
        gain = other.value - self.value if self.better == "lower" else self.value - other.value
        return gain > by


def series(rows: Rows, name: str) -> list[Measured]:
    """One measure of all evaluations that have it: of "metrics", or of the known "truth", where higher is better."""
    found = []
    for row in rows:
        m = (row.get("metrics") or {}).get(name)
        if m is None and (value := (row.get("truth") or {}).get(name)) is not None:
            m = {"value": value, "se": 0.0, "better": "lower" if name == "kl" else "higher"}
        if m is not None and m["value"] is not None:
            found.append(Measured(int(row["seen"]), m["value"], m.get("se") or 0.0, m["better"]))
    return found


def best(measured: Sequence[Measured]) -> Measured | None:
    """The best of them, the earlier of equals."""
    leader = None
    for m in measured:
        leader = m if leader is None or m.beats(leader) else leader
    return leader


def plateau(measured: Sequence[Measured], patience: int) -> str:
    """Why to stop, in words: over the last `patience` samples the median is no better than over those before.

    Better is better by more than its error.  Medians, for one measure may be lucky, and a game swings; of three
    measures at least, whatever the patience.  Empty where there is no reason.
    """
    last = [m for m in measured if m.seen > measured[-1].seen - patience]
    n = max(len(last), 3)
    then, now = measured[-2 * n : -n], measured[-n:]
    if len(then) < n:
        return ""
    a, b = (Measured(some[-1].seen, *middle(some), some[-1].better) for some in (then, now))
    told = lambda m: f"{m.value:.4g} ± {m.se:.2g}"
    if b.beats(a, by=max(a.se, b.se)):
        return ""
    return f"no better than {b.seen - a.seen:,} samples before ({told(a)} then, {told(b)} now, medians of {n} measures)"


def middle(measured: Sequence[Measured]) -> tuple[float, float]:
    """The median and its error, as if the measures were independent."""
    value, se = (statistics.median(getattr(m, k) for m in measured) for k in ("value", "se"))
    return value, se / len(measured) ** 0.5


def reached(measured: Sequence[Measured], target: float) -> str:
    """Why to stop, in words: the target is reached, by the value and not by its error.  Empty where it is not."""
    if not measured:
        return ""
    last = measured[-1]
    short = last.value > target if last.better == "lower" else last.value < target
    return "" if short else f"reached {last.value:.4g} ± {last.se:.2g}, which was to be {target:g}"
