"""What was measured, as lines of text."""

from pathlib import Path
from typing import Any


def of_measures(reports: list[dict[str, Any]]) -> list[str]:
    """Of each extractor every measure beside what real samples get; then what the world knows."""
    first = reports[0]
    held = " held-out" if first["split"] == "heldout" else ""
    rows = [f"{first['n_fake']:,} samples against {first['n_real']:,}{held} of {first['data']}"]
    for found in reports:
        rows += ["", f"  {'features by ' + found['extractor']:58s} real against real"]
        for name, m in found["metrics"].items():
            best = found["ceiling"].get(name)
            better = f"{m['better']} is better"
            rows.append(f"    {name:16s} {_number(m):22s} {better:16s} {_number(best) if best else ''}")
        rows += [f"    note: {note}" for note in found["notes"]]
    if first["truth"]:
        rows += ["", f"  {'known truth':58s} real"]
    for name, value in first["truth"].items():
        best = first["ceiling"].get(name)
        told = "not known" if value is None else f"{value:.4g}"
        rows.append(f"    {name:16s} {told:>10s} {'' if best is None else f'{best:38.4g}'}")
    return rows


def of_frames(found: dict[str, Any]) -> list[str]:
    """Next frames of this run beside those of others: a column each."""
    if not found["beside"]:
        return []
    columns = {"this": {"metrics": found["metrics"], "truth": found["truth"]}, **found["beside"]}
    rows = ["", f"  {'the next frame':16s} " + " ".join(f"{Path(name).name[-14:]:>14s}" for name in columns)]
    for kind in ("metrics", "truth"):
        for name in found["beside"]["copy-last"][kind]:
            cells = (column[kind].get(name) for column in columns.values())
            values = (cell["value"] if isinstance(cell, dict) else cell for cell in cells)
            rows.append(f"    {name:14s} " + " ".join(f"{'-' if v is None else format(v, '.4g'):>14s}" for v in values))
    return rows


def of_runs(rows: list[dict[str, Any]]) -> list[str]:
    """Runs side by side, a column each: how far they came, what they reached, which settings differ, what was found."""
    part = lambda kind: dict.fromkeys(name for row in rows for name in row[kind])
    lines = [("", [row["run"] for row in rows]), ("samples seen", [f"{row['seen']:,}" for row in rows])]
    lines += [("minutes", ["-" if row["seconds"] is None else f"{row['seconds'] / 60:.1f}" for row in rows])]
    for kind, title in (("metrics", "measures"), ("truth", "known truth"), ("settings", "settings that differ")):
        lines += [(title, [""] * len(rows))] if part(kind) else []
        for name in part(kind):
            values = [row[kind].get(name) for row in rows]
            better = next((v["better"] for v in values if isinstance(v, dict)), None)
            arrow = {"lower": " ↓", "higher": " ↑"}.get(str(better), "")
            lines.append((f"  {name}{arrow}", [_cell(v) for v in values]))

    first, *widths = (max(map(len, column)) for column in zip(*([name, *cells] for name, cells in lines)))
    table = ["  ".join([f"{name:{first}s}", *map(str.rjust, cells, widths)]).rstrip() for name, cells in lines]
    return [*table, *(f"findings of {row['run']}: {', '.join(row['findings']) or 'none'}" for row in rows)]


def of_copies(search: dict[str, Any]) -> list[str]:
    """The verdict, how often each way of copying is suspected, and where the pairs are."""
    among = f"{search['n_fake']:,} made samples, among {search['n_train']:,} of {search['of_train']:,} training samples"
    rows = [
        "",
        f"  {search['verdict']}",
        f"    {among}",
        f"    {'way of copying':16s} suspicious   held-out   by chance once in",
    ]
    for way, s in search["ways"].items():
        often = f"{1 / s['p']:.3g}" if s["p"] > 0 else "never"
        rows.append(f"    {way:16s} {s['share']:10.1%} {s['usual']:10.1%}   {often}")
    mine, real = search["authenticity"], search["authenticity_heldout"]
    rows.append(f"    authenticity     {_number(mine)}   held-out {real['value']:.4g}")
    if search["c_t"]:
        rows.append(f"    c_t              {_number(search['c_t'])}   below -3 is copying")
    return [*rows, f"    {search['shown']}: {search['sheet']}"]


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return _number(value).strip()
    return "-" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _number(m: dict[str, Any]) -> str:
    value, se = (None if m[k] is None else float(f"{m[k]:.4g}") for k in ("value", "se"))
    unknown = "infinite" if m.get("infinite") else "not known"
    return f"{unknown if value is None else format(value, '.4g'):>10s}" + ("" if se is None else f" ± {se:.2g}")
