"""From a name to a thing, and the words for a name that is none."""

import difflib
import importlib
import math
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class RequestError(ValueError):
    """What was asked cannot be done; the message names the value, the choices and the way out."""


def find(table: Mapping[str, Any], name: str, kind: str) -> Any:
    """A thing of the table by its name, or module:attribute of anyone's own."""
    if ":" in name:
        module, _, attribute = name.partition(":")
        try:
            return getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            raise RequestError(f"{kind} {name!r} cannot be imported: {error}; is its folder on PYTHONPATH?") from error
    if name not in table:
        raise RequestError(
            f"{kind} {name!r} is none of {', '.join(table)}{nearest(name, table)}; for your own, write module:name"
        )
    return table[name]


def nearest(name: str, names: Iterable[str], n: int = 1, cutoff: float = 0.6) -> str:
    """The words that ask whether the name nearest to this one was meant, or the nearest n, or nothing.

    cutoff: how alike they must be at least, from 0 to 1.
    """
    close = difflib.get_close_matches(name, list(names), n, cutoff)
    return f"; did you mean {' or '.join(map(repr, close))}?" if close else ""


def weighted(text: str, table: Mapping[str, Any], kind: str) -> dict[str, tuple[Any, float, float]]:
    """NAME=WEIGHT,NAME=WEIGHT:END as things of the table, or anybody's own, each with its first and last weight."""
    found = {}
    for part in filter(None, text.split(",")):
        name, _, weight = part.rpartition("=")
        thing, (start, colon, end) = find(table, name or part, kind), weight.partition(":")
        first, last = number(start), number(end if colon else start)
        if not callable(thing):
            raise RequestError(f"{kind} {name!r} is a {type(thing).__name__}, and cannot be called: give a function")
        if first is None or last is None:
            said = f"has a weight that is no number, {weight!r}" if name else "has no weight"
            raise RequestError(f"{kind} {name or part!r} {said}; write NAME=WEIGHT, such as {next(iter(table))}=1")
        if min(first, last) < 0:
            raise RequestError(f"{kind} {name!r} has the weight {weight}, which must be 0 or more")
        if colon and not min(first, last):
            raise RequestError(
                f"{kind} {name!r} goes from one weight to another by equal factors, {weight}: give two above 0"
            )
        found[name] = thing, first, last
    return found


def number(text: str) -> float | None:
    """A finite number as it is written, or None."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


@contextmanager
def tried(what: str) -> Iterator[None]:
    """Inside, where anybody's own `what` is called, its faults are wrong requests, with the place; ours stay."""
    try:
        yield
    except Exception as error:
        if type(error).__module__.startswith(__package__ or "sparring"):
            raise
        last = traceback.extract_tb(error.__traceback__)[-1]
        said = next(iter(str(error).splitlines()), "no more is said")
        place = f"{Path(last.filename).name}, line {last.lineno}"
        raise RequestError(f"{what} failed when tried: {type(error).__name__}: {said} ({place})") from error


@contextmanager
def requested() -> Iterator[None]:
    """Inside, a value that some room refuses is a wrong request."""
    try:
        yield
    except (ValueError, TypeError) as error:
        raise RequestError(str(error)) from error
