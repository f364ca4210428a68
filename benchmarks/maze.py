"""Who foresees the maze: a game, two regressions and a copy of the last frame; writes results/maze-SIZE.json.

    python benchmarks/maze.py [--size 32] [--seeds 3] [--rows gan,l2] [--keep DIR] [--only-measure]

Rows of 300 thousand frames tell how far one comes, those of 100 thousand compare, on the harder `maze-in-turn`.  Each
is trained by the command as a user would; a run that DIR holds whole is not trained again.  Rows that are not asked for
stay as they were written.  Speeds are by the time of the processor, so that whatever else runs there does not count.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from math import isfinite
from pathlib import Path
from typing import Any

import record
import torch
from torch import Tensor

from sparring import generators, worlds
from sparring.folder import RunFolder
from sparring.metrics import foreseen
from sparring.worlds.maze import SIDE, Maze, Moment
from sparring.worlds.maze_judge import past_of

COINS = ["--prior", "bernoulli", "--threads", "1"]
ROWS = {  # world, options, samples
    "gan": ("maze", [], 300_000),
    "in turn": ("maze-in-turn", [], 300_000),
    "l2": ("maze", ["--terms", "l2=1", "--adversarial", "0"], 100_000),
    "l1": ("maze", ["--terms", "l1=1", "--adversarial", "0"], 100_000),
    "short": ("maze-in-turn", [], 100_000),  # what the next ones are to be compared with
    "patches": ("maze-in-turn", ["--patches", "2"], 100_000),
    "forcing": ("maze-in-turn", ["--forcing", "0.3"], 100_000),
    "steady": ("maze-in-turn", ["--terms", "energy=1"], 100_000),  # as much asked of the coins to the end
    "seeking": ("maze-in-turn", ["--terms", "mode_seeking=0.01"], 100_000),
    "plain": ("maze-in-turn", ["--terms", "l1=0"], 100_000),  # the game and nothing else
    "adrift": ("maze-in-turn", ["--drift", "0"], 100_000),
}
KINDS = ("legal", "junctions", "corridors", "walls", "dots", "ghosts", "blurred", "doubled", "vanished", "branch_kl")
BARS = {  # of the mean over seeds
    "gan": {
        "junctions": (0.95, 1),
        "branch_kl": (0, 0.02),
        "coins": (0.8, 1),
        "corridors": (0.98, 1),
        "walls": (0.99, 1),
        "dots": (0.99, 1),
        "still_legal": (0.8, 1),
        "frames_per_second": (200, float("inf")),
    },
    "l2": {"junctions": (0, 0.2), "still_legal": (0, 0.05)},
}


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--size", type=int, default=32)
    p.add_argument("--seeds", type=int, default=3)
    p.add_argument("--rows", default=",".join(ROWS), help="of " + ", ".join(ROWS))
    p.add_argument("--samples", type=int, help="fewer or more for every row")
    p.add_argument("--width", type=int, help="channels of the networks")
    p.add_argument("--keep", type=Path, help="keep the runs' folders here, and use those that are there")
    p.add_argument("-n", type=int, default=2000, help="pasts to measure on")
    p.add_argument("--only-measure", action="store_true", help="train nothing: measure what --keep holds")
    args = p.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        place = args.keep or Path(scratch)
        found: dict[str, list[dict[str, Any]]] = {}
        for seed in range(args.seeds):
            for row in args.rows.split(","):
                run = place / f"{row.replace(' ', '-')}-{seed}"
                if not args.only_measure:
                    train(run, row, args, seed)
                if (run / "generator").exists():
                    found.setdefault(row, []).append(
                        {"seed": seed, **cost(run), **measured(run, row, args.size, args.n)}
                    )
                    print(row, seed, {k: found[row][-1].get(k) for k in (*KINDS[:5], *BARS["gan"])}, flush=True)
    write(args, found)


def options(row: str, size: int, samples: int | None, width: int | None) -> list[str]:
    world, more, usual = ROWS[row]
    words = [world, *COINS, *more, "--size", size, "--samples", samples or usual]
    words += ["--width", width] if width else []
    return list(map(str, words))


def train(run: Path, row: str, args: argparse.Namespace, seed: int) -> None:
    if (run / "report.html").exists():
        return
    words = options(row, args.size, args.samples, args.width)
    fresh = ["train", *words, "--seed", str(seed), "--run", str(run)]
    command = ["resume", str(run)] if run.exists() else fresh
    subprocess.run([sys.executable, "-m", "sparring", *command], check=True, stdout=subprocess.DEVNULL)


def cost(run: Path) -> dict[str, Any]:
    """What the run was, as its folder says."""
    asked, card = RunFolder(run).recipe(), json.loads((run / "card.json").read_text())
    seen = json.loads((run / "generator/generator.json").read_text())["seen"]
    size = {k: asked[k] for k in ("samples", "batch", "width", "lr", "lr_D", "r1", "precision")}
    return {**size, "seen": seen, "seconds": card["seconds"], "parameters": card["parameters"]["G"]}


def measured(run: Path, row: str, size: int, n: int) -> dict[str, Any]:
    """All that is claimed of one generator, on pasts that nobody has trained on."""
    G, spec, _ = generators.load_generator(run / "generator")
    world = worlds.open(ROWS[row][0], size)
    assert isinstance(world, Maze)
    x, c = world.draw(n, seed=1, heldout=True)
    made = generators.draw(G, spec, n, seed=0, c=c)
    some = c[: n // 20]
    clips = torch.cat([some, generators.roll(G, spec, some, 64, seed=0)], 1)
    legal = world.legal(clips)
    began = time.process_time()
    generators.roll(G, spec, c[:1], 100)
    speed = 100 / (time.process_time() - began)
    return {
        **seen_by(world, x, made, c),
        **company(world, made, c),
        **branches(G, spec, world, c, n // 40, n // 10),
        "still_legal": legal.all(1).double().mean().item(),
        "legal_at_the_end": legal[:, -1].double().mean().item(),
        "frames_per_second": speed,
    }


def seen_by(world: Maze, x: Tensor, made: Tensor, c: Tensor) -> dict[str, float | None]:
    """The judge's truth, and nearness and sharpness beside the frames that came."""
    told = world.judge(made, c)
    known = {k: told[k] if isfinite(told[k]) else None for k in KINDS}
    return known | {k: m.value for k, m in foreseen(c, x, made).items()}


def company(world: Maze, made: Tensor, c: Tensor) -> dict[str, float | None]:
    """The share of figures that are right: beside another, at most two cells away in the frame before, and alone.

    right_turned: of those which must turn back because somebody is in the way; right_stayed: which cannot move at all.
    """
    past, read = past_of(world, c), world.read(made, c)
    cells, right = past.cells, read.right.double()
    places = torch.stack([cells // SIDE, cells % SIDE], -1).double()
    apart = torch.cdist(places, places, p=1) + 99 * torch.eye(cells.shape[1])
    beside = apart.amin(-1) <= 2
    nobody = torch.zeros(len(c), SIDE * SIDE, dtype=torch.bool)

    def dead_end(here: Tensor, before: Tensor) -> Tensor:
        back = world.to[past.layout, here] == before[:, None]
        return (back & (world.ways(past.layout, here, before, nobody) > 0)).any(1)

    ends = torch.stack([dead_end(cells[:, i], past.before[:, i]) for i in range(world.figures)], 1)
    turned, stayed = (read.ways[..., 2] > 0) & ~ends, read.choices == 0
    share = lambda among: right[among].mean().item() if among.any() else None
    return {
        "right_beside": share(beside),
        "right_alone": share(~beside),
        "right_turned": share(turned),
        "right_stayed": share(stayed),
    }


def branches(G: torch.nn.Module, spec: Any, world: Maze, c: Tensor, pasts: int, draws: int) -> dict:
    """How coins decide, at each junction of `pasts` pasts: by 200 draws of z each.

    coins: I(z; turn | past), which is the entropy of the turns taken after one past, over the entropy of the game's.
    coin_kl: KL(turns taken ‖ the game's) after one past, nats, mean over junctions; harder than over all pasts.
    one_coin: the most that a single coin tells of the turn, over the entropy of the game's, mean over junctions.
    """
    many = c[:pasts].repeat_interleave(draws, 0)
    z = G.prior.sample(draws, torch.Generator().manual_seed(3)).repeat(pasts, 1)  # type: ignore[union-attr]
    r = world.read(generators.draw(G, spec, len(many), c=many, z=z), many)
    fold = lambda t: t.unflatten(0, (pasts, draws))
    taken, ways, right, coins = fold(r.taken), fold(r.ways)[:, 0], fold(r.right), z[:draws] > 0
    told, due, apart, single = [], [], [], []
    for i in range(pasts):
        for k in range(world.figures):
            turns, p = taken[i, :, k], ways[i, k].double()
            use = right[i, :, k] & (turns >= 0)
            if (p > 0).sum() < 2 or use.sum() < draws / 2:
                continue
            share = lambda among, turns=turns, use=use: turns[use & among].bincount(minlength=4).double()
            q = share(torch.ones_like(use)) / use.sum()
            told.append(entropy(q))
            due.append(entropy(p))
            apart.append(torch.special.xlogy(q, q / p.clamp_min(1e-12)).sum().item())
            best = 0.0
            for coin in coins.T:
                sides = [s for s in (share(coin), share(~coin)) if s.sum()]
                best = max(best, entropy(q) - sum(entropy(s / s.sum()) * (s.sum() / use.sum()).item() for s in sides))
            single.append(best)
    if not told:
        return {"coins": None, "coin_kl": None, "one_coin": None, "junctions_read": 0}
    found = {"coins": sum(told) / sum(due), "coin_kl": statistics.mean(apart), "one_coin": sum(single) / sum(due)}
    return found | {"together": together(world, c[:pasts], taken, right), "junctions_read": len(told)}


def together(world: Maze, c: Tensor, taken: Tensor, right: Tensor) -> float | None:
    """Entropy of what all figures do at once after one past, over that of as many moves of the game.

    taken, right: (pasts, draws, figures).  Where one coin turns all figures each turns as often as it should, and yet
    this is low.
    """
    past, chance = past_of(world, c), torch.Generator().manual_seed(4)
    drawn, played = 0.0, 0.0
    for i in range(len(c)):
        n = int((sure := right[i].all(1)).sum())
        if n < len(sure) / 2:
            continue
        again = lambda t, i=i, n=n: t[i].expand(n, -1)
        now = Moment(past.layout[i].expand(n), again(past.cells), again(past.before), again(past.dots > 0))
        drawn += entropy_of(taken[i][sure])
        played += entropy_of(world.move(now, torch.rand(n, world.figures, generator=chance)).cells)
    return drawn / played if played else None


def entropy_of(rows: Tensor) -> float:
    """The entropy of rows, nats, by how often each comes."""
    return entropy(rows.unique(dim=0, return_counts=True)[1].double() / len(rows))


def entropy(p: Tensor) -> float:
    """Of probabilities p, nats."""
    return -torch.special.xlogy(p, p).sum().item()


def write(args: argparse.Namespace, found: dict[str, list[dict[str, Any]]]) -> None:
    world = Maze(args.size)
    x, c = world.draw(args.n, seed=1, heldout=True)
    rows: dict[str, Any] = {"real": seen_by(world, x, x, c), "copy-last": seen_by(world, x, c[:, -1], c)}
    missed = []
    before = record.known(f"maze-{args.size}").get("rows", {})
    found = {row: before[row]["seeds"] for row in ROWS if row in before} | found
    for row, runs in found.items():
        numbers = {k for run in runs for k, v in run.items() if isinstance(v, float)}
        spread = record.over_seeds(runs, sorted(numbers))
        bars = BARS.get(row, {})
        missed += [
            f"{row} {k}" for k, (low, high) in bars.items() if not low <= spread.get(k, {"mean": -1})["mean"] <= high
        ]
        typed = options(row, args.size, runs[0]["samples"], runs[0]["width"])
        command = f"sparring train {' '.join(typed)} --seed N"
        rows[row] = {"command": command, "over_seeds": spread, "seeds": runs}
    if {"gan", "l2"} <= found.keys():
        sharp = [rows[k]["over_seeds"]["sharpness"]["mean"] for k in ("gan", "l2")]
        rows["sharpness of gan over l2"] = sharp[0] / sharp[1]
        missed += ["sharpness of gan over l2"] * (sharp[0] < 2 * sharp[1])
    if {"short", "patches"} <= found.keys():
        patches, whole = (rows[k]["over_seeds"]["legal"]["mean"] for k in ("patches", "short"))
        rows["legal of patches less that of short"] = patches - whole
        missed += ["legal of patches"] * (patches - whole < -0.03)
    document = {
        "proof": f"maze-{args.size}",
        "bars": BARS,
        "held": not missed,
        "missed": missed,
        "pasts": args.n,
        "rows": rows,
    }
    record.write(f"maze-{args.size}", document)
    print("missed:", ", ".join(missed) or "none")


if __name__ == "__main__":
    main()
