"""A run killed at random moments, again and again, ends where an undisturbed one ends, bit for bit: results/kill.json.

    python benchmarks/kill.py [--times 50]

Checkpoints are written every few steps, so that many of the kills fall into the writing of one.
"""

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import record
import torch

from sparring.folder import RunFolder

STEPS, BATCH, EVERY = 4000, 64, 4
OPTIONS = ["--samples", STEPS * BATCH, "--batch", BATCH, "--checkpoint_every", EVERY * BATCH, "--threads", 1]
OPTIONS += ["--evaluate_every", 10**9, "--sample_every", 10**9, "--evaluate_final", 200]


def command(*argv: object) -> list[str]:
    return [sys.executable, "-m", "sparring", *map(str, argv)]


def weights(run: Path) -> dict[str, torch.Tensor]:
    saved = RunFolder(run).load()
    assert saved is not None
    return {f"{player}/{k}": v for player in ("G", "D", "ema") for k, v in saved["state"][player].items()}


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--times", type=int, default=50)
    args = p.parse_args()
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    moments, kills, lost = random.Random(0), [], []
    with tempfile.TemporaryDirectory() as scratch:
        straight, killed = Path(scratch) / "straight", Path(scratch) / "killed"
        subprocess.run(command("train", "ring", *OPTIONS, "--run", straight), check=True, **quiet)

        process = subprocess.Popen(command("train", "ring", *OPTIONS, "--run", killed), **quiet)
        while len(kills) < args.times and process.poll() is None:
            before = [c.name for c in RunFolder(killed).checkpoints()]
            while process.poll() is None and [c.name for c in RunFolder(killed).checkpoints()] == before:
                time.sleep(0.002)
            time.sleep(moments.uniform(0, 0.25))
            process.send_signal(signal.SIGKILL)
            process.communicate()
            writing = bool(list((killed / "checkpoints").glob(".aside*")))
            kills.append({"at": int(RunFolder(killed).checkpoints()[-1].name), "while_writing": writing})
            process = subprocess.Popen(command("resume", killed), **quiet)
        _, said = process.communicate()
        if process.returncode:
            lost.append(said[-500:])
        a, b = weights(straight), weights(killed)
        equal = a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)

    document = {
        "proof": "kill",
        "command": f"python benchmarks/kill.py --times {args.times}",
        "held": equal and not lost and len(kills) == args.times,
        "bitwise_equal": equal,
        "kills": len(kills),
        "while_writing": sum(k["while_writing"] for k in kills),
        "moments": kills,
        "failed": lost,
    }
    record.write("kill", document, threads=1)
    print({k: document[k] for k in ("held", "bitwise_equal", "kills", "while_writing", "failed")})


if __name__ == "__main__":
    main()
