"""What a run shows of itself as it goes: sheets of the average generator, from fixed z."""

from pathlib import Path

import torch
from torch import Tensor
from torch.nn import Module

from . import chance, generators, show
from .chance import generator
from .data import Dataset
from .settings import Recipe
from .spaces import Frames, Label, Tokens, Vector


def draw_sheet(G: Module, r: Recipe, data: Dataset, folder: Path, seen: int) -> None:
    """64 samples, texts a line each, points as a cloud; a class or a caption a row; futures.  Writes into `folder`."""
    spec, columns, path = data.spec, None, folder / f"{seen:012d}"
    if isinstance(spec.c, Frames):
        return draw_futures(G, r, data, folder, seen)
    if (isinstance(spec.c, Label) or data.vocabulary is not None) and not isinstance(spec.x, Vector | Tokens):
        x, columns = rows_of_conditions(G, r, data), 8
    else:
        x, _ = drawn(G, r, data, 2000 if isinstance(spec.x, Vector) else 64, "sheet")
    real = data.heldout.take(torch.arange(min(2000, len(data.heldout))))[0]
    words = data.spelling.known if data.spelling else None
    show.show(spec.x, x, path, real=real, columns=columns, words=words)


def rows_of_conditions(G: Module, r: Recipe, data: Dataset, columns: int = 8, rows: int = 16) -> Tensor:
    """A class a row, as many as there are and at most 16, or one of 8 held-out captions; the same z in each."""
    spec, heldout = data.spec, data.heldout
    if isinstance(spec.c, Label):
        c = torch.arange(min(rows, spec.c.classes))
    else:
        c = heldout.take(torch.arange(min(columns, len(heldout))))[1]
        assert c is not None
    z = G.prior.sample(columns, generator("sheet", r.seed)).repeat(len(c), 1)  # type: ignore[union-attr]
    return generators.draw(G, spec, len(z), c=c.repeat_interleave(columns, 0), z=z)


def draw_futures(G: Module, r: Recipe, data: Dataset, folder: Path, seen: int, rows: int = 8, k: int = 5) -> None:
    """Held-out pasts, what followed, and `k` frames that may follow, from fixed z."""
    seed = chance.seed_of("sheet", r.seed)
    real, c = data.heldout.take(torch.arange(min(rows, len(data.heldout))))
    assert c is not None
    n = len(c)
    made = generators.draw(G, data.spec, n * k, seed, c.repeat_interleave(k, 0)).unflatten(0, (n, k))
    show.futures(c, made, folder / f"{seen:012d}", real)


def draw_film(G: Module, r: Recipe, data: Dataset, folder: Path, rows: int = 8) -> None:
    """rolled.webp: the same pasts and 64 frames that G goes on with, each from those before."""
    _, c = data.heldout.take(torch.arange(min(rows, len(data.heldout))))
    assert c is not None
    rolled = generators.roll(G, data.spec, c, 64, chance.seed_of("sheet", r.seed))
    show.film(torch.cat([c, rolled], 1), folder / "rolled.webp")


def drawn(G: Module, r: Recipe, data: Dataset, n: int, purpose: str) -> tuple[Tensor, Tensor | None]:
    """n samples and what they were made from, in stored form: held-out conditions in turn."""
    c = None if data.spec.c is None else data.heldout.take(torch.arange(n) % len(data.heldout))[1]
    return generators.draw(G, data.spec, n, seed=chance.seed_of(purpose, r.seed), c=c), c
