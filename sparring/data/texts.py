"""Texts from a file, a line each: which lines can be read, what they are cut into, and what is left out and why."""

import codecs
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from hashlib import blake2b
from math import ceil
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np

from ..spaces import Spec, Tokens, to_json
from .errors import DataError, Problem
from .spelling import How, Spelling, chosen, learn, plain
from .split import Dataset, hold_out
from .store import LEAST, left_out

SUFFIXES = (".txt", ".text")
ALWAYS = 10_000  # characters from which on a line is no text, whatever is asked for
LONGEST: dict[How, int] = {"characters": 160, "words": 64, "pieces": 96}  # tokens, if no length is asked for
_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


class Line(NamedTuple):
    """A line of the file: its number from 1, and its text with single blanks."""

    number: int
    text: str


def fill(
    path: Path,
    spelling: str,
    length: int | None,
    whole: bool,
    aside: Path,
    size: int | None,
    fit: str,
    seed: int,
    progress: Callable[[int, int], object],
) -> None:
    """Fills an entry of the cache with the texts of a file, cut as `spelling` says, of at most `length` tokens.

    whole: to be measured, not learned from, so they may be few and say the same, and one alone is held out.
    """
    found = list(read(path))
    lines = [line for line in found if isinstance(line, Line)]
    problems = [line for line in found if isinstance(line, Problem)]
    refuse(path, lines, problems, whole)
    progress(0, len(lines))
    told = [line.text for line in lines]
    how, why = chosen(told) if spelling == "auto" else (cast(How, spelling), f"{spelling}, as asked")
    table = learn(told, how)
    rows, lines = cut(lines, table, length, problems)
    refuse(path, lines, problems, whole)
    if len(table.known) < 3 and not whole:
        raise DataError(
            f"{path} is written with one token, {table.known[1]!r}: there is nothing to choose; "
            "give --spelling characters, or lines that differ"
        )
    space = Tokens(1 + max(map(len, rows)), len(table.known))
    x = padded(rows, space)
    progress(len(lines), len(lines))

    salt = str(seed).encode()
    hashed = [int.from_bytes(blake2b(row.tobytes(), digest_size=8, key=salt).digest(), "big") for row in x]
    keys = np.array(hashed, np.uint64)
    order = np.argsort(keys, kind="stable")
    heldout = np.arange(len(keys)) == 0 if whole else hold_out(keys[order], None)
    fingerprint = blake2b(json.dumps(table.asdict()).encode(), digest_size=16)
    for name, which in (("train", order[~heldout]), ("heldout", order[heldout])):
        np.save(aside / f"{name}.npy", x[which])
        fingerprint.update(keys[which].tobytes())

    card = {
        "kind": "texts, a line each",
        "fingerprint": fingerprint.hexdigest(),
        "seed": seed,
        "found": len(lines) + len(problems),
        "usable": len(lines),
        "train": int((~heldout).sum()),
        "heldout": int(heldout.sum()),
        "cut": f"into {why}",
        "vocabulary": len(table.known) - 1,
        "tokens": {"mean": float(np.mean([len(row) for row in rows])), "longest": space.length - 1},
        "different": len(np.unique(keys)),
        **left_out(problems),
        "notes": list(notes(path, rows, keys, problems)),
    }
    saved = {"card": card, "spec": to_json(Spec(space)), "classes": None, "spelling": table.asdict()}
    (aside / "card.json").write_text(json.dumps(saved, ensure_ascii=False), encoding="utf-8")


def read(path: Path) -> Iterator[Line | Problem]:
    """The lines that can be read, and a word about each that cannot; blank ones are passed over."""
    data = path.read_bytes()
    mark, encoding = next(((mark, name) for mark, name in _MARKS if data.startswith(mark)), (b"", "utf-8"))
    data = data[len(mark) :]
    if encoding != "utf-8":
        data = data.decode(encoding, "replace").encode()
    elif data[:4096].count(0) > len(data[:4096]) / 4:
        raise DataError(
            f"{path} has a zero in most of its characters: it is UTF-16, or no text; "
            f"convert it with: iconv -f utf-16le -t utf-8 {path.name} > new.txt"
        )
    data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    for number, raw in enumerate(data.split(b"\n"), 1):
        if len(raw) > 4 * ALWAYS:
            yield Problem("too long", f"line {number}: {len(raw):,} bytes; a text is a line, so break it into some")
            continue
        try:
            text = raw.decode()
        except UnicodeDecodeError as error:
            byte, near = raw[error.start], raw[max(error.start - 8, 0) : error.start + 8].decode("latin-1")
            what = f"line {number}: byte {byte:#x} at {error.start} is not UTF-8; as Latin-1 it reads {near!r}"
            yield Problem("not UTF-8", what)
            continue
        odd = next((c for c in text if (c < " " and c not in "\t\v\f") or c in "\x7f\ufffd"), None)
        if odd is not None:
            what = "what could not be decoded" if odd == "\ufffd" else f"the control character U+{ord(odd):04X}"
            yield Problem("damaged", f"line {number}: has {what} at {text.index(odd)}")
        elif text.strip():
            yield Line(number, plain(text)[1:])


def cut(
    lines: list[Line], table: Spelling, length: int | None, problems: list[Problem]
) -> tuple[list[list[int]], list[Line]]:
    """The tokens of each line that is not too long, and these lines; a problem for each of the others."""
    rows = [table.write(line.text) for line in lines]
    if length is None:
        sizes = [len(row) for row in rows if row]
        length = min(LONGEST[table.how], ceil(1.25 * float(np.quantile(sizes, 0.99)))) if sizes else 1
    kept, left = [], []
    for line, row in zip(lines, rows):
        if not row:
            problems.append(Problem("rare", f"line {line.number}: has a word that is not among the most frequent"))
        elif len(row) > length:
            problems.append(Problem("too long", f"line {line.number}: {len(row):,} tokens, more than {length}"))
        else:
            kept.append(row)
            left.append(line)
    return kept, left


def refuse(path: Path, lines: list[Line], problems: list[Problem], whole: bool) -> None:
    """DataError where too few lines are left to learn from, or of a `whole` to be measured."""
    different, least = len(lines if whole else {line.text for line in lines}), 2 if whole else LEAST
    if different >= least:
        return
    kinds = Counter(p.kind for p in problems)
    told = ", ".join(f"{n:,} {kind}" for kind, n in sorted(kinds.items()))
    why = f" ({told}; e.g. {problems[0]})" if problems else ""
    out = f"; convert it with: iconv -f latin1 -t utf-8 {path.name} > new.txt" if kinds["not UTF-8"] else ""
    what = (
        "is empty" if not lines and not problems else f"has too few different lines that can be used, {different}{why}"
    )
    raise DataError(f"{path} {what}; at least {least} are needed, a text a line{out}")


def notes(path: Path, rows: list[list[int]], keys: np.ndarray, problems: list[Problem]) -> Iterator[str]:
    """What a user ought to know of lines that are used, and of those that are not."""
    again = len(keys) - len(np.unique(keys))
    if again:
        yield f"{again:,} lines say again what an earlier one says; each counts, and all of a kind are on one side"
    if max(map(len, rows)) == 1:
        yield "every text is a single token, so there is no order to learn; try --spelling characters"
    kinds = Counter(p.kind for p in problems)
    if kinds["not UTF-8"]:
        yield f"lines differ in encoding; convert those, or the file: iconv -f latin1 -t utf-8 {path.name} > new.txt"
    if kinds["too long"]:
        yield f"{kinds['too long']:,} lines are too long to learn from; --length allows more tokens, and costs time"


def respelled(data: Dataset, spelling: Spelling, space: Tokens, whole: bool = False) -> Dataset:
    """The same texts in the tokens of others, so that both can be measured; DataError where that cannot be.

    Texts that cannot be written so, or not in that length, are left out and noted; with `whole` they are refused.
    """
    if data.spelling is None:
        raise DataError(f"{data.card['source']} holds no texts, a line a text in a .txt; measure like with like")
    kept, lost = {}, []
    for name, split in (("train", data.train), ("heldout", data.heldout)):
        told = [data.spelling.read(row) for row in split.x.tolist()]
        rows = [spelling.write(text) for text in told]
        lost += [text for text, row in zip(told, rows) if row is None or len(row) > space.length]
        fit = [row for row in rows if row is not None and len(row) <= space.length]
        kept[name] = replace(split, x=padded(fit, space))
    if lost and (whole or sum(map(len, kept.values())) < LEAST):
        raise DataError(
            f"{data.card['source']} has {len(lost):,} texts that the other side cannot write, such as {lost[0]!r}: "
            "a word is unknown there, or they are too long; measure texts of one vocabulary"
        )
    notes = [f"{len(lost):,} texts have unknown words or are too long, and are left out"]
    card = data.card | {"notes": [*data.card.get("notes", []), *(notes if lost else [])]}
    mark = blake2b(json.dumps([card["fingerprint"], spelling.asdict()]).encode(), digest_size=16).hexdigest()
    return replace(data, spec=Spec(space), spelling=spelling, card=card | {"fingerprint": mark}, **kept)


def padded(rows: Sequence[Sequence[int]], space: Tokens) -> np.ndarray:
    """Rows of tokens in stored form, (N, L)."""
    x = np.zeros((len(rows), space.length), np.int16 if space.vocab < 2**15 else np.int32)
    for i, row in enumerate(rows):
        x[i, : len(row)] = row
    return x
