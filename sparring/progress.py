"""What a person sees while they wait, on standard error: a live bar in a terminal, now and then a line elsewhere."""

import sys
import time
from collections.abc import Callable


def clock(seconds: float) -> str:
    """Minutes and seconds, or hours and minutes."""
    whole = round(seconds)
    return f"{whole // 60}:{whole % 60:02d} min" if whole < 3600 else f"{whole // 3600}:{whole % 3600 // 60:02d} h"


def tell(line: str) -> None:
    """One line of news."""
    print(line, file=sys.stderr, flush=True)


class Progress:
    """Counts from `start` to `total`; `update(done, note)` may be called as often as you like.

    In a terminal a bar that redraws itself; otherwise a line at most every `pause` seconds, the first at once.
    shown: whether anything is; of many processes one is enough.
    """

    def __init__(self, what: str, total: int, start: int = 0, pause: float = 15.0, shown: bool = True):
        self.what, self.total, self.start, self.pause = what, total, start, pause
        self.began, self.last = time.monotonic(), float("-inf") if shown else float("inf")
        self.bar = None
        if shown and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%")
            self.bar = Bar(
                *columns, TimeRemainingColumn(), TextColumn("{task.fields[note]}"), console=Console(stderr=True)
            )
            self.bar.start()
            self.task = self.bar.add_task(what, total=total, completed=start, note="")

    def update(self, done: int, note: str = "") -> None:
        if self.bar is not None:
            self.bar.update(self.task, completed=done, note=note)
        elif (now := time.monotonic()) - self.last > self.pause:
            if self.last < self.began:  # whatever comes first takes longest
                self.began, self.start = now, done
            self.last = now
            rate = (done - self.start) / max(now - self.began, 1e-9)
            left = f", {clock((self.total - done) / rate)} left" if rate > 0 and done < self.total else ""
            tell(f"{self.what}: {done:,} of {self.total:,}{left}{'; ' + note if note else ''}")

    def close(self) -> None:
        if self.bar is not None:
            self.bar.stop()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def bar(what: str, least: float = 2.0) -> Callable[[int, int], None]:
    """progress(done, total) that shows itself once it has taken `least` seconds, and ends at the total."""
    shown: list[Progress] = []
    began = time.monotonic()

    def progress(done: int, total: int) -> None:
        if not shown and time.monotonic() - began > least and done < total:
            shown.append(Progress(what, total, done))
        for p in shown:
            p.update(done)
            if done >= total:
                p.close()

    return progress
