"""How a loop comes to its end: asked to by a signal, everywhere at the same place, or by what held-out data says."""

import signal
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
    """Why to stop, in words: for `patience` samples nothing was better than before by over one standard error.

    Empty where there is no reason.
    """
    if not measured:
        return ""
    last, leader = measured[-1], measured[0]
    for m in measured[1:]:
        leader = m if m.beats(leader, by=max(m.se, leader.se)) else leader
    if last.seen - leader.seen < patience:
        return ""
    return (
        f"no better for {last.seen - leader.seen:,} samples than at {leader.seen:,} "
        f"({leader.value:.4g} ± {leader.se:.2g} then, {last.value:.4g} ± {last.se:.2g} now)"
    )


def reached(measured: Sequence[Measured], target: float) -> str:
    """Why to stop, in words: the target is reached, by the value and not by its error.  Empty where it is not."""
    if not measured:
        return ""
    last = measured[-1]
    short = last.value > target if last.better == "lower" else last.value < target
    return "" if short else f"reached {last.value:.4g} ± {last.se:.2g}, which was to be {target:g}"
