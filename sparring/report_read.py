"""What is read of a run's folder.  Whatever is missing, damaged or half-written there is left out."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

Row = dict[str, Any]


class Run(NamedTuple):
    """What could be read of a run's folder; the lists may be empty, the mappings too."""

    path: Path
    recipe: Row
    card: Row
    stats: list[Row]
    evaluations: list[Row]
    findings: list[Row]
    samples: list[Path]

    @property
    def name(self) -> str:
        return self.path.resolve().name

    @property
    def seen(self) -> float:
        """Samples seen so far, by whatever tells of it."""
        told = [*column(self.stats, "seen")[1], *column(self.evaluations, "seen")[1], *map(seen_of, self.samples)]
        return max(told, default=0)

    @property
    def seconds(self) -> float | None:
        return max([*column(self.stats, "seconds")[1], *column([self.card], "seconds")[1]], default=None)


def read(path: Path) -> Run:
    """All that can be read of the folder of a run."""
    if not path.is_dir():
        raise FileNotFoundError(f"{path} is no folder; give the folder of a run, such as runs/NAME")
    samples = [
        p for p in (path / "samples").glob("[0-9]*") if p.suffix in (".png", ".webp", ".txt") and p.stem.isdigit()
    ]
    return Run(
        path,
        mapping(path / "recipe.yaml", yaml.safe_load),
        mapping(path / "card.json", json.loads),
        in_order(lines(path / "stats.jsonl"), "seen"),
        lines(path / "evaluations.jsonl"),
        lines(path / "findings.jsonl"),
        sorted(samples, key=seen_of),
    )


def text_of(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def mapping(file: Path, parse: Callable[[str], Any]) -> Row:
    try:
        value = parse(text_of(file))
    except (ValueError, yaml.YAMLError, RecursionError):
        return {}
    return {str(k): v for k, v in value.items()} if isinstance(value, dict) else {}


def lines(file: Path) -> list[Row]:
    """The whole lines of a .jsonl file."""
    return [row for line in text_of(file).splitlines() if (row := mapping_line(line))]


def mapping_line(line: str) -> Row | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


def in_order(rows: list[Row], key: str) -> list[Row]:
    return sorted((r for r in rows if finite(r.get(key))), key=lambda r: r[key])


def finite(v: object) -> bool:
    return isinstance(v, int | float) and not isinstance(v, bool) and abs(v) < 1e300  # no nan either


def column(rows: Sequence[Row], key: str) -> tuple[list[float], list[float]]:
    """(seen, value) wherever the value is a finite number."""
    found = [(r.get("seen", 0), r[key]) for r in rows if finite(r.get(key)) and finite(r.get("seen", 0))]
    return [x for x, _ in found], [y for _, y in found]


def seen_of(sample: Path) -> int:
    return int(sample.stem)


class Measure(NamedTuple):
    value: float
    se: float | None
    better: str | None


def entries(row: Row, part: str) -> dict[str, Measure]:
    """The measures ("metrics", "ceiling") or the plain numbers ("truth") of an evaluation."""
    given = row.get(part)
    found = {}
    for name, m in (given if isinstance(given, dict) else {}).items():
        m = m if isinstance(m, dict) else {"value": m}
        if finite(m.get("value")):
            found[name] = Measure(m["value"], m["se"] if finite(m.get("se")) else None, m.get("better"))
    return found


ALIKE = ("data", "split", "extractor", "player")
# Measures have a bias, which differs with the numbers of samples; what a world knows has none.
SERIES = (*ALIKE, "n_real", "n_fake")


def series(row: Row, by: Sequence[str] = SERIES) -> tuple[str, ...]:
    return tuple(str(row.get(k, "")) for k in by)


def series_of(rows: Sequence[Row], by: Sequence[str] = SERIES) -> dict[tuple[str, ...], list[Row]]:
    """Evaluations that can be compared with one another, by samples seen."""
    found: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        found.setdefault(series(row, by), []).append(row)
    return {k: sorted(v, key=lambda r: r["seen"] if finite(r.get("seen")) else 0) for k, v in found.items()}


def latest(rows: Sequence[Row]) -> list[Row]:
    """The last of each series, the average generator's first, then those of most samples seen, of most measured, and
    the newest."""
    last = {series(row): row for row in rows}  # by the order of writing
    newest = sorted(last.values(), key=rows.index, reverse=True)
    count = lambda row, *names: -sum(v for k in names if isinstance(v := row.get(k), int | float))
    own = lambda row: (row.get("player") != "average", row.get("split") != "heldout")
    return sorted(newest, key=lambda row: (*own(row), count(row, "seen"), count(row, "n_real", "n_fake")))
