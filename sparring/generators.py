"""The generator alone: kept with a card that says how it was made, loaded without the trainer, drawn from."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import Module

from .chance import generator
from .data import Dataset
from .folder import apart
from .names import RequestError
from .recipe import players
from .settings import Recipe
from .spaces import Label, Spec, Tokens, at_once
from .spaces import from_json as spec_from_json
from .spaces import to_json as spec_json


def save_generator(folder: Path, G: Module, r: Recipe, data: Dataset, seen: int) -> None:
    """The average generator alone: weights and a card, all that `load_generator` needs."""
    made = {k: getattr(r, k) for k in ("net", "width", "prior", "z", "join", "norm", "spectral", "patches")}
    card = dict(made=made, spec=spec_json(data.spec), seen=seen, classes=data.classes)
    if data.vocabulary is not None:
        few = data.heldout.c.take(torch.arange(min(8, len(data.heldout))).numpy(), None)
        card |= dict(data.vocabulary.card(), examples=[data.vocabulary.decode(row) for row in few])
    if data.spelling is not None:
        card |= dict(spelling=data.spelling.asdict())
    weights = apart({k: v.detach().contiguous() for k, v in G.state_dict().items()})
    save_file(weights, folder / "weights.safetensors")
    (folder / "generator.json").write_text(json.dumps(card, indent=1))


def load_generator(folder: str | Path) -> tuple[Module, Spec, dict[str, Any]]:
    """G in eval mode, its spec, and its card.  `x = spec.x.decode(G(G.prior.sample(n)))`.

    Of texts, `Spelling.of(card["spelling"]).read(row)` reads a row of x.
    From words, `draw(G, spec, n, c=asked.conditions(spec, card, [caption] * n))`.
    """
    folder = Path(folder)
    if not (folder / "generator.json").exists():
        raise RequestError(f"{folder} holds no generator (no generator.json); give the folder `generator` of a run")
    card = json.loads((folder / "generator.json").read_text())
    spec = spec_from_json(card["spec"])
    G, _ = players(Recipe(**card["made"]), spec)
    G.load_state_dict(load_file(folder / "weights.safetensors"))
    return G.eval().requires_grad_(False), spec, card


@torch.no_grad()
def draw(
    G: Module,
    spec: Spec,
    n: int,
    seed: int = 0,
    c: Tensor | None = None,
    z: Tensor | None = None,
    batch: int | None = None,
    **how: Any,
) -> Tensor:
    """n samples in stored form, the same for the same seed.

    c: (n, ...) in stored form, or, of classes and captions, floats as they are played (see `nets.conditions.between`);
    z: (n, dim), by default n draws of the prior; how: what G takes besides, such as the temperature of texts.
    """
    device = next(G.parameters()).device
    noise: Any = G.prior.sample(n, generator("draw", seed)) if z is None else z  # type: ignore[union-attr]
    parts, batch = [], batch or at_once(spec.x, 250)
    for i in range(0, n, batch):
        ci: Any = None if c is None else c[i : i + batch].to(device)
        if (
            ci is not None
            and spec.c is not None
            and not (ci.is_floating_point() and isinstance(spec.c, Label | Tokens))
        ):
            ci = spec.c.encode(ci)
        parts.append(spec.x.decode(G(noise[i : i + batch].to(device), ci, **how)).cpu())
    return torch.cat(parts)


def scorer(G: Module, spec: Spec) -> Callable[[Tensor], Tensor] | None:
    """Of a G that writes freely and has `score`: the log-likelihood of whole texts; None of any other."""
    writes = isinstance(spec.x, Tokens) and spec.c is None and hasattr(G, "score")
    return partial(likelihood, G) if writes else None


@torch.no_grad()
def likelihood(G: Module, x: Tensor, batch: int = 250) -> Tensor:
    """log q of whole texts in stored form (n, L), as G would write them without any condition: (n,) float64, nats."""
    device = next(G.parameters()).device
    parts = [G.score(part.to(device)).double().sum(1).cpu() for part in x.split(batch)]  # type: ignore[operator]
    return torch.cat(parts)


@torch.no_grad()
def roll(G: Module, spec: Spec, c: Tensor, frames: int, seed: int = 0) -> Tensor:
    """`frames` frames after pasts c (n, T, ...), each made from G's own before it: (n, frames, ...), in stored form.

    Each frame has fresh noise, the same for the same seed.
    """
    device, g = next(G.parameters()).device, generator("roll", seed)
    assert spec.c is not None
    past, made = spec.c.encode(c).to(device), []
    for _ in range(frames):
        x = spec.x.decode(G(G.prior.sample(len(c), g).to(device), past))  # type: ignore[union-attr]
        past = torch.cat([past[:, 1:], spec.x.encode(x)[:, None]], 1)  # in bytes, as from a file
        made.append(x.cpu())
    return torch.stack(made, 1)
