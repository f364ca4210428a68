"""Who reads the findings while a run plays: tells them, chooses what to do if allowed to, and knows when it is enough.

All decisions are functions of what the run has written and seen, so that a resumed run decides the same.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import Module

from . import data, parallel, recipe, remedies, stopping
from .folder import read_tree
from .progress import tell
from .remedies import REMEDIES, Act
from .spaces import Vector
from .symptoms import Finding, data_faults, diagnose, far_off
from .tally import Tally
from .train import Method, State

if TYPE_CHECKING:
    from .run import Run

NAMES = list(REMEDIES)


def census(found: data.Dataset) -> dict[str, Any]:
    """What the card of the data does not say yet: the range of its bytes, and how many examples each class has.

    A class of which nothing is usable is one that a folder or a line of metadata named, or a gap in small numbers.
    """
    x = found.train.x[:2048]
    more: dict[str, Any] = {"range": [int(x.min()), int(x.max())]} if x.dtype.kind == "u" else {}
    labels, classes = found.train.labels, found.classes
    if labels is not None and classes is not None:
        counts = torch.bincount(torch.from_numpy(labels), minlength=len(classes)).tolist()
        lost = set(found.card.get("named", []))
        if not lost and classes == [name for name in map(str, range(2 * len(classes))) if name in set(classes)]:
            lost = set(map(str, range(int(classes[0]), int(classes[-1]))))
        more["class_sizes"] = dict(zip(classes, counts)) | {name: 0 for name in sorted(lost - set(classes))}
    return more


def look_at_data(run: Run) -> None:
    """The findings that the card of the data gives before anything is trained; the summary tells of small ones."""
    for finding in data_faults(run.data.card | census(run.data)):
        write(run, finding, aloud=finding.level == "problem")


def findings(run: Run) -> list[Finding]:
    """What the symptoms say of the rows since the last act in place; what is new is told and written."""
    if run.recipe.autopilot == "off" or not run.first:
        return []
    since = max((act.at for act in run.acts if act.to == act.at and act.finding in NAMES), default=-1)
    found = diagnose([row for row in run.history if row["seen"] > since])
    last = max((i for i, row in enumerate(run.findings) if "act" in row), default=-1)
    told = {row["name"] for row in run.findings[last + 1 :]}
    for finding in found:
        if finding.name not in told:
            write(run, finding)
    return found


def write(run: Run, finding: Finding, aloud: bool = True, **more: Any) -> None:
    """A line of findings.jsonl, and of news if it is said aloud."""
    row = {"seen": run.state.seen, **finding._asdict(), **more}
    run.findings.append(row)
    if run.first:
        run.folder.append("findings.jsonl", row)
        since = f" since {finding.since:,} samples" if finding.since else ""
        if aloud:
            tell(f"{finding.level}: {finding.name}{since}: {finding.evidence}; {finding.advice}")


def act_on(run: Run, found: list[Finding], afresh: Callable[[Run], State]) -> Act | None:
    """One act about these findings, if it is allowed to act and something is left to try."""
    chosen = choose(run, found)
    if chosen is None:
        return None
    act, run.method = chosen[0]._replace(of=run.recipe.samples or 0), chosen[1]
    kept = [a for a in run.acts if a.remedy != "settled" or a.at <= act.to]
    if len(kept) < len(run.acts):  # the plateau has not come yet
        run.method = replayed(run, [*kept, act])
        act = act._replace(after=remedies.settings(run.method, act.at))
    run.acts = [*kept, act]
    if act.to < act.at:
        go_back(run, act.to, afresh)
    record(run, act)
    return act


def choose(run: Run, found: list[Finding]) -> tuple[Act, Method] | None:
    """The act about the first problem that something is left to do about; all processes choose the same."""
    if run.recipe.autopilot != "act":
        return None
    problems = [f for f in found if f.level == "problem" and f.name in NAMES]
    healthy = min((f.since for f in problems), default=0)
    asked = [[NAMES.index(f.name), healthy] for f in problems][:8]
    asked += [[-1, 0]] * (8 - len(asked))
    agreed = parallel.gather(torch.tensor(asked, dtype=torch.float64, device=run.device))[0].long().tolist()
    places = sorted((int(c.name) for c in run.folder.checkpoints()), reverse=True)
    spec = run.data.spec
    known = (run.acts, recipe.method(run.recipe, spec), usual(run), spec)
    for i, since in agreed:
        older = [place for place in places if 0 < place <= since] + [0]
        if i >= 0 and (chosen := remedies.choose(run.method, run.state.seen, NAMES[i], older, *known)):
            return chosen
    return None


def record(run: Run, act: Act) -> None:
    """An act, with before and after, among the findings."""
    where = f"back to {act.to:,} samples" if act.to < act.at else "from here"
    said = f"because of {act.finding}, decided at {act.at:,} samples: {act.remedy.replace('_', ' ')}, {where}"
    change = f"as they stood at {act.at:,} samples, {remedies.changed(act)}"
    write(run, Finding(f"act: {act.remedy.replace('_', ' ')}", act.to, said, change, "note"), act=act._asdict())


def not_finite(run: Run, bad: list[str], lost: tuple[int, list[str]] | None) -> Finding:
    """The finding about numbers that are NaN or infinite: which tensor was the first, and from which examples."""
    at, names = lost or (run.state.seen, bad)
    said = [f"{', '.join(names[:4])} became NaN or infinite"]
    if lost:
        said[0] += f" in the step after {at:,} samples"
        said.append(examples(run, at))
    for name, net in (("G", run.state.G), ("D", run.state.D)):
        if spoiled := spoiled_in(net):
            said.append(f"of {name}'s tensors {len(spoiled)} are spoiled, the first {spoiled[0]}")
    since = run.history[-1]["seen"] if run.history else 0
    advice = (
        "try half of --lr and --lr_D, or --r1 and --r2 raised tenfold; keep to bfloat16 or float32, for float16 breaks "
        "this kind of training"
    )
    finding = Finding("not finite", since, "; ".join(said), advice)
    write(run, finding)
    return finding


def spoiled_in(net: Module) -> list[str]:
    """The names of parameters and buffers with a number that is not finite."""
    return [k for k, v in net.state_dict().items() if v.is_floating_point() and not v.isfinite().all()]


def examples(run: Run, at: int) -> str:
    """The examples of the step after `at` samples, by name; those first that are themselves not finite."""
    split, batch = run.data.train, run.recipe.batch or 1
    places = data.places(len(split), run.method.seed, at, batch)
    x, _ = split.take(places)
    names = split.names(places)
    spoiled = [name for name, one in zip(names, x.flatten(1)) if not one.isfinite().all()]
    if spoiled:
        return f"these examples are themselves not finite: {', '.join(spoiled[:8])}"
    return f"its examples, all finite themselves, were {', '.join(names[:6])}" + (
        f" and {len(names) - 6} more" if len(names) > 6 else ""
    )


# -- going back -------------------------------------------------------------------------------------------------------


def take(run: Run, saved: dict[str, Any]) -> None:
    """The players, the optimizers and the half-filled line as a checkpoint has them."""
    run.state.load(saved["state"])
    run.tally = Tally()
    run.tally.load(saved["tally"])


def replayed(run: Run, acts: list[Act]) -> Method:
    """The method that the run began with, after these acts."""
    return remedies.replay(recipe.method(run.recipe, run.data.spec), acts, run.recipe.samples or 0, usual(run))


def usual(run: Run) -> Method:
    """The default game of the run's data where it began, on whatever it goes on now."""
    return recipe.usual(run.recipe, run.data.spec, torch.device(run.begun_on))


def go_back(run: Run, to: int, afresh: Callable[[Run], State]) -> None:
    """To the checkpoint at `to`, or to a fresh beginning: what came after it is laid aside in abandoned.jsonl."""
    place = run.folder.path / "checkpoints" / f"{to:012d}"
    if place.exists():
        take(run, read_tree(place))
    else:
        run.state, run.tally = afresh(run), Tally()
    parallel.agree(False)  # all have read before the first one writes there again
    if run.first:
        for checkpoint in run.folder.checkpoints():
            if int(checkpoint.name) > to:
                shutil.rmtree(checkpoint)
        for row in run.history:
            if row["seen"] > to:
                run.folder.append("abandoned.jsonl", {"act": len(run.acts), **row})
        forget(run)


def forget(run: Run) -> None:
    """Forgets the rows of what has not happened yet."""
    for name in ("stats.jsonl", "evaluations.jsonl"):
        run.folder.forget_after(name, run.state.seen)
    run.history = run.folder.rows("stats.jsonl")
    run.folder.write_rows("findings.jsonl", run.findings)


def forget_the_last(run: Run) -> None:
    """Forgets the run's own evaluation at its end, which comes after the last checkpoint and is made anew."""
    rows = run.folder.rows("evaluations.jsonl")
    here = [r for r in rows if r["seen"] >= run.state.seen and "by" not in r]
    last = here[1:] if run.why else here  # the first told that a target was reached
    run.folder.write_rows("evaluations.jsonl", [r for r in rows if r not in last])


# -- enough -----------------------------------------------------------------------------------------------------------


def watched(run: Run) -> str:
    """The measure by which runs are judged while they play: the target's, or the usual one of this kind of data."""
    name, _, _ = (run.recipe.target or "").partition("=")
    return name or ("coverage" if isinstance(run.data.spec.x, Vector) else "fid")


def own_rows(run: Run) -> list[dict[str, Any]]:
    """The run's own evaluations: what `sparring evaluate` has added, of any data, decides nothing."""
    return [row for row in run.folder.rows("evaluations.jsonl") if "by" not in row]


def judged(run: Run) -> list[stopping.Measured]:
    """That measure in the run's own evaluations, of equal numbers of samples: not in the last, which takes more."""
    own = [row for row in own_rows(run) if not row.get("last")]
    numbers = lambda row: (row.get("n_real"), row.get("n_fake"))
    return stopping.series([row for row in own if numbers(row) == numbers(own[0])], watched(run))


def best_seen(run: Run) -> int | None:
    """Where the run was best by that measure."""
    leader = stopping.best(judged(run))
    return leader.seen if leader else None


def better(run: Run, one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether one row of measures is better than another by more than their errors."""
    found = [stopping.series([row], watched(run)) for row in (one, other)]
    if not all(found):
        return False
    (a,), (b,) = found
    return a.beats(b, by=max(a.se, b.se))


def enough(run: Run) -> bool:
    """Whether the newest evaluation is the best so far; and if it is enough, says why or begins to settle."""
    r, seen, why = run.recipe, run.state.seen, ""
    measured = judged(run) if run.first else []
    if r.stop == "target":
        why = stopping.reached(measured, float((r.target or "").partition("=")[2]))
    if r.stop == "plateau" and measured and not settling(run) and begun(run):
        why = stopping.plateau([m for m in measured if m.seen > run.longer], r.patience or 0)
    if r.stop != "budget" and parallel.agree(bool(why)):
        telling = accuracy(run)
        if r.stop == "target":
            run.why = f"{watched(run)} {why}{telling}"
        else:
            settle(run, f"{watched(run)} is {why}{telling}", seen)
    leader = stopping.best(measured)
    return parallel.agree(leader is not None and leader.seen == seen)


def begun(run: Run) -> bool:
    """Whether something of the data is covered; measures that have not begun to move are on no plateau."""
    own = own_rows(run)
    return bool(own) and far_off(own[-1] | {"ceiling": own[0].get("ceiling", {})}) is None


def accuracy(run: Run) -> str:
    """What D can still tell, as evidence beside a measure."""
    rows = [row["accuracy/heldout"] for row in run.history[-5:] if "accuracy/heldout" in row]
    return f"; D puts {sorted(rows)[len(rows) // 2]:.0%} of held-out examples above fakes" if rows else ""


def settle(run: Run, why: str, seen: int) -> None:
    """The rest of every schedule, in a fraction of the time: what large steps have found, small ones refine."""
    samples = run.recipe.samples or 0
    new = remedies.settled(run.method, seen, samples)
    before, after = remedies.settings(run.method, seen), remedies.settings(new, end_of(seen, samples))
    act = Act(seen, seen, "plateau", "settled", before, after)
    run.acts.append(act)
    run.method = new
    finding = Finding("plateau", seen, why, f"the rates now fall to their end at {end(run):,} samples", "note")
    write(run, finding, act=act._asdict())


def unsettle(run: Run) -> None:
    """Takes back that it was enough: the run was given another length since."""
    if why := run.why or (settling(run) and "its plateau"):
        told = f"what ended it, {why}, does so no more", "another length was asked for"
        row = Finding("longer", run.state.seen, *told, "note")._asdict()
        run.findings.append({"seen": run.state.seen, **row, "act": {}})
    run.acts, run.why = [act for act in run.acts if act.remedy != "settled"], ""
    run.longer = run.state.seen


def settling(run: Run) -> Act | None:
    return next((act for act in run.acts if act.remedy == "settled"), None)


def end_of(at: int, samples: int) -> int:
    return min(at + remedies.tail(at, samples), samples)


def end(run: Run) -> int:
    """Samples seen at which the run is over."""
    act, samples = settling(run), run.recipe.samples or 0
    return end_of(act.at, samples) if act else samples


def reason(run: Run) -> str:
    """Why the run is over, in words."""
    act = settling(run)
    plateau = next((row["evidence"] for row in reversed(run.findings) if row["name"] == "plateau"), "")
    return run.why or (f"{plateau}; it was then let settle" if act else "the budget is spent")
