"""What `--stop plateau` saves of a generous budget, and what it costs: results/stopping.json.

    python benchmarks/stopping.py --log FILE [--seeds 3] [--worlds ring,digits,…]

Each world is played twice with four times the samples that benchmarks/faults.py gives it: to the end of the budget, and
until held-out data shows no more gain.  The log has a line a run, and a later call goes on where it ended.
"""

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

import record
from faults import HEALTHY, WORLDS, play, silent

GENEROUS = 4
HIGHER = {"coverage"}  # what is better higher; of the others, lower
BARS = {"saved": 0.4, "lost": 0.03}


def measure(world: str) -> str:
    """By what the run itself judges."""
    return "coverage" if world == "ring" else "fid"


def run_of(world: str, seed: int, stop: str) -> dict[str, Any]:
    n = GENEROUS * WORLDS[world]["samples"]
    changes = dict(samples=n, stop=stop, evaluate_every=n // 48, evaluate_n=1000, evaluate_final=1000)
    found = play(dict(fault="", way=0, world=world, seed=seed, changes=changes))
    name = measure(world)
    values = [(row["seen"], row[name]) for row in found["measures"]]
    return dict(world=world, seed=seed, stop=stop, seconds=found["seconds"], budget=n, measure=name, values=values)


def pair(full: dict[str, Any], stopped: dict[str, Any]) -> dict[str, Any]:
    """What was saved and lost: the last measure of the run that stopped, beside the best of the whole budget."""
    pick = max if full["measure"] in HIGHER else min
    best, last = pick(v for _, v in full["values"]), stopped["values"][-1]
    lost = (best - last[1]) / best if pick is max else (last[1] - best) / max(best, 1e-9)
    said = {"world": full["world"], "seed": full["seed"], "measure": full["measure"]}
    said |= {"saved": 1 - last[0] / full["budget"], "lost": lost, "best of the budget": best, "kept": last[1]}
    return said | {"end of the budget": full["values"][-1][1]}


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--log", type=Path, required=True)
    p.add_argument("--seeds", type=int, default=3)
    p.add_argument("--worlds", default=",".join(HEALTHY[:5]))
    args = p.parse_args()
    silent()
    runs = [json.loads(line) for line in args.log.read_text().splitlines()] if args.log.exists() else []
    known = {(r["world"], r["seed"], r["stop"]): r for r in runs}
    for seed in range(args.seeds):
        for world in args.worlds.split(","):
            for stop in ("budget", "plateau"):
                if (world, seed, stop) not in known:
                    known[world, seed, stop] = found = run_of(world, seed, stop)
                    with args.log.open("a") as file:
                        file.write(json.dumps(found) + "\n")
            rows = [pair(known[w, s, "budget"], r) for (w, s, stop), r in known.items() if stop == "plateau"]
            print(json.dumps(rows[-1]), flush=True)
            write(rows)


def write(rows: list[dict[str, Any]]) -> None:
    by = {w: [r for r in rows if r["world"] == w] for w in dict.fromkeys(r["world"] for r in rows)}
    mean = lambda some, k: statistics.mean(r[k] for r in some)
    worlds = {
        w: {"seeds": len(some), "saved": mean(some, "saved"), "lost": mean(some, "lost")} for w, some in by.items()
    }
    document = {
        "proof": "stopping",
        "command": "python benchmarks/stopping.py --log FILE",
        "bars": BARS,
        "held": all(w["saved"] >= BARS["saved"] and w["lost"] <= BARS["lost"] for w in worlds.values()),
        "worlds": worlds,
        "runs": rows,
    }
    record.write("stopping", document)


if __name__ == "__main__":
    main()
