"""Reads a predicted frame of the maze back, cell by cell, and says whether it can follow its past."""

from __future__ import annotations

from math import nan
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from .maze_paint import COLOURS, DOT, EMPTY, FIGURE, SIDE, WALL, cut, tiles

if TYPE_CHECKING:
    from .maze import Maze

CLOSE = 0.09  # root mean square distance in whole ranges at which a cell still is what it is taken for
FAINT = 0.15  # of a figure's opacity, from which on it is seen
SMUDGE = -1


class Reading(NamedTuple):
    """What was read, for N frames and F figures."""

    copies: Tensor  # (N, F), whole ones
    ghosts: Tensor  # (N, F), half transparent ones
    smudged: Tensor  # (N,), cells that are nothing known, nor a half transparent figure
    choices: Tensor  # (N, F), ways that its past left open to a figure; 0 = it must stay
    ways: Tensor  # (N, F, 4), the probability of going ahead, right, back, left
    taken: Tensor  # (N, F), which of these it did; -1 if it stayed or did what it could not
    right: Tensor  # (N, F) bool: exactly once, whole, on a cell that it could reach
    walls: Tensor  # (N,), share of wall cells and of the frame that are intact
    dots: Tensor  # (N,), share of free cells where a dot is if and only if one must be
    legal: Tensor  # (N,) bool: all figures right, all walls, all dots, no ghost image or smudge


def kinds(x: Tensor, figures: int) -> tuple[Tensor, Tensor, Tensor]:
    """What lies on each cell of pictures (N, 3, size, size): (N, 49), SMUDGE where it is nothing known.

    And which figure is there half transparent, (N, 49), -1 for none; and whether the frame is intact, (N,).
    """
    cells, frame = (part.float() / 255 for part in cut(x))
    known = tiles(int((cells.shape[2] // 3) ** 0.5))[: FIGURE + figures].flatten(1) / 255
    apart = torch.cdist(cells, known.expand(len(cells), -1, -1)) / known.shape[1] ** 0.5
    distance, kind = apart.min(2)
    kind = torch.where(distance < CLOSE, kind, SMUDGE)

    ghost = torch.full(kind.shape, -1)
    some, at = cells[kind == SMUDGE], kind == SMUDGE
    if len(some) and figures:
        ground = known[[EMPTY, DOT]]  # a mixture of a figure with either
        toward = known[FIGURE:, None] - ground[None]  # (F, 2, d)
        away = some[:, None, None] - ground
        opacity = ((away * toward).sum(3) / toward.square().sum(2)).clamp(0, 1)  # (n, F, 2)
        miss = (away - opacity[..., None] * toward).square().mean(3).sqrt()
        miss = torch.where(opacity > FAINT, miss, 1.0)
        best, which = miss.amin(2).min(1)
        ghost[at] = torch.where(best < CLOSE, which, -1)
    wall = torch.tensor(COLOURS["wall"])[:, None] / 255
    intact = (frame - wall).square().mean((1, 2)).sqrt() < CLOSE
    return kind, ghost, intact


class Past(NamedTuple):
    """What the frames before tell."""

    layout: Tensor  # (N,)
    cells: Tensor  # (N, F), and a frame before that:
    before: Tensor  # (N, F)
    dots: Tensor  # (N, 49): 1 a dot, 0 none, -1 hidden since the first frame
    sound: Tensor  # (N,) bool: each figure is there exactly once in both


def past_of(world: Maze, c: Tensor) -> Past:
    """Reads c (N, past, 3, size, size)."""
    seen = torch.stack([kinds(frame, world.figures)[0] for frame in c.unbind(1)], 1)  # (N, past, 49)
    last = seen[:, -1]
    layout = ((last[:, None] != WALL) == world.free).sum(2).argmax(1)

    each = torch.arange(FIGURE, FIGURE + world.figures)
    here, there = (seen[:, t, None] == each[:, None] for t in (-1, -2))  # (N, F, 49)
    sound = ((here.sum(2) == 1) & (there.sum(2) == 1)).all(1)

    dots = torch.full(last.shape, -1)
    for frame in seen.unbind(1):
        dots = torch.where(frame == DOT, 1, torch.where((frame == EMPTY) | (frame == FIGURE), 0, dots))
    return Past(layout, here.long().argmax(2), there.long().argmax(2), dots, sound)


def read(world: Maze, x: Tensor, c: Tensor) -> Reading:
    """What became of each figure, wall and dot in frames x (N, ...) after c (N, past, ...), both in stored form."""
    past, (kind, ghost, intact) = past_of(world, c.cpu()), kinds(x.cpu(), world.figures)
    n, F = len(kind), world.figures
    each = torch.arange(F)
    at = kind[:, None] == (FIGURE + each)[:, None]  # (N, F, 49)
    copies, ghosts = at.sum(2), (ghost[:, None] == each[:, None]).sum(2)
    found = at.long().argmax(2)

    others = torch.zeros(n, SIDE * SIDE, dtype=torch.bool).scatter_(1, past.cells, True)
    ways, taken, right = torch.zeros(n, F, 4), torch.full((n, F), -1), torch.zeros(n, F, dtype=torch.bool)
    for i in range(F):
        here = past.cells[:, i]
        p = world.ways(past.layout, here, past.before[:, i], others)
        reached = (world.to[past.layout, here] == found[:, i, None]) & (p > 0)
        stays = ~p.any(1) & (found[:, i] == here)
        once = (copies[:, i] == 1) & (ghosts[:, i] == 0) & past.sound
        right[:, i] = once & (reached.any(1) | stays)
        heading = world.heading(past.layout, here, past.before[:, i])
        taken[:, i] = torch.where(right[:, i] & reached.any(1), (reached.long().argmax(1) - heading) % 4, -1)
        ways[:, i] = p.gather(1, (torch.arange(4) + heading[:, None]) % 4)
        now = torch.where(right[:, i], found[:, i], here)
        others = world.after(others, past.layout, here, now, p)

    free = world.free[past.layout]
    walls = (torch.where(free, 0, (kind == WALL).long()).sum(1) + intact) / ((~free).sum(1) + 1)
    counted = free & (past.dots >= 0) & (kind < FIGURE) & (ghost < 0)
    told = torch.where(counted, (kind == EMPTY + past.dots).long(), 0).sum(1) / counted.sum(1).clamp_min(1)
    smudged = ((kind == SMUDGE) & (ghost < 0)).sum(1)
    whole = (walls == 1) & (told == 1) & (smudged == 0)
    choices = (ways > 0).sum(2)
    return Reading(copies, ghosts, smudged, choices, ways, taken, right, walls, told, right.all(1) & whole)


def judge(world: Maze, x: Tensor, c: Tensor | None = None) -> dict[str, float]:
    """What frames x (N, ...) are after their past c (N, past, ...); real ones have 1 in the first six, 0 in the others.

    legal      share of frames all of which is right: figures, walls, dots
    junctions  share of figures with two ways or more that are there exactly once, whole, on a cell they could reach
    corridors  the same of figures with one way or none
    walls      share of wall cells that are intact
    dots       share of free cells with a dot if and only if one must be there
    figures    share of figures that are there exactly once and whole, wherever
    vanished   share of figures of which there is no whole copy
    doubled    share of figures of which there are several whole copies
    ghosts     share of frames with a half transparent figure
    blurred    share of frames with a cell that is nothing known
    branch_kl  KL(turns taken by right figures at junctions ‖ the game's probabilities), nats, mean over kinds of
               junctions; not a number if there is none

    Without c only what a frame tells alone: figures, vanished, doubled, ghosts, blurred.
    """
    if c is None:
        kind, ghost, _ = kinds(x.cpu(), world.figures)
        copies = torch.stack([(kind == FIGURE + i).sum(1) for i in range(world.figures)], 1)
        return _alone(copies, ghost >= 0, (kind == SMUDGE) & (ghost < 0))
    if len(x) != len(c):
        raise ValueError(f"{len(x)} frames after {len(c)} pasts; give a past for each")
    r = read(world, x, c)
    share = lambda right, among: right[among].double().mean().item() if among.any() else nan
    return {
        "legal": share(r.legal, torch.ones_like(r.legal)),
        "junctions": share(r.right, r.choices >= 2),
        "corridors": share(r.right, r.choices < 2),
        "walls": r.walls.double().mean().item(),
        "dots": r.dots.double().mean().item(),
        **_alone(r.copies, r.ghosts > 0, r.smudged[:, None] > 0),
        "branch_kl": branch_kl(r),
    }


def _alone(copies: Tensor, ghosts: Tensor, smudged: Tensor) -> dict[str, float]:
    mean = lambda t: t.double().mean().item()
    return {
        "figures": mean(copies == 1),
        "vanished": mean(copies == 0),
        "doubled": mean(copies > 1),
        "ghosts": mean(ghosts.any(1)),
        "blurred": mean(smudged.any(1)),
    }


def branch_kl(r: Reading) -> float:
    """KL(turns taken ‖ the game's), nats, over kinds of junctions, each weighed by how often it is met.

    A kind is the ways open to a figure, seen from where it heads, with their probabilities.
    """
    at = (r.choices >= 2) & (r.taken >= 0)
    ways, taken = r.ways[at].double(), r.taken[at]
    if not len(taken):
        return nan
    kind = ((ways * 1e6).round().long() * torch.tensor([1, 7, 49, 343])).sum(1)  # equal for equal probabilities
    total = 0.0
    for k in kind.unique():
        mine = kind == k
        q = taken[mine].bincount(minlength=4).double() / mine.sum()
        p = ways[mine][0]
        total += mine.sum().item() * torch.special.xlogy(q, q / p.clamp_min(1e-12)).sum().item()
    return total / len(taken)
