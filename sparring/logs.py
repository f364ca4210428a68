"""Foreign logs: a CSV, JSON lines, or printed text with losses and scores, as rows that symptoms can read."""

from __future__ import annotations

import csv
import json
import re
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterator, Mapping
from contextlib import suppress
from math import isfinite, log
from pathlib import Path
from typing import Any, NamedTuple

from .names import RequestError

NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|nan|inf|-inf"
D, G = r"(?:d|dis|disc|discriminator|critic)", r"(?:g|gen|generator)"
PRINTED = re.compile(rf"((?:\b(?:{D}|{G}|loss)\s+)?[A-Za-z_][\w/().]*)\s*[:=]\s*({NUMBER})(?![\w.])", re.IGNORECASE)
COUNTED = re.compile(r"\b(epoch|batch|step|iter(?:ation)?)\s*\[?\s*(\d+)\s*/\s*\d+", re.IGNORECASE)  # Batch 3/938

REAL, FAKE = "(?:real|true)", "(?:fake|gen|generated)"
ANY = "(?:.*/)?"
MEANINGS = (  # our name, and what others call it: in small letters, with / for every separator
    ("D/loss", rf"{ANY}(?:loss(?:es)?/{D}(?:/loss)?|{D}/?loss(?:es)?(?:/total)?|err/?{D}|{D}/?err|{D}/total/loss)"),
    ("G/loss", rf"{ANY}(?:loss(?:es)?/{G}(?:/loss)?|{G}/?loss(?:es)?(?:/total)?|err/?{G}|{G}/?err|{G}/total/loss)"),
    ("score/real", rf"{ANY}(?:scores?/{REAL}|{REAL}/(?:scores?|logits?)|{D}/(?:out/)?{REAL}|logits/{REAL}|{D}/x)"),
    ("score/fake", rf"{ANY}(?:scores?/{FAKE}|{FAKE}/(?:scores?|logits?)|{D}/(?:out/)?{FAKE}|logits/{FAKE}|{D}/g/z1?)"),
    ("G/grad", rf"{ANY}(?:grad/?norm/{G}|{G}/grad(?:/?norm)?)"),
    ("D/grad", rf"{ANY}(?:grad/?norm/{D}|{D}/grad(?:/?norm)?)"),
    ("overfit/sign", rf"{ANY}signs/real"),
    ("penalty/r1", rf"{ANY}r1(?:/penalty)?"),
)
OWN = {"accuracy/heldout", "accuracy/train", "spread", "coverage", "slope/real", "slope/fake", "push", "swing"}
CLOCKS = (  # what counts, and how many samples one of it is, as far as can be known
    ("kimg", 1000),
    ("seen|samples|images|n?img|cur/nimg", 1),
    ("steps?|iters?|iterations?|global/step", 1),
    ("batch|batches", 1),
    ("epochs?", 1),
)
HALVES = ("g/gan", "d/real", "d/fake")  # what pix2pix and its kin print: losses all, though two look like scores


class Log(NamedTuple):
    """rows as `diagnose` takes them; said: what was read as what, a line each; unread: columns of unknown meaning.

    unit: what "seen" counts.
    """

    rows: list[dict[str, float]]
    said: list[str]
    unread: list[str]
    unit: str


def read(path: Path) -> Log:
    """The log of any trainer that wrote losses or scores.

    A .csv or .tsv with a header, with commas, tabs or semicolons between; lines of JSON, where a value may be
    {"mean": ...}; or text with `name: value` pairs.  A counter that stands on some lines holds for those after it.
    Scores that all lie in [0, 1] are taken for probabilities and become log-odds.  RequestError where nothing is known.
    """
    try:
        raw = path.read_bytes()
        text = raw.decode("utf-16" if raw[:2] in (BOM_UTF16_LE, BOM_UTF16_BE) else "utf-8-sig", errors="replace")
    except OSError as error:
        raise RequestError(f"{path} cannot be read ({error.strerror}); give a run's folder or a log") from error
    found = list(rows_of(path, text))
    columns = list(dict.fromkeys(name for row in found for name in row))
    said = []
    if halves := halved(columns):
        found = [joined(row, halves) for row in found]
        said.append("G_GAN is read as G/loss, and the mean of D_real and D_fake as D/loss")
        columns = list(dict.fromkeys(name for row in found for name in row))
    meant = meanings(columns)
    if not meant:
        raise RequestError(
            f"{path} has nothing that a doctor can read among {', '.join(columns[:12]) or begun(text)}; "
            "name columns D/loss, G/loss, score/real, score/fake, and step or seen"
        )
    clock, factor = clock_of(columns, found)
    rows, now = [], 0.0
    for i, row in enumerate(found):
        now = row.get(clock, now) if clock else float(i)
        values = {ours: row[theirs] for ours, theirs in meant.items() if theirs in row}
        if values:
            rows.append({"seen": now * factor, **values})
    said += [f"{theirs} is read as {ours}" for ours, theirs in meant.items() if ours != theirs]
    unit = "thousands of images" if factor == 1000 else "samples, or steps"
    said.append(f"{clock} counts {unit}" if clock else "rows are counted, for no column does")
    if as_odds(rows):
        said.append("scores lie in [0, 1]: they are read as probabilities, and judged as log-odds")
    ordered = in_order(rows)
    unit = "rows" if ordered is not rows or not clock else "images" if factor == 1000 else clock
    return Log(ordered, said, [c for c in columns if c not in {*meant.values(), clock}], unit)


def begun(text: str) -> str:
    """How a log begins, in words."""
    first = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return f"its lines, which begin with {first[:60]!r}" if first else "its lines: it is empty"


def rows_of(path: Path, text: str) -> Iterator[dict[str, float]]:
    """Every row that has numbers, under the names that the log gives them."""
    if path.suffix.lower() in (".csv", ".tsv"):
        between = max(",;\t", key=text.partition("\n")[0].count)
        table = csv.DictReader(text.splitlines(), delimiter=between)
        plain = (lambda v: v.replace(",", ".") if isinstance(v, str) else v) if between == ";" else lambda v: v
        try:
            yield from filter(None, (floats({k: plain(v) for k, v in row.items()}) for row in table))
        except csv.Error as error:
            raise RequestError(
                f"{path} is no table from line {table.line_num + 1} on ({error}); see whether a quote is left open"
            ) from error
        return
    lines = text.splitlines()
    if text.lstrip().startswith("["):
        with suppress(ValueError):
            lines = [json.dumps(row) for row in json.loads(text)]
    for line in lines:
        try:
            row = json.loads(line)
        except ValueError:
            row = {}
            for name, value in PRINTED.findall(line) + COUNTED.findall(line):
                row.setdefault(name, value)
        if isinstance(row, dict) and (kept := floats(row)):
            yield kept


def floats(row: Mapping[Any, Any]) -> dict[str, float]:
    """What can be read as a number; of a mapping, its mean or its value."""
    kept = {}
    for name, value in row.items():
        if isinstance(value, Mapping):
            value = value.get("mean", value.get("value"))
        try:
            kept[str(name)] = float(value)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            continue
    return kept


def meanings(columns: list[str]) -> dict[str, str]:
    """Our name -> the log's own, for each of ours that one column means: the shortest of several."""
    found: dict[str, str] = {}
    for ours, pattern in MEANINGS:
        fits = [c for c in columns if c == ours or re.fullmatch(pattern, plain(c))]
        if fits:
            found[ours] = min(fits, key=lambda c: (c != ours, len(c)))
    return found | {c: c for c in columns if c in OWN}


def halved(columns: list[str]) -> dict[str, str]:
    """The log's own names of pix2pix's losses, if it has them all."""
    found = {plain(c): c for c in columns if plain(c) in HALVES}
    return found if len(found) == len(HALVES) else {}


def joined(row: dict[str, float], halves: Mapping[str, str]) -> dict[str, float]:
    """The row with the losses in the place of pix2pix's own: D's is the mean of its halves."""
    if not all(name in row for name in halves.values()):
        return row
    G_loss, real, fake = (row[halves[name]] for name in HALVES)
    return {k: v for k, v in row.items() if k not in halves.values()} | {"G/loss": G_loss, "D/loss": (real + fake) / 2}


def clock_of(columns: list[str], rows: list[dict[str, float]]) -> tuple[str, float]:
    """The first column that counts and moves, and what one of it is; "" where there is none."""
    moves = lambda c: len({row[c] for row in rows if c in row}) > 1
    for pattern, factor in CLOCKS:
        for c in columns:
            if re.fullmatch(rf"(?:.*/)?(?:{pattern})", plain(c)) and moves(c):
                return c, factor
    return "", 1


def plain(name: str) -> str:
    """`Loss_D`, `loss-d`, `lossD` -> loss/d."""
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", "/", name.strip())
    return re.sub(r"[^a-z0-9]+", "/", name.lower()).strip("/")


def as_odds(rows: list[dict[str, float]]) -> bool:
    """Makes log-odds of scores that are probabilities; whether they were."""
    values = [row[k] for row in rows for k in ("score/real", "score/fake") if k in row and isfinite(row[k])]
    if not values or not all(0 <= v <= 1 for v in values) or max(values) < 0.05:
        return False
    for row in rows:
        for k in ("score/real", "score/fake"):
            if k in row and isfinite(row[k]):
                p = min(max(row[k], 1e-6), 1 - 1e-6)
                row[k] = log(p / (1 - p))
    return True


def in_order(rows: list[dict[str, float]]) -> list[dict[str, float]]:
    """By what has been seen; where the clock starts anew (an epoch's own steps), by their place."""
    seen = [row["seen"] for row in rows]
    if any(b < a for a, b in zip(seen, seen[1:])):
        return [{**row, "seen": float(i)} for i, row in enumerate(rows)]
    return rows
