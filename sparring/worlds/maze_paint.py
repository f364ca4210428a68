"""How the maze looks: a tile for each thing that may lie on a cell, at any size."""

from functools import lru_cache

import torch
from torch import Tensor

SIDE = 7  # cells
WALL, EMPTY, DOT, FIGURE = range(4)  # FIGURE is the player, FIGURE + 1 the first ghost
COLOURS = {  # red, green, blue
    "wall": (40, 60, 200),
    "dot": (255, 214, 160),
    "player": (255, 226, 0),
    "red": (245, 20, 20),
    "pink": (255, 150, 230),
    "cyan": (0, 235, 235),
    "orange": (255, 120, 0),
}
OVER = 16  # points on a side for each pixel


def cell_of(size: int) -> int:
    """Pixels of a cell's side in pictures of this size; what is left over frames the maze."""
    return (size - 2) // SIDE


@lru_cache
def tiles(cell: int) -> Tensor:
    """(8, 3, cell, cell), floats in 0 to 255: wall, nothing, dot, player, four ghosts."""
    line = (torch.arange(cell * OVER) + 0.5) / (cell * OVER)
    v, u = torch.meshgrid(line, line, indexing="ij")
    disc = lambda x, y, r: (u - x) ** 2 + (v - y) ** 2 < r**2

    mouth = (v - 0.5).abs() < 0.6 * (u - 0.55)
    body = disc(0.5, 0.48, 0.44) & (v < 0.48) | ((u - 0.5).abs() < 0.44) & (v >= 0.48) & (v < 0.94)
    body &= ~((v > 0.8) & (((u * 3) % 1 - 0.5).abs() < 0.16))  # three notches: legs
    eyes = disc(0.34, 0.42, 0.11) | disc(0.68, 0.42, 0.11)
    dot = ((u - 0.5).abs() < 0.25) & ((v - 0.5).abs() < 0.25)

    color = {name: torch.tensor(rgb, dtype=torch.float32)[:, None, None] for name, rgb in COLOURS.items()}
    things = [color["wall"].expand(3, *u.shape), torch.zeros(3, *u.shape), dot * color["dot"]]
    things.append((disc(0.5, 0.5, 0.47) & ~mouth) * color["player"])
    things += [torch.where(eyes, 255.0, body * color[name]) for name in ("red", "pink", "cyan", "orange")]
    fine = torch.stack(things).unflatten(3, (cell, OVER)).unflatten(2, (cell, OVER))
    return fine.mean((3, 5)).round()


def paint(scene: Tensor, size: int) -> Tensor:
    """Pictures (N, 3, size, size) in bytes of what lies on each cell, (N, 49)."""
    cell = cell_of(size)
    inner = SIDE * cell
    x = tiles(cell).byte()[scene].unflatten(1, (SIDE, SIDE))  # (N, row, column, 3, cell, cell)
    x = x.permute(0, 3, 1, 4, 2, 5).reshape(len(scene), 3, inner, inner)

    page = torch.tensor(COLOURS["wall"], dtype=torch.uint8)[:, None, None].repeat(len(scene), 1, size, size)
    first = (size - inner) // 2
    page[:, :, first : first + inner, first : first + inner] = x
    return page


def cut(x: Tensor) -> tuple[Tensor, Tensor]:
    """Pictures (N, 3, size, size) as their cells (N, 49, 3 cell cell) and the frame around them (N, 3, pixels)."""
    size = x.shape[-1]
    cell = cell_of(size)
    first, inner = (size - SIDE * cell) // 2, SIDE * cell
    part = slice(first, first + inner)
    cells = x[:, :, part, part].unflatten(3, (SIDE, cell)).unflatten(2, (SIDE, cell))
    outside = torch.ones(size, size, dtype=torch.bool)
    outside[part, part] = False
    return cells.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2), x[:, :, outside]
