"""How long a person waits before anything is said."""

import os
import subprocess
import sys
import time
from pathlib import Path

TRIES, MOST = 3, 5.0  # seconds


def processor_seconds(pid):
    """What a process has had of the processor: what it would have waited on a machine of its own, with one thread."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return float("inf")
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def until_training(run):
    """Seconds from the command to the first line of progress of its training; the processor's, if those are fewer."""
    argv = [sys.executable, "-m", "sparring", "train", "ring", "--samples", "640", "--batch", "64"]
    began = time.monotonic()
    with subprocess.Popen([*argv, "--threads", "1", "--run", run], stderr=subprocess.PIPE, text=True) as process:
        try:
            for line in process.stderr:
                if line.startswith("training: "):
                    return min(time.monotonic() - began, processor_seconds(process.pid))
        finally:
            process.kill()
    raise AssertionError("training ended without a line of progress")


def test_training_tells_its_progress_within_five_seconds(tmp_path):
    waited = []
    while len(waited) < TRIES and min(waited, default=MOST) >= MOST:
        waited.append(until_training(tmp_path / str(len(waited))))
    assert min(waited) < MOST, waited
