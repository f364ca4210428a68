"""A writer at many temperatures: quality against variety as a curve, because either alone can be had for nothing.

Caccia et al. 2020: below temperature 1 every writer is surer and says less.  Generators are compared by whole curves.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module

from .chance import generator
from .evaluate import numbers, stored
from .folder import RunFolder
from .metrics import ON_WORDS, measure
from .names import RequestError
from .spaces import Spec, Tokens

TEMPERATURES = (0.4, 0.55, 0.7, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5)
AXES = ("lm", "reverse_lm")
MEASURED = {name: ON_WORDS[name] for name in ("lm", "reverse_lm", "bleu", "self_bleu", "unique")}


def check(spec: Spec) -> None:
    """RequestError where nothing is written, or not freely."""
    if not isinstance(spec.x, Tokens) or spec.c is not None:
        raise RequestError("--sweep is of a run that writes texts, freely")


@torch.no_grad()
def sweep(
    G: Module, spec: Spec, real: Tensor, temperatures: Sequence[float] = TEMPERATURES, seed: int = 0, batch: int = 250
) -> list[dict[str, Any]]:
    """As many texts as `real` has (n, L), from the same noise at each temperature, and what is measured of them.

    A row has `temperature`, and of each measure its value, standard error and which way is better; one that these texts
    do not allow, such as empty ones, is not in it.  The last row is that of the real ones, one half against the other,
    at temperature None.  RequestError for a G that has no temperature.
    """
    check(spec)
    z = G.prior.sample(len(real), generator("draw", seed))  # type: ignore[union-attr]
    device, rows = next(G.parameters(), z).device, []
    for t in temperatures:
        try:
            fake = torch.cat([spec.x.decode(G(part.to(device), None, temperature=t)).cpu() for part in z.split(batch)])
        except TypeError as error:
            raise RequestError(f"--sweep needs a G that takes temperature=: {error}") from error
        rows.append({"temperature": t, **numbers(measure(stored(spec.x, real), stored(spec.x, fake), MEASURED, {}))})
    order = torch.randperm(len(real), generator=generator("sweep", seed))
    one, other = (stored(spec.x, half) for half in real[order].tensor_split(2))
    return [*rows, {"temperature": None, **numbers(measure(one, other, MEASURED, {}))}]


def lines(rows: Sequence[dict[str, Any]], path: Path) -> list[str]:
    """The rows as a table."""
    said = ["", f"  {'temperature':16s}" + "".join(f"{name:>12s}" for name in MEASURED)]
    for row in rows:
        label = "real, halved" if row["temperature"] is None else f"{row['temperature']:g}"
        cells = (f"{row[name]['value']:.3f}" if known(row, name) else "-" for name in MEASURED)
        said.append(f"    {label:14s}" + "".join(f"{cell:>12s}" for cell in cells))
    return [*said, f"  curve: {path}"]


def known(row: Mapping[str, Any], *names: str) -> bool:
    """Whether a row has numbers for all these measures."""
    return all(name in row and row[name]["value"] is not None for name in names)


def draw(curves: Mapping[str, Sequence[dict[str, Any]]], path: Path) -> Path:
    """Writes the curves (.png), each the rows of one writer by its name: reverse_lm over lm, with their errors.

    A better writer lies below and to the left.  The real texts are those of the first.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 4), layout="constrained")
    FigureCanvasAgg(figure)
    ax = figure.add_subplot()
    for name, rows in curves.items():
        made = [row for row in rows if row["temperature"] is not None and known(row, *AXES)]
        (x, ex), (y, ey) = (([row[k]["value"] for row in made], [row[k]["se"] for row in made]) for k in AXES)
        ax.errorbar(x, y, ey, ex, "o-", ms=3, lw=1, elinewidth=0.6, label=name)
        for row, a, b in zip(made, x, y):
            ax.annotate(f"{row['temperature']:g}", (a, b), (4, 4), textcoords="offset points", fontsize=7)
    real = next(iter(curves.values()))[-1]
    if known(real, *AXES):
        ax.plot(*(real[k]["value"] for k in AXES), "*", color="#222222", ms=9, label="real, halved")
    ax.set_xlabel("LM score of the samples, nats per word")
    ax.set_ylabel("reverse LM score of real texts")
    ax.set_title("over the temperature of sampling", fontsize=9)
    ax.legend(frameon=False, fontsize=8)
    place = path.with_suffix(".png")
    place.parent.mkdir(parents=True, exist_ok=True)
    return RunFolder(place.parent).write(place.name, lambda aside: figure.savefig(aside, dpi=110, format="png"))
