"""A run's folder -> one HTML page that needs nothing beside itself; several -> a page with them side by side."""

import re
from collections.abc import Sequence
from math import hypot
from pathlib import Path

from .folder import RunFolder
from .report_page import duration, e, measured, number, page, pairs, section, short, table
from .report_parts import BYTES, curves, data_card, film, flat, made_with, measures, plain, still, truth
from .report_read import SERIES, Measure, Row, Run, column, entries, finite, latest, read, series


def write(run: str | Path) -> Path:
    """Writes `report.html` into a run's folder, aside and renamed, and returns its path.

    Works while the run is live, and on any part of a folder; FileNotFoundError if there is no folder at all.
    """
    r = read(Path(run))
    evaluations = latest(r.evaluations)
    body = (
        f'<header><p class="eyebrow">sparring · <b>{e(r.name)}</b></p><h1>{e(title(r))}</h1>'
        f'<p class="verdict">{verdict(r)}</p>{figures(r)}</header>'
        + section("Findings", findings(r))
        + section("Samples", film(r.samples), about="Always from the same z, by the average generator.")
        + section("Rolled on", rolled(r), about="Each frame is made from the generator's own before it.")
        + section("Measures", *measures(r, evaluations), about=protocol(evaluations))
        + section("The truth about the samples", *truth(r), about="What the world that drew the data says of them.")
        + section("The game", curves(r))
        + section("Settings", pairs((e(k), e(plain(v))) for k, v in flat(r.recipe) if k != "format"))
        + section("Data", data_card(r.card.get("data")))
        + section("Made with", made_with(r.card))
        + f"<footer>Written by sparring from the folder of the run {e(r.name)}.</footer>"
    )
    text = page(f"{title(r)} · {r.name}", body)
    return RunFolder(r.path).write("report.html", lambda aside: aside.write_text(text, encoding="utf-8"))


def rolled(r: Run) -> str:
    """The animation of a run that foresees, if it has come to its end."""
    path = r.path / "samples" / "rolled.webp"
    return still(path, BYTES) if path.exists() else ""


# -- words -----------------------------------------------------------------------------------------------------------


def title(r: Run) -> str:
    """What was trained, as a heading."""
    data = r.recipe.get("data")
    if not isinstance(data, str) or not data:
        return r.name
    data = data.rstrip("/").rsplit("/", 1)[-1]
    x, condition = (r.card.get("spec") or {}).get("x") or {}, r.recipe.get("condition")
    data += f", {x['size']} × {x['size']}" if x.get("space") == "Image" else ""
    if condition == "past":
        return f"{data}, the next frame"
    return data + (f", by {condition}" if isinstance(condition, str) and condition not in ("", "none") else "")


def verdict(r: Run) -> str:
    """The run in a few sentences: how far, how good, what is wrong."""
    if not r.seen:
        return "Nothing has been played yet."
    asked = r.recipe.get("samples")
    of = f" (of {amount(asked)} asked for)" if asked and finite(asked) and asked > r.seen else ""
    time = f" and <b>{duration(r.seconds)}</b>" if r.seconds else ""
    said = f"After <b>{amount(r.seen)} samples</b>{of}{time}, "

    rows = latest(r.evaluations)
    found = entries(rows[0], "truth") if rows else {}
    ceiling = entries(rows[0], "ceiling") if rows else {}
    metrics = entries(rows[0], "metrics") if rows else {}
    if "valid" in found:
        best = f" (of real ones, {100 * ceiling['valid'].value:.1f} %)" if "valid" in ceiling else ""
        said += f"<b>{100 * found['valid'].value:.1f} %</b> of what is drawn is valid{best}. "
    named = [f"{e(name)} <b>{measured(m.value, m.se)}</b>" for name, m in list(metrics.items())[:3]]
    if named:
        start = "" if "valid" in found else "the measures stand at "
        said += start + (("The measures: " if "valid" in found else "") + ", ".join(named)) + ". "
    if not rows:
        said += "nothing has been measured yet. "

    names = list(dict.fromkeys(str(f.get("name", "a finding")) for f in r.findings if "act" not in f))
    of_data = [n.removeprefix("data: ") for n in names if n.startswith("data: ")]
    names = [n for n in names if not n.startswith("data: ")]
    if names:
        said += f"The symptoms found: {', '.join(f'<b>{e(n)}</b>' for n in names[:4])}"
        acts = sum("act" in f for f in r.findings)
        said += f", and {acts} change{'s' if acts > 1 else ''} made about them." if acts else "."
    else:
        said += "No symptom was found."
    if of_data:
        said += f" To be looked at in the data: {e(', '.join(of_data))}."
    stopped = r.card.get("stopped")
    if isinstance(stopped, dict) and stopped.get("why"):
        best = stopped.get("best")
        kept = f", best at {short(best)} samples, whose checkpoint is kept" if isinstance(best, int) else ""
        if stopped.get("kept", r.seen) != r.seen:
            kept = f"; the generator kept is that of {short(stopped['kept'])} samples, better than the last one"
        said += f" It ended because {e(str(stopped['why']))}{kept}."
    return said


def amount(n: float) -> str:
    return f"{n / 1e6:.3g} million" if n >= 1e6 else f"{n:,.0f}"


def figures(r: Run) -> str:
    """The few numbers that a reader wants first."""
    tiles = [("samples seen", short(r.seen), "")]
    if r.seconds:
        tiles.append(("time", duration(r.seconds), ""))
    speed = sorted(column(r.stats, "images_per_second")[1])
    if speed:
        tiles.append(("samples a second", number(round(speed[len(speed) // 2])), "median"))
    for row in latest(r.evaluations)[:1]:
        if valid := entries(row, "truth").get("valid"):
            tiles.append(("valid", f"{100 * valid.value:.1f} %", ""))
        for name, m in list(entries(row, "metrics").items())[:2]:
            tiles.append((name, number(m.value), f"± {m.se:.2g}" if m.se else ""))
    tiles = tiles[:6]
    inside = "".join(
        f"<div><dt>{e(name)}</dt><dd>{e(v)}{f'<small>{e(more)}</small>' if more else ''}</dd></div>"
        for name, v, more in tiles
    )
    return f'<dl class="figures">{inside}</dl>' if r.seen else ""


def findings(r: Run) -> str:
    """What was found, and what was done about it, in its order."""
    parts = []
    for f in r.findings:
        since = f"since {short(f['since'])} samples" if finite(f.get("since")) else ""
        evidence, advice = (e(plain(f[k])) if f.get(k) else "" for k in ("evidence", "advice"))
        parts.append(
            f'<div class="{kind(f)}"><h3>{e(f.get("name", "a finding"))}<span class="since">{since}</span></h3>'
            + (f"<p>{evidence}</p>" if evidence else "")
            + (f"<p><b>{'Changed' if 'act' in f else 'Try'}:</b> {advice}</p>" if advice else "")
            + "</div>"
        )
    return "".join(parts)


def kind(f: Row) -> str:
    """The look of a finding: a problem, a note, or an act."""
    return "finding act" if "act" in f else "finding note" if f.get("level") == "note" else "finding"


def protocol(rows: Sequence[Row]) -> str:
    """How the latest measures were taken, in a sentence."""
    if not rows:
        return ""
    row = rows[0]
    parts = [f"{row[k]:,} {word}" for k, word in (("n_fake", "generated"), ("n_real", "real")) if finite(row.get(k))]
    said = " against ".join(parts)
    said += f" ({row['split']})" if said and row.get("split") else ""
    said += f", features of {row['extractor']}" if row.get("extractor") else ""
    return e(f"{said}. " if said else "") + "Bars and ± are one standard error."


# -- several runs -----------------------------------------------------------------------------------------------------


def compare(runs: Sequence[str | Path]) -> list[Row]:
    """A row a run: {"run", "seen", "seconds", "settings", "by", "metrics", "truth", "findings", "sheet"}.

    settings: only those that differ among the runs; metrics: {NAME: {"value", "se", "better"}} of the fullest
    evaluation that all of them have alike, or else of the fullest of each, by the data, split, extractor and numbers of
    samples of `by`; sheet: the path of the last sheet.
    """
    every = [read(Path(run)) for run in runs]
    settings = [dict(flat(r.recipe)) for r in every]
    differ = [k for k in dict.fromkeys(k for s in settings for k in s) if len({repr(s.get(k)) for s in settings}) > 1]
    known = [{series(row): row for row in reversed(latest(r.evaluations))} for r in every]  # the fullest last
    shared = next((s for s in reversed(known[0]) if all(s in rows for rows in known)), ())
    rows = []
    for r, setting, measured_as in zip(every, settings, known):
        last = measured_as.get(shared) or next(reversed(measured_as.values()), {})
        rows.append({
            "run": r.name,
            "seen": int(r.seen),
            "seconds": r.seconds,
            "settings": {k: setting.get(k) for k in differ},
            "by": {k: last.get(k) for k in SERIES if k != "player"} if last else {},
            "metrics": {k: m._asdict() for k, m in entries(last, "metrics").items()},
            "truth": {k: m.value for k, m in entries(last, "truth").items()},
            "findings": list(dict.fromkeys(str(f.get("name")) for f in r.findings)),
            "sheet": str(r.samples[-1]) if r.samples else None,
        })  # fmt: skip
    return rows


def write_comparison(runs: Sequence[str | Path], out: str | Path) -> Path:
    """Writes one HTML page with the runs side by side, aside and renamed, and returns its path."""
    rows, out = compare(runs), Path(out)
    different = unlike(rows)
    part = lambda name: dict.fromkeys(k for row in rows for k in row[name])
    blank = [""] * len(rows)
    sheets = [still(Path(row["sheet"]), BYTES // len(rows)) if row["sheet"] else "" for row in rows]

    body = [["", *sheets], ["samples seen", *(short(row["seen"]) for row in rows)]]
    body += [["time", *(duration(row["seconds"]) if row["seconds"] else "—" for row in rows)]]
    body += [["<b>Measures</b>", *blank]] if part("metrics") else []
    for name in part("metrics"):
        ms = [Measure(**m) if (m := row["metrics"].get(name)) else None for row in rows]
        leader = None if different else ahead(ms)
        cells = [f"{measured(m.value, m.se)}" if m else "—" for m in ms]
        arrow = next(({"lower": "↓", "higher": "↑"}.get(str(m.better), "") for m in ms if m), "")
        body.append([f"{e(name)} {arrow}", *(f"<b>{c}</b>" if i == leader else c for i, c in enumerate(cells))])
    body += [["<b>Truth</b>", *blank]] if part("truth") else []
    body += [[e(k), *(number(row["truth"].get(k)) for row in rows)] for k in part("truth")]
    body += [["<b>Settings that differ</b>", *blank]] if part("settings") else []
    body += [[e(k), *(e(plain(row["settings"].get(k))) for row in rows)] for k in part("settings")]
    body += [["findings", *(e(", ".join(row["findings"]) or "none") for row in rows)]]

    html = table(["", *(e(row["run"]) for row in rows)], body, "side")
    html = re.sub(r"<tr>(<th scope=row><b>)", r'<tr class="head">\1', html)
    about = "Values with one standard error. Bold: ahead of all others by over two errors of the difference."
    about += "".join(f" <b>{e(line)}</b>" for line in different)
    text = page("Runs side by side", f'<h1>{len(rows)} runs side by side</h1><p class="about">{about}</p>{html}')
    return RunFolder(out.parent).write(out.name, lambda aside: aside.write_text(text, encoding="utf-8"))


def unlike(rows: Sequence[Row]) -> list[str]:
    """A line for each way in which measured runs were not measured alike, so that no winner can be named."""
    names = {"data": "data", "split": "split", "extractor": "extractor", "n_fake": "number of samples"}
    names |= {"n_real": "number of real samples"}
    taken = [row for row in rows if row["by"]]
    lines = []
    for k, name in names.items():
        if len({row["by"][k] for row in taken}) > 1:
            each = ", ".join(f"{row['by'][k]} of {row['run']}" for row in taken)
            lines.append(
                f"not measured alike, by {name}: {each}; sparring evaluate each against the same, by the same -n"
            )
    return lines


def ahead(ms: Sequence[Measure | None]) -> int | None:
    """Which is better than every other by more than two standard errors of the difference; None if none is."""
    sign = {"lower": 1, "higher": -1}.get(str(next((m.better for m in ms if m), None)))
    known = [(i, m) for i, m in enumerate(ms) if m and m.se is not None]
    if sign is None or len(known) < 2:
        return None
    i, best = min(known, key=lambda p: sign * p[1].value)
    beats = lambda m: sign * (m.value - best.value) > 2 * hypot(m.se or 0, best.se or 0)
    return i if all(beats(m) for j, m in known if j != i) else None
