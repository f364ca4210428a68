"""The parts of a report: sheets over time, curves, measures with their errors, the data's card."""

import re
from base64 import b64encode
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from .report_page import BLUE, CYCLE, GOLD, INK, PLUM, RUST, Line, chart, e, like, measured, number, pairs, short, table
from .report_read import ALIKE, SERIES, Row, Run, column, entries, finite, latest, seen_of, series, series_of, text_of

SHEETS = 24  # shown on a page, evenly chosen
BYTES = 5_000_000  # of all sheets of a page together

CURVES = (  # title, which stats, what they mean
    ("Scores", r"score/", "The critic's opinion; higher means more real. Even players stay close.", ""),
    ("Who is told apart", r"accuracy/", "How often D puts a real example above a fake; 1/2 is guessing.", ""),
    ("Known by heart", r"overfit/", "What D knows of its training examples alone; `known` is 1/2 if nothing.", ""),
    ("In the data", r"(precision|recall|coverage)$", "Shares of samples, by neighbours among a few held-out ones.", ""),
    ("Losses", r"(D|G)/(loss|reward)$", "What each player lowers. Their level says little, their drift much.", ""),
    ("Penalties", r"penalty/", "What keeps the critic smooth, before its weight.", "log"),
    ("Terms", r"term/|.*/historical$", "What G is asked beside fooling D, and what pulls on parameters.", "log"),
    ("Gradient norms", r".*(grad|slope)", "How hard each player is pushed.", "log"),
    ("Steps", r"(D|G)/step$", "Length of a step, over that of the weights.", "log"),
    ("Learning rates", r"(.*/)?lr(_|$)", "", ""),
    ("Speed", r"\w+_per_second$", "Samples a second.", "zero"),
)
MEANINGS = {
    "spread": "Distance among generated samples over that among real ones; far below 1: collapse.",
    "duplicates": "Share of generated samples that nearly repeat another.",
    "missing": "Share of the data in parts of it that are hardly ever drawn.",
    "uneven": "Share of samples that are in the wrong part of the data.",
    "near": "How often the nearest example is a held-out one, over what chance gives; below 1: copies.",
    "copies": "Share of samples as close to one training example as one held-out example in 20 is.",
    "push": "How far the loss would move each sample; near 0, G is told nothing.",
    "swing": "Distance of samples from those of the average generator, over that among real ones.",
    "leak": "Share of samples that look transformed, beyond that of real examples.",
    "G/average": "How far the average generator is from the playing one.",
}
COLORS = {"score/real": INK, "score/fake": BLUE, "score/heldout": GOLD, "D": RUST, "G": BLUE}


# -- pictures ---------------------------------------------------------------------------------------------------------


def film(samples: Sequence[Path]) -> str:
    """The last sheet large, all chosen ones below it; with JavaScript the large one follows the slider."""
    chosen = evenly(samples, SHEETS)
    stills = [(seen_of(p), inside) for p in chosen if (inside := still(p, BYTES // len(chosen)))]
    if not stills:
        return ""
    frames = [f"{inside}<figcaption>{short(seen)}<span> samples seen</span></figcaption>" for seen, inside in stills]
    strip = "".join(f"<figure>{frame}</figure>" for frame in frames) if len(frames) > 1 else ""
    bar = (
        '<div class="bar" hidden><button type="button">Play</button>'
        f'<input type="range" min="0" max="{len(frames) - 1}" value="{len(frames) - 1}" aria-label="samples seen">'
        "</div>"
    )
    return f'<div class="film"><figure class="stage">{frames[-1]}</figure>{bar}<div class="strip">{strip}</div></div>'


def evenly(things: Sequence[Any], most: int) -> list[Any]:
    """At most `most` of them, evenly chosen, the first and the last among them."""
    n = len(things)
    return list(things) if n <= most else [things[i * (n - 1) // (most - 1)] for i in range(most)]


def still(path: Path, most: int) -> str:
    """A sheet as HTML, its picture inside in at most about `most` bytes; empty if it cannot be read."""
    if path.suffix == ".txt":
        rows = text_of(path).splitlines()
        return f"<pre>{e(chr(10).join(row[:400] for row in rows[:40]))}</pre>" if rows else ""
    from PIL import Image

    try:
        data = path.read_bytes()
        picture = Image.open(BytesIO(data))
        picture.load()
        kind = (picture.format or "png").lower()
        wide, high = picture.size
        while len(data) > most and min(picture.size) > 64:
            picture = picture.convert("RGB")
            packed = BytesIO()
            picture.save(packed, "webp", quality=88, method=4)
            data, kind = packed.getvalue(), "webp"
            picture = picture.resize((picture.width * 3 // 4, picture.height * 3 // 4))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return ""
    return (
        f'<img width="{wide}" height="{high}" alt="samples" src="data:image/{kind};base64,{b64encode(data).decode()}">'
    )


# -- numbers ----------------------------------------------------------------------------------------------------------


def curves(r: Run) -> str:
    """Everything in the stats over samples seen; what belongs together in one chart."""
    names = [k for k in dict.fromkeys(k for row in r.stats for k in row) if k not in ("seen", "seconds")]
    left = [k for k in names if len(column(r.stats, k)[1]) > 1]
    large = small = ""
    for heading, pattern, about, scale in CURVES:
        group = [k for k in left if re.match(pattern, k)][:8]
        left = [k for k in left if k not in group]
        if group:
            drawn = [Line(label(k, group), *column(r.stats, k), None, color) for k, color in colored(group)]
            large += chart(heading, drawn, about, scale=scale)
    for k in left[:12]:
        small += chart(k, [Line(k, *column(r.stats, k), None, PLUM)], MEANINGS.get(k, ""), small=True)
    large = f'<div class="charts">{large}</div>' if large else ""
    return large + (f'<h3>Probes</h3><div class="charts small">{small}</div>' if small else "")


def colored(names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Each name with a colour: its own where it has one, the next free one otherwise."""
    own = {k: color for k in names if (color := COLORS.get(k) or COLORS.get(k.split("/")[0]))}
    own = own if len(set(own.values())) == len(own) else {}
    free = iter([c for c in CYCLE if c not in own.values()] * 8)
    return ((k, own[k] if k in own else next(free)) for k in names)


def label(name: str, group: Sequence[str]) -> str:
    """A name without what all of its group share."""
    heads, tails = {k.partition("/")[0] for k in group}, {k.partition("/")[2] for k in group}
    head, _, tail = name.partition("/")
    if tail and len(heads) == 1 and len(group) > 1:
        return tail
    return {"G": "generator", "D": "critic"}.get(head, head) if tail and len(tails) == 1 else name


def measures(r: Run, last: Sequence[Row]) -> Iterator[str]:
    """A table of the latest measures of each series, then each measure over samples seen.

    Of the numbers of samples that a run is watched with there is a curve, and so a best; the last look is at more.
    """
    shared = set.intersection(*map(set, map(words, last))) if last else set()
    for row in last:
        if own := [word for word in words(row) if word not in shared]:
            yield f"<h3>{e(' · '.join(own))}</h3>"
        rows = series_of(r.evaluations)[series(row)]
        ceiling = entries(row, "ceiling")
        cells = []
        for name, m in entries(row, "metrics").items():
            over = [(x["seen"], y) for x in rows if finite(x.get("seen")) and (y := entries(x, "metrics").get(name))]
            best = min(over, key=lambda p: p[1].value * (1 if m.better == "lower" else -1), default=None)
            top = ceiling.get(name)
            cells.append([
                f"{e(name)} <small>{ {'lower': '↓', 'higher': '↑'}.get(str(m.better), '') }</small>",
                f"<b>{measured(m.value, m.se)}</b>",
                measured(top.value, top.se) if top else "—",
                f"{like(best[1].value, m.se)} <small>at {short(best[0])}</small>"
                if best and m.better and len(over) > 1
                else "—",
            ])  # fmt: skip
        if cells:
            yield table(["", "latest", "real against real", "best"], cells)
    yield over_seen(r.evaluations, "metrics")


def words(row: Row) -> list[str]:
    """Which series a row is of."""
    counts = [f"{row[k]:,} {word}" for k, word in (("n_fake", "generated"), ("n_real", "real")) if finite(row.get(k))]
    return [str(row[k]) for k in ("data", "split", "extractor", "player") if row.get(k)] + [" against ".join(counts)]


def truth(r: Run) -> Iterator[str]:
    """What the world's judge says, as a table and over samples seen."""
    for row in latest(r.evaluations)[:1]:
        ceiling = entries(row, "ceiling")
        found = entries(row, "truth")
        if any(name in ceiling for name in found):
            yield table(
                ["", "generated", "real"],
                [
                    [e(k), f"<b>{number(m.value)}</b>", number(ceiling[k].value) if k in ceiling else "—"]
                    for k, m in found.items()
                ],
            )
        else:
            yield pairs((e(k), number(m.value)) for k, m in found.items())
    yield over_seen(r.evaluations, "truth")


def over_seen(rows: Sequence[Row], part: str) -> str:
    """One small chart a measure, one curve a series that has at least two points."""
    drawn = ""
    every = series_of([row for row in rows if finite(row.get("seen"))], ALIKE if part == "truth" else SERIES)
    for name in list(dict.fromkeys(k for row in rows for k in entries(row, part)))[:12]:
        found, top = [], None
        for same, color in zip(every.values(), CYCLE):
            points = [(row["seen"], entries(row, part)[name]) for row in same if name in entries(row, part)]
            if len(points) > 1:
                xs, ms = zip(*points)
                se = [m.se or 0.0 for m in ms] if any(m.se for m in ms) else None
                found.append(
                    Line(
                        " · ".join(filter(None, words(same[-1]))),
                        xs,
                        [m.value for m in ms],
                        se,
                        BLUE if not found else color,
                    )
                )
                top = top or next((c[name] for row in same if name in (c := entries(row, "ceiling"))), None)
        if found:
            better = next((m.better for row in rows if (m := entries(row, part).get(name))), None)
            drawn += chart(name, found, f"{better} is better" if better else "", top.value if top else None, small=True)
    return f'<div class="charts small" style="margin-top:44px">{drawn}</div>' if drawn else ""


def data_card(data: object) -> str:
    """What was found in the data: counts, then what was wrong with it."""
    if not isinstance(data, dict):
        return ""
    problems = data.get("problems")
    listed = "".join(f"<li>{e(p)}</li>" for p in each_problem(problems)[:60])
    more = len(each_problem(problems)) - 60
    listed += f"<li>and {more:,} more</li>" if more > 0 else ""
    said = f'<h3>Problems</h3><ul class="problems">{listed}</ul>' if listed else ""
    rest = {k: v for k, v in data.items() if k != "problems"}
    return pairs((e(k.replace("_", " ")), e(plain(v))) for k, v in flat(rest)) + said


def each_problem(problems: object) -> list[str]:
    """A line each, whether they came as a list, as counts by kind, or as lists by kind."""
    if isinstance(problems, dict):
        return [f"{kind}: {plain(p)}" for kind, of in problems.items() for p in (of if isinstance(of, list) else [of])]
    return [plain(p) for p in problems] if isinstance(problems, list) else [str(problems)] if problems else []


def made_with(card: Row) -> str:
    parts = []
    for name in ("versions", "hardware", "parameters"):
        given = card.get(name)
        rows = list(flat(given)) if isinstance(given, dict) else [(name, given)] if given else []
        parts += [
            (e(f"{k} parameters" if name == "parameters" else k), e(f"{v:,}" if finite(v) else plain(v)))
            for k, v in rows
        ]
    return pairs(parts)


# -- settings --------------------------------------------------------------------------------------------------------


def plain(value: object) -> str:
    """A setting as a reader would write it."""
    match value:
        case None:
            return "—"
        case bool():
            return "yes" if value else "no"
        case int() if abs(value) < 10**15:
            return str(value) if abs(value) < 10_000 else f"{value:,}"
        case int() | float():
            return number(value)
        case list() | tuple():
            return ", ".join(map(plain, value)) or "—"
        case dict():
            return ", ".join(f"{k} {plain(v)}" for k, v in value.items()) or "—"
    return str(value)


def flat(tree: Row, above: str = "") -> Iterator[tuple[str, Any]]:
    """Nested settings as 'outer.inner', value."""
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            yield from flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value
