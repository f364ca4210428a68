"""What a run leaves in its folder as it goes: sheets, measures, checkpoints and how they are taken up, the generator,
the card."""

from __future__ import annotations

import copy
import json
import platform
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from . import __version__, autopilot, generators, machine, parallel, sheets
from .evaluate import evaluate
from .extractors import Making, reference
from .names import RequestError
from .progress import tell
from .remedies import Act
from .settings import Recipe, difference
from .spaces import Frames
from .spaces import from_json as spec_from_json
from .spaces import to_json as spec_json

if TYPE_CHECKING:
    from .run import Run


def draw_sheet(run: Run) -> None:
    """A sheet of the average generator into the run's folder."""
    if run.first:
        sheets.draw_sheet(run.state.ema, run.recipe, run.data, run.folder.path / "samples", run.state.seen)


def draw_film(run: Run) -> None:
    """Of a run that foresees, what it rolls on to at its end."""
    if isinstance(run.data.spec.c, Frames):
        sheets.draw_film(run.state.ema, run.recipe, run.data, run.folder.path / "samples")


def measured(run: Run, n: int, last: bool = False) -> dict[str, Any]:
    """A line of evaluations.jsonl: n samples of the average generator against held-out data; empty if impossible.

    The first time and the last also what as many real samples would get; the last from fresh noise.
    """
    data, r = run.data, run.recipe
    ceiling = last or run.state.seen < (r.evaluate_every or 0) + (r.batch or 0)
    real = data.heldout.take(torch.arange(min(n, len(data.heldout))))[0]
    others = data.train.take(torch.arange(min(n, len(data.train))))[0] if ceiling else None
    fake, c = sheets.drawn(run.state.ema, r, data, n, "last evaluation" if last else "evaluation")
    try:
        options = dict(seed=r.seed, c=c, others=others, ceiling=ceiling, data=r.data, extractor=run.extractor)
        if run.extractor is not None:  # what costs something is looked through once
            options |= {"known": {"real": reference(run.extractor, Making(data), "heldout", len(real))}}
        score = generators.scorer(run.state.ema, data.spec)
        found = evaluate(real, fake, data.spec, data.world, score=score, **options)  # type: ignore[arg-type]
    except (ValueError, ArithmeticError, RuntimeError) as error:  # a measure never ends a run
        say(run, f"not measured at {run.state.seen:,} samples: {error}")
        return {}
    return {"seen": run.state.seen, "player": "average", **found}


def record(run: Run, row: dict[str, Any]) -> dict[str, Any]:
    """Writes what was measured; returns the measures and truths alone."""
    if not row:
        return {}
    run.folder.append("evaluations.jsonl", row)
    return row["metrics"] | {k: {"value": v} for k, v in row["truth"].items()}


def the_better(run: Run, row: dict[str, Any]) -> dict[str, Any]:
    """The best generator takes the place of the last one if it is better still when measured anew; the measures kept.

    Anew, because the best of many measures owes some of that to luck.
    """
    seen = autopilot.best_seen(run)
    if seen is None or seen == run.state.seen or (saved := run.folder.load_at(seen)) is None:
        return row
    last = copy.deepcopy(run.state.ema.state_dict())
    run.state.ema.load_state_dict(saved["state"]["ema"])
    best = measured(run, run.recipe.evaluate_final, last=True) | {"of": seen}
    if autopilot.better(run, best, row):
        write_generator(run, seen)
        say(run, f"kept the generator of {seen:,} samples, which is better than the last when both are measured anew")
        return best
    run.state.ema.load_state_dict(last)
    return row


def save(run: Run, seconds: float) -> None:
    """A checkpoint, and beside it the average generator alone."""
    s, data, r, tally = run.state, run.data, run.recipe, run.tally.save()
    for opt in (s.opt_G, s.opt_D):
        opt.zero_grad(set_to_none=True)  # no checkpoint has them: what is looked at next must not know them either
    if run.first:
        meaning = dict(recipe=r.asdict(), fingerprint=data.card["fingerprint"], spec=spec_json(data.spec))
        acts = [act._asdict() for act in run.acts]
        told = {"findings": run.findings, "acts": acts, "why": run.why, "begun_on": run.begun_on, "longer": run.longer}
        tree = {"state": s.save(), "seconds": seconds, "tally": tally} | told
        run.folder.save(s.seen, tree | meaning, keep=4 if r.autopilot == "act" else 2, best=autopilot.best_seen(run))
        write_generator(run, s.seen)


def take_up(run: Run, saved: dict[str, Any]) -> None:
    """The run as the checkpoint has it."""
    refuse_changes(run, saved)
    autopilot.take(run, saved)
    run.seconds, run.findings = saved["seconds"], saved["findings"]
    run.acts = [Act(**act) for act in saved["acts"]]
    run.why, run.begun_on = saved.get("why", ""), saved.get("begun_on", run.begun_on)
    run.longer = saved.get("longer", 0)


def refuse_changes(run: Run, saved: dict[str, Any]) -> None:
    """A checkpoint goes on only with the recipe and the data it began with."""
    changed = difference(Recipe.of(saved["recipe"]), run.recipe)
    if saved["spec"] != spec_json(run.data.spec):
        began, now = spec_from_json(saved["spec"]), run.data.spec
        what, a, b = ("samples", began.x, now.x) if began.x != now.x else ("conditions", began.c, now.c)
        changed = f"the {what} of {run.recipe.data} were {a} when the run began and are {b} now"
    elif not changed and saved["fingerprint"] != run.data.card["fingerprint"]:
        changed = (
            f"the content of {run.recipe.data} has changed since the run began "
            f"(fingerprint {saved['fingerprint'][:12]} then, {run.data.card['fingerprint'][:12]} now)"
        )
    if changed:
        raise RequestError(
            f"{run.folder.path} cannot go on: {changed}; put it back, or start a new run with another --run"
        )


def write_generator(run: Run, seen: int) -> None:
    """The average generator alone, all that samples need."""
    made = run.state.ema, run.recipe, run.data, seen
    run.folder.write_folder("generator", lambda aside: generators.save_generator(aside, *made))


def write_card(run: Run, reasons: Sequence[str] = (), seconds: float = 0.0, kept: int = 0) -> None:
    """card.json: what was trained on, by what, on what.  `reasons` are added to those that it has."""
    old = run.folder.path / "card.json"
    known = json.loads(old.read_text())["reasons"] if old.exists() else []
    count = lambda net: sum(p.numel() for p in net.parameters())
    card = {
        "data": run.data.card | autopilot.census(run.data),
        "spec": spec_json(run.data.spec),
        "reasons": [*known, *reasons],
        "parameters": {"G": count(run.state.G), "D": count(run.state.D)},
        "versions": {"sparring": __version__, "torch": torch.__version__, "python": platform.python_version()},
        "hardware": machine.hardware(run.device),
        "processes": parallel.size(),
        "seconds": round(seconds, 1),
    }
    if seconds:
        best = autopilot.best_seen(run)
        card["stopped"] = {"seen": run.state.seen, "why": autopilot.reason(run), "best": best, "kept": kept}
    run.folder.write_json("card.json", card)


def say(run: Run, line: str) -> None:
    if run.first:
        tell(line)
