"""Provokes each fault of the catalogue on purpose, beside runs without any, and with a doctor who may act.

    python benchmarks/faults.py --log FILE [--seeds 0,1] [--only NAME,…]    a line a run; goes on where it stopped
    python benchmarks/faults_judged.py --log FILE                           what the doctor saw: results/faults.json

Thresholds were set on seeds 0 and 1 alone; the figures are of the others.
"""

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import faults_made
import torch

from sparring import autopilot, recipe, run
from sparring.augment import ada
from sparring.schedules import constant
from sparring.settings import Recipe
from sparring.train import Method

TUNED = (0, 1)  # seeds on which thresholds were set; the figures are of the others

POINTS = dict(batch=128, width=64, samples=192_000, lr_end=0.1, settle=1.0, gamma_end=2e-4, optimizer="adam")
PICTURES = dict(batch=32, width=8, samples=16_000, lr_end=0.1, gamma_end=0.1)
WORLDS: dict[str, dict[str, Any]] = {
    "ring": dict(data="ring", **POINTS),
    "grid": dict(data="grid", **POINTS | dict(batch=256, samples=384_000)),
    "ring by soap": dict(data="ring", samples=384_000),
    "digits": dict(data="digits", **PICTURES),
    "stacked": dict(data="stacked-digits", **PICTURES),
    "faces": dict(data="faces", size=24, **PICTURES | dict(width=4, samples=12_800)),
    "ring by mode": dict(data="faults_made:ring_by_mode", **POINTS),
    "ring by chance": dict(data="faults_made:ring_by_chance", **POINTS),
    "digits by class": dict(data="digits", condition="class", **PICTURES),
    "few points": dict(data="faults_made:few_points", **POINTS),
    "few digits": dict(data="faults_made:few_digits", **PICTURES | dict(samples=20_000)),
    "dozen digits": dict(data="faults_made:dozen_digits", **PICTURES | dict(samples=32_000, gamma_end=0.01)),
}
FREE = dict(r1=0.0, r2=0.0)
STRONG = dict(critic_steps=5, lr=1e-4, lr_D=2e-3, **FREE)
ALL = ("ring", "digits")
FEW = ("few points", "few digits")

# fault: (worlds, what is changed)
FAULTS: dict[str, list[tuple[tuple[str, ...], dict[str, Any]]]] = {
    "vanishing gradient": [(ALL, dict(loss="minimax", **STRONG))],
    "critic wins": [(ALL, dict(loss="nonsaturating", **STRONG))],
    "critic unbounded": [(ALL, dict(loss="wasserstein", **STRONG))],
    "exploding slope": [(("ring", "grid"), dict(r1=0.05, r2=0.0, lr=3e-4, lr_D=3e-3, critic_steps=2))],
    "critic blind": [(ALL, dict(lr_D=1e-7)), (ALL, dict(net="faults_made:blindfold"))],
    "collapse": [(ALL, dict(prior="faults_made:one"))],
    "modes missing": [(("ring", "grid", "digits"), dict(prior="faults_made:lumps"))],
    "oscillation": [
        (("ring", "grid"), dict(net="faults_made:plain", loss="nonsaturating", beta1=0.9, lr=2e-3, lr_end=1.0, **FREE))
    ],
    "critic overfits": [(FEW, dict(r1=0.01, r2=0.01))],
    "copying": [(("few points", "dozen digits"), {})],
    "augmentation leak": [(("digits", "faces"), {})],  # see SPOILED
    "condition ignored": [
        (("ring by mode", "digits by class"), dict(net="faults_made:deaf")),
        (("ring by chance",), {}),
    ],
    "noise ignored": [(("digits by class",), dict(net="faults_made:numb"))],
    "not finite": [(ALL, dict(net="faults_made:bomb"))],
    "generator frozen": [(ALL, dict(net="faults_made:dying")), (ALL, dict(lr=1e-8, lr_D=1e-3))],
    "clip too tight": [(ALL, dict(loss="wasserstein", clip=1e-4, **FREE))],
    "clip too loose": [(("ring", "grid"), dict(loss="wasserstein", clip=1.0, **FREE))],
    "average lags": [(ALL, {})],
}
CURABLE = [  # (fault, way) of those that options brought about, and not data, networks or priors
    *(
        (name, 0)
        for name in ("vanishing gradient", "critic wins", "critic unbounded", "exploding slope", "critic blind")
    ),
    *((name, 0) for name in ("oscillation", "clip too tight", "clip too loose", "average lags")),
    ("generator frozen", 1),
]
SPOILED: dict[str, Callable[[Method], Method]] = {  # faults that no option brings about
    "average lags": lambda m: replace(m, halflife=constant(1e9)),
    "augmentation leak": lambda m: replace(m, augment=faults_made.only_real(ada(1.0, "blit,geom"))),
}
LOSSES = ("relativistic", "nonsaturating", "hinge", "least_squares", "wasserstein", "relativistic_average")
HEALTHY = ("ring", "digits", "stacked", "faces", "digits by class", "ring by soap")  # the others want longer runs


def cases(seeds: list[int]) -> list[dict[str, Any]]:
    """Every run there is to make, seed by seed."""
    made = []
    for seed in seeds:
        for fault, ways in FAULTS.items():
            for way, (at, changes) in enumerate(ways):
                made += [dict(fault=fault, way=way, world=w, seed=seed, changes=changes) for w in at]
        for i, world in enumerate(HEALTHY):
            for j in range(3):
                loss = LOSSES[(i + 2 * j + seed) % len(LOSSES)]
                made.append(dict(fault="", way=j, world=world, seed=seed, changes=dict(loss=loss)))
        for world in ("digits", "faces"):
            made.append(dict(fault="", way=2, world=world, seed=seed, changes=dict(augment="ada:0.3")))
    return made


def recoveries(seeds: list[int]) -> list[dict[str, Any]]:
    """The same faults, of those that an option brought about, with a doctor who may act."""
    able = [c for c in cases(seeds) if (c["fault"], c["way"]) in CURABLE and c["world"] in HEALTHY]
    return [c | dict(changes=c["changes"] | dict(autopilot="act")) for c in able]


def key(case: dict[str, Any]) -> str:
    act = "|act" if case["changes"].get("autopilot") == "act" else ""
    return f"{case['fault']}|{case['way']}|{case['world']}|{case['seed']}{act}"


WELL = {  # what the world itself must say at the end of a run without a fault, or else it is ill, and no false alarm
    "ring": lambda truth, share: truth["modes"] == 8,
    "ring by soap": lambda truth, share: truth["modes"] == 8,
    "digits": lambda truth, share: truth["modes"] >= 9 and truth["valid"] > 0.5,
    "stacked": lambda truth, share: share > 0.5,
    "faces": lambda truth, share: share > 0.3,
    "digits by class": lambda truth, share: truth["modes"] >= 9 and truth["obeyed"] > 0.9,
}


def well(case: dict[str, Any]) -> bool:
    """Whether a run without a fault went well, by its world's truth and its share of the coverage of real samples."""
    if case["failed"] or not case["truth"]:
        return False
    share = case["measures"][-1].get("coverage", 0.0) / case["ceiling"]["coverage"]
    return WELL[case["world"]](case["truth"][-1], share)


def play(case: dict[str, Any], **more: Any) -> dict[str, Any]:
    """One run by the standard loop, without its pictures; its history, and what the world says at the end."""
    changes = WORLDS[case["world"]] | case["changes"] | more
    n = changes["samples"]
    every = dict(log_every=n // 50, sample_every=10 * n, evaluate_every=n // 8, checkpoint_every=n // 8)
    r = Recipe(**every | dict(seed=case["seed"], threads=1, evaluate_n=500, evaluate_final=500) | changes)
    place, began, failed = Path(tempfile.mkdtemp()) / "run", time.process_time(), ""
    method, spoil = recipe.method, SPOILED.get(case["fault"], lambda m: m)
    recipe.method = lambda r, spec: spoil(method(r, spec))
    try:
        if "stopped" in run.start(r, place):
            raise SystemExit("stopped; what is in the log is whole, and the next call goes on from it")
    except run.RunError as error:
        failed = str(error)
    finally:
        recipe.method = method
    rows = {name: run.RunFolder(place).rows(f"{name}.jsonl") for name in ("stats", "findings", "evaluations")}
    shutil.rmtree(place.parent)
    last = rows["evaluations"][-1] if rows["evaluations"] else {}
    return dict(
        **case,
        seconds=round(time.process_time() - began, 2),
        failed=failed,
        history=rows["stats"],
        findings=rows["findings"],
        truth=[{"seen": e["seen"], **e["truth"]} for e in rows["evaluations"]],
        measures=[{"seen": e["seen"], **{k: v["value"] for k, v in e["metrics"].items()}} for e in rows["evaluations"]],
        ceiling={k: v["value"] if isinstance(v, dict) else v for k, v in last.get("ceiling", {}).items()},
    )


def silent() -> None:
    """No pages, no pictures, no words, one thread."""
    run.report.write = lambda path: path  # type: ignore[assignment]
    run.draw_sheet = lambda run: None
    run.tell = autopilot.tell = lambda line: None
    torch.set_num_threads(1)


def collect(log: Path, seeds: list[int], only: list[str]) -> None:
    """All runs that are not in the log yet."""
    done = {key(json.loads(line)) for line in log.read_text().splitlines()} if log.exists() else set()
    silent()
    for case in cases(seeds) + recoveries([s for s in seeds if s not in TUNED]):
        if key(case) in done or (only and (case["fault"] or "healthy") not in only):
            continue
        found = play(case)
        with log.open("a") as file:
            file.write(json.dumps(found) + "\n")
        print(f"{key(case):50s} {found['seconds']:6.1f} s", flush=True)


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--log", type=Path, required=True)
    p.add_argument("--seeds", default="0,1,2,3,4")
    p.add_argument("--only", default="", help="names of faults, or healthy, with commas between")
    args = p.parse_args()
    collect(args.log, [int(s) for s in args.seeds.split(",")], list(filter(None, args.only.split(","))))


if __name__ == "__main__":
    main()
