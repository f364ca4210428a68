"""The doctor's visit: to a run, live or finished, or to the log of anybody's own trainer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from . import logs
from .folder import RunFolder
from .names import RequestError
from .symptoms import ROWS, SYMPTOMS, Finding, data_faults, diagnose, far_off, unable

ELSEWHERE = [  # beside the log of another trainer
    "",
    "what begins with -- is an option of `sparring train`, and --help explains it: --r1 and --r2 weigh the squared",
    "slope of the critic at real and at made samples, --lr_D is its rate, --critic_steps its turns for each of G's",
]


def visit(
    what: Path, deep: bool = False, device: str = "auto", threads: int = 0
) -> tuple[list[dict[str, Any]], list[str]]:
    """The findings as plain values, and the same in words for a person.

    what: the folder of a run, or a log (see `logs.read`).  deep: also what takes minutes, of the last checkpoint,
    on that device and so many threads of the CPU.
    """
    if (what / "recipe.yaml").exists():
        return run(what, deep, device, threads)
    if what.is_dir():
        RunFolder(what).recipe()
    if not what.exists():
        raise RequestError(f"{what} does not exist; give the folder of a run, or a log (.csv, .jsonl, or printed text)")
    if deep:
        raise RequestError(f"--deep needs the players themselves: give a run's folder; {what} is only a log")
    log = logs.read(what)
    found = diagnose(log.rows)
    lines = [f"{what}: {len(log.rows):,} rows", *log.said]
    lines += [f"not read: {', '.join(log.unread[:12])}{', …' if len(log.unread) > 12 else ''}"] if log.unread else []
    lines += told(found, log.rows, log.unit)
    return [f._asdict() for f in found], lines + ELSEWHERE * any("--" in f.advice for f in found)


def run(folder: Path, deep: bool, device: str, threads: int) -> tuple[list[dict[str, Any]], list[str]]:
    """What the numbers of a run say now; and what was written when they were no longer numbers."""
    place = RunFolder(folder)
    place.recipe()
    rows, written, measured = (place.rows(f"{name}.jsonl") for name in ("stats", "findings", "evaluations"))
    card = folder / "card.json"
    data = json.loads(card.read_text()).get("data", {}) if card.exists() else {}
    acted = max((i for i, row in enumerate(written) if "act" in row), default=-1)  # what it cured is no more
    since = [row for row in written[acted + 1 :] if row["name"] == "not finite"]
    lost = [Finding(**{k: row[k] for k in Finding._fields}) for row in since]
    found = lost[-1:] + [f for f in diagnose(rows) if f.name != "not finite" or not lost] + data_faults(data)
    own = [row for row in measured if "by" not in row]
    found += [far] if own and (far := far_off(own[-1])) else []

    seen = f"{rows[-1]['seen']:,} samples" if rows else "no line of stats.jsonl yet"
    lines = [f"{folder}: {seen}, {len(rows):,} rows", *told(found, rows, "samples")]
    for row in written:
        if "act" in row:
            lines.append(f"what was done: {row['evidence']}: {row['advice']}")
    if deep:
        for finding in look_deep(folder, device, threads):
            found.append(finding)
            lines += ["", f"{finding.name}: {finding.evidence}", f"  {finding.advice}"]
    return [f._asdict() for f in found], lines


def told(found: list[Finding], rows: list[dict[str, Any]], unit: str) -> list[str]:
    """Findings in words, and what could not be told."""
    lines = []
    for f in found:
        when = f"{f.since:,} samples" if unit == "samples" else f"{unit} {f.since:,}"
        since = f", since {when}" if f.since else ""
        lines += ["", f"{f.level}: {f.name}{since}", f"  {f.evidence}", f"  try: {f.advice}"]
    if len(rows) < ROWS:
        return [*lines, "", f"too few rows yet ({len(rows)} of {ROWS}) to look for symptoms"]
    cannot = unable(rows)
    lines += ["", f"{len(SYMPTOMS) - len(cannot)} of {len(SYMPTOMS)} symptoms could be looked for"]
    ours = {symptom.__name__.replace("_", " ") for symptom in SYMPTOMS}
    lines[-1] += ", and none was found" if not any(f.name in ours for f in found) else ""
    if unit == "samples":  # a run of ours: what is not in its log is not in its game
        return [*lines, f"  not asked of this kind of run: {', '.join(cannot)}"] if cannot else lines
    for name, keys in cannot.items():
        lines.append(f"  cannot be told: {name} (needs {', '.join(k.replace('|', ' or ') for k in keys)})")
    return lines


def look_deep(folder: Path, device: str = "auto", threads: int = 0) -> list[Finding]:
    """Eigenvalues of the game, the path from its beginning, and the duality gap, at the last checkpoint."""
    import torch

    from . import landscape, machine, recipe
    from . import run as run_room
    from .autopilot import replayed, take
    from .remedies import Act
    from .settings import Recipe
    from .spaces import Tokens
    from .train import pathwise

    r = Recipe.of(RunFolder(folder).recipe())
    on = machine.pick(device, threads)
    data = run_room.open_data(r)
    if isinstance(data.spec.x, Tokens):
        raise RequestError(f"--deep follows gradients through samples, and {folder} writes tokens: leave it out")
    here = run_room.Run(r, RunFolder(folder), data, recipe.method(r, data.spec), run_room.begin(r, data, on), on)
    early = run_room.begin(r, data, on)
    saved = here.folder.load()
    if saved is None:
        raise RequestError(f"{folder} has no checkpoint yet; --deep needs one")
    take(here, saved)
    here.begun_on = saved.get("begun_on", here.begun_on)
    m = replayed(here, [Act(**act) for act in saved["acts"]])
    s, n = here.state, min(256, len(data.heldout) // 2)
    x, c = run_room.played(here, *data.heldout.take(torch.arange(2 * n)))
    half = lambda t, i: None if t is None else t[i * n : (i + 1) * n]
    z = s.G.prior.sample(2 * n, torch.Generator().manual_seed(0)).to(on)  # type: ignore[union-attr]
    batch = x[:n], half(c, 0), z[:n]

    values = landscape.eigenvalues(m, s, *batch)
    way = landscape.path(m, early, s, batch, [-0.1, 0.0, 0.25, 0.5, 0.75, 0.9, 0.95, 1.0, 1.05, 1.1])
    draw = torch.Generator().manual_seed(1)
    sample = lambda k: s.G.prior.sample(k, draw).to(on)  # type: ignore[union-attr]
    gap = landscape.duality_gap(s, (x[:n], half(c, 0)), (x[n:], half(c, 1)), sample, loss=m.loss)

    away, turning = [v for v in values if v.real < 0], [v for v in values if abs(v.imag) > abs(v.real)]
    size = lambda v: f"{v.real:.3g}{v.imag:+.3g}i"
    before, after = (way.cosine[way.alpha.index(a)] for a in (0.95, 1.05))
    route = "" if m.generator_loss is pathwise else "; G's loss without its route, as if by pathwise"
    attracted = "play comes back to it from either side" if before > 0 > after else "play does not come back to it"
    return [
        Finding(
            "deep: eigenvalues",
            s.seen,
            f"the {len(values)} largest of the game's Jacobian are {', '.join(map(size, values))}"
            if len(values)
            else "none of the game's Jacobian was found: the iteration did not converge",
            f"{len(away)} have a negative real part (play runs away there), {len(turning)} turn more than they pull"
            + route,
            "note",
        ),
        Finding(
            "deep: path",
            s.seen,
            "cosine of the field with the line from the first players to these: "
            + ", ".join(f"{c:+.2f} at {a:g}" for a, c in zip(way.alpha, way.cosine)),
            f"along this line, {attracted}",
            "note",
        ),
        Finding(
            "deep: duality gap",
            s.seen,
            f"{gap.gap:.3f}: a critic trained further reaches {gap.best_D:.3f} (-0.693 if none can tell, 0 if it can), "
            f"a generator {gap.best_G:.3f}",
            "0 would be an equilibrium; lower is better among runs on the same data",
            "note",
        ),
    ]
