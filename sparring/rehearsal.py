"""What a user brings of their own is tried on copies, before anything is written."""

import copy
import re
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import Module

from . import ways
from .data import Dataset
from .extractors import taken
from .names import tried
from .settings import Recipe
from .train import Method, State, train

OWN = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]")  # module:name, and not the two weights of NAME=1:0.1


def rehearse(
    r: Recipe,
    m: Method,
    s: State,
    batches: Iterator[tuple[Tensor, Tensor | None]],
    data: Dataset,
    extractor: Module | None,
) -> None:
    """One step that has all that steps may have, where anything of the recipe is the user's own.

    And one look at held-out examples by an extractor of theirs.  Raises RequestError, with the place, where one fails.
    """
    own = {k: v for k, v in r.asdict().items() if k != "data" and isinstance(v, str) and OWN.search(v)}
    if named := ", ".join(f"--{name} {value}" for name, value in own.items() if name != "extractor"):
        whole = replace(m, critic_steps=1, lazy=1, generator_loss=ways.route(replace(r, pretrain=0)))
        with tried(named):
            next(train(whole, copy.deepcopy(s), batches))
    if "extractor" in own and extractor is not None:
        with tried(f"--extractor {own['extractor']}"):
            taken(extractor, data.heldout.take(torch.arange(min(8, len(data.heldout))))[0], data.spec.x)
