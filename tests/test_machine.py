"""The machine is used well: memory is kept from step to step, and minutes are what they were said to be."""

import itertools
import platform
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from sparring import run as run_room
from sparring.data import open as opened
from sparring.recipe import plan
from sparring.settings import Recipe
from sparring.worlds import open as world

KEPT = """
import torch
from pathlib import Path
from sparring.machine import pick
resident = lambda: int(Path("/proc/self/statm").read_text().split()[1])
{} and pick("cpu", 1)
before = resident()
blocks = [torch.zeros(2**20) for _ in range(20)]  # of 4 MiB
held = resident() - before
del blocks
print((resident() - before) / held)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries cannot be told")
def test_freed_memory_stays_for_the_next_step():
    told = lambda kept: float(subprocess.check_output([sys.executable, "-c", KEPT.format(kept)]))
    assert told(False) < 0.2 < 0.8 < told(True)


@pytest.mark.parametrize(("slow", "slower"), [((), 1), (range(0, 400, 20), 1.2)])
def test_minutes_are_timed_with_what_comes_every_few_steps(monkeypatch, slow, slower):
    """Steps of a clock of our own: all alike; or each twentieth five times as long."""

    def clock():
        now = 0.0
        for k in itertools.count():
            yield now
            now += 0.02 * (5 if k in slow else 1)
            yield now

    ticks, data = clock(), opened(world("ring"))
    asked = Recipe(data="ring", minutes=1.0, batch=100, net="plain", width=4)
    r, _ = plan(asked, data, torch.device("cpu"))
    state = run_room.begin(r, data, torch.device("cpu"))
    monkeypatch.setattr(run_room, "time", SimpleNamespace(perf_counter=lambda: next(ticks)))
    samples = run_room.timed(r, state, data, torch.device("cpu"))
    assert samples == pytest.approx(0.9 * 60 / 0.02 * 100 / slower, rel=0.1)
