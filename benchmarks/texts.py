"""Real texts: the game from scratch, the game after likelihood, and likelihood alone, by their curves over temperature.

    python benchmarks/texts.py coco news [--samples 100000] [--seeds 1] [--keep FOLDER]

of coco-captions-train.txt and news.txt in $SPARRING_DATA.  Every way sees as many texts.  Writes the numbers to
results/texts-NAME.json and draws docs/texts-NAME.png.  A run in --keep that was stopped goes on.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import record
import torch

from sparring import data, generators, sweep
from sparring.data.spelling import Spelling

FILES = {"coco": "coco-captions-train.txt", "news": "news.txt"}
WAYS = {
    "from scratch": "",
    "likelihood, then the game": "--pretrain {half}",
    "likelihood": "--route likelihood",
}


def run_of(name: str, way: str, seed: int, args: argparse.Namespace) -> dict[str, Any]:
    """One run, begun or gone on with; its curve, and some of what it writes."""
    text = Path(os.environ.get("SPARRING_DATA", ".")) / FILES[name]
    place: Path = args.keep / name / f"{way.replace(', ', '-').replace(' ', '-')}-{seed}"
    options = WAYS[way].format(half=args.samples // 2).split()
    begin = ["train", str(text), *options, "--samples", str(args.samples), "--seed", str(seed), "--threads", "1"]
    argv = ["resume", str(place)] if (place / "recipe.yaml").exists() else [*begin, "--run", str(place)]
    print(f"{name}: {way}, seed {seed}", flush=True)
    subprocess.run([sys.executable, "-m", "sparring", *argv], stdout=subprocess.DEVNULL, check=True)

    G, spec, card = generators.load_generator(place / "generator")
    spelling = Spelling.of(card["spelling"])
    heldout = data.open(text).heldout
    rows = sweep.sweep(G, spec, heldout.take(range(len(heldout)))[0], seed=seed)
    some = [spelling.read(row) for row in generators.draw(G, spec, 12, seed=seed)]
    findings = place / "findings.jsonl"
    return {
        "way": way,
        "seed": seed,
        "seconds": json.loads((place / "card.json").read_text())["seconds"],
        "findings": sorted({json.loads(line)["name"] for line in findings.read_text().splitlines()}),
        "curve": rows,
        "writes": some,
    }


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("names", nargs="+", choices=FILES)
    p.add_argument("--samples", type=int, default=100_000)
    p.add_argument("--seeds", type=int, default=1)
    p.add_argument("--keep", type=Path, required=True)
    args = p.parse_args()
    torch.set_num_threads(1)
    for name in args.names:
        if not (Path(os.environ.get("SPARRING_DATA", ".")) / FILES[name]).exists():
            print(f"{name}: left out; $SPARRING_DATA has no {FILES[name]}")
            continue
        command = f"sparring train {FILES[name]} WAY --samples {args.samples} --seed N --threads 1"
        runs = record.seeds_of(f"texts-{name}", command)
        for seed in range(args.seeds):
            for way in WAYS:
                if (way, seed) in {(run["way"], run["seed"]) for run in runs}:
                    continue
                runs.append(run_of(name, way, seed, args))
                record.write(
                    f"texts-{name}",
                    {"proof": f"texts-{name}", "command": command, "ways": WAYS, "seeds": runs},
                    threads=1,
                )
        curves = {run["way"]: run["curve"] for run in runs if run["seed"] == 0}
        sweep.draw(curves, Path(__file__).parents[1] / "docs" / f"texts-{name}.png")


if __name__ == "__main__":
    main()
