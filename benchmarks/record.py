"""What a benchmark leaves behind: a document in results/, with all it takes to make it again and to judge it."""

import json
import math
import platform
import statistics
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Any

import torch

import sparring
from sparring import machine
from sparring.folder import RunFolder
from sparring.lab.claims import plain

RESULTS = Path(__file__).parent / "results"


def known(name: str) -> dict[str, Any]:
    """The document results/NAME.json; empty if there is none."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else {}


def seeds_of(name: str, command: str) -> list[dict[str, Any]]:
    """The runs of this very command that results/NAME.json holds."""
    document = known(name)
    return document["seeds"] if document.get("command") == command else []


def write(name: str, document: dict[str, Any], threads: int | None = None) -> None:
    """results/NAME.json: the document, and on what day, with what and on what it was made.

    threads: of the runs, where this process has others.
    """
    made = {
        "date": date.today().isoformat(),
        "versions": {"sparring": sparring.__version__, "torch": torch.__version__, "python": platform.python_version()},
        "hardware": machine.hardware(torch.device("cpu")) | ({"threads": threads} if threads else {}),
    }
    keep(name, document | made)


def keep(name: str, document: dict[str, Any]) -> None:
    """results/NAME.json as it is given, written aside and renamed."""
    text = json.dumps(strict(document), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    RunFolder(RESULTS).write(f"{name}.json", lambda aside: aside.write_text(text, encoding="utf-8"))


def strict(value: Any) -> Any:
    """The same with infinities in words, for JSON has none."""
    if isinstance(value, dict):
        return {k: strict(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [strict(v) for v in value]
    return plain(value) if isinstance(value, float) and math.isinf(value) else value


def span(values: list[float], places: int | None = None) -> dict[str, float]:
    """The mean, to so many places, and the lowest and the highest."""
    mean = statistics.mean(values)
    return {"mean": mean if places is None else round(mean, places), "min": min(values), "max": max(values)}


def over_seeds(
    runs: list[dict[str, Any]], names: Iterable[str], places: int | None = None
) -> dict[str, dict[str, float]]:
    """The span of each of these numbers over the runs that have it."""
    return {k: span(v, places) for k in names for v in [[run[k] for run in runs if run.get(k) is not None]] if v}
