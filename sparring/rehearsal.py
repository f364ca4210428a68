"""What a user brings of their own is tried on copies, before anything is written."""

import copy
import re
import traceback
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import Module

from . import parallel
from .data import Dataset
from .extractors import ExtractorError, taken
from .names import RequestError
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
    """One step, where anything of the recipe is the user's own, and one look at held-out examples.

    Raises RequestError, with the place, where one fails.
    """
    own = {k: v for k, v in r.asdict().items() if k != "data" and isinstance(v, str) and OWN.search(v)}
    named = ", ".join(f"--{name} {value}" for name, value in own.items() if name != "extractor")
    try:
        if named:
            next(train(m, copy.deepcopy(s), batches))
        if "extractor" in own and extractor is not None:
            named = f"--extractor {own['extractor']}"
            taken(extractor, data.heldout.take(torch.arange(min(8, len(data.heldout))))[0], data.spec.x)
    except (RequestError, parallel.PeerLost):
        raise
    except ExtractorError as error:
        raise RequestError(f"{named}: {error}") from error
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        said = next(iter(str(error).splitlines()), "no more is said")
        place = f"{Path(last.filename).name}, line {last.lineno}"
        raise RequestError(f"{named} failed when tried: {type(error).__name__}: {said} ({place})") from error
