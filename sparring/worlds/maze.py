"""A maze-chase game whose next frame is a coin: figures turn at junctions, one cell a frame, by known probabilities."""

from typing import NamedTuple

import torch
from torch import Tensor

from sparring.chance import generator
from sparring.spaces import Frames, Image, Spec
from sparring.worlds import maze_judge
from sparring.worlds.maze_paint import EMPTY, WALL, cell_of, paint

SIDE = 7  # cells; those at two even places are crossings, those at two odd ones are walls
LAYOUTS = (
    "....... .###.#. ....... .###.#. ....... .#.###. .......",
    "....... .#.#.#. ....... .#.#.#. ...#... .#####. .......",
    "....... .#.###. ...#... ####.#. ....... .#.###. .......",
    "....... .#.#.#. ...#... ##.#.## ....... .#####. .......",
    "....... .#####. ....... .#####. ....... .#####. .......",
    "....... .#####. .#...#. .#.#.#. .#...#. .#.#.#. ...#...",
)
STEPS = ((-1, 0), (0, 1), (1, 0), (0, -1))  # up, right, down, left: direction d turned right is d + 1
BLOCK = 64  # clips drawn from one seed: clip i depends on nothing but i
BEFORE = 4  # moves before the first frame


def corridors() -> Tensor:
    """(layouts, 49), where one may walk."""
    return torch.tensor([[c == "." for c in layout.replace(" ", "")] for layout in LAYOUTS])


def neighbours() -> Tensor:
    """(layouts, 49, 4): the cell in each direction, -1 where a wall stands."""
    to = torch.full((len(LAYOUTS), SIDE * SIDE, 4), -1)
    for layout, free in enumerate(corridors().tolist()):
        for cell in (i for i, open_ in enumerate(free) if open_):
            for d, (down, right) in enumerate(STEPS):
                r, c = cell // SIDE + down, cell % SIDE + right
                if 0 <= r < SIDE and 0 <= c < SIDE and free[r * SIDE + c]:
                    to[layout, cell, d] = r * SIDE + c
    return to


class Moment(NamedTuple):
    """All that is known of N frames; figure 0 is the player, the others are ghosts."""

    layout: Tensor  # (N,)
    cells: Tensor  # (N, figures), where each stands, all different
    before: Tensor  # (N, figures), where each stood a frame ago
    dots: Tensor  # (N, 49) bool

    @property
    def scene(self) -> Tensor:
        """What lies on each cell, (N, 49): WALL, EMPTY, DOT, or FIGURE + which."""
        kinds = torch.where(corridors()[self.layout], EMPTY + self.dots.long(), WALL)
        return kinds.scatter(1, self.cells, maze_judge.FIGURE + torch.arange(self.cells.shape[1]).expand_as(self.cells))


class Maze:
    """A player who eats dots and up to four ghosts; x is the frame after the `past` ones in c.

    Stored as bytes: x (N, 3, size, size), c (N, past, 3, size, size).  Pictures are 16 pixels wide or more.
    All move one cell a frame, to a cell that nobody stands on: at a junction ahead, right or left by `turns`, back only
    where there is no other way, and nowhere where all ways are taken.

    So that no two meet, figures also leave alone the cells on which an earlier one might step: all move at once, and
    the ways of each follow from the past.  in_turn: they move one after another, and mind only where the earlier ones
    have gone: the ways of one then hang on the coins of the others.
    """

    about = "a maze-chase game whose next frame is a coin"
    examples = (12_000, 1_500)

    def __init__(
        self,
        size: int | None = None,
        past: int | None = None,
        ghosts: int = 2,
        turns: tuple[float, float, float] = (1.0, 1.0, 1.0),  # of the ways ahead, right and left, relative
        in_turn: bool = False,
    ):
        size, past = 32 if size is None else size, 2 if past is None else past
        if size < 16:
            raise ValueError(f"a maze of size {size}: too small to know a figure by; 16 is the least, 32 is usual")
        if past < 2:
            raise ValueError(f"a past of {past} frames does not tell where figures are heading; give 2 or more")
        if not 0 <= ghosts <= 4:
            raise ValueError(f"{ghosts} ghosts are none of 0 to 4")
        if len(turns) != 3 or min(turns) <= 0:
            raise ValueError(f"turns {turns} must be three weights above 0: ahead, right, left")
        self.name, self.in_turn = "maze-in-turn" if in_turn else "maze", in_turn
        self.size, self.past, self.figures = size, past, 1 + ghosts
        self.turns = torch.tensor([turns[0], turns[1], 0.0, turns[2]])
        self.spec = Spec(Image(3, size), Frames(past, 3, size))
        self.to, self.free = neighbours(), corridors()

    # -- the game ---------------------------------------------------------------------------------------------------

    def begin(self, chance: Tensor) -> Moment:
        """Moments at which nobody has moved, from numbers in [0, 1), (N, 2 + 2 * 49)."""
        layout = (chance[:, 0] * len(LAYOUTS)).long()
        free, score = self.free[layout], chance[:, 2 : 2 + SIDE * SIDE]
        cells = torch.where(free, score, -1.0).topk(self.figures).indices
        left = 0.2 + 0.8 * chance[:, 1:2]  # the share of dots that nobody has eaten yet
        dots = free & (chance[:, 2 + SIDE * SIDE :] < left)
        return Moment(layout, cells, cells, dots.scatter(1, cells[:, :1], False))

    def ways(self, layout: Tensor, cell: Tensor, before: Tensor, taken: Tensor) -> Tensor:
        """The probability of a figure's move in each direction, (N, 4); all 0 where it must stay.

        layout, cell, before: (N,); taken: (N, 49), where nobody may step.
        """
        to = self.to[layout, cell]
        open_ = (to >= 0) & ~taken.gather(1, to.clamp_min(0))
        back = to == before[:, None]
        turn = (torch.arange(4) - self.heading(layout, cell, before)[:, None]) % 4
        p = torch.where(back.any(1, keepdim=True), self.turns[turn], 1.0) * (open_ & ~back)
        p = torch.where((p.sum(1, keepdim=True) == 0), (open_ & back).float(), p)
        return p / p.sum(1, keepdim=True).clamp_min(1e-12)

    def heading(self, layout: Tensor, cell: Tensor, before: Tensor) -> Tensor:
        """The direction in which figures came from `before` to `cell`, (N,); down if they have stayed."""
        return ((self.to[layout, cell] == before[:, None]).long().argmax(1) + 2) % 4

    def after(self, taken: Tensor, layout: Tensor, here: Tensor, there: Tensor, p: Tensor) -> Tensor:
        """Where later figures may not step, (N, 49), once one has gone from `here` to `there`, of its ways p (N, 4)."""
        if self.in_turn:
            return taken.scatter(1, here[:, None], False).scatter(1, there[:, None], True)
        might = torch.where(p > 0, self.to[layout, here], here[:, None])  # where it stands nobody may step anyway
        return taken.scatter(1, might, True)

    def move(self, now: Moment, chance: Tensor) -> Moment:
        """The moments that follow, from numbers in [0, 1), (N, figures)."""
        taken, cells = torch.zeros(now.dots.shape, dtype=torch.bool).scatter_(1, now.cells, True), []
        for i in range(self.figures):
            here = now.cells[:, i]
            p = self.ways(now.layout, here, now.before[:, i], taken)
            d = (chance[:, i, None] >= p.cumsum(1)).sum(1).clamp_max(3)
            d = torch.where(p.gather(1, d[:, None])[:, 0] > 0, d, p.argmax(1))  # at the rounded end of the sum
            there = torch.where(p.any(1), self.to[now.layout, here].gather(1, d[:, None])[:, 0], here)
            taken = self.after(taken, now.layout, here, there, p)
            cells.append(there)
        after = torch.stack(cells, 1)
        return Moment(now.layout, after, now.cells, now.dots.scatter(1, after[:, :1], False))

    def moments(self, n: int, length: int, seed: int, heldout: bool = False) -> list[Moment]:
        """The truth of what `clips` gives for the same arguments: one for each frame."""
        split, blocks = "heldout" if heldout else "train", range(-(-n // BLOCK))
        streams = [generator(self.name, split, seed, block) for block in blocks]
        draw = lambda k: torch.cat([torch.empty(0, k), *(torch.rand(BLOCK, k, generator=g) for g in streams)])[:n]
        now = self.begin(draw(2 + 2 * SIDE * SIDE))
        for _ in range(BEFORE):
            now = self.move(now, draw(self.figures))
        told = [now]
        while len(told) < length:
            told.append(self.move(told[-1], draw(self.figures)))
        return told[:length]

    # -- its pictures -------------------------------------------------------------------------------------------------

    def clips(self, n: int, length: int, seed: int, heldout: bool = False) -> Tensor:
        """n clips, bytes (n, length, 3, size, size); a longer clip begins as a shorter one.

        Those of training and held-out come from unrelated streams.
        """
        frames = [paint(m.scene, self.size) for m in self.moments(n, length, seed, heldout)]
        return torch.stack(frames, 1) if frames else torch.empty(n, 0, 3, self.size, self.size, dtype=torch.uint8)

    def draw(self, n: int, seed: int, heldout: bool = False) -> tuple[Tensor, Tensor]:
        """n examples, each from a clip of its own: the frame (n, ...) and its past (n, past, ...)."""
        clips = self.clips(n, self.past + 1, seed, heldout)
        return clips[:, -1], clips[:, :-1]

    def read(self, x: Tensor, c: Tensor) -> maze_judge.Reading:
        """What became of each figure, wall and dot in frames x (N, ...) after c (N, past, ...)."""
        return maze_judge.read(self, x, c)

    def judge(self, x: Tensor, c: Tensor | None = None) -> dict[str, float]:
        """How many frames x (N, ...) can follow their past c (N, past, ...); see `maze_judge.judge`."""
        return maze_judge.judge(self, x, c)

    def legal(self, clips: Tensor) -> Tensor:
        """Whether each frame of clips (N, T, 3, size, size) from the third on can follow the two before: (N, T - 2)."""
        frames = range(2, clips.shape[1])
        return torch.stack([self.read(clips[:, t], clips[:, t - 2 : t]).legal for t in frames], 1)

    @property
    def cell(self) -> int:
        """Pixels of a cell's side."""
        return cell_of(self.size)


def in_turn(size: int | None = None, past: int | None = None) -> Maze:
    """The maze whose figures move one after another."""
    return Maze(size, past, in_turn=True)
