"""The longer proofs: trains by the command as a user would, over seeds, and writes what came of it to results/.

python benchmarks/check.py              every proof (hours)
python benchmarks/check.py ring grid    these
python benchmarks/check.py --more ring  only the seeds that results/ring.json does not hold yet
python benchmarks/check.py --judge      trains nothing: judges anew the seeds that results/ holds
python benchmarks/check.py --list       what there is, and what each must reach

MNIST is read from mnist-train.npz in the folder that SPARRING_DATA names.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import record


@dataclass(frozen=True)
class Proof:
    """One claim: what is trained, over which seeds, and what every seed must reach.

    bars: measure -> (lowest, highest) allowed; of the world's truth or the measures of the last evaluation.
    """

    options: tuple[str, ...]
    seeds: int
    bars: dict[str, tuple[float, float]]
    threads: int = 1  # of each run; as many runs at once as fit the cores
    ceilings: tuple[str, ...] = ()  # bars on these are shares of what real samples reach


INF = float("inf")
RING, GRID = ((world, "--evaluate_final", "5000") for world in ("ring", "grid"))
EIGHT_MINUTES = ("faces", "--size", "32", "--minutes", "8")
FACES = {"valid": (0.8, 1), "hair_tv": (0, 0.10), "eyes_tv": (0, 0.10)}
POINTS = {"quality": (0.95, 1), "kl": (0, 0.05), "spread": (0.7, 1.3)}
PROOFS = {
    "ring": Proof(RING, 10, {"modes": (8, 8), **POINTS}),
    "grid": Proof(GRID, 10, {"modes": (25, 25), **POINTS}),
    "ring-adam": Proof((*RING, "--optimizer", "adam"), 3, {"modes": (8, 8), **POINTS}),
    "grid-adam": Proof((*GRID, "--optimizer", "adam"), 3, {"modes": (25, 25), **POINTS}),
    "digits": Proof(
        ("digits", "--minutes", "2"), 3, {"coverage": (0.8, INF), "modes": (10, 10)}, ceilings=("coverage",)
    ),
    "stacked-digits": Proof(
        ("stacked-digits", "--minutes", "8", "--evaluate_final", "26000"),
        3,
        {"modes": (990, 1000), "kl": (0, 0.15)},
    ),
    "mnist": Proof(
        (os.path.join(os.environ.get("SPARRING_DATA", "."), "mnist-train.npz"), "--minutes", "8"),
        3,
        {"coverage": (0.8, INF)},
        ceilings=("coverage",),
    ),
    "faces-32": Proof(EIGHT_MINUTES, 3, FACES, threads=2),
    "faces-32-not-lazy": Proof((*EIGHT_MINUTES, "--lazy", "1"), 3, FACES, threads=2),
    "faces-32-adam": Proof((*EIGHT_MINUTES, "--optimizer", "adam"), 3, FACES, threads=2),
    "faces-64": Proof(("faces", "--size", "64", "--minutes", "40"), 3, {"valid": (0.8, 1)}),
    "faces-64-adam": Proof(
        ("faces", "--size", "64", "--samples", "240000", "--optimizer", "adam"), 1, {"valid": (0.8, 1)}
    ),
}


def main() -> int:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("proofs", nargs="*", help=", ".join(PROOFS))
    p.add_argument("--list", action="store_true")
    p.add_argument("--seeds", type=int, help="fewer or more seeds than the proof asks for")
    p.add_argument("--more", action="store_true", help="keep the seeds of the same command that results/ holds already")
    p.add_argument("--judge", action="store_true", help="train nothing: judge anew the seeds that results/ holds")
    p.add_argument("--keep", type=Path, help="keep the runs' folders here")
    args = p.parse_args()
    if unknown := [name for name in args.proofs if name not in PROOFS]:
        p.error(f"{', '.join(unknown)}: none of {', '.join(PROOFS)}")
    if args.list:
        for name, proof in PROOFS.items():
            print(f"{name:16s} {proof.seeds} seeds of: sparring train {' '.join(proof.options)}   {proof.bars}")
        return 0
    asked = args.proofs or list(PROOFS)
    if args.judge:
        return not all([judge(name, PROOFS[name]) for name in asked])
    absent = [name for name in asked if (of := PROOFS[name].options[0]).endswith(".npz") and not Path(of).exists()]
    for name in absent:
        print(f"{name}: left out; there is no {PROOFS[name].options[0]} (SPARRING_DATA names its folder)", flush=True)
    missed = [name for name in asked if name not in absent and not prove(name, PROOFS[name], args)]
    print("missed:", ", ".join(missed) or "none")
    return bool(missed)


def prove(name: str, proof: Proof, args: argparse.Namespace) -> bool:
    """Runs the seeds, writes results/NAME.json, and says whether every seed reached every bar."""
    data, *options = proof.options
    command = f"sparring train {' '.join([Path(data).name, *options])} --seed N --threads {proof.threads}"
    known = {run["seed"]: run for run in record.seeds_of(name, command)} if args.more else {}
    missing = [seed for seed in range(args.seeds or proof.seeds) if seed not in known]
    with tempfile.TemporaryDirectory() as scratch:
        place = args.keep or Path(scratch)
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        at_once = max(cores // proof.threads, 1)
        with ThreadPoolExecutor(at_once) as pool:
            fresh = list(pool.map(lambda seed: one(name, proof, seed, place), missing))
    runs = sorted([*known.values(), *fresh], key=lambda run: run["seed"])
    told = verdict(proof, runs)
    spread = record.over_seeds([run["reached"] for run in runs], proof.bars)
    document = {
        "proof": name,
        "command": command,
        "bars": proof.bars,
        **told,
        "over_seeds": spread,
        "seeds": runs,
    }
    record.write(name, document, proof.threads)
    print(f"{name}: {in_words(told, runs)}  {json.dumps(spread)}", flush=True)
    return told["held"]


def verdict(proof: Proof, runs: list[dict]) -> dict:
    """How many seeds the proof asks for, and whether it held: all of these reached every bar, and any others too."""
    shown = {run["seed"] for run in runs} >= set(range(proof.seeds))
    return {"seeds_asked": proof.seeds, "held": shown and all(run["held"] for run in runs)}


def in_words(told: dict, runs: list[dict]) -> str:
    """held, MISSED, or not shown, by how many seeds of those asked for."""
    reached = sum(run["held"] for run in runs)
    word = "held" if told["held"] else "MISSED" if reached < len(runs) else "NOT SHOWN"
    return f"{word} ({reached} of {len(runs)} seeds reached every bar, {told['seeds_asked']} asked)"


def judge(name: str, proof: Proof) -> bool:
    """Judges anew what results/NAME.json holds, and leaves the rest of it as it is."""
    document = record.known(name)
    if not document:
        print(f"{name}: nothing in results/", flush=True)
        return False
    told = verdict(proof, document["seeds"])
    record.keep(name, document | told)
    print(f"{name}: {in_words(told, document['seeds'])}", flush=True)
    return told["held"]


def one(name: str, proof: Proof, seed: int, place: Path) -> dict:
    """One run of the command; what it reached and what it cost."""
    run = place / f"{name}-{seed}"
    options = [*proof.options, "--seed", str(seed), "--threads", str(proof.threads), "--run", str(run)]
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "sparring", "train", *options],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": str(proof.threads)},
        check=False,
    )
    if done.returncode:
        return {"seed": seed, "held": False, "reached": {}, "failed": done.stderr[-2000:]}
    result = json.loads(done.stdout.splitlines()[-1])
    reached = {k: m["value"] for k, m in result["metrics"].items()}
    last = json.loads((run / "evaluations.jsonl").read_text().splitlines()[-1])
    ceiling = {k: v["value"] if isinstance(v, dict) else v for k, v in last["ceiling"].items()}
    bars = {k: (low * (ceiling[k] if k in proof.ceilings else 1), high) for k, (low, high) in proof.bars.items()}
    curve = [
        {"seen": row["seen"], **{k: v for k, v in row["truth"].items() if k in proof.bars}}
        for row in map(json.loads, (run / "evaluations.jsonl").read_text().splitlines())
    ]
    return {
        "seed": seed,
        "date": date.today().isoformat(),
        "held": all(reached[k] is not None and low <= reached[k] <= high for k, (low, high) in bars.items()),
        "reached": reached,
        "ceiling": ceiling,
        "samples": result["seen"],
        "training_seconds": result["seconds"],
        "whole_seconds": round(time.monotonic() - began, 1),
        "findings": result["findings"],
        "curve": curve,
    }


if __name__ == "__main__":
    raise SystemExit(main())
