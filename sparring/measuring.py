"""Made samples held against real ones: those of a run's generator, or of a folder, zip or array."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import Module

from . import asked as asking
from . import data as data_room
from . import generators, machine, show, tables
from . import sweep as sweeping
from .data import Dataset
from .data.spelling import Spelling
from .evaluate import ahead
from .evaluate import evaluate as measured
from .extractors import EXTRACTORS, Making, make, taken, usual
from .folder import RunFolder, reachable
from .metrics import chosen
from .metrics.copies import copies as look_for_copies
from .names import RequestError, find
from .progress import bar
from .run import open_data
from .settings import Recipe
from .sides import WHOLE, Examples, check
from .spaces import Frames, Image, Label, Spec, Tokens, at_once


class Asked(NamedTuple):
    """What `sparring evaluate` was asked for."""

    what: str  # a run's folder, or a folder, zip or array of samples
    against: str | None = None  # data; None for what the run was trained on
    n: int = 5000  # samples of each side, at most
    seed: int = 0
    measures: str | None = None  # names with commas between, or all; None for the usual ones
    extractor: str | None = None  # names with commas between, None for the usual ones; each has a report of its own
    weights: str | None = None
    resize: str | None = None
    minutes: float = 5.0  # of learning an extractor, at most
    device: str = "auto"
    threads: int = 0  # of the CPU; 0 for all cores
    copies: str | None = None  # a file for the suspicious pairs
    sweep: str | None = None  # a file for the curve of a run that writes, over the temperature of sampling
    beside: str | None = None  # runs that foresee, with commas between, to be held against the same frames


class Run(NamedTuple):
    """A run as it is measured: its average generator, and what that was made by."""

    folder: RunFolder
    recipe: Recipe
    G: Module
    spec: Spec
    card: dict[str, Any]


class Sides(NamedTuple):
    """What is held against what."""

    data: Dataset
    name: str  # of the data, as it was asked for
    split: str  # "heldout" where a run was trained on the rest, or "all"
    examples: dict[str, Examples]  # "real", and "others" where there are more of them
    fake: Tensor  # (n, ...) in stored form
    told: np.ndarray | None  # classes of `fake` (n,), where they are known
    c: Tensor | None = None  # what `fake` was made from
    notes: Sequence[str] = ()  # what could not be used
    names: Callable[[Sequence[int]], list[str]] | None = None  # of `fake`, where they lie in files

    @property
    def real(self) -> Tensor:
        return self.examples["real"].x

    @property
    def labels(self) -> dict[str, np.ndarray | None]:
        return {side: examples.labels for side, examples in self.examples.items()} | {"fake": self.told}


def evaluate(asked: Asked) -> dict[str, Any]:
    """A run's average generator, or samples, against held-out data: the document of `--json`, and its `lines`."""
    if asked.n < 2:
        raise RequestError(f"-n {asked.n} must be at least 2: one sample says nothing of what is usual")
    wanted = None if asked.measures is None else _chosen(asked.measures)
    if asked.minutes <= 0:
        raise RequestError(f"--minutes {asked.minutes:g} must be above 0")
    for option, place in (("--copies", asked.copies), ("--sweep", asked.sweep)):
        if place is not None:
            reachable(Path(place), option)
    device = machine.pick(asked.device, asked.threads)
    named = {name: find(EXTRACTORS, name, "extractor") for name in _names(asked.extractor)}

    run = opened(asked, device)
    sides = samples_of_run(run, asked) if run else samples_that_lie(asked)
    check(wanted if wanted and asked.measures != "all" else (), sides.data, sides.labels, named)
    others = foreseen_by_others(asked, run, sides)
    real, made = (tuple(x.shape[1:]) for x in (sides.real, sides.fake))
    if made != real:
        way = "make both gray, or both coloured" if len(made) == len(real) == 3 else "measure like with like"
        raise RequestError(f"{asked.what} has samples of {made}, and {sides.name} of {real}; {way}")

    search = None if asked.copies is None else search_for_copies(sides, asked.n, Path(asked.copies))
    found = []
    for report in reports(asked, run, sides, wanted, named, device):
        found.append(report)
        if run:
            row = {"seen": run.card["seen"], "player": "average", "by": "evaluate", **report}
            run.folder.append("evaluations.jsonl", row)
    found[0]["notes"] += sides.notes
    for name, x in others.items():
        found[0]["beside"][name] = ahead(sides.real, x, sides.c, sides.data.world)  # type: ignore[arg-type]

    also = [{k: report[k] for k in ("extractor", "resize", "metrics", "ceiling", "notes")} for report in found[1:]]
    document = found[0] | {"also": also} | ({} if search is None else {"copies": search})
    lines = tables.of_measures(found) + tables.of_frames(found[0]) + (tables.of_copies(search) if search else [])
    if asked.sweep is not None and run:
        rows = sweeping.sweep(run.G, run.spec, sides.real, seed=asked.seed)
        document |= {"sweep": rows}
        lines += sweeping.lines(rows, sweeping.draw({Path(asked.what).name: rows}, Path(asked.sweep)))
    return document | {"lines": lines}


def reports(
    asked: Asked, run: Run | None, sides: Sides, wanted: Any, named: dict[str, Any], device: torch.device
) -> Iterator[dict[str, Any]]:
    """One for each extractor; what the world knows, and what G says of texts, stands in the first alone."""
    data, space = sides.data, sides.data.spec.x
    m = Making(data, asked.weights, asked.minutes, bar=bar)
    options: dict[str, Any] = dict(seed=asked.seed, c=sides.c, data=sides.name, split=sides.split)
    options |= dict(measures=wanted, strict=asked.measures not in (None, "all"))
    options |= {"others": sides.examples["others"].x} if "others" in sides.examples else {}
    world, score = data.world, generators.scorer(run.G, run.spec) if run else None

    for look in make(named or dict.fromkeys(usual(space, asked.weights)), m, asked.resize):
        look.to(device)
        known = {side: examples.features(look, m) for side, examples in sides.examples.items()}
        known["fake"] = taken(look, sides.fake, space, bar, "samples")
        options |= dict(known=known, labels=sides.labels, score=score)
        found = dict(measured(sides.real, sides.fake, data.spec, world, look, **options))  # type: ignore[arg-type]
        if not found["metrics"]:
            raise RequestError(f"nothing can be measured by {look.name}: {found['notes'][0]}")  # type: ignore[index]
        found["notes"] += getattr(look, "notes", [])  # type: ignore[operator]
        yield found
        world = score = None


# -- what is held against what ----------------------------------------------------------------------------------------


def opened(asked: Asked, device: torch.device) -> Run | None:
    """The run that is measured; None where it is samples."""
    folder = Path(asked.what)
    if (folder / "recipe.yaml").exists():
        G, spec, card = generators.load_generator(folder / "generator")
        if asked.sweep is not None:
            sweeping.check(spec)
        return Run(RunFolder(folder), Recipe.of(RunFolder(folder).recipe()), G.to(device), spec, card)
    if asked.sweep is not None:
        raise RequestError(
            f"--sweep {asked.sweep} samples a generator at many temperatures, and {asked.what} is no run"
        )
    return None


def samples_of_run(run: Run, asked: Asked) -> Sides:
    """As many samples of G as there are held-out examples: what was trained on does not count."""
    r, spec = run.recipe, run.spec
    against = r.data if asked.against is None else asked.against
    same = against == r.data or Path(against).resolve() == Path(r.data).resolve()
    data = open_data(r if same else like(run, against))
    if isinstance(spec.x, Tokens) and "spelling" in run.card:
        own = Spelling.of(run.card["spelling"])
        data = data if data.spelling == own else data_room.respelled(data, own, spec.x)

    examples = {"real": Examples(data, ("heldout",), asked.n), "others": Examples(data, ("train",), asked.n)}
    real = examples["real"]
    c = data.heldout.take(range(len(real)))[1] if spec.c is not None else None
    fake = generators.draw(run.G, spec, len(real), asked.seed, c if same else as_trained(run, data, against, c))
    told, notes = real.labels if isinstance(spec.c, Label) else None, [] if same else unused(data)
    return Sides(data, against, "heldout", examples, fake, told, c, notes)


def like(run: Run, against: str) -> Recipe:
    """How other data is opened, to be held against what a run makes."""
    r = run.recipe
    return Recipe(
        data=against,
        size=getattr(run.spec.x, "size", None),
        fit=r.fit,
        past=r.past,
        condition=r.condition,
        encoder=r.encoder,
        spelling=r.spelling,
    )


def as_trained(run: Run, data: Dataset, name: str, c: Tensor | None) -> Tensor | None:
    """The conditions of other data in the numbers of the run's own; RequestError where these know no such classes."""
    if isinstance(run.spec.c, Label):
        known, there = run.card["classes"] or [], data.classes or []
        if strange := [label for label in there if label not in known]:
            raise RequestError(
                f"{name} has classes that {run.folder.path} does not make ({', '.join(strange[:5])}; it makes "
                f"{', '.join(known[:5])}): leave them out, or draw samples first and evaluate these"
            )
        return torch.tensor([known.index(there[i]) for i in c.tolist()])  # type: ignore[union-attr]
    if isinstance(run.spec.c, Tokens):
        words = [data.vocabulary.decode(row) for row in c.tolist()]  # type: ignore[union-attr]
        return torch.from_numpy(asking.reader(run.spec, run.card).rows(words))
    return c


def samples_that_lie(asked: Asked) -> Sides:
    """Samples of a folder or a file; all of the data counts, for nothing was trained on it."""
    if asked.against is None:
        if not Path(asked.what).exists():
            raise RequestError(f"{asked.what} does not exist; give a run's folder, or a folder, zip or .npy of samples")
        raise RequestError(f"{asked.what} is no run, so say what to measure it against: --against DATA")
    n, data = asked.n, open_data(Recipe(data=asked.against))
    real = Examples(data, WHOLE, n)
    folder = data_room.open(asked.what, size=getattr(data.spec.x, "size", None), condition="none", whole=True)
    if data.spelling is not None and isinstance(data.spec.x, Tokens):
        folder = data_room.respelled(folder, data.spelling, data.spec.x, whole=True)

    made = Examples(folder, WHOLE, len(real))
    notes, found = unused(data) + unused(folder), len(folder.train) + len(folder.heldout)
    if len(made) < found:
        why = f"as -n {n:,} asks" if len(made) == n else "as there are real ones"
        notes.append(f"of the {found:,} samples of {asked.what}, {len(made):,} are measured, as many {why}")
    rest = Examples(data, WHOLE, n + len(made.x), n)
    examples = {"real": real} | ({"others": rest} if len(rest) == len(made.x) else {})
    return Sides(data, asked.against, "all", examples, made.x, made.labels, notes=notes, names=made.names)


def unused(data: Dataset) -> list[str]:
    """What of a data set could not be used, as notes."""
    return [f"{data.card['source']}: {line}" for line in [*data_room.left_out(data), *data.card.get("notes", [])]]


def foreseen_by_others(asked: Asked, run: Run | None, sides: Sides) -> dict[str, Tensor]:
    """What other runs make of the same pasts, by their names."""
    found = {}
    for name in _names(asked.beside):
        if run is None or not isinstance(run.spec.c, Frames):
            raise RequestError(f"--beside {name} is for runs that foresee; use sparring compare for others")
        RunFolder(name).recipe()
        G, its, _ = generators.load_generator(Path(name) / "generator")
        if its != run.spec:
            raise RequestError(f"--beside {name} makes {its.x} from {its.c}, not {run.spec.x} from {run.spec.c}")
        G.to(next(run.G.parameters()).device)
        found[name] = generators.draw(G, its, len(sides.fake), asked.seed, sides.c)
    return found


def search_for_copies(sides: Sides, n: int, sheet: Path, most: int = 10_000) -> dict[str, Any]:
    """Among the first 10,000 training samples.  The suspicious pairs go to a sheet: of pictures each is one tile, of
    texts one line follows the other, of points the made ones lie over those of training."""
    data, space = sides.data, sides.data.spec.x
    places = torch.arange(min(most, len(data.train))).split(at_once(space))
    train, heldout = (data.train.take(part)[0] for part in places), Examples(data, ("heldout",), n).x
    try:
        found = look_for_copies(train, heldout, sides.fake, space)
    except ValueError as error:
        raise RequestError(f"--copies: {error}") from error
    made, known = sides.fake[[i for i, _, _ in found.pairs]], data.train.take([j for _, j, _ in found.pairs])[0]
    sheet.parent.mkdir(parents=True, exist_ok=True)
    match space:
        case Image() | Frames():
            both = torch.cat([made, known], -1)
            both = both if isinstance(space, Image) else both[:, -1]
            place = show.show(Image(both.shape[1], both.shape[-1]), both, sheet, columns=4)
            told = "pairs, made at the left of training, most suspicious first"
        case Tokens():
            words = data.spelling.known if data.spelling else None
            place = show.show(space, torch.stack([made, known], 1).flatten(0, 1), sheet, words=words)
            told = "pairs, made above training, most suspicious first"
        case _:
            place = show.show(space, made, sheet, real=known)
            told = "the most suspicious, over those of training in gray"
    document = found.asdict()
    for pair in document["pairs"]:
        pair["named"] = [sides.names([pair["fake"]])[0]] if sides.names else []
        pair["named"] += data.train.names([pair["train"]])
    return document | {"of_train": len(data.train), "sheet": str(place), "shown": told}


def _names(listed: str | None) -> list[str]:
    return [name for name in map(str.strip, (listed or "").split(",")) if name]


def _chosen(measures: str) -> dict[str, Any]:
    try:
        return chosen(measures)
    except ValueError as error:
        raise RequestError(f"--measures: {error}") from error
