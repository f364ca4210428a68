"""What is done with runs once they exist: draw from them, measure them, compare them, show them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import Module

from . import asked as asking
from . import data as data_room
from . import generators, machine, show, tunes, worlds
from . import report as report_room
from . import sweep as sweeping
from .data.spelling import Spelling
from .evaluate import ahead
from .evaluate import evaluate as measured
from .extractors import EXTRACTORS, Making, make, taken, usual
from .folder import RunFolder
from .metrics import chosen
from .metrics.copies import copies as look_for_copies
from .names import RequestError, find
from .progress import bar
from .run import open_data
from .settings import Recipe
from .sides import WHOLE, Examples, check
from .spaces import Frames, Image, Label, Spec, Tokens


class Asked(NamedTuple):
    """What `sparring sample` was asked for."""

    n: int | None = None
    out: str | None = None
    seed: int = 0
    label: Sequence[str] = ()
    caption: Sequence[str] = ()
    grid: bool = False
    walk: bool = False
    truncation: float | None = None
    source: str | None = None
    frames: int | None = None
    futures: int | None = None
    temperature: float | None = None


def sample(run: Path, asked: Asked) -> dict[str, Any]:
    """Draws samples to a sheet (.png), an array (.npy) or a folder of files; says where they are and what they show."""
    if asked.n is not None and asked.n < 1:
        raise RequestError(f"-n {asked.n} must be at least 1")
    RunFolder(run).recipe()
    if not (run / "generator").is_dir():
        raise RequestError(f"{run} has no generator yet; it is written with the first checkpoint")
    G, spec, card = generators.load_generator(run / "generator")
    if isinstance(spec.c, Frames):
        return foresee(run, G, spec, card, asked)
    if asked.source is not None or asked.frames or asked.futures:
        raise RequestError(f"--from, --frames and --futures are for runs that foresee; {run} makes {spec.x!r}")
    if isinstance(spec.x, Tokens):
        return write(run, G, spec, card, asked)
    if asked.temperature is not None:
        raise RequestError(
            f"--temperature {asked.temperature:g} is for texts; {run} makes {spec.x!r}: try --truncation"
        )
    words, said = _words(run, spec, card, asked)
    n, columns = asked.n or 64, None
    z = asking.noise(G, n, asked.seed, asked.truncation)
    c, texts = None, []
    if asked.walk:
        x, columns, rows = _walked(G, spec, card, asked, words)
        said += rows
    elif asked.grid:
        columns = asked.n or 8
        texts = [text for text in words for _ in range(columns)]
        z = z[:columns].repeat(len(words), 1)
        x = generators.draw(G, spec, len(z), c=asking.conditions(spec, card, texts), z=z)
        said += [f"row {i}: {text}" for i, text in enumerate(words, 1)]
    else:
        if words:
            texts = [words[i % len(words)] for i in range(n)]
            c = asking.conditions(spec, card, texts)
        x = generators.draw(G, spec, n, c=c, z=z)
    said += _read_back(run, spec, x, texts)

    place = Path(asked.out) if asked.out else run / "drawn.png"
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.suffix == ".npy":
        np.save(place, x.numpy())
    elif place.suffix:
        show.show(spec.x, x, place, columns=columns)
    else:
        place.mkdir(exist_ok=True)
        for i, one in enumerate(x):
            show.show(spec.x, one[None], place / f"{i:06d}.png")
    seen = card["seen"]
    return {"out": str(place), "n": len(x), "seen": seen, "lines": [*said, f"{len(x)} samples at {seen:,}: {place}"]}


def write(run: Path, G: Module, spec: Spec, card: dict[str, Any], asked: Asked) -> dict[str, Any]:
    """n texts, printed, or written to a file, a line each (.txt), or as their tokens (.npy)."""
    if asked.temperature is not None and not asked.temperature > 0:
        raise RequestError(f"--temperature {asked.temperature:g} must be above 0: 1 is as learned, 0.7 is safer")
    if asked.label or asked.caption or asked.grid or asked.walk:
        raise RequestError(f"{run} writes from nothing: leave out --label, --caption, --grid and --walk")
    n, z = asked.n or 64, asking.noise(G, asked.n or 64, asked.seed, asked.truncation)
    how: dict[str, Any] = {} if asked.temperature is None else {"temperature": asked.temperature}
    x = generators.draw(G, spec, n, z=z, **how)
    words = card["spelling"]["known"] if "spelling" in card else None
    told = {"n": n, "seen": card["seen"], "texts": show.lines(x, words).split("\n")}
    if asked.out is None:
        return told | {"lines": told["texts"]}
    place = Path(asked.out)
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.suffix == ".npy":
        np.save(place, x.numpy())
    elif place.suffix == ".txt":
        show.show(spec.x, x, place, words=words)
    elif place.suffix in (".mid", ".png") and tunes.are_notes(words or ()):
        (tunes.write_midi if place.suffix == ".mid" else tunes.write_score)(told["texts"], place)
    else:
        notes = "; tunes also as .mid, to listen to, and .png, a score"
        raise RequestError(f"--out {asked.out}: texts are written as .txt, a line each, or as tokens, .npy{notes}")
    return told | {"out": str(place), "lines": [f"{n} texts at {card['seen']:,}: {place}"]}


def _words(run: Path, spec: Spec, card: dict[str, Any], asked: Asked) -> tuple[list[str], list[str]]:
    """The classes or captions to draw from, and what is to be said of them."""
    if asked.label and not isinstance(spec.c, Label):
        raise RequestError(f"--label {asked.label[0]!r}: {run} was trained without classes (--condition class)")
    captions = asking.told(spec, card)
    if asked.caption and not captions:
        raise RequestError(f"--caption {asked.caption[0]!r}: {run} was trained without captions (--condition caption)")
    if (asked.grid or asked.walk) and spec.c is None:
        raise RequestError(f"--grid and --walk show conditions, and {run} has none (--condition class or caption)")
    if isinstance(spec.c, Label):
        words = list(asked.label) or list(card["classes"] or map(str, range(spec.c.classes)))
    elif captions:
        words = list(asked.caption) or card["examples"]
    else:
        words = []
    said = [] if asked.caption or not captions else ["no --caption given: captions of held-out samples"]
    return words, said + [line for text in asked.caption for line in asking.unknown(spec, card, text)]


def _walked(
    G: Module, spec: Spec, card: dict[str, Any], asked: Asked, words: list[str]
) -> tuple[Tensor, int, list[str]]:
    """One z a row, from one condition to another in eight steps."""
    if len(words) != 2:
        given = "--label" if isinstance(spec.c, Label) else "--caption"
        raise RequestError(f"--walk goes from one condition to another: give {given} twice, not {len(words)} times")
    rows, steps = asked.n or 8, 8
    way = asking.way(spec, asking.conditions(spec, card, words), steps)
    z = asking.noise(G, rows, asked.seed, asked.truncation).repeat_interleave(steps, 0)
    x = generators.draw(G, spec, len(z), c=way.repeat(rows, *[1] * (way.ndim - 1)), z=z)
    return x, steps, [f"from the left, {words[0]!r}, to the right, {words[1]!r}; one z a row"]


def _read_back(run: Path, spec: Spec, x: Tensor, captions: list[str]) -> list[str]:
    """How many samples show what their caption says, where a world can read it back."""
    name = RunFolder(run).recipe()["data"]
    if not (captions and not isinstance(spec.c, Label) and name in worlds.WORLDS):
        return []
    told = worlds.open(name, size=x.shape[-1]).judge(x, captions)  # type: ignore[arg-type]
    parts = ", ".join(f"{k.removesuffix('_obeyed')} {v:.0%}" for k, v in told.items() if k.endswith("_obeyed"))
    return [f"read back: all that is mentioned is right in {told['obeyed']:.0%} ({parts})"] if "obeyed" in told else []


def foresee(run: Path, G: Module, spec: Spec, card: dict[str, Any], asked: Asked) -> dict[str, Any]:
    """Futures of a clip, or of n held-out pasts: strips (.png), an animation (.webp, .gif), an array (.npy)."""
    assert isinstance(spec.c, Frames)
    frames, futures = asked.frames or 16, asked.futures or 4
    if frames < 1 or futures < 1:
        raise RequestError(f"--frames {frames} and --futures {futures} must be at least 1")
    if asked.source is None:
        data = open_data(Recipe.of(RunFolder(run).recipe()))
        c = data.heldout.take(torch.arange(min(asked.n or 4, len(data.heldout))))[1]
        assert c is not None
    else:
        c = data_room.past_of(Path(asked.source), spec.c)[None]
    pasts = c.repeat_interleave(futures, 0)
    made = generators.roll(G, spec, pasts, frames, asked.seed)  # (pasts * futures, frames, ...)
    whole = torch.cat([pasts, made], 1)

    place = Path(asked.out) if asked.out else run / "drawn.webp"
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.suffix == ".npy":
        np.save(place, made.unflatten(0, (len(c), futures)).numpy())
    elif place.suffix in (".webp", ".gif"):
        show.film(whole, place)
    elif place.suffix == ".png":
        shown = torch.linspace(0, frames - 1, min(frames, 12)).round().long()
        show.futures(pasts, made[:, shown], place)
    else:
        raise RequestError(f"--out {asked.out}: futures are written as .webp, .gif, .png (strips) or .npy")
    what = f"{futures} futures of {frames} frames after {len(c)} past{'s' if len(c) > 1 else ''}"
    return {"out": str(place), "n": len(made), "seen": card["seen"], "lines": [f"{what} at {card['seen']:,}: {place}"]}


def evaluate(
    what: str,
    against: str | None,
    n: int,
    seed: int,
    extractor: str | None = None,
    weights: str | None = None,
    resize: str | None = None,
    minutes: float = 5.0,
    device: str = "auto",
    measures: str | None = None,
    copies: str | None = None,
    sweep: str | None = None,
    beside: str | None = None,
) -> dict[str, Any]:
    """Measures a run's average generator, or a folder or array of samples, against held-out data.

    extractor: names with commas between, or None for the usual ones; each gives a report of its own.
    measures: names with commas between, "all", or None for the usual ones; copies: a file for the suspicious pairs.
    sweep: a file for the curve of a run that writes, over the temperature of sampling.
    beside: runs that foresee, with commas between, such as regressions, to be held against the same frames.
    """
    wanted = None if measures is None else _chosen(measures)
    if minutes <= 0:
        raise RequestError(f"--minutes {minutes:g} must be above 0")
    run, place, card, c, score = Path(what), machine.pick(device, 0), {}, None, None
    named = {name: find(EXTRACTORS, name, "extractor") for name in (extractor or "").split(",") if name}
    is_run = (run / "recipe.yaml").exists()
    if sweep is not None and not is_run:
        raise RequestError(f"--sweep {sweep} samples a generator at many temperatures, and {what} is no run")
    if is_run:
        G, spec, card = generators.load_generator(run / "generator")
        r = Recipe.of(RunFolder(run).recipe())
        other = Recipe(data=str(against), size=r.size, fit=r.fit, past=r.past, condition="past" if r.past else None)
        data = open_data(r if against in (None, r.data) else other)
        if (
            isinstance(spec.x, Tokens)
            and "spelling" in card
            and data.spelling != (own := Spelling.of(card["spelling"]))
        ):
            data = data_room.respelled(data, own, spec.x)
        against = against or r.data
    else:
        if against is None:
            raise RequestError(f"{what} is no run, so say what to measure it against: --against DATA")
        data = open_data(Recipe(data=against))
    if is_run:  # what was trained on does not count
        some = {"real": Examples(data, ("heldout",), n), "others": Examples(data, ("train",), n)}
        real, told = some["real"].x, some["real"].labels if isinstance(spec.c, Label) else None
        c = data.heldout.take(range(len(real)))[1] if spec.c is not None else None
        fake = generators.draw(G, spec, len(real), seed, c)
        score = generators.scorer(G, spec)
    else:
        some = {"real": Examples(data, WHOLE, n)}
        real = some["real"].x
        fake, told = _samples(what, data, len(real))
        if len(rest := Examples(data, WHOLE, n + len(fake), n)) == len(fake):
            some["others"] = rest
    labels = {side: examples.labels for side, examples in some.items()} | {"fake": told}
    check(wanted if wanted and measures != "all" else (), data, labels, named)
    others_ahead = _others_ahead(beside, spec if is_run else None, c, seed)
    if fake.shape[1:] != real.shape[1:]:
        raise RequestError(
            f"samples are {tuple(fake.shape[1:])}, {against} is {tuple(real.shape[1:])}; measure like with like"
        )

    search = None if copies is None else _search(data, n, fake, Path(copies))
    m, reports = Making(data, weights, minutes, bar=bar), []
    for look in make(named or dict.fromkeys(usual(data.spec.x, weights)), m, resize):
        look.to(place)
        known = {side: examples.features(look, m) for side, examples in some.items()}
        known["fake"] = taken(look, fake, data.spec.x, bar, "samples")
        world = None if reports else data.world
        options = dict(seed=seed, c=c, score=None if reports else score, measures=wanted, data=against)
        options |= dict(known=known, labels=labels, split="heldout" if is_run else "all")
        options |= {"others": some["others"].x} if "others" in some else {}
        found: dict[str, Any] = dict(measured(real, fake, data.spec, world, look, **options))  # type: ignore[arg-type]
        found["notes"] += getattr(look, "notes", [])
        reports.append(found)
        if is_run:
            RunFolder(run).append("evaluations.jsonl", {"seen": card["seen"], "player": "average", **found})
    for name, made in others_ahead.items():
        reports[0]["beside"][name] = ahead(real, made, c, data.world)  # type: ignore[arg-type]
    also = [{k: found[k] for k in ("extractor", "resize", "metrics", "ceiling", "notes")} for found in reports[1:]]
    found = reports[0] | {"also": also} | ({} if search is None else {"copies": search})
    lines = _tables(reports) + _beside(found) + _pairs(search, copies)
    if sweep is not None:
        rows = sweeping.sweep(G, spec, real, seed=seed)
        found |= {"sweep": rows}
        lines += sweeping.lines(rows, sweeping.draw(rows, Path(sweep)))
    return found | {"lines": lines}


def _others_ahead(beside: str | None, spec: Spec | None, c: Tensor | None, seed: int) -> dict[str, Tensor]:
    """What other runs make of the same pasts, by their names."""
    found = {}
    for name in filter(None, (beside or "").split(",")):
        if spec is None or not isinstance(spec.c, Frames):
            raise RequestError(f"--beside {name} is for runs that foresee; use sparring compare for others")
        RunFolder(name).recipe()
        G, its, _ = generators.load_generator(Path(name) / "generator")
        if its != spec:
            raise RequestError(f"--beside {name} makes {its.x} from {its.c}, not {spec.x} from {spec.c}")
        found[name] = generators.draw(G, its, len(c), seed, c)  # type: ignore[arg-type]
    return found


def _beside(found: dict[str, Any]) -> list[str]:
    """Next frames of this run beside those of others: a column each."""
    if not found["beside"]:
        return []
    columns = {"this": {"metrics": found["metrics"], "truth": found["truth"]}, **found["beside"]}
    rows = ["", f"  {'the next frame':16s} " + " ".join(f"{Path(name).name[-14:]:>14s}" for name in columns)]
    for kind in ("metrics", "truth"):
        for name in found["beside"]["copy-last"][kind]:
            cells = (column[kind].get(name) for column in columns.values())
            values = (cell["value"] if isinstance(cell, dict) else cell for cell in cells)
            rows.append(f"    {name:14s} " + " ".join(f"{'-' if v is None else format(v, '.4g'):>14s}" for v in values))
    return rows


def _chosen(names: str) -> dict[str, Any]:
    try:
        return chosen(names)
    except ValueError as error:
        raise RequestError(f"--measures: {error}") from error


def _search(data: data_room.Dataset, n: int, fake: Tensor, sheet: Path, most: int = 10_000) -> dict[str, Any]:
    """The search for copies among the first 10,000 training samples; the pairs go to a sheet, made beside training."""
    train, heldout = Examples(data, ("train",), most).x, Examples(data, ("heldout",), n).x
    try:
        found = look_for_copies(train, heldout, fake, data.spec.x)
    except ValueError as error:
        raise RequestError(f"--copies: {error}") from error
    if isinstance(data.spec.x, Image | Frames):  # a pair is one tile: the made one at the left of the training one
        both = torch.stack([torch.cat([fake[i], train[j]], -1) for i, j, _ in found.pairs])
        both = both if isinstance(data.spec.x, Image) else both[:, -1]
        sheet.parent.mkdir(parents=True, exist_ok=True)
        show.show(Image(both.shape[1], both.shape[-1]), both, sheet, columns=4)
    return found.asdict()


def _pairs(search: dict[str, Any] | None, sheet: str | None) -> list[str]:
    if search is None:
        return []
    rows = ["", f"  {search['verdict']}", f"    {'way of copying':16s} suspicious   held-out   by chance once in"]
    for way, s in search["ways"].items():
        often = f"{1 / s['p']:.3g}" if s["p"] > 0 else "never"
        rows.append(f"    {way:16s} {s['share']:10.1%} {s['usual']:10.1%}   {often}")
    mine, real = search["authenticity"], search["authenticity_heldout"]
    rows.append(f"    authenticity     {_number(mine)}   held-out {real['value']:.4g}")
    if search["c_t"]:
        rows.append(f"    c_t              {_number(search['c_t'])}   below -3 is copying")
    return [*rows, f"    pairs, made at the left of training, most suspicious first: {sheet}"]


def _samples(what: str, data: data_room.Dataset, n: int) -> tuple[Tensor, np.ndarray | None]:
    """Made samples of a folder or a file, n at most, and their classes, where they have some that the data has too."""
    folder = data_room.open(what, size=getattr(data.spec.x, "size", None), condition="none")
    if data.spelling is not None and isinstance(data.spec.x, Tokens):
        folder = data_room.respelled(folder, data.spelling, data.spec.x, whole=True)
    made = Examples(folder, WHOLE, n)
    return made.x, made.labels if set(folder.classes or ()) <= set(data.classes or ()) else None


def _tables(reports: list[dict[str, Any]]) -> list[str]:
    """A table for each extractor, every measure beside what real samples get; then what the world knows."""
    first = reports[0]
    held = " held-out" if first["split"] == "heldout" else ""
    rows = [f"{first['n_fake']:,} samples against {first['n_real']:,}{held} of {first['data']}"]
    for found in reports:
        rows += ["", f"  {'features by ' + found['extractor']:58s} real against real"]
        for name, m in found["metrics"].items():
            best = found["ceiling"].get(name)
            better = f"{m['better']} is better"
            rows.append(f"    {name:16s} {_number(m):22s} {better:16s} {_number(best) if best else ''}")
        rows += [f"    note: {note}" for note in found["notes"]]
    if first["truth"]:
        rows += ["", f"  {'known truth':58s} real"]
    for name, value in first["truth"].items():
        best = first["ceiling"].get(name)
        told = "not known" if value is None else f"{value:.4g}"
        rows.append(f"    {name:16s} {told:>10s} {'' if best is None else f'{best:38.4g}'}")
    return rows


def _number(m: dict[str, Any]) -> str:
    value, se = (None if m[k] is None else float(f"{m[k]:.4g}") for k in ("value", "se"))
    return f"{'infinite' if value is None else format(value, '.4g'):>10s}" + ("" if se is None else f" ± {se:.2g}")


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
