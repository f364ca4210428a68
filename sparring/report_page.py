"""How a report looks: a style sheet, a page around a body, tables, and curves as inline SVG for light and dark.

Everything that comes from a run passes through `e` before it stands in a page.
"""

import re
from collections.abc import Iterable, Sequence
from html import escape
from io import StringIO
from math import floor, isfinite, log10
from typing import Any, NamedTuple

import numpy as np

PALETTE = {  # colours that matplotlib is given -> the page's own, so that a curve follows light and dark
    "#010101": "var(--ink)",
    "#020202": "var(--muted)",
    "#030303": "var(--rule)",
    "#040404": "var(--blue)",
    "#050505": "var(--rust)",
    "#060606": "var(--gold)",
    "#070707": "var(--green)",
    "#080808": "var(--plum)",
}
INK, MUTED, RULE, BLUE, RUST, GOLD, GREEN, PLUM = PALETTE
CYCLE = (BLUE, RUST, GOLD, GREEN, PLUM, INK)


class Line(NamedTuple):
    """One curve: y over x, with standard errors where they are known."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    se: Sequence[float] | None = None
    color: str = BLUE


def e(value: object) -> str:
    """Safe inside text and inside quoted attributes."""
    return escape(str(value), quote=True)


def number(v: object) -> str:
    """Four significant digits: '12.34', '1,235', '2.5e-05'; an em dash for what is not a finite number."""
    if isinstance(v, bool) or not isinstance(v, int | float) or not abs(v) < 1e300:
        return "—"
    if v == 0 or 1e-3 <= abs(v) < 1e6:
        digits = 0 if isinstance(v, int) or abs(v) >= 1000 else max(0, 3 - floor(log10(abs(v)))) if v else 0
        text = f"{v:,.{min(digits, 4)}f}"
        text = text.rstrip("0").rstrip(".") if "." in text else text
    else:
        text = f"{v:.3g}"
    return text.replace("-", "−", 1) if text.startswith("-") else text


def measured(value: float, se: float | None) -> str:
    """'12.34 ± 0.21': the error with two digits, the value to the same place."""
    if se is None or not isfinite(se) or se <= 0 or not isfinite(value):
        return number(value)
    places = max(0, 1 - floor(log10(se)))
    if places > 6:
        return f"{number(value)} ± {se:.1g}"
    return f"{value:,.{places}f} ± {se:.{places}f}".replace("-", "−")


def like(value: float, se: float | None) -> str:
    """The value alone, to the places of its error."""
    return measured(value, se).partition(" ±")[0]


def short(n: float) -> str:
    """'800', '12k', '1.5M': for axes and captions."""
    for size, sign in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(n) >= size:
            return f"{n / size:.3g}{sign}"
    return f"{n:.3g}"


def duration(seconds: float) -> str:
    """'45 s', '8 min 3 s', '2 h 5 min', '3 d 4 h'."""
    s = round(seconds)
    for size, name, part, small in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if s >= size:
            rest = s % size // part
            return f"{s // size} {name}" + (f" {rest} {small}" if rest else "")
    return f"{s} s"


# -- pieces of a page -------------------------------------------------------------------------------------------------


def table(head: Sequence[str], rows: Iterable[Sequence[str]], kind: str = "") -> str:
    """A table of cells that are HTML already; the first column names the row."""
    top = f"<thead><tr>{''.join(f'<th scope=col>{cell}</th>' for cell in head)}</tr></thead>" if head else ""
    body = "".join(
        f"<tr><th scope=row>{first}</th>{''.join(f'<td>{cell}</td>' for cell in rest)}</tr>" for first, *rest in rows
    )
    return f'<div class="wide"><table class="{kind}">{top}<tbody>{body}</tbody></table></div>'


def pairs(rows: Iterable[tuple[str, str]]) -> str:
    """Names and values (HTML already) in as many columns as there is room for."""
    inside = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in rows)
    return f'<dl class="pairs">{inside}</dl>' if inside else ""


def section(title: str, *parts: str, about: str = "") -> str:
    """A part of the page; nothing at all if it has no content."""
    content = "".join(parts)
    about = f'<p class="about">{about}</p>' if about else ""
    return f"<section><h2>{e(title)}</h2>{about}{content}</section>" if content else ""


def chart(
    title: str,
    lines: Sequence[Line],
    about: str = "",
    ceiling: float | None = None,
    scale: str = "",
    small: bool = False,
) -> str:
    """A figure: name, meaning, legend, curves.

    scale: "log" draws orders of magnitude where all values are positive and span some; "zero" includes zero.
    """
    keys = [(line.name, PALETTE[line.color], "") for line in lines] if len(lines) > 1 else []
    keys += [("real against real", "var(--muted)", " dashed")] if ceiling is not None else []
    legend = "".join(
        f'<span><i class="key{dash}" style="--c:{color}"></i>{e(name)}</span>' for name, color, dash in keys
    )
    about = f"<small>{e(about)}</small>" if about else ""
    return (
        f'<figure class="chart"><figcaption><b>{e(title)}</b>{about}<span class="legend">{legend}</span></figcaption>'
        f"{plot(title, lines, ceiling, scale, small)}</figure>"
    )


def plot(title: str, lines: Sequence[Line], ceiling: float | None, scale: str, small: bool) -> str:
    """Curves over samples seen as an inline SVG; long ones as means with a band from least to greatest."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

    style: dict[Any, Any] = {
        "svg.fonttype": "none", "svg.hashsalt": title, "font.size": 8.5, "axes.edgecolor": RULE, "axes.linewidth": 0.8,
        "xtick.color": RULE, "ytick.color": RULE, "xtick.labelcolor": MUTED, "ytick.labelcolor": MUTED,
        "grid.color": RULE, "grid.linewidth": 0.6, "lines.solid_capstyle": "round", "lines.solid_joinstyle": "round",
    }  # fmt: skip
    with rc_context(style):
        figure = Figure(figsize=(3.6, 2.1) if small else (5.4, 2.75))
        ax = figure.add_axes((0.12, 0.13, 0.86, 0.83) if small else (0.085, 0.105, 0.9, 0.86))
        ceilings = [] if ceiling is None else [ceiling]
        shown = [np.array(ceilings)]
        for line in lines:
            x, y, low, high = binned(line.x, line.y)
            dots = {"marker": "o", "ms": 3.2} if len(y) < 16 else {}
            shown.append(y)
            if len(y) < len(line.y):
                ax.fill_between(x, low, high, color=line.color, alpha=0.14, lw=0)
            elif line.se is not None:
                low, high = np.subtract(line.y, line.se), np.add(line.y, line.se)
                shown += [low, high]
                ax.vlines(line.x, low, high, color=line.color, lw=1)
            ax.plot(x, y, color=line.color, lw=1.4, **dots)
        for level in ceilings:
            ax.axhline(level, color=MUTED, lw=1.1, ls=(0, (4, 3)))

        values = np.concatenate([*shown, [0]] if scale == "zero" else shown)
        low, high = float(values.min()), float(values.max())
        if scale == "log" and low > 0 and high / low > 60:
            ax.set_yscale("log")
            ax.set_ylim(low / 1.3, high * 1.3)
            ax.yaxis.set_minor_locator(NullLocator())
        else:
            room = (high - low or abs(high) or 1) * 0.08
            ax.set_ylim(low - (room if scale != "zero" or low < 0 else 0), high + room)
            ax.yaxis.set_major_locator(MaxNLocator(4 if small else 5))
        first, last = min(line.x[0] for line in lines), max(line.x[-1] for line in lines)
        ax.set_xlim(min(first, 0), last + 0.02 * (last - first or 1))
        ax.xaxis.set_major_locator(MaxNLocator(4 if small else 6))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda v, _: short(v)))
        ax.yaxis.set_major_formatter(FuncFormatter(lambda v, _: short(v).replace("-", "−", int(v < 0))))
        ax.yaxis.grid(True)
        ax.set_axisbelow(True)
        ax.tick_params(length=0, pad=5)
        ax.spines[["top", "right", "left"]].set_visible(False)
        ax.patch.set_visible(False)
        figure.patch.set_visible(False)
        text = StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return inline(text.getvalue(), title)


def inline(svg: str, title: str) -> str:
    """An SVG document as an element of a page: without prologue and names, in the page's colours and letters."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.S)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    svg = re.sub(r'(<svg\b[^>]*?) width="[^"]*"', r"\1", re.sub(r'(<svg\b[^>]*?) height="[^"]*"', r"\1", svg))
    svg = re.sub(r' xmlns(:\w+)?="[^"]*"', "", svg).replace("xlink:href", "href")
    svg = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font: \1px var(--sans)", svg)
    svg = re.sub(r' d="[^"]*"', lambda d: re.sub(r"(\.\d\d)\d+", r"\1", d[0]), svg)
    for given, own in PALETTE.items():
        svg = svg.replace(given, own)
    return svg.replace("<svg", f'<svg role="img" aria-label="{e(title)} over samples seen"', 1)


def binned(x: Sequence[float], y: Sequence[float], most: int = 240) -> tuple[np.ndarray, ...]:
    """(x, mean, least, greatest) of at most `most` neighbourhoods."""
    X, Y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if len(X) <= most:
        return X, Y, Y, Y
    parts = np.array_split(np.arange(len(X)), most)
    return tuple(np.array([f(v[p]) for p in parts]) for f, v in ((np.mean, X), (np.mean, Y), (np.min, Y), (np.max, Y)))


def page(title: str, body: str) -> str:
    """A whole document that needs nothing beside itself."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{e(title)}</title><style>{STYLE}</style></head><body><main>{body}</main><script>{SCRIPT}</script></body></html>\n"
    )


SCRIPT = """
for (const film of document.querySelectorAll('.film')) {
  const [stage, bar, strip] = ['.stage', '.bar', '.strip'].map(s => film.querySelector(s));
  const slider = bar.querySelector('input'), play = bar.querySelector('button');
  const stills = [...film.querySelectorAll('.strip figure')];
  if (!stills.length) continue;
  let timer = 0;
  const turn = i => {
    slider.value = i;
    stage.replaceChildren(...[...stills[i].childNodes].map(n => n.cloneNode(true)));
    stills.forEach((s, j) => s.toggleAttribute('aria-current', i === j));
    strip.scrollLeft = stills[i].offsetLeft - strip.offsetLeft - (strip.clientWidth - stills[i].clientWidth) / 2;
  };
  const stop = () => { clearInterval(timer); timer = 0; play.textContent = 'Play'; };
  slider.oninput = () => { stop(); turn(+slider.value); };
  stills.forEach((s, i) => s.onclick = () => { stop(); turn(i); });
  play.onclick = () => {
    if (timer) return stop();
    let i = +slider.value >= stills.length - 1 ? -1 : +slider.value;
    play.textContent = 'Pause';
    timer = setInterval(() => { turn(++i); if (i === stills.length - 1) stop(); }, 350);
  };
  bar.hidden = false;
  film.classList.add('live');
  turn(stills.length - 1);
}
"""

STYLE = """
:root { color-scheme: light dark; --paper: #fcfbf9; --card: #fff; --ink: #1f1d1a; --muted: #77716a; --rule: #e5e1da;
  --blue: #2357b8; --rust: #c0532b; --gold: #b98a1d; --green: #3f7f5c; --plum: #84508f; --warn: #fbf1e3;
  --sans: Inter, "Helvetica Neue", "Segoe UI", system-ui, "Liberation Sans", Arial, sans-serif;
  --serif: "Iowan Old Style", "Palatino Linotype", Palatino, "Source Serif 4", Charter, Georgia, "Liberation Serif", serif;
  --mono: ui-monospace, "SF Mono", Menlo, Consolas, "Liberation Mono", monospace; }
@media (prefers-color-scheme: dark) { :root { --paper: #171614; --card: #1f1e1b; --ink: #ebe7e0; --muted: #9b948a; --rule: #35322d;
  --blue: #7fa6ee; --rust: #ea8a63; --gold: #d9b255; --green: #7dbb97; --plum: #c193cc; --warn: #2b241a; } }
* { box-sizing: border-box }
html { -webkit-text-size-adjust: 100% }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.55 var(--sans); font-variant-numeric: tabular-nums lining-nums; }
main { max-width: 1120px; margin: 0 auto; padding: clamp(28px, 6vw, 84px) clamp(18px, 4vw, 48px) 72px }
h1, h2, .verdict { font-family: var(--serif); font-weight: 400; text-wrap: balance }
h1 { font-size: clamp(2.1rem, 5.6vw, 3.5rem); line-height: 1.08; letter-spacing: -.015em; margin: .3em 0 .5em; overflow-wrap: anywhere }
h2 { font-size: 1.65rem; line-height: 1.2; margin: 0 0 .3em; letter-spacing: -.005em }
h3 { font-size: 1.02rem; font-weight: 600; margin: 3em 0 .5em }
section { margin-top: clamp(48px, 7vw, 84px); padding-top: 22px; border-top: 1px solid var(--rule) }
.eyebrow, dt, thead th, .film figcaption { color: var(--muted); font-size: .8rem; letter-spacing: .02em }
.eyebrow { margin: 0 } .eyebrow b { color: var(--ink); font-weight: 600 }
.verdict { font-size: clamp(1.15rem, 2.3vw, 1.42rem); line-height: 1.5; max-width: 44em; margin: 0; text-wrap: pretty }
.verdict b { font-weight: 600 }
.about { color: var(--muted); max-width: 46em; margin: 0 0 1.6em; text-wrap: pretty }
a { color: var(--blue) }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(128px, 1fr)); gap: 22px 28px; margin: 44px 0 0 }
.figures div { border-top: 2px solid var(--ink); padding-top: 10px }
.figures dd { margin: 0; font: 400 1.85rem/1.25 var(--serif); white-space: nowrap } .figures dd small { font: .85rem var(--sans); color: var(--muted); display: block; white-space: normal; margin-top: 2px }
.finding { background: var(--warn); border-left: 3px solid var(--rust); padding: 16px 22px; margin: 0 0 14px; border-radius: 0 6px 6px 0; overflow-wrap: anywhere }
.finding.note, .finding.act { background: var(--card); border-left-color: var(--rule) } .finding.act { border-left-color: var(--green) }
.finding h3 { margin: 0 0 4px; font-size: 1.02rem } .finding p { margin: 4px 0 0; max-width: 60em } .finding .since { color: var(--muted); font-weight: 400; font-size: .87rem; margin-left: .5em }
.film .stage { margin: 0 auto; max-width: 860px } .film figure { margin: 0 }
.film img { display: block; width: 100%; height: auto; background: #fff; border-radius: 6px; image-rendering: pixelated }
.film .soft img { image-rendering: auto }
.film .stage img { box-shadow: 0 0 0 1px var(--rule) }
.film figcaption { padding: 8px 0 0; text-align: center }
.film pre { margin: 0; padding: 24px 28px; background: var(--card); border: 1px solid var(--rule); border-radius: 6px; font: .92rem/1.75 var(--mono); white-space: pre-wrap; overflow-wrap: anywhere }
.strip { display: flex; gap: 12px; overflow-x: auto; padding: 4px 4px 14px; margin-top: 26px; scrollbar-width: thin; scrollbar-color: var(--rule) transparent }
.strip figure { flex: 0 0 240px; opacity: .75; transition: opacity .15s } .live .strip figure { cursor: pointer; flex-basis: 128px } .strip figure:hover, .strip figure[aria-current] { opacity: 1 }
.strip figure[aria-current] img, .strip figure[aria-current] pre { outline: 2px solid var(--blue); outline-offset: 2px }
.strip img { image-rendering: auto } .strip pre { font-size: .5rem; padding: 8px; max-height: 128px; overflow: hidden }
.strip figcaption span { display: none } .strip figcaption { font-size: .74rem; padding-top: 6px }
.bar { display: flex; gap: 18px; align-items: center; max-width: 860px; margin: 16px auto 0 } .bar[hidden] { display: none }
.bar input { flex: 1; accent-color: var(--blue); min-width: 0 } .bar button { font: 500 .86rem var(--sans); color: var(--ink); background: none; border: 1px solid var(--rule); border-radius: 99px; padding: 6px 18px; min-width: 84px; cursor: pointer }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 400px), 1fr)); gap: 40px 44px; margin-top: 26px }
.charts.small { grid-template-columns: repeat(auto-fill, minmax(min(100%, 300px), 1fr)); gap: 34px 36px }
.chart { margin: 0; min-width: 0; break-inside: avoid; display: flex; flex-direction: column; justify-content: space-between } .chart svg { display: block; width: 100%; height: auto; overflow: visible }
.chart figcaption { margin-bottom: 10px; overflow-wrap: anywhere } .chart b { font-weight: 600 } .chart small { display: block; color: var(--muted); font-size: .84rem; line-height: 1.4 }
.legend { display: flex; flex-wrap: wrap; gap: 2px 16px; font-size: .82rem; margin-top: 4px }
.key { display: inline-block; width: 18px; height: 0; border-top: 2.5px solid var(--c); vertical-align: middle; margin-right: 7px } .key.dashed { border-top-style: dashed; border-top-width: 1.5px }
.wide { overflow-x: auto }
table { border-collapse: collapse; width: 100%; font-size: .92rem }
th, td { text-align: right; padding: 9px 0 9px 28px; border-bottom: 1px solid var(--rule); vertical-align: baseline; font-weight: 400; white-space: nowrap }
th:first-child { text-align: left; padding-left: 0; white-space: normal; min-width: 8em } thead th { border-bottom-color: var(--ink); font-weight: 500; vertical-align: bottom }
tbody tr:last-child > * { border-bottom: 0 } td small { color: var(--muted) } td b { font-weight: 650 }
.side th, .side td { min-width: 130px; max-width: 320px; white-space: normal; overflow-wrap: anywhere } .side thead th { color: var(--ink); font-size: .95rem; font-weight: 600; border: 0; padding-bottom: 14px } .side img { display: block; width: 100%; height: auto; min-width: 180px; image-rendering: auto; background: #fff; border-radius: 4px } .side tbody tr:first-child > * { border-color: transparent; padding-top: 0 }
.side tr.head > * { padding-top: 40px; border-bottom-color: var(--ink) } .side th:first-child { width: 18% }
.pairs { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 300px), 1fr)); gap: 0 44px; margin: 0 }
.pairs div { display: flex; justify-content: space-between; gap: 20px; padding: 7px 0; border-bottom: 1px solid var(--rule); break-inside: avoid; min-width: 0 }
.pairs dt { flex: 0 0 auto; max-width: 55% ; font-size: .87rem; overflow-wrap: anywhere } .pairs dd { margin: 0; font-size: .87rem; text-align: right; overflow-wrap: anywhere; min-width: 0 }
ul.problems { margin: .4em 0 0; padding: 0; list-style: none; font-size: .87rem; columns: 2 360px; column-gap: 44px } ul.problems li { padding: 4px 0; overflow-wrap: anywhere; break-inside: avoid }
footer { margin-top: 72px; color: var(--muted); font-size: .82rem }
@media (max-width: 560px) { .live .strip figure { flex-basis: 96px } .figures { grid-template-columns: 1fr 1fr; gap: 20px } .figures dd { font-size: 1.5rem } th, td { padding-left: 18px } .charts, .charts.small { gap: 34px } }
@media print { @page { margin: 16mm 14mm } :root { --paper: #fff; --card: #fff; --ink: #000; --muted: #666; --rule: #ddd; --blue: #2357b8; --rust: #c0532b; --gold: #b98a1d; --green: #3f7f5c; --plum: #84508f; --warn: #fbf6ee }
  html { font-size: 12px } body { font-size: 1rem } main { padding: 0; max-width: none } section { margin-top: 30px } .bar { display: none !important } .strip { flex-wrap: wrap; overflow: visible } .live .strip figure { flex-basis: 90px; opacity: 1 }
  .film .stage { max-width: 380px } .charts { grid-template-columns: 1fr 1fr; gap: 22px 28px } .charts.small { grid-template-columns: 1fr 1fr 1fr; gap: 20px 22px } .finding, table tr, .film .stage { break-inside: avoid } h2, h3, .about { break-after: avoid } .strip figure[aria-current] > * { outline: 0 !important } .figures dd { font-size: 1.3rem } }
"""  # noqa: E501
