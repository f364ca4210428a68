"""One plain game, and the same game with each cure: which modes it finds, how good its samples are, over seeds.

python benchmarks/ablation.py                        ring and grid, 5 seeds: about 40 minutes of one core
python benchmarks/ablation.py stacked-digits         the thousand modes: about half an hour of one core
python benchmarks/ablation.py ring --rows plain,pack --seeds 2 --keep /tmp/runs.jsonl

Each run is what `sparring train WORLD OPTIONS --seed N` trains, without its log and pictures; the last generator is
judged, not an average one, but where the row says so.  A run is one line of --keep; what stands there is not run again.
"""

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import record
import torch

from sparring import chance, data, generators, recipe, refusals, worlds
from sparring.run import begin
from sparring.settings import Recipe
from sparring.train import train

RMSPROP = dict(optimizer="rmsprop", beta1=None, beta2=0.99)
PLAIN = dict(loss="nonsaturating", r1=0.0, r2=0.0, lr_end=1.0, settle=1.0, beta1=0.5, beta2=0.999, average=0.0)
PLAIN |= dict(optimizer="adam")
CPU = dict(device="cpu", threads=1, precision="fp32")
WORLDS: dict[str, dict[str, Any]] = {  # the networks and the length; samples judged
    "ring": dict(net="plain", width=64, batch=64, samples=160_000, lr=1e-3, lr_D=1e-4),
    "grid": dict(net="plain", width=64, batch=64, samples=160_000, lr=1e-3, lr_D=1e-4),
    "stacked-digits": dict(net="quick", width=8, batch=64, samples=24_000, lr=1e-3, lr_D=1e-4, group=1),
}
JUDGED = {"ring": 2_500, "grid": 2_500, "stacked-digits": 26_000}
ROWS: dict[str, tuple[dict[str, Any], str, str]] = {  # options, what it does, whose it is
    "plain": ({}, "nothing: the game of the first paper with G's second loss", "Goodfellow et al. 2014"),
    "feature matching": (
        dict(terms="feature_matching=1", adversarial=0.0),
        "G matches the mean of D's last features, instead of fooling D",
        "Salimans et al. 2016",
    ),
    "feature matching beside": (
        dict(terms="feature_matching=1"),
        "the same beside G's loss",
        "Salimans et al. 2016",
    ),
    "minibatch discrimination": (dict(kernels=16), "D compares the samples of a batch", "Salimans et al. 2016"),
    "minibatch standard deviation": (dict(group=4), "D sees how far four samples lie apart", "Karras et al. 2018"),
    "historical averaging": (
        dict(history=0.01),
        "each player is drawn to the mean of its past",
        "Salimans et al. 2016",
    ),
    "label smoothing": (dict(loss="smoothed=0.9"), "reals are real with probability .9", "Salimans et al. 2016"),
    "batch norm": (dict(norm="batch"), "G's layers are normalised over the batch", "Radford et al. 2016"),
    "virtual batch norm": (dict(norm="virtual"), "the same over a fixed batch", "Salimans et al. 2016"),
    "instance noise": (
        dict(instance_noise=0.2),
        "noise on all that D sees, which fades",
        "Sønderby et al. 2016; Arjovsky & Bottou 2017",
    ),
    "Wasserstein, clipping": (
        dict(loss="wasserstein", clip=0.05, critic_steps=5) | RMSPROP,
        "the first Wasserstein GAN: weights clipped, RMSProp, five turns of D",
        "Arjovsky et al. 2017",
    ),
    "Wasserstein, gradient penalty": (
        dict(loss="wasserstein", penalties="wgan_gp=10", critic_steps=5, beta1=0.0, beta2=0.9),
        "a slope of one between real and fake, five turns of D",
        "Gulrajani et al. 2017",
    ),
    "Wasserstein, zero-centred": (
        dict(loss="wasserstein", r1=1.0, r2=1.0, gamma_end=1.0, critic_steps=5, beta1=0.0, beta2=0.9),
        "no slope at real and at fake, five turns of D",
        "Mescheder et al. 2018",
    ),
    "R1 and R2": (dict(r1=1.0, r2=1.0, gamma_end=1.0), "no slope at real and at fake", "Mescheder et al. 2018"),
    "packing": (dict(pack=2), "D judges two samples at once", "Lin et al. 2018"),
    "unrolled": (dict(unroll=5), "G thinks five steps of D ahead", "Metz et al. 2017"),
    "spectral norm": (dict(spectral="D"), "D's weights divided by their largest singular value", "Miyato et al. 2018"),
    "top-k": (dict(top_k=0.5), "G learns from the better half of its fakes", "Sinha et al. 2020"),
    "two time scales": (dict(lr_D=4e-3), "D learns at four times G's rate, not a tenth", "Heusel et al. 2017"),
    "RMSProp": (RMSPROP, "no momentum", "Tieleman & Hinton 2012"),
    "Adam without momentum": (dict(beta1=0.0), "its first decay is 0, not .5", "Gulrajani et al. 2017"),
    "average generator": (dict(average=0.02), "a running mean of G is judged", "Karras et al. 2018"),
    "relativistic": (dict(loss="relativistic"), "a fake must be more real than a real", "Jolicoeur-Martineau 2018"),
    "relativistic, R1 and R2": (
        dict(loss="relativistic", r1=1.0, r2=1.0, gamma_end=1.0),
        "both: the loss of our default",
        "Huang et al. 2024",
    ),
    "default": (
        {k: None for k in ("r1", "r2", "lr_end", "settle", "beta2", "lr_D")}
        | dict(loss="relativistic", beta1=0.0, average=0.02),
        "the default recipe by Adam: also its schedules and the average generator",
        "Huang et al. 2024",
    ),
}


def asked(world: str, row: str, seed: int) -> Recipe:
    """The recipe of one run, as the command would read it."""
    return Recipe(data=world, seed=seed, **CPU, **chosen(world, row))


def chosen(world: str, row: str) -> dict[str, Any]:
    """What a run sets; with more turns of D for each of G it sees more samples, so that G moves as often."""
    options = {**PLAIN, **WORLDS[world], **ROWS[row][0]}
    return options | {"samples": options["samples"] * options.get("critic_steps", 1)}


def one(world: str, row: str, seed: int, opened: data.Dataset) -> dict[str, Any]:
    """Trains as `sparring train` does, and asks the world what the samples are."""
    r, device = asked(world, row, seed), torch.device("cpu")
    refusals.check(r)
    r, _ = recipe.plan(r, opened, device)
    s = begin(r, opened, device)
    assert r.batch and r.samples
    batches = data.batches(opened.train, r.batch, r.seed, 0, 0, 1)
    began = time.process_time()
    for stats in train(recipe.method(r), s, ((opened.spec.x.encode(x), None) for x, _ in batches)):
        if s.seen >= r.samples or not stats["D/loss"].isfinite().all():
            break
    seconds = time.process_time() - began
    x = generators.draw(s.ema, opened.spec, JUDGED[world], seed=chance.seed_of("evaluation", seed))
    reached = {k: round(v, 4) for k, v in opened.world.judge(x).items()}  # type: ignore[union-attr]
    return {"world": world, "row": row, "seed": seed, "reached": reached, "core_seconds": round(seconds, 1)}


def words(world: str, row: str) -> str:
    """The options of a run, as typed."""
    default = Recipe().asdict()
    return " ".join(f"--{k} {v}" for k, v in chosen(world, row).items() if v is not None and v != default[k])


def table(lines: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean and range over seeds of each row in each world."""
    found: dict[str, Any] = {}
    for world in WORLDS:
        for row, (_, about, whose) in ROWS.items():
            runs = [line for line in lines if (line["world"], line["row"]) == (world, row)]
            if not runs:
                continue
            found.setdefault(world, {})[row] = {
                "about": about,
                "paper": whose,
                "command": f"sparring train {world} {words(world, row)} --seed N",
                "seeds": [run["seed"] for run in runs],
                "core_seconds": round(statistics.mean(run["core_seconds"] for run in runs), 1),
                **record.over_seeds([run["reached"] for run in runs], runs[0]["reached"], 4),
            }
    return found


def markdown(found: dict[str, Any]) -> str:
    """The table of docs/cures.md: a line a cure, for each world modes, quality and KL as mean (lowest to highest)."""
    ran = [world for world in WORLDS if world in found]
    head = ["cure", "option", *(f"{w}: {' · '.join(told(found[w]['plain']))}" for w in ran)]
    lines = [head, ["---"] * len(head)]
    base = Recipe().asdict() | PLAIN
    for row, (options, _, _) in ROWS.items():
        own = " ".join(f"--{k} {v}" for k, v in options.items() if v != base[k])
        typed = "all left out" if None in options.values() else f"`{own}`" if own else "–"
        lines.append([row, typed, *(cell(found[w].get(row)) for w in ran)])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def cell(reached: dict[str, Any] | None) -> str:
    """What a row reached in a world, over its seeds."""
    if reached is None:
        return "not run"
    span = lambda k, form: "{mean} ({min}–{max})".format(**{at: form.format(v) for at, v in reached[k].items()})
    return " · ".join(span(k, form) for k, form in told(reached).items())


def told(reached: dict[str, Any]) -> dict[str, str]:
    """What the table says of a world, and to how many places."""
    return {k: form for k, form in (("modes", "{:.4g}"), ("quality", "{:.2f}"), ("kl", "{:.2f}")) if k in reached}


def write(lines: list[dict[str, Any]]) -> None:
    """results/ablation.json."""
    document = {
        "proof": "ablation",
        "command": "python benchmarks/ablation.py "
        + " ".join(w for w in WORLDS if any(x["world"] == w for x in lines)),
        "judged": JUDGED,
        "table": table(lines),
        "runs": lines,
    }
    record.write("ablation", document)


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("worlds", nargs="*", default=["ring", "grid"], help=", ".join(WORLDS))
    p.add_argument("--rows", help=f"some of: {', '.join(ROWS)}")
    p.add_argument("--seeds", type=int, default=5)
    p.add_argument("--keep", type=Path, default=Path("ablation.jsonl"), help="one line a run; read and added to")
    p.add_argument("--table", action="store_true", help="print the table of docs/cures.md from the results, and end")
    args = p.parse_args()
    if args.table:
        print(markdown(record.known("ablation")["table"]))
        return
    rows = args.rows.split(",") if args.rows else list(ROWS)
    if strange := [name for name in [*args.worlds, *rows] if name not in WORLDS and name not in ROWS]:
        p.error(f"{', '.join(strange)}: none of {', '.join([*WORLDS, *ROWS])}")

    torch.set_num_threads(1)
    lines = [json.loads(line) for line in args.keep.read_text().splitlines()] if args.keep.exists() else []
    done = {(line["world"], line["row"], line["seed"]) for line in lines}
    opened = {world: data.open(worlds.open(world), seed=0) for world in args.worlds}
    for seed, world, row in ((seed, w, row) for seed in range(args.seeds) for w in args.worlds for row in rows):
        if (world, row, seed) in done:
            continue
        lines.append(one(world, row, seed, opened[world]))
        with args.keep.open("a") as file:
            file.write(json.dumps(lines[-1]) + "\n")
        print(json.dumps(lines[-1]), flush=True)
    write(lines)


if __name__ == "__main__":
    main()
