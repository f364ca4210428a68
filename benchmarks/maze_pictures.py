"""The pictures of docs/frames.md, from runs that benchmarks/maze.py has kept.

python benchmarks/maze_pictures.py DIR [--seed 0]     writes docs/frames/futures.png and docs/frames/rolled.png
"""

import argparse
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor

from sparring import generators
from sparring.worlds.maze import Maze

OUT = Path(__file__).parent.parent / "docs" / "frames"
COINS, ROWS, AHEAD = 4, 5, (1, 2, 4, 8, 16, 32, 64)
NAMES = {"l2": "least\nsquares", "l1": "least\nabsolute", "gan": "game"}


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("kept", type=Path)
    p.add_argument("--seed", type=int, default=0)
    args = p.parse_args()
    places = {row: args.kept / f"{row}-{args.seed}" / "generator" for row in NAMES}
    runs = {row: generators.load_generator(place) for row, place in places.items() if place.exists()}
    spec = runs["gan"][1]
    world = Maze(spec.x.size, past=spec.c.count)  # type: ignore[union-attr]
    x, c = world.draw(400, seed=2, heldout=True)
    open_ways = (world.read(x, c).choices >= 2).sum(1)
    some = torch.argsort(open_ways, descending=True, stable=True)[:ROWS]  # most figures at a junction
    x, c = x[some], c[some]
    OUT.mkdir(exist_ok=True)

    columns = {f"past {i + 1}": c[:, i] for i in range(c.shape[1])} | {"what\ncame": x}
    for row in [row for row in ("l2", "l1") if row in runs]:
        columns[NAMES[row]] = generators.draw(*runs[row][:2], ROWS, 0, c)
    G = runs["gan"][0]
    for k in range(COINS):
        z = G.prior.sample(1, torch.Generator().manual_seed(k)).repeat(ROWS, 1)  # type: ignore[union-attr]
        columns[f"game,\ncoins {k + 1}"] = generators.draw(G, spec, ROWS, c=c, z=z)
    table(columns).savefig(OUT / "futures.png", dpi=70)

    rolled = {row: generators.roll(*runs[row][:2], c[:2], max(AHEAD), seed=1) for row in ("gan", "l2")}
    both = torch.cat([rolled["gan"], rolled["l2"]])
    shown = {"past": torch.cat([c[:2, -1]] * 2)} | {f"{n}": both[:, n - 1] for n in AHEAD}
    table(shown, ["game", "game", NAMES["l2"], NAMES["l2"]]).savefig(OUT / "rolled.png", dpi=70)


def table(columns: dict[str, Tensor], rows: list[str] | None = None) -> Figure:
    """Pictures (n, 3, size, size) a column, its name above; names of rows to the left."""
    n = len(next(iter(columns.values())))
    figure = Figure((1.15 * len(columns), 1.15 * n + 0.4), layout="constrained")
    axes = figure.subplots(n, len(columns), squeeze=False)
    for j, (name, pictures) in enumerate(columns.items()):
        for i, picture in enumerate(pictures):
            axes[i, j].imshow(picture.permute(1, 2, 0).numpy(), interpolation="nearest")
            axes[i, j].set(xticks=[], yticks=[])
        axes[0, j].set_title(name, fontsize=10)
    for i, name in enumerate(rows or []):
        axes[i, 0].set_ylabel(name, fontsize=10)
    return figure


if __name__ == "__main__":
    main()
