"""The standard run: train, log, sample, probe, diagnose, checkpoint, evaluate, stop.

The loop is plain; everything it does beside training happens when a count of samples is crossed, so that a resumed run
does the same things at the same places.
"""

import copy
import json
import math
import platform
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim import Adam, RMSprop

from . import __version__, chance, machine, parallel, recipe, report, show
from . import data as data_room
from .chance import generator
from .data import Dataset
from .evaluate import evaluate
from .folder import RunFolder
from .names import RequestError
from .players import check_players
from .probes import probe
from .progress import Progress, tell
from .settings import Recipe, difference
from .spaces import Frames, Label, Tokens, Vector
from .spaces import to_json as spec_json
from .stopping import stopping
from .symptoms import diagnose
from .train import Method, State, train

OPTIMIZERS = {"adam": Adam, "rmsprop": RMSprop}


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
    history: list[dict[str, Any]] = field(default_factory=list)
    findings: set[str] = field(default_factory=set)
    seconds: float = 0.0  # spent before this process

    @property
    def first(self) -> bool:
        return parallel.rank() == 0


def start(r: Recipe, path: Path) -> dict[str, Any]:
    """A new run in `path`: everything is checked before anything is written.  Returns the last line of `train`."""
    folder, device = RunFolder(path), machine.pick(r.device, r.threads)
    recipe.check(r)
    folder.refuse_if_taken()
    with parallel.joined(device):
        data = open_data(r)
        r, reasons = recipe.plan(r, data, device)
        state = begin(r, data, device)
        if r.samples is None or r.minutes:
            samples = timed(r, state, data, device)
            reasons.append(f"{r.minutes:g} minutes are about {samples:,} samples at the speed of this machine")
            r = replace(r, samples=samples)
        r = recipe.with_intervals(r)
        if parallel.rank() == 0:
            for line in (*data_room.summary(data), *reasons, *(f"warning: {w}" for w in recipe.warnings(r))):
                tell(line)
        run = Run(r, folder, data, recipe.method(r), state, device)
        with owned(run):
            if run.first:
                folder.create(r.asdict())
                write_card(run, reasons)
            return play(run)


def resume(path: Path, **changes: Any) -> dict[str, Any]:
    """Goes on from the newest whole checkpoint as if it had never stopped."""
    folder = RunFolder(path)
    r = replace(Recipe.of(folder.recipe()), **changes)
    device = machine.pick(r.device, r.threads)
    with parallel.joined(device):
        data = open_data(r)
        state = begin(r, data, device)
        run = Run(r, folder, data, recipe.method(r), state, device)
        with owned(run):
            saved = folder.load(tell)
            if saved is None:
                tell("no checkpoint yet: starting at the first sample")
            else:
                refuse_changes(run, saved)
                state.load(saved["state"])
                run.seconds = saved["seconds"]
            if run.first:
                for name in ("stats.jsonl", "findings.jsonl", "evaluations.jsonl"):
                    folder.forget_after(name, state.seen)
                if state.seen >= (r.samples or 0):
                    folder.forget_after("evaluations.jsonl", state.seen - 1)  # the last comes after the last checkpoint
                tell(f"resuming {path} at {state.seen:,} of {r.samples:,} samples")
            run.history = folder.rows("stats.jsonl")
            run.findings = {row["name"] for row in folder.rows("findings.jsonl")}
            return play(run)


def play(run: Run) -> dict[str, Any]:
    """The loop."""
    r, s = run.recipe, run.state
    batch, samples = r.batch or 0, r.samples or 0
    assert batch and samples and r.log_every and r.sample_every and r.evaluate_every and r.checkpoint_every
    began, tally, note = time.monotonic() - run.seconds, Tally(), ""
    z = s.G.prior.sample(64, generator("sheet", r.seed)).to(run.device)  # type: ignore[union-attr]
    x, c = played(run, *run.data.heldout.take(torch.arange(min(64, len(run.data.heldout)))))
    look = lambda: probe(s, x, c, z[: len(x)])

    def crossed(every: int) -> bool:
        return s.seen // every > (s.seen - batch) // every or s.seen >= samples

    with stopping() as stop, Progress("training", samples, s.seen) as progress:
        if s.seen == 0:
            draw_sheet(run)
        rounds = train(run.method, s, batches(run))
        while s.seen < samples and not stop.asked:
            tally.add(next(rounds))
            asked = stop.agreed(at=crossed(r.log_every))
            if crossed(r.log_every) or crossed(r.checkpoint_every) or asked:
                note = log(
                    run, {"seen": s.seen, "seconds": time.monotonic() - began, **tally.row(run.method, s), **look()}
                )
            if crossed(r.sample_every):
                draw_sheet(run)
            if crossed(r.evaluate_every) and s.seen < samples:
                measure(run, r.evaluate_n)
            if crossed(r.checkpoint_every) or asked:
                save(run, time.monotonic() - began)
            progress.update(s.seen, note)

    seconds = time.monotonic() - began
    if not run.first:
        return {"stopped": stop.asked} if stop.asked else {}
    if stop.asked:
        say(run, f"stopped and saved at {s.seen:,} samples; go on with: sparring resume {run.folder.path}")
        return {"run": str(run.folder.path), "seen": s.seen, "seconds": round(seconds, 1), "stopped": stop.asked}
    metrics = measure(run, r.evaluate_final, last=True)
    write_card(run, seconds=seconds)
    say(run, f"report: {report.write(run.folder.path)}")
    return {
        "run": str(run.folder.path),
        "seen": s.seen,
        "seconds": round(seconds, 1),
        "findings": len(run.findings),
        "metrics": metrics,
    }


# -- what happens at the crossings ------------------------------------------------------------------------------------


class Tally:
    """Means over all samples between two lines of the log."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}
        self.since, self.samples = time.monotonic(), 0

    def add(self, stats: dict[str, Tensor]) -> None:
        for name, values in stats.items():
            self.sums[name] = self.sums.get(name, 0.0) + values.mean()
            self.counts[name] = self.counts.get(name, 0) + 1
        self.samples += len(stats["D/loss"]) * parallel.size()

    def row(self, m: Method, s: State) -> dict[str, float]:
        names = list(self.sums)
        values = parallel.mean(torch.stack([self.sums[k] / self.counts[k] for k in names]))
        rate = self.samples / max(time.monotonic() - self.since, 1e-9)
        rates = {"G/lr": m.lr_G(s.seen), "D/lr": m.lr_D(s.seen), "images_per_second": rate}
        memory = {k: v.item() for k, v in s.memory.items() if v.ndim == 0}
        self.__init__()
        return dict(zip(names, values.tolist())) | rates | memory


def log(run: Run, row: dict[str, float]) -> str:
    """A line of stats.jsonl and new findings; returns a note for the progress bar; raises RunError at NaN."""
    lost = [k for k, v in row.items() if not math.isfinite(v)]
    if lost:
        last = run.folder.checkpoints()
        raise RunError(
            f"{', '.join(lost)} became NaN or infinite before {row['seen']:,} samples; the last checkpoint is "
            f"{int(last[-1].name) if last else 'none'}; try a lower --lr or higher --r1 and --r2"
        )
    if run.first:
        run.folder.append("stats.jsonl", {k: float(f"{v:.6g}") if isinstance(v, float) else v for k, v in row.items()})
        run.history.append(row)
        for finding in diagnose(run.history):
            if finding.name not in run.findings:
                run.findings.add(finding.name)
                run.folder.append("findings.jsonl", finding._asdict())
                say(
                    run,
                    f"finding: {finding.name} since {finding.since:,} samples: {finding.evidence}; {finding.advice}",
                )
    return f"{row['images_per_second']:,.0f}/s, score real {row['score/real']:+.2f} fake {row['score/fake']:+.2f}"


def draw_sheet(run: Run) -> None:
    """Samples of the average generator from fixed z: 64, or of points a cloud; a class or a caption a row."""
    if run.first:
        spec, columns = run.data.spec, None
        if isinstance(spec.c, Frames):
            return draw_futures(run)
        if isinstance(spec.c, Label | Tokens) and not isinstance(spec.x, Vector):
            x, columns = rows_of_conditions(run), 8
        else:
            x, _ = drawn(run, 2000 if isinstance(spec.x, Vector) else 64, "sheet")
        real = run.data.heldout.take(torch.arange(min(2000, len(run.data.heldout))))[0]
        show.show(spec.x, x, run.folder.path / f"samples/{run.state.seen:012d}", real=real, columns=columns)


def rows_of_conditions(run: Run, columns: int = 8, rows: int = 16) -> Tensor:
    """A class a row, as many as there are and at most 16, or one of 8 held-out captions; the same z in each."""
    r, spec, heldout = run.recipe, run.data.spec, run.data.heldout
    if isinstance(spec.c, Label):
        c = torch.arange(min(rows, spec.c.classes))
    else:
        c = heldout.take(torch.arange(min(columns, len(heldout))))[1]
        assert c is not None
    z = run.state.ema.prior.sample(columns, generator("sheet", r.seed)).repeat(len(c), 1)  # type: ignore[union-attr]
    return recipe.draw(run.state.ema, spec, len(z), c=c.repeat_interleave(columns, 0), z=z)


def draw_futures(run: Run, rows: int = 8, k: int = 5) -> None:
    """Held-out pasts, what followed, and `k` frames that may follow, from fixed z; and a roll-out that moves."""
    data, seed = run.data, chance.seed_of("sheet", run.recipe.seed)
    real, c = data.heldout.take(torch.arange(min(rows, len(data.heldout))))
    assert c is not None
    n = len(c)
    made = recipe.draw(run.state.ema, data.spec, n * k, seed, c.repeat_interleave(k, 0)).unflatten(0, (n, k))
    show.futures(c, made, run.folder.path / f"samples/{run.state.seen:012d}", real)
    if run.state.seen >= (run.recipe.samples or 0):
        rolled = recipe.roll(run.state.ema, data.spec, c, 64, seed)
        show.film(torch.cat([c, rolled], 1), run.folder.path / "samples/rolled.webp")


def measure(run: Run, n: int, last: bool = False) -> dict[str, Any]:
    """A line of evaluations.jsonl: n samples of the average generator against held-out data.

    The last time, also what as many real samples would get.
    """
    if not run.first:
        return {}
    data, r = run.data, run.recipe
    real = data.heldout.take(torch.arange(min(n, len(data.heldout))))[0]
    others = data.train.take(torch.arange(min(n, len(data.train))))[0] if last else None
    fake, c = drawn(run, n, "evaluation")
    try:
        found = evaluate(real, fake, data.spec, data.world, seed=r.seed, c=c, others=others, ceiling=last, data=r.data)
    except (ValueError, ArithmeticError, RuntimeError) as error:  # a measure never ends a run
        say(run, f"not measured at {run.state.seen:,} samples: {error}")
        return {}
    run.folder.append("evaluations.jsonl", {"seen": run.state.seen, "player": "average", **found})
    return found["metrics"] | {k: {"value": v} for k, v in found["truth"].items()}


def save(run: Run, seconds: float) -> None:
    """A checkpoint, and beside it the average generator alone."""
    if run.first:
        s, data = run.state, run.data
        meaning = dict(recipe=run.recipe.asdict(), fingerprint=data.card["fingerprint"], spec=spec_json(data.spec))
        run.folder.save(s.seen, {"state": s.save(), "seconds": seconds, **meaning})
        run.folder.write_folder(
            "generator", lambda aside: recipe.save_generator(aside, s.ema, run.recipe, data, s.seen)
        )


def refuse_changes(run: Run, saved: dict[str, Any]) -> None:
    """A checkpoint goes on only with the recipe and the data it began with."""
    changed = difference(Recipe.of(saved["recipe"]), run.recipe)
    if saved["spec"] != spec_json(run.data.spec):
        changed = f"the data was {saved['spec']} when the run began and is {spec_json(run.data.spec)} now"
    elif not changed and saved["fingerprint"] != run.data.card["fingerprint"]:
        changed = (
            f"the content of {run.recipe.data} has changed since the run began "
            f"(fingerprint {saved['fingerprint'][:12]} then, {run.data.card['fingerprint'][:12]} now)"
        )
    if changed:
        raise RequestError(
            f"{run.folder.path} cannot go on: {changed}; put it back, or start a new run with another --run"
        )


# -- setting the table ------------------------------------------------------------------------------------------------


def begin(r: Recipe, data: Dataset, device: torch.device) -> State:
    """The players, from the recipe's seed, on the device; a user's own pair must be able to play."""
    G, D = recipe.players(r, data.spec)
    if ":" in r.net:
        check_players(G, D, data.spec)
    G, D = (net.to(device).to(memory_format=torch.channels_last) for net in (G, D))  # type: ignore[call-overload]
    return State.begin(G, D, OPTIMIZERS[r.optimizer])


def open_data(r: Recipe) -> Dataset:
    """The world, folder, file or own function that the recipe names."""
    bars: list[Progress] = []

    def progress(done: int, total: int) -> None:
        if not bars:
            bars.append(Progress("preparing data", total))
        bars[0].update(done)

    try:
        return data_room.open(
            recipe.source(r), size=r.size, fit=r.fit, seed=0, condition=r.condition, progress=progress
        )
    finally:
        for bar in bars:
            bar.close()


def batches(run: Run) -> Iterator[tuple[Tensor, Tensor | None]]:
    r = run.recipe
    assert r.batch
    stream = data_room.batches(run.data.train, r.batch, r.seed, run.state.seen, parallel.rank(), parallel.size())
    for x, c in stream:
        yield played(run, x, c)


def played(run: Run, x: Tensor, c: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Stored samples as the players take them, on their device."""
    spec = run.data.spec
    x = spec.x.encode(x.to(run.device, non_blocking=True))
    if x.ndim == 4:
        x = x.contiguous(memory_format=torch.channels_last)
    return x, None if spec.c is None or c is None else spec.c.encode(c.to(run.device))


def drawn(run: Run, n: int, purpose: str) -> tuple[Tensor, Tensor | None]:
    """n samples of the average generator and what they were made from, in stored form: held-out conditions in turn."""
    c = None if run.data.spec.c is None else run.data.heldout.take(torch.arange(n) % len(run.data.heldout))[1]
    return recipe.draw(run.state.ema, run.data.spec, n, seed=chance.seed_of(purpose, run.recipe.seed), c=c), c


def timed(r: Recipe, state: State, data: Dataset, device: torch.device, share: float = 0.97) -> int:
    """How many samples fit r.minutes, by a few steps on a copy of the players; `share` of the time is for training."""
    assert r.minutes and r.batch
    trial = Run(recipe.with_intervals(replace(r, samples=10**9)), RunFolder("."), data, None, None, device)  # type: ignore
    s = State.begin(copy.deepcopy(state.G), copy.deepcopy(state.D), OPTIMIZERS[r.optimizer])
    trial.method, trial.state = recipe.method(trial.recipe), s
    rounds = train(trial.method, s, batches(trial))
    times: list[float] = []
    while len(times) < 8 or sum(times) < min(5.0, 2.0 * r.minutes):
        began = time.perf_counter()
        next(rounds)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - began)
    pace = parallel.mean(torch.tensor(statistics.median(times[3:]), device=device)).item()
    return max(int(share * 60 * r.minutes / pace), 1) * r.batch


def write_card(run: Run, reasons: list[str] | None = None, seconds: float = 0.0) -> None:
    """card.json: what was trained on, by what, on what."""
    old = run.folder.path / "card.json"
    reasons = json.loads(old.read_text())["reasons"] if reasons is None and old.exists() else reasons or []
    count = lambda net: sum(p.numel() for p in net.parameters())
    card = {
        "data": run.data.card,
        "reasons": reasons,
        "parameters": {"G": count(run.state.G), "D": count(run.state.D)},
        "versions": {"sparring": __version__, "torch": torch.__version__, "python": platform.python_version()},
        "hardware": machine.hardware(run.device),
        "processes": parallel.size(),
        "seconds": round(seconds, 1),
    }
    run.folder.write_json("card.json", card)


def say(run: Run, line: str) -> None:
    if run.first:
        tell(line)


@contextmanager
def owned(run: Run) -> Iterator[None]:
    """Inside, the first process holds the folder's lock; a lost process ends the run in words."""
    try:
        with run.folder.lock() if run.first else nullcontext():
            yield
    except parallel.PeerLost as error:
        raise RunError(
            f"another process of this run ended ({str(error).splitlines()[0][:120]}); what was saved is kept: "
            f"go on with `sparring resume {run.folder.path}` under torchrun as before"
        ) from error
