"""What may be wrong with the data, from its card: nothing has to be trained to see it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .history import Finding

KINDS = {  # of what was left out: what to do about it
    "blank": "look at how they were made; blank pictures end in NaN elsewhere, here they are left out",
    "broken": "copy these files again, or delete them",
    "duplicate": "delete them, or see whether the same picture was saved under many names",
    "no picture": "move them elsewhere",
    "metadata": "correct these lines",
}


def data_faults(card: Mapping[str, Any], share: float = 0.05) -> list[Finding]:
    """Of the card of a data set (`card.json`, under "data"): what a run on it will suffer from.

    A fault of a kind is a problem from that share of the examples on, and a note below.
    """
    found, total = [], max(int(card.get("found") or 0), 1)
    left, problems = card.get("left_out"), card.get("problems")
    left = left if isinstance(left, Mapping) else {}
    for kind, n in left.items():
        example = card.get("for_example", {}).get(kind) or (str(problems[0]) if len(left) == 1 and problems else "")
        what = f"{n:,} of {total:,} examples are left out as {kind}"
        if kind == "metadata":
            what = f"{n:,} lines of metadata are not used, of {total:,} examples"
        said = what + (f", e.g. {example}" if example else "")
        level = "problem" if n > share * total else "note"
        found.append(Finding(f"data: {kind}", 0, said, KINDS.get(kind, "see the card of the run"), level))

    low, high = card.get("range") or (0, 255)
    if high - low < 32:
        said = f"all bytes of the pictures lie between {low} and {high}, of 0 to 255: all but black or gray"
        advice = "pictures in [0, 1] must become (255 * x).round().astype('uint8')"
        found.append(Finding("data: range", 0, said, advice))

    sizes = card.get("class_sizes")
    if isinstance(sizes, Mapping) and sizes:
        usual = sorted(sizes.values())[len(sizes) // 2]
        if empty := [name for name, n in sizes.items() if n == 0]:
            said = f"nothing usable is in {', '.join(empty)}"
            found.append(Finding("data: class", 0, said, "put examples there, or delete the class"))
        if few := [name for name, n in sizes.items() if 0 < n < usual / 20]:
            said = f"{', '.join(few)}: less than a twentieth of what the usual class has ({usual:,})"
            found.append(Finding("data: class", 0, said, "gather more of them, or leave the class out", "note"))
    return found


def far_off(measured: Mapping[str, Any], share: float = 0.1) -> Finding | None:
    """What a row of evaluations.jsonl says where next to nothing of the data is covered, whatever the signs were."""
    value, best = ((measured.get(k, {}).get("coverage") or {}).get("value") for k in ("metrics", "ceiling"))
    if value is None or best is None or value >= share * best:
        return None
    return Finding(
        "far off",
        measured["seen"],
        f"the samples cover {value:.1%} of the data, where real ones cover {best:.0%}",
        "a longer run (--samples, --minutes) if this was a short one; else the settings that are its default",
        level="note",
    )
