"""How well generators do what they are told, by class and from captions, over seeds, trained as a user would.

python benchmarks/conditions.py digits --seeds 3 --minutes 10       by class: class accuracy, coverage of each class
python benchmarks/conditions.py mnist --seeds 2 --minutes 20        the same of mnist-train.npz in $SPARRING_DATA
python benchmarks/conditions.py told --seeds 3 --minutes 10         digits told in other ways
python benchmarks/conditions.py faces --seeds 3 --minutes 40        from captions: seen and unseen combinations, variety
python benchmarks/conditions.py joins --seeds 2 --minutes 8         how G joins z and caption, by either form of loss
python benchmarks/conditions.py faces --rows captions --seeds 1     these rows only
python benchmarks/conditions.py --table                             the tables of docs/conditions.md, from the results

The first run of a part turns its minutes into samples, and every other run of the part sees as many, whatever else the
machine does.  Runs lie in --keep, one folder each: what was stopped goes on, what is whole is not run again, and after
each run everything that is whole is written to results/conditions.json.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import record
import torch
from torch import Tensor

from sparring import asked, data, generators, worlds
from sparring.extractors.encoder import Reader
from sparring.extractors.learned import learn
from sparring.folder import RunFolder
from sparring.metrics import coverage
from sparring.worlds.faces import Faces
from sparring.worlds.faces_captions import understood, unseen

MNIST = os.path.join(os.environ.get("SPARRING_DATA", "."), "mnist-train.npz")
CAPTIONS, VARIED, OF_EACH = 4_000, 24, 64  # faces judged, one a held-out caption; captions of which so many are drawn
CURVE = ("valid", "obeyed_seen", "obeyed_unseen", "mouth_obeyed")
READ = 800  # steps in which the independent classifier learns
Run = dict[str, Any]


class Part(NamedTuple):
    """Rows of options on one data set, what is measured of each run, and what the first row must reach."""

    data: str
    rows: dict[str, str]
    measure: Callable[[Path], dict[str, float]]
    bars: dict[str, tuple[float, float]]  # measure -> (lowest, highest) of the first row's mean over seeds


# -- by class ---------------------------------------------------------------------------------------------------------


@lru_cache
def labelled(name: str) -> tuple[data.Dataset, Callable[[Tensor], Tensor]]:
    """The data by class, and what a network says of pictures that has learned its classes and knows nothing of runs."""
    found = data.open(worlds.open(name) if name in worlds.WORLDS else name, condition="class")
    net = learn(found.train, found.spec.x, len(found.classes or []), minutes=60, steps=READ).net
    assert isinstance(net, Reader)

    @torch.no_grad()
    def read(x: Tensor) -> Tensor:
        return torch.cat([net.logits(net(found.spec.x.encode(part))).argmax(1) for part in x.split(250)])

    return found, read


def by_class(name: str, run: Path, each: int = 1000) -> dict[str, float]:
    """Whether 1,000 samples of each class are read as it, and how much of the held-out examples of it they cover.

    Coverage takes as many samples as there are held-out examples; `ceiling` is that of as many training examples.
    """
    G, spec, _ = generators.load_generator(run / "generator")
    found, read = labelled(name)
    names = found.classes or []
    c = torch.arange(len(names)).repeat_interleave(each)
    x = generators.draw(G, spec, len(c), c=c)
    right = (read(x) == c).float().view(len(names), each).mean(1)
    x = x.flatten(1).float() / 255

    covered, best = [], []
    for k in range(len(names)):
        real, others = (pixels(split, k) for split in (found.heldout, found.train))
        covered.append(coverage(real, x[k * each :][: min(each, len(real))]).value)
        best.append(coverage(real, others[: len(real)]).value)
    held = read(found.heldout.take(range(len(found.heldout)))[0])
    return {
        "accuracy": right.mean().item(),
        "worst_accuracy": right.min().item(),
        "coverage": statistics.mean(covered),
        "worst_coverage": min(covered),
        "ceiling_accuracy": float((held.numpy() == found.heldout.labels).mean()),
        "ceiling_coverage": statistics.mean(best),
        **{f"{name}_accuracy": a for name, a in zip(names, right.tolist())},
        **{f"{name}_coverage": v for name, v in zip(names, covered)},
    }


def pixels(split: data.Split, k: int) -> Tensor:
    """The examples of class k, (n, d) in [0, 1]."""
    assert split.labels is not None
    return split.take(np.flatnonzero(split.labels == k))[0].flatten(1).float() / 255


# -- from captions ----------------------------------------------------------------------------------------------------


@lru_cache
def told() -> tuple[Faces, list[str], dict[str, float]]:
    """The world, held-out captions, three in four of them English, and how well real faces obey them."""
    world = Faces()
    captions = [some[i % len(some)] for i, some in enumerate(world.captions(CAPTIONS, 7, heldout=True))]
    return world, captions, world.judge(world.draw(CAPTIONS, 7, heldout=True)[0], captions)


def from_captions(run: Path) -> dict[str, float]:
    """What the judge of the world says of one face a held-out caption, and of many faces of each of some captions.

    obeyed and NAME_obeyed are the judge's; obeyed_chinese is of the Chinese captions.  variety is how far faces of one
    caption lie apart, over how far real faces do that fit it; variety_unseen that of unseen pairs of hair and eyes.
    """
    G, spec, card = generators.load_generator(run / "generator")
    world, captions, real = told()
    c = None if spec.c is None else asked.conditions(spec, card, captions)
    x = generators.draw(G, spec, CAPTIONS, c=c)
    if c is None:
        return {k: v for k, v in world.judge(x).items() if v is not None}
    truth = world.judge(x, captions)

    chinese = [i for i, caption in enumerate(captions) if not caption.isascii()]
    truth["obeyed_chinese"] = world.judge(x[chinese], [captions[i] for i in chinese])["obeyed"]
    truth |= {f"real_{k}": v for k, v in real.items() if k.startswith("obeyed")}
    for name, new in (("variety", False), ("variety_unseen", True)):
        some = [caption for caption in captions if unseen(understood(caption)) == new][:VARIED]
        of = lambda caption: generators.draw(G, spec, OF_EACH, c=asked.conditions(spec, card, [caption] * OF_EACH))
        truth[name] = statistics.mean(world.variety(of(caption), caption) for caption in some)
    return truth


# -- the parts --------------------------------------------------------------------------------------------------------

CAPTION = "--condition caption"
FORMS = {"relativistic": "", "cross-entropy": " --loss matching_aware"}  # of the loss and of the third pair
by_slopes = lambda gamma: {  # gamma: the default without classes
    "classes": "--condition class",
    "slopes as without classes": f"--condition class --r1 {gamma} --r2 {gamma} --gamma_end 0.1",
}
CLASSES = {"accuracy": (0.95, 1.0), "worst_coverage": (0.7, 1.0)}
PARTS = {
    "digits": Part("digits", by_slopes(1 / 16), partial(by_class, "digits"), CLASSES),
    "mnist": Part(MNIST, by_slopes(49 / 64), partial(by_class, MNIST), CLASSES),
    "told": Part(
        "digits",
        {
            "auxiliary": "--condition class --auxiliary 1",
            "interpolated": "--condition class --interpolate 0.5",
            "matching-aware": "--condition class --loss matching_aware",
        },
        partial(by_class, "digits"),
        {},
    ),
    "faces": Part(
        "faces",
        {
            "captions": CAPTION,
            "words not named": f"{CAPTION} --naming 0",
            "half the batch": f"{CAPTION} --naming 0 --batch 16 --lr_D 0.0005",
            "one other pair": f"{CAPTION} --mismatch 1",
            "without the third pair": f"{CAPTION} --mismatch 0",
            "unconditional": "",
        },
        from_captions,
        {"real_obeyed": (0.99, 1), "obeyed_seen": (0.9, 1), "obeyed_unseen": (0.75, 1), "variety": (0.8, 1.2)},
    ),
    "joins": Part(
        "faces",
        {
            f"{join}, {form}": f"{CAPTION} --join {join}{options}"
            for form, options in FORMS.items()
            for join in ("concat", "add", "project", "modulate")
        },
        from_captions,
        {},
    ),
}
SHOWN = {  # of the tables
    "digits": ("accuracy", "worst_accuracy", "coverage", "worst_coverage", "ceiling_accuracy", "ceiling_coverage"),
    "faces": ("obeyed_seen", "obeyed_unseen", "obeyed_chinese", "variety", "variety_unseen", "valid"),
} | {"joins": ("obeyed_seen", "obeyed_unseen", "variety", "valid")}


def one(part: str, row: str, seed: int, args: argparse.Namespace) -> Run | None:
    """One run, begun or gone on with, and measured; None if the command failed."""
    p, place = PARTS[part], args.keep / part / f"{row.replace(', ', '-').replace(' ', '-')}-{seed}"
    if (place / "measured.json").exists():
        return json.loads((place / "measured.json").read_text())
    options = f"{p.rows[row]} {length(part, args)} --seed {seed} --threads {args.threads}".split()
    resumed = (place / "recipe.yaml").exists()
    argv = ["resume", str(place)] if resumed else ["train", p.data, *options, "--run", str(place)]
    print(f"{part}: {row}, seed {seed}", flush=True)
    if subprocess.run([sys.executable, "-m", "sparring", *argv], stdout=subprocess.DEVNULL, check=False).returncode:
        return None
    card, folder = json.loads((place / "card.json").read_text()), RunFolder(place)
    run = {
        "part": part,
        "row": row,
        "seed": seed,
        "samples": folder.recipe()["samples"],
        "reached": {k: round(v, 4) for k, v in p.measure(place).items()},
        "curve": curve(folder),
        "fid": folder.rows("evaluations.jsonl")[-1]["metrics"]["fid"]["value"],
        "seconds": card["seconds"],
        "resumed": resumed,
        "findings": sorted({row["name"] for row in folder.rows("findings.jsonl")}),
        "hardware": card["hardware"],
        "date": date.today().isoformat(),
    }
    (place / "measured.json").write_text(json.dumps(run, indent=1) + "\n")
    return run


def curve(folder: RunFolder) -> list[dict[str, float]]:
    """What the judge of the world said on the way, of fewer samples than in the end."""
    told = [(row["seen"], row.get("truth", {})) for row in folder.rows("evaluations.jsonl")]
    return [{"seen": seen} | {k: round(truth[k], 3) for k in CURVE if truth.get(k) is not None} for seen, truth in told]


def length(part: str, args: argparse.Namespace) -> str:
    """--minutes for the first run of a part; for the others, the samples that these became."""
    if args.samples:
        return f"--samples {args.samples}"
    for known in sorted((args.keep / part).glob("*/recipe.yaml")):
        return f"--samples {RunFolder(known.parent).recipe()['samples']}"
    return f"--minutes {args.minutes}"


def table(part: str, runs: list[Run]) -> dict[str, Any]:
    """Mean and range over seeds of every row of a part, and which bars the first row's mean holds."""
    p, rows = PARTS[part], {}
    for row, options in p.rows.items():
        of = [run for run in runs if run["row"] == row]
        if not of:
            continue
        rows[row] = {
            "command": f"sparring train {Path(p.data).name} {options} --samples {of[0]['samples']} --seed N",
            "seeds": [run["seed"] for run in of],
            "samples": sorted({run["samples"] for run in of}),
            "minutes": round(statistics.mean(run["seconds"] for run in of) / 60, 1),
            **record.over_seeds([run["reached"] for run in of], of[0]["reached"], 4),
        }
    first = rows.get(next(iter(p.rows)), {})
    held = {k: low <= first[k]["mean"] <= high for k, (low, high) in p.bars.items() if k in first}
    if part == "faces":
        held |= differences(rows)
    return {"bars": p.bars, "held": held, "rows": rows}


def differences(rows: dict[str, Any]) -> dict[str, bool]:
    """What is claimed of the rows of faces beside each other, of as many pictures each."""
    named, plain, two, free = (
        rows.get(name) for name in ("captions", "words not named", "without the third pair", "unconditional")
    )
    held = {}
    for told in (named, plain):
        if told and two and told["samples"] == two["samples"]:
            held["obeyed at least .15 lower without the third pair"] = (
                two["obeyed"]["mean"] <= told["obeyed"]["mean"] - 0.15
            )
    if named and free and named["samples"] == free["samples"]:
        held["valid at most .05 below the unconditional"] = named["valid"]["mean"] >= free["valid"]["mean"] - 0.05
    return held


def write(keep: Path) -> None:
    """results/conditions.json, of all that is whole; rows that lie elsewhere stay as they were."""
    fresh = [json.loads(path.read_text()) for path in sorted(keep.glob("*/*/measured.json"))]
    again = {(run["part"], run["row"]) for run in fresh}
    kept = [run for run in record.known("conditions").get("runs", []) if (run["part"], run["row"]) not in again]
    runs = sorted([*kept, *fresh], key=lambda run: (run["part"], run["row"], run["seed"]))
    parts = {part: table(part, of) for part in PARTS if (of := [run for run in runs if run["part"] == part])}
    document = {
        "proof": "conditions",
        "command": f"python benchmarks/conditions.py {'|'.join(parts)}",
        "judged": {"captions": CAPTIONS, "captions of many": VARIED, "of each": OF_EACH, "of each class": 1000},
        "parts": parts,
        "runs": runs,
    }
    record.write("conditions", document)


def markdown(document: dict[str, Any]) -> str:
    """The tables of docs/conditions.md: mean (lowest to highest) over seeds."""
    said = []
    for part, found in document["parts"].items():
        keys = SHOWN.get(part, SHOWN["digits"])
        head = [part, "seeds", "samples", *(k.replace("_", " ") for k in keys)]
        lines = [head, ["---"] * len(head)]
        for row, of in found["rows"].items():
            lines.append([row, str(len(of["seeds"])), f"{of['samples'][0]:,}", *(span(of.get(k)) for k in keys)])
        said.append("\n".join("| " + " | ".join(line) + " |" for line in lines))
        said.append("\n".join(f"{'held' if ok else 'MISSED'}: {claim}" for claim, ok in found["held"].items()))
    return "\n\n".join(said)


def span(v: dict[str, float] | None) -> str:
    return f"{v['mean']:.3f} ({v['min']:.3f}–{v['max']:.3f})" if v else "–"


def main() -> int:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("part", nargs="?", choices=list(PARTS))
    p.add_argument("--seeds", type=int, default=3)
    p.add_argument("--minutes", type=float, default=10.0, help="of the first run of the part")
    p.add_argument("--samples", type=int, help="instead of --minutes")
    p.add_argument("--rows", help="some of the part's rows, with semicolons between")
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--keep", type=Path, default=Path("runs/conditions"), help="folder of the runs")
    p.add_argument("--table", action="store_true", help="print the tables from the results, and end")
    args = p.parse_args()
    if args.table or args.part is None:
        print(markdown(record.known("conditions")) if args.table else p.format_help())
        return 0
    rows = [name.strip() for name in args.rows.split(";")] if args.rows else list(PARTS[args.part].rows)
    if strange := [name for name in rows if name not in PARTS[args.part].rows]:
        p.error(f"{'; '.join(strange)}: none of {'; '.join(PARTS[args.part].rows)}")
    if args.part == "mnist" and not Path(MNIST).exists():
        print(f"mnist: left out; there is no {MNIST} (SPARRING_DATA names its folder)", flush=True)
        return 0
    torch.set_num_threads(args.threads)
    failed = 0
    for seed, row in ((seed, row) for seed in range(args.seeds) for row in rows):
        run = one(args.part, row, seed, args)
        failed += run is None
        print(json.dumps(run and {k: run[k] for k in ("row", "seed", "samples", "reached")}), flush=True)
        write(args.keep)
    return failed > 0


if __name__ == "__main__":
    raise SystemExit(main())
