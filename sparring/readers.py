"""What is done with runs once they exist: draw from them, go on from them, compare them, show them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import Module

from . import asked as asking
from . import data as data_room
from . import generators, machine, show, tables, tunes, worlds
from . import report as report_room
from .folder import RunFolder, reachable
from .names import RequestError
from .run import open_data
from .settings import Recipe
from .spaces import Frames, Label, Spec, Tokens, Vector


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
    device: str = "auto"
    threads: int = 0


def sample(run: Path, asked: Asked) -> dict[str, Any]:
    """Draws samples to a sheet (.png), an array (.npy) or a folder of files; says where they are and what they show."""
    if asked.n is not None and asked.n < 1:
        raise RequestError(f"-n {asked.n} must be at least 1")
    RunFolder(run).recipe()
    if not (run / "generator").is_dir():
        raise RequestError(f"{run} has no generator yet; it is written with the first checkpoint")
    device = machine.pick(asked.device, asked.threads)
    G, spec, card = generators.load_generator(run / "generator")
    G = G.to(device)
    if isinstance(spec.c, Frames):
        return foresee(run, G, spec, card, asked)
    if (asked.source, asked.frames, asked.futures) != (None, None, None):
        raise RequestError(
            f"--from, --frames and --futures are for runs that foresee, and {run} does not: leave them out"
        )
    if isinstance(spec.x, Tokens):
        return write(run, G, spec, card, asked)
    if asked.temperature is not None:
        raise RequestError(f"--temperature {asked.temperature:g} is for texts, and {run} writes none: try --truncation")
    place = Path(asked.out) if asked.out else run / "drawn.png"
    if isinstance(spec.x, Vector):
        usable(place, (".png", ".npy"), "points are drawn in one picture, .png, or written as an array, .npy")
    else:
        usable(place, ("", ".png", ".npy"), "a sheet is written as .png, an array as .npy, single files into a folder")
    if asked.walk and asked.grid:
        raise RequestError("--walk and --grid are two sheets: give one")
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

    place.parent.mkdir(parents=True, exist_ok=True)
    if place.suffix == ".npy":
        np.save(place, x.numpy())
    elif place.suffix:
        place = show.show(spec.x, x, place, columns=columns)
    else:
        place.mkdir(exist_ok=True)
        for i, one in enumerate(x):
            show.show(spec.x, one[None], place / f"{i:06d}.png")
        if len(words) > 1:
            said += [f"{i:06d}.png: {text}" for i, text in enumerate(texts[: len(words)])]
            said += ["and so on, in turn"] if n > len(words) else []
    seen = card["seen"]
    return {"out": str(place), "n": len(x), "seen": seen, "lines": [*said, f"{len(x)} samples at {seen:,}: {place}"]}


def usable(place: Path, kinds: Sequence[str], ways: str) -> None:
    """Refuses a place where nothing can be written, or of another suffix than these; "" is a folder of files."""
    if place.suffix not in kinds:
        raise RequestError(f"--out {place}: {ways}")
    folder = not place.suffix
    reachable(place, "--out")
    if folder != place.is_dir() and place.exists():
        raise RequestError(f"--out {place} is a {'folder' if place.is_dir() else 'file'} already: give another name")
    if folder and place.is_dir() and any(place.iterdir()):
        raise RequestError(f"--out {place} holds files already, and samples would lie among them: give another name")


def write(run: Path, G: Module, spec: Spec, card: dict[str, Any], asked: Asked) -> dict[str, Any]:
    """n texts, printed, or written to a file, a line each (.txt), or as their tokens (.npy)."""
    if asked.temperature is not None and not asked.temperature > 0:
        raise RequestError(f"--temperature {asked.temperature:g} must be above 0: 1 is as learned, 0.7 is safer")
    if asked.label or asked.caption or asked.grid or asked.walk:
        raise RequestError(f"{run} writes from nothing: leave out --label, --caption, --grid and --walk")
    words = card["spelling"]["known"] if "spelling" in card else None
    if asked.out is not None:
        kinds = (".txt", ".npy", *((".mid", ".png") if tunes.are_notes(words or ()) else ()))
        notes = "; tunes also as .mid, to listen to, and .png, a score"
        usable(Path(asked.out), kinds, f"texts are written as .txt, a line each, or as tokens, .npy{notes}")
    n, z = asked.n or 64, asking.noise(G, asked.n or 64, asked.seed, asked.truncation)
    how: dict[str, Any] = {} if asked.temperature is None else {"temperature": asked.temperature}
    x = generators.draw(G, spec, n, z=z, **how)
    told = {"n": n, "seen": card["seen"], "texts": show.lines(x, words).split("\n")}
    if asked.out is None:
        return told | {"lines": told["texts"]}
    place = Path(asked.out)
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.suffix == ".npy":
        np.save(place, x.numpy())
    elif place.suffix == ".txt":
        show.show(spec.x, x, place, words=words)
    else:
        (tunes.write_midi if place.suffix == ".mid" else tunes.write_score)(told["texts"], place)
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
        named = asked.label if isinstance(spec.c, Label) else asked.caption
        given, times = "--label" if isinstance(spec.c, Label) else "--caption", len(named)
        raise RequestError(
            f"--walk goes from one condition to another: give {given} twice" + (f", not {times} times" if times else "")
        )
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
    names = ("label", "caption", "grid", "walk", "truncation", "temperature")
    if given := [name for name in names if getattr(asked, name)]:
        raise RequestError(f"--{given[0]} is not for next frames, and {run} draws these: leave it out")
    place = Path(asked.out) if asked.out else run / "drawn.webp"
    usable(place, (".webp", ".gif", ".png", ".npy"), "futures are written as .webp, .gif, .png (strips) or .npy")
    frames = 16 if asked.frames is None else asked.frames
    futures = 4 if asked.futures is None else asked.futures
    if frames < 1 or futures < 1:
        raise RequestError(f"--frames {frames} and --futures {futures} must be at least 1")
    if asked.source is None:
        data = open_data(Recipe.of(RunFolder(run).recipe()))
        c = data.heldout.take(torch.arange(min(asked.n or 4, len(data.heldout))))[1]
        assert c is not None
    else:
        c = data_room.past_of(Path(asked.source), spec.c, Recipe.of(RunFolder(run).recipe()).fit)[None]
    pasts = c.repeat_interleave(futures, 0)
    made = generators.roll(G, spec, pasts, frames, asked.seed)  # (pasts * futures, frames, ...)
    whole = torch.cat([pasts, made], 1)

    place.parent.mkdir(parents=True, exist_ok=True)
    if place.suffix == ".npy":
        np.save(place, made.unflatten(0, (len(c), futures)).numpy())
    elif place.suffix in (".webp", ".gif"):
        show.film(whole, place)
    else:
        shown = torch.linspace(0, frames - 1, min(frames, 12)).round().long()
        show.futures(pasts, made[:, shown], place)
    what = f"{futures} futures of {frames} frames after {len(c)} past{'s' if len(c) > 1 else ''}"
    return {"out": str(place), "n": len(made), "seen": card["seen"], "lines": [f"{what} at {card['seen']:,}: {place}"]}


def compare(runs: list[Path], out: Path) -> dict[str, Any]:
    """Runs side by side, as a page and as rows."""
    if len(runs) < 2:
        raise RequestError(f"compare lays runs side by side: give two or more; of one, sparring report {runs[0]}")
    usable(out, (".html", ".htm"), "the page is written as .html")
    for run in runs:
        RunFolder(run).recipe()
    rows = report_room.compare(runs)
    page = report_room.write_comparison(runs, out)
    return {
        "rows": rows,
        "page": str(page),
        "lines": [*tables.of_runs(rows), *report_room.unlike(rows), f"page: {page}"],
    }


def report(run: Path) -> dict[str, Any]:
    """The run's page."""
    RunFolder(run).recipe()
    page = report_room.write(run)
    return {"page": str(page), "lines": [f"report: {page}"]}
