"""The standard run: train, log, sample, probe, diagnose, act, checkpoint, evaluate, stop.

The loop is plain; everything it does beside training happens when a count of samples is crossed, so that a resumed run
does the same things at the same places.
"""

import copy
import math
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from . import autopilot, machine, parallel, recipe, refusals, report, tables
from . import data as data_room
from .chance import generator
from .data import Dataset
from .folder import RunFolder
from .keeping import draw_film, draw_sheet, measured, record, save, say, take_up, the_better, write_card
from .names import RequestError
from .optimizers import OPTIMIZERS
from .players import check_players
from .probes import BANK, Panel, panel, probe
from .progress import Progress, tell
from .rehearsal import rehearse
from .remedies import Act
from .settings import Recipe, with_intervals
from .sides import panel_extractor
from .spaces import Tokens, Vector, at_once, shape
from .stopping import stopping
from .symptoms import far_off
from .tally import Tally
from .train import Method, State, train

STEPS = 8  # between two times that processes tell each other of a signal: torchrun kills 30 seconds after it


class RunError(RuntimeError):
    """A run that failed while running; what it made so far is kept."""


@dataclass
class Run:
    """All that one run has at hand."""

    recipe: Recipe
    folder: RunFolder
    data: Dataset
    method: Method
    state: State
    device: torch.device
    extractor: torch.nn.Module | None = None  # what evaluations look through; None for what costs nothing
    seconds: float = 0.0  # spent before this process
    tally: Tally = field(default_factory=Tally)
    history: list[dict[str, Any]] = field(default_factory=list)  # rows of stats.jsonl
    findings: list[dict[str, Any]] = field(default_factory=list)  # rows of findings.jsonl
    acts: list[Act] = field(default_factory=list)
    why: str = ""  # it stopped
    longer: int = 0  # samples seen when it was last given another length
    begun_on: str = ""  # the kind of device, which had a say in the usual game; this one's if left out

    def __post_init__(self) -> None:
        self.begun_on = self.begun_on or self.device.type

    @property
    def first(self) -> bool:
        return parallel.rank() == 0


def start(r: Recipe, path: Path) -> dict[str, Any]:
    """A new run in `path`: everything is checked before anything is written.  Returns the last line of `train`."""
    folder, device = RunFolder(path), machine.pick(r.device, r.threads)
    refusals.check(r)
    folder.refuse_if_taken()
    with parallel.joined(device):
        data = open_data(r)
        r, reasons = recipe.plan(r, data, device)
        machine.pick(r.device, r.threads)  # as many threads as were chosen
        state, look = begin(r, data, device), extractor(r, data, device)
        trial = tryout(r, state, data, device)
        rehearse(trial.recipe, trial.method, trial.state, batches(trial), data, look)
        if r.minutes:
            samples = timed(r, state, data, device)
            reasons.append(f"{r.minutes:g} minutes are about {samples:,} samples at the speed of this machine")
            r = replace(r, samples=samples)
        r = with_intervals(r)
        if parallel.rank() == 0:
            for line in (*data_room.summary(data), *reasons, *(f"warning: {w}" for w in refusals.warnings(r))):
                tell(line)
        run = Run(r, folder, data, recipe.method(r, data.spec), state, device, look)
        with owned(run):
            if run.first:
                folder.create(r.asdict())
                write_card(run, reasons)
            return play(run)


def resume(path: Path, samples: int | None = None, minutes: float | None = None, **changes: Any) -> dict[str, Any]:
    """Goes on from the newest whole checkpoint as if it had never stopped.

    samples: or with another length, of so many samples in all; minutes: or for so long from here on.
    """
    folder = RunFolder(path)
    r = replace(Recipe.of(folder.recipe()), **changes)
    refusals.check_length(samples, minutes)
    device = machine.pick(r.device, r.threads)
    refusals.check_processes(r)
    with parallel.joined(device):
        data = open_data(r)
        state = begin(r, data, device)
        run = Run(r, folder, data, recipe.method(r, data.spec), state, device, extractor(r, data, device))
        with owned(run):
            saved = folder.load(partial(say, run))
            if saved is None:
                say(run, "no checkpoint yet: starting at the first sample")
            else:
                take_up(run, saved)
            if longer := bool(samples or minutes):
                lengthen(run, samples, minutes)
            if longer or (saved and saved["recipe"]["samples"] != run.recipe.samples):
                autopilot.unsettle(run)
            run.method = autopilot.replayed(run, run.acts)
            if run.first:
                autopilot.forget(run)
                if over := state.seen >= autopilot.end(run) or run.why:
                    autopilot.forget_the_last(run)
                what = "is over: its last measures and its report are made anew" if over else "goes on"
                tell(f"{path} {what}, at {state.seen:,} of {autopilot.end(run):,} samples")
            return play(run)


def lengthen(run: Run, samples: int | None, minutes: float | None) -> None:
    """Another length of the run, from here on; its schedules go by it, so a rate that had fallen is higher again."""
    r, seen = run.recipe, run.state.seen
    if minutes:
        samples = seen + timed(replace(r, minutes=minutes), run.state, run.data, run.device)
    assert samples
    if samples <= seen:
        raise RequestError(
            f"--samples {samples} are of the whole run, and {run.folder.path} has seen {seen:,}: give more"
        )
    run.recipe = recipe.lengthened(r, samples)
    if run.first:
        run.folder.write_recipe(run.recipe.asdict())
        told = f"length: {samples:,} samples in the place of {r.samples:,}, asked for at {seen:,}"
        write_card(run, [told])
        tell(f"{told}; what changes in time goes by the new length from here on")


def play(run: Run) -> dict[str, Any]:
    """The loop."""
    r, batch = run.recipe, run.recipe.batch or 0
    assert batch and r.log_every and r.sample_every and r.evaluate_every and r.checkpoint_every
    began, shown, note = time.monotonic() - run.seconds, shown_to(run), ""

    def crossed(every: int) -> bool:
        return run.state.seen // every > (run.state.seen - batch) // every or run.state.seen >= autopilot.end(run)

    with stopping() as stop, Progress("training", autopilot.end(run), run.state.seen, shown=run.first) as progress:
        if run.state.seen == 0:
            autopilot.look_at_data(run)
            draw_sheet(run)
        rounds = train(run.method, run.state, batches(run))
        while run.state.seen < autopilot.end(run) and not run.why and not stop.asked:
            at = run.state.seen
            run.tally.add(next(rounds), at)
            asked = stop.agreed(at=at // batch % STEPS == 0)
            if crossed(r.log_every) or crossed(r.checkpoint_every):
                note, act = log(run, time.monotonic() - began, shown)
                if act is not None:
                    rounds = train(run.method, run.state, batches(run))
                    save(run, time.monotonic() - began)
                    continue
            if crossed(r.sample_every):
                draw_sheet(run)
            best = False
            if crossed(r.evaluate_every) and run.state.seen < autopilot.end(run):
                if run.first:
                    record(run, measured(run, r.evaluate_n))
                before = run.method
                best = autopilot.enough(run)
                rounds = rounds if run.method is before else train(run.method, run.state, batches(run))
            if crossed(r.checkpoint_every) or asked or best or run.why:
                save(run, time.monotonic() - began)
            progress.update(run.state.seen, note)

    return finish(run, time.monotonic() - began, stop.asked)


def finish(run: Run, seconds: float, asked: int) -> dict[str, Any]:
    """The last measures, the report, and what is printed last."""
    seen, path = run.state.seen, str(run.folder.path)
    if not run.first:
        return {"stopped": asked} if asked else {}
    if asked:
        say(run, f"stopped and saved at {seen:,} samples; go on with: sparring resume {path}")
        return {"run": path, "seen": seen, "seconds": round(seconds, 1), "stopped": asked}
    row = measured(run, run.recipe.evaluate_final, last=True)
    if run.recipe.stop == "plateau":
        row = the_better(run, row)
    row |= {"last": True} if row else {}
    draw_film(run)
    metrics = record(run, row)
    write_card(run, seconds=seconds, kept=row.get("of", seen))
    say(run, f"stopped at {seen:,} samples: {autopilot.reason(run)}")
    for line in tables.of_measures([row]) if row else []:
        say(run, line)
    if far := far_off(row):
        autopilot.write(run, far)
    say(run, f"report: {report.write(run.folder.path)}")
    say(
        run,
        f"next: sparring sample {path}, sparring evaluate {path}, or for longer: sparring resume {path} --minutes 10",
    )
    found = len({row["name"] for row in run.findings})
    return {"run": path, "seen": seen, "seconds": round(seconds, 1), "findings": found, "metrics": metrics}


# -- what happens at the crossings ------------------------------------------------------------------------------------


def log(run: Run, seconds: float, shown: Panel) -> tuple[str, Act | None]:
    """A line of stats.jsonl, new findings, and perhaps an act about one; RunError where numbers are no longer finite.

    Returns a note for the progress bar, and the act.
    """
    lost = run.tally.first_lost()
    row = {"seen": run.state.seen, "seconds": seconds, **run.tally.row(run.method, run.state)}
    row |= probe(run.method, run.state, shown)
    if bad := [k for k, v in row.items() if not math.isfinite(v)]:
        finding = autopilot.not_finite(run, bad, lost)
        act = autopilot.act_on(run, [finding], afresh)
        if act is None:
            last = run.folder.checkpoints()
            raise RunError(
                f"{finding.evidence}; the last checkpoint is {int(last[-1].name) if last else 'none'}; {finding.advice}"
            )
        return "", act
    if run.first:
        row = {k: float(f"{v:.6g}") if isinstance(v, float) else v for k, v in row.items()}
        run.folder.append("stats.jsonl", row)
        run.history.append(row)
    act = autopilot.act_on(run, autopilot.findings(run), afresh)
    return f"{row['images_per_second']:,.0f}/s, score real {row['score/real']:+.2f} fake {row['score/fake']:+.2f}", act


# -- setting the table ------------------------------------------------------------------------------------------------


def afresh(run: Run) -> State:
    """Two players who have not begun, by the seed that the run has now."""
    return begin(replace(run.recipe, seed=run.method.seed), run.data, run.device)


def begin(r: Recipe, data: Dataset, device: torch.device) -> State:
    """The players, from the recipe's seed, on the device; a user's own pair must be able to play."""
    G, D = recipe.players(r, data.spec)
    if ":" in r.net:
        check_players(G, D, data.spec)
    for net in (G.to(device), D.to(device)):
        for p in net.parameters():
            if p.ndim == 4:  # of pictures
                p.data = p.data.contiguous(memory_format=torch.channels_last)
    assert r.optimizer
    return State.begin(G, D, OPTIMIZERS[r.optimizer])


def open_data(r: Recipe) -> Dataset:
    """The world, folder, file or own function that the recipe names."""
    bars: list[Progress] = []

    def progress(done: int, total: int) -> None:
        if not bars:
            bars.append(Progress("preparing data", total, shown=parallel.rank() == 0))
        bars[0].update(done)

    try:
        return data_room.open(
            recipe.source(r),
            size=r.size,
            fit=r.fit,
            seed=0,
            condition=r.condition,
            encoder=r.encoder or None,
            past=r.past,
            spelling=r.spelling,
            length=r.length,
            progress=progress,
        )
    finally:
        for bar in bars:
            bar.close()


def extractor(r: Recipe, data: Dataset, device: torch.device) -> torch.nn.Module | None:
    """What the first process, which evaluates, looks through."""
    found = panel_extractor(r.extractor, data) if parallel.rank() == 0 else None
    return found and found.to(device)


def batches(run: Run) -> Iterator[tuple[Tensor, Tensor | None]]:
    r = run.recipe
    assert r.batch
    stream = data_room.batches(
        run.data.train, r.batch, run.method.seed, run.state.seen, parallel.rank(), parallel.size()
    )
    for x, c in stream:
        yield played(run, x, c)


def played(run: Run, x: Tensor, c: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Stored samples as the players take them, on their device."""
    spec = run.data.spec
    x = spec.x.encode(x.to(run.device, non_blocking=True))
    if x.ndim == 4:
        x = x.contiguous(memory_format=torch.channels_last)
    return x, None if spec.c is None or c is None else spec.c.encode(c.to(run.device))


def shown_to(run: Run) -> Panel:
    """What the probes look at: z and examples of either split, fixed by the recipe."""
    data, n, bank = run.data, 256 if isinstance(run.data.spec.x, Vector) else 64, BANK
    if isinstance(data.spec.x, Tokens):  # one-hot, they may be large
        bank = max(64, min(BANK, 2**26 // math.prod(shape(data.spec.x))))
    z = run.state.G.prior.sample(n, generator("sheet", run.recipe.seed)).to(run.device)  # type: ignore[union-attr]
    places = lambda split: torch.arange(min(bank, len(split))).split(at_once(data.spec.x))
    some = lambda split: (played(run, *split.take(i)) for i in places(split))
    labels = None if data.heldout.labels is None else torch.from_numpy(data.heldout.labels[:bank])
    return panel(z, some(data.train), some(data.heldout), labels)


def tryout(r: Recipe, state: State, data: Dataset, device: torch.device) -> Run:
    """A long run that writes nothing, to see how they play."""
    r = with_intervals(replace(r, samples=10**9))
    return Run(r, RunFolder("."), data, recipe.method(r, data.spec), state, device)


def timed(r: Recipe, state: State, data: Dataset, device: torch.device, share: float = 0.9) -> int:
    """How many samples fit r.minutes, by a few steps on a copy of the players.

    share: of the time that is for steps; probes, sheets and evaluations have the rest.
    """
    assert r.minutes and r.batch
    trial = tryout(r, copy.deepcopy(state), data, device)
    rounds = train(trial.method, trial.state, batches(trial))
    times: list[float] = []
    while parallel.agree(len(times) < 8 + 2 * r.critic_steps or sum(times) < min(5.0, 2.0 * r.minutes)):
        began = time.perf_counter()
        next(rounds)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - began)
    turns = [sum(times[i : i + r.critic_steps]) for i in range(3, len(times) + 1 - r.critic_steps, r.critic_steps)]
    pace = parallel.mean(torch.tensor(statistics.fmean(turns) / r.critic_steps, device=device)).item()
    return max(int(share * 60 * r.minutes / pace), 1) * r.batch


@contextmanager
def owned(run: Run) -> Iterator[None]:
    """Inside, the first process holds the folder's lock; a lost process or a full disk ends the run in words."""
    try:
        with run.folder.lock() if run.first else nullcontext(), run.folder.room():
            parallel.agree(False)  # all find the folder as the first has tidied it
            yield
    except parallel.PeerLost as error:
        raise RunError(
            f"another process of this run ended ({str(error).splitlines()[0][:120]}); what was saved is kept: "
            f"go on with `sparring resume {run.folder.path}` under torchrun as before"
        ) from error
