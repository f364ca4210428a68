"""What is gathered between two lines of the log, and which step of them went wrong first."""

import time

import torch
from torch import Tensor

from . import parallel
from .train import Method, State, Stats


class Tally:
    """Means over all samples between two lines of the log; nothing waits for a device before a line is due."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Begins anew, with nothing gathered and nothing carried."""
        self.steps: list[tuple[int, dict[str, Tensor]]] = []  # (samples seen before it, mean of each number)
        self.carried: dict[str, Tensor] = {}  # name -> (steps,), from before a stop
        self.since, self.samples = time.monotonic(), 0

    def add(self, stats: Stats, at: int) -> None:
        """The numbers of one step, and how many samples had been seen before it."""
        self.steps.append((at, {name: values.mean() for name, values in stats.items()}))
        self.samples += len(stats["D/loss"]) * parallel.size()

    def row(self, m: Method, s: State) -> dict[str, float]:
        """The means, the rates, what memory holds; and begins anew."""
        gathered = self.save()
        means = torch.stack([values.mean() for values in gathered.values()])
        rate = self.samples / max(time.monotonic() - self.since, 1e-9)
        rates = {"G/lr": m.lr_G(s.seen), "D/lr": m.lr_D(s.seen), "images_per_second": rate}
        memory = {k: v.item() for k, v in s.memory.items() if v.ndim == 0}
        self.clear()
        return dict(zip(gathered, means.tolist())) | rates | memory

    def first_lost(self) -> tuple[int, list[str]] | None:
        """The first step with a number that is not finite: samples seen before it, and the numbers' names."""
        for at, means in self.steps:
            if lost := [name for name, v in means.items() if not v.isfinite()]:
                return at, lost
        return None

    def save(self) -> dict[str, Tensor]:
        """What was added since the last line, a mean over all processes for each step: name -> (steps,)."""
        names = dict.fromkeys(name for _, means in self.steps for name in means)
        new = {name: torch.stack([means[name] for _, means in self.steps if name in means]) for name in names}
        if new:
            new = dict(zip(new, parallel.mean(torch.cat(list(new.values()))).split([len(v) for v in new.values()])))
        like = next(iter(new.values()), None)
        old = {name: values if like is None else values.to(like) for name, values in self.carried.items()}
        return old | {name: torch.cat([old[name], v]) if name in old else v for name, v in new.items()}

    def load(self, saved: dict[str, Tensor]) -> None:
        """Goes on from what `save` gave."""
        self.carried = dict(saved)
