"""How a loop is asked to stop: by Ctrl-C or SIGTERM, once, and everywhere at the same place."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from . import parallel


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
