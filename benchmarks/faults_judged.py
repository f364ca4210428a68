"""What the doctor saw in the runs of benchmarks/faults.py: results/faults.json, and the table and picture of the docs.

    python benchmarks/faults_judged.py --log FILE [--write] [--table] [--picture docs/faults.png]

A run without a fault of ours counts as healthy if its world says so at its end (`faults.WELL`); what the doctor said of
the others is listed beside.  A fault counts as recovered if what is drawn at the end covers at least nine tenths of
what the median healthy run of that world does.
"""

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

import record
from faults import CURABLE, FAULTS, TUNED, WORLDS, cases, key, recoveries, well
from matplotlib.figure import Figure

from sparring.lab.claims import Plot
from sparring.lab.drawing import GREY, RUST, saved, titled
from sparring.remedies import cures
from sparring.symptoms import diagnose
from sparring.train import Method

Case = dict[str, Any]

SIGNALS = {  # what shows each fault best, for the pictures
    "vanishing gradient": "push",
    "critic wins": "accuracy/heldout",
    "critic unbounded": "score/real",
    "exploding slope": "slope/fake",
    "critic blind": "accuracy/heldout",
    "collapse": "duplicates",
    "modes missing": "missing",
    "oscillation": "swing",
    "critic overfits": "overfit/known",
    "copying": "near",
    "augmentation leak": "leak",
    "condition ignored": "condition/score",
    "noise ignored": "condition/within",
    "not finite": "D/loss",
    "generator frozen": "G/step",
    "clip too tight": "slope/real",
    "clip too loose": "slope/real",
    "average lags": "swing",
}


WIDE = {"push", "score/real", "slope/fake", "slope/real", "G/step"}  # signals drawn over many powers of ten
CAUSES = {"copying": "critic overfits"}  # that bring the fault about, and may be named before it


def seen_by(case: Case) -> dict[str, int]:
    """Each problem that the doctor would have named while the run played, and when first, in its order."""
    first: dict[str, int] = {}
    h = case["history"]
    for i in range(5, len(h) + 1):
        for finding in diagnose(h[:i]):
            if finding.level == "problem":
                first.setdefault(finding.name, int(h[i - 1]["seen"]))
    for row in case["findings"]:
        if row["name"] == "not finite":
            first.setdefault("not finite", int(h[-1]["seen"]) if h else 0)
    return first


def judge(played: list[Case]) -> dict[str, Any]:
    """The figures of both halves: of runs on which thresholds were set, and of those that none has seen."""
    told = {key(c): seen_by(c) for c in played}
    usual = {
        w: statistics.median(v)
        for w in WORLDS
        if (v := [covered(c) for c in played if not c["fault"] and well(c) and c["world"] == w])
    }
    halves = {
        "tuned on": [c for c in played if c["seed"] in TUNED],
        "held out": [c for c in played if c["seed"] not in TUNED],
    }
    return {half: of_half(mine, told, usual) for half, mine in halves.items()} | {"coverage of healthy runs": usual}


def of_half(mine: list[Case], told: dict[str, dict[str, int]], usual: dict[str, float]) -> dict[str, Any]:
    acted = [c for c in mine if acts(c) and c["world"] in usual]
    mine = [c for c in mine if not acts(c)]
    groups = {fault: [c for c in mine if c["fault"] == fault] for fault in FAULTS}
    rows = {fault: row_of(sick, told) for fault, sick in groups.items() if sick}
    healthy = [c for c in mine if not c["fault"] and well(c)]
    ill = [c for c in mine if not c["fault"] and not well(c)]
    named = lambda some: {f"{key(c)}|{c['changes'].get('loss', '')}": list(told[key(c)]) for c in some}
    false = {k: names for k, names in named(healthy).items() if names}
    runs = sum(row["runs"] for row in rows.values())
    shares = ("recall", "first_name_right", "first_name_right_or_cause")
    right = {k: sum(row[k] * row["runs"] for row in rows.values()) for k in shares}
    delays = [row["delay"] for row in rows.values() if row["delay"] is not None]
    return {
        "runs": runs,
        "healthy_runs": len(healthy),
        **{k: v / max(runs, 1) for k, v in right.items()},
        "false_findings": len(false) / max(len(healthy), 1),
        "false": false,
        "ill without a fault of ours": named(ill),
        "median_delay": statistics.median(delays) if delays else None,
        "faults": rows,
        "recovery": recovery([c for c in mine if (c["fault"], c["way"]) in CURABLE], acted, usual),
    }


def acts(case: Case) -> bool:
    """Whether the doctor was allowed to act."""
    return case["changes"].get("autopilot") == "act"


def covered(case: Case) -> float:
    """The share of held-out examples that what is drawn at the end covers; 0 of a run that broke."""
    return 0.0 if case["failed"] or not case["measures"] else case["measures"][-1].get("coverage", 0.0)


def recovery(left: list[Case], acted: list[Case], usual: dict[str, float]) -> dict[str, Any]:
    """How many faults end as healthy runs do, left alone and acted upon."""
    healed = lambda c: covered(c) >= 0.9 * usual[c["world"]]
    left = [c for c in left if c["world"] in usual]
    share = lambda some: sum(map(healed, some)) / len(some) if some else None
    by_fault = lambda some: {
        f: share([c for c in some if c["fault"] == f]) for f in dict.fromkeys(c["fault"] for c in some)
    }
    number = lambda c: sum(row["name"].startswith("act:") for row in c["findings"])
    return {
        "runs": len(acted),
        "left alone": share(left),
        "acted upon": share(acted),
        "by fault": by_fault(acted),
        "most acts in a run": max(map(number, acted), default=0),
        "runs in which it acted": sum(number(c) > 0 for c in acted),
        "coverage": {key(c): [covered(c), usual[c["world"]]] for c in acted},
    }


def row_of(sick: list[dict[str, Any]], told: dict[str, dict[str, int]]) -> dict[str, Any]:
    """How one fault was seen: delays are shares of the run, from its beginning, where these faults begin."""
    name = sick[0]["fault"]
    hits = [c for c in sick if name in told[key(c)]]
    delays = [told[key(c)][name] / WORLDS[c["world"]]["samples"] for c in hits]
    first = [next(iter(told[key(c)])) for c in hits]
    return {
        "runs": len(sick),
        "worlds": sorted({c["world"] for c in sick}),
        "recall": len(hits) / len(sick),
        "first_name_right": sum(n == name for n in first) / len(sick),
        "first_name_right_or_cause": sum(n in (name, CAUSES.get(name)) for n in first) / len(sick),
        "delay": statistics.median(delays) if delays else None,
        "missed": [key(c) for c in sick if c not in hits],
        "first_named": {key(c): list(told[key(c)])[:3] for c in sick},
    }


def table(found: dict[str, Any]) -> str:
    """For the docs: each fault with what shows it, how often it was seen, how soon, and what acting did."""
    half = found["held out"]
    rows = [
        "| fault | shown by | recall | named first | delay | remedies | recovered |",
        "|---|---|---|---|---|---|---|",
    ]
    for fault, row in half["faults"].items():
        healed = half["recovery"]["by fault"].get(fault)
        cells = [fault, f"`{SIGNALS[fault]}`", f"{row['recall']:.2f}", f"{row['first_name_right']:.2f}"]
        cells += ["–" if row["delay"] is None else f"{row['delay']:.2f}"]
        cells += [", ".join(f.__name__.replace("_", " ") for f in cures(fault, Method())) or "–"]
        rows.append(f"| {' | '.join([*cells, '–' if healed is None else f'{healed:.2f}'])} |")
    return "\n".join(rows)


def picture(played: list[Case], place: Path) -> None:
    """Of each fault the number that shows it, over the run: ill runs over healthy ones of the same worlds."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots(6, 3, sharex=True).flat
        for ax, (fault, signal) in zip(axes, SIGNALS.items()):
            sick = [c for c in played if c["fault"] == fault and not acts(c)]
            worlds = {c["world"] for c in sick}
            fine = [c for c in played if not c["fault"] and well(c) and c["world"] in worlds]
            for some, color in ((fine, GREY), (sick, RUST)):
                for c in some:
                    rows = [r for r in c["history"] if r.get(signal) is not None]
                    n = WORLDS[c["world"]]["samples"]
                    ax.plot([r["seen"] / n for r in rows], [r[signal] for r in rows], color=color, lw=0.6, alpha=0.6)
            ax.set_yscale(
                "symlog", linthresh=1.0 if signal in ("score/real", "slope/fake", "slope/real") else 1e-9
            ) if signal in WIDE else None
            titled(ax, f"{fault}: {signal}")

    saved(Plot(draw, (8, 11)), place)


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--log", type=Path, required=True)
    p.add_argument("--write", action="store_true", help="write results/faults.json")
    p.add_argument("--table", action="store_true", help="print the table of the docs, and not the figures")
    p.add_argument("--picture", type=Path, help="draw the curves here")
    args = p.parse_args()
    lines = [json.loads(line) for line in args.log.read_text().splitlines()]
    seeds = sorted({c["seed"] for c in lines})
    due = {key(c): c["changes"] for c in cases(seeds) + recoveries(seeds)}
    played = [c for c in lines if due.get(key(c)) == c["changes"]]  # and not what an older version of the cases made
    found = judge(played)
    document = {
        "proof": "faults",
        "command": "python benchmarks/faults.py --log FILE; python benchmarks/faults_judged.py --log FILE --write",
        "found": found,
        "seconds": round(sum(c["seconds"] for c in played)),
    }
    if args.write:
        record.write("faults", document, threads=1)
    if args.picture:
        picture(played, args.picture)
    print(table(found) if args.table else json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
