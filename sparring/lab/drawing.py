"""How the lab draws: quiet axes, few colours, pictures written aside and renamed."""

import os
from pathlib import Path
from typing import Any

from cycler import cycler
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from .claims import Plot

INK, BLUE, RUST, GOLD, PLUM, MOSS, GREY = "#222222", "#2f6f9f", "#b5482c", "#c99a2e", "#7a4a7d", "#4f7d4a", "#9a9a9a"
CYCLE = (BLUE, RUST, GOLD, MOSS, PLUM, INK, GREY)

LOOK: Any = {
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.linewidth": 0.6,
    "axes.prop_cycle": cycler(color=CYCLE),
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 1.2,
    "legend.frameon": False,
    "legend.fontsize": 7,
}


def saved(plot: Plot, path: Path, dpi: int = 110) -> Path:
    """The plot as a PNG at `path`."""
    with rc_context(LOOK):
        figure = Figure(figsize=plot.inches, layout="constrained")
        FigureCanvasAgg(figure)
        plot.draw(figure)
        aside = path.with_name(f".{path.name}.part")
        figure.savefig(aside, dpi=dpi, format="png")
        os.replace(aside, path)
    return path


def titled(ax: Axes, title: str, x: str = "", y: str = "") -> Axes:
    """The axes with a title and names for what they count."""
    ax.set_title(title, loc="left")
    ax.set_xlabel(x)
    ax.set_ylabel(y)
    return ax
