"""What is done with runs once they exist: draw from them, measure them, compare them, show them."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from . import data as data_room
from . import recipe, show
from . import report as report_room
from .evaluate import evaluate as measured
from .folder import RunFolder
from .names import RequestError, nearest
from .run import open_data
from .settings import Recipe


def sample(run: Path, n: int, out: str | None, seed: int, label: str | None) -> dict[str, Any]:
    """Draws n samples to a sheet (.png), an array (.npy) or a folder of files; says where they are."""
    if n < 1:
        raise RequestError(f"-n {n} must be at least 1")
    RunFolder(run).recipe()
    if not (run / "generator").is_dir():
        raise RequestError(f"{run} has no generator yet; it is written with the first checkpoint")
    G, spec, card = recipe.load_generator(run / "generator")
    c = None
    if spec.c is not None:
        c = torch.arange(n) % spec.c.classes if label is None else torch.full((n,), _class(label, card))  # type: ignore
    elif label is not None:
        raise RequestError(f"--label {label!r}: {run} was trained without classes (--condition class)")
    x = recipe.draw(G, spec, n, seed, c)

    place = Path(out) if out else run / "drawn.png"
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.suffix == ".npy":
        np.save(place, x.numpy())
    elif place.suffix:
        show.show(spec.x, x, place)
    else:
        place.mkdir(exist_ok=True)
        for i, one in enumerate(x):
            show.show(spec.x, one[None], place / f"{i:06d}.png")
    return {"out": str(place), "n": n, "seen": card["seen"], "lines": [f"{n} samples at {card['seen']:,}: {place}"]}


def _class(label: str, card: dict[str, Any]) -> int:
    names = card["classes"] or [str(i) for i in range(card["spec"]["c"]["classes"])]
    if label in names:
        return names.index(label)
    if label.isdigit() and int(label) < len(names):
        return int(label)
    raise RequestError(f"--label {label!r} is none of {', '.join(names)}{nearest(label, names)}")


def evaluate(what: str, against: str | None, n: int, seed: int) -> dict[str, Any]:
    """Measures a run's average generator, or a folder or array of samples, against held-out data."""
    run = Path(what)
    is_run = (run / "recipe.yaml").exists()
    if is_run:
        G, spec, card = recipe.load_generator(run / "generator")
        r = Recipe.of(RunFolder(run).recipe())
        data = open_data(r if against in (None, r.data) else Recipe(data=str(against), size=r.size, fit=r.fit))
    else:
        if against is None:
            raise RequestError(f"{what} is no run, so say what to measure it against: --against DATA")
        data = open_data(Recipe(data=against))
    real = data.heldout.take(torch.arange(min(n, len(data.heldout))))[0]
    others = data.train.take(torch.arange(min(n, len(data.train))))[0]
    c = None
    if is_run:
        c = data.heldout.take(torch.arange(len(real)))[1] if spec.c is not None else None
        fake = recipe.draw(G, spec, len(real), seed, c)
    else:
        fake = _samples(what, data, len(real))
    if fake.shape[1:] != real.shape[1:]:
        raise RequestError(
            f"samples are {tuple(fake.shape[1:])}, {against} is {tuple(real.shape[1:])}; measure like with like"
        )
    name = against or r.data
    found = dict(measured(real, fake, data.spec, data.world, seed=seed, c=c, others=others, data=name))
    if is_run:
        RunFolder(run).append("evaluations.jsonl", {"seen": card["seen"], "player": "average", **found})
    return found | {"lines": _table(found)}


def _samples(what: str, data: data_room.Dataset, n: int) -> Tensor:
    size = getattr(data.spec.x, "size", None)
    folder = data_room.open(what, size=size)
    both = [split.take(torch.arange(min(n, len(split))))[0] for split in (folder.train, folder.heldout)]
    return torch.cat(both)[:n]


def _table(found: dict[str, Any]) -> list[str]:
    counts = f"{found['n_fake']:,} samples against {found['n_real']:,} held-out of {found['data']}"
    rows = [f"{counts}; features: {found['extractor']}", ""]
    for name, m in found["metrics"].items():
        ceiling = found.get("ceiling", {}).get(name)
        best = f"   real against real {ceiling['value']:.4g}" if ceiling else ""
        rows.append(f"  {name:16s} {m['value']:10.4g} ± {m['se']:.2g}  ({m['better']} is better){best}")
    for name, value in found["truth"].items():
        best = found["ceiling"].get(name)
        rows.append(f"  {name:16s} {value:10.4g}  (known truth){f'   real {best:.4g}' if best is not None else ''}")
    return rows + [f"  note: {note}" for note in found["notes"]]


def compare(runs: list[Path], out: Path) -> dict[str, Any]:
    """Runs side by side, as a page and as rows."""
    for run in runs:
        RunFolder(run).recipe()
    rows = report_room.compare(runs)
    page = report_room.write_comparison(runs, out)
    return {"rows": rows, "page": str(page), "lines": [*map(str, rows), f"page: {page}"]}


def report(run: Path) -> dict[str, Any]:
    """The run's page."""
    RunFolder(run).recipe()
    page = report_room.write(run)
    return {"page": str(page), "lines": [f"report: {page}"]}
