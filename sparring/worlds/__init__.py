"""Data with known truth: a world draws as many examples as one likes, and can judge samples exactly.

world = sparring.worlds.open("ring")
x, c = world.draw(1000, seed=0)
world.judge(x)      # {"modes": 8.0, ...}
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple, Protocol

from torch import Tensor

from sparring.names import nearest
from sparring.spaces import Spec


class World(Protocol):
    """Data whose truth is known.  All tensors are in the stored form of `spec`.

    Of texts, some know their whole law: `logp(x) -> (N,)`, of whole texts in nats, and `entropy`.
    """

    name: str
    about: str
    spec: Spec
    examples: tuple[int, int]  # how many training and held-out examples make a data set

    def draw(self, n: int, seed: int, heldout: bool = False) -> tuple[Tensor, Tensor | None]:
        """n examples (x, c), the same for the same seed; those of training are never among the held-out."""
        ...

    def judge(self, x: Tensor, c: Tensor | None = None) -> dict[str, float]:
        """The exact truth about samples x made from c: modes held, validity, copies."""
        ...


class Row(NamedTuple):
    """One world in words, known without building it."""

    name: str
    about: str
    spec: str
    place: str  # module:name of the constructor, imported at first use


ROWS = (
    Row("ring", "8 Gaussians on the unit circle, std .01", "points of the plane", "sparring.worlds.points:ring"),
    Row("grid", "25 Gaussians on a 5 × 5 grid, std .05", "points of the plane", "sparring.worlds.points:grid"),
    Row("digits", "the 1,797 real handwritten digits of scikit-learn", "gray 8 × 8", "sparring.worlds.digits:Digits"),
    Row(
        "stacked-digits",
        "three handwritten digits as red, green and blue: 1,000 modes",
        "colour 8 × 8",
        "sparring.worlds.digits:StackedDigits",
    ),
    Row("faces", "drawn faces with known attributes and captions", "colour, any size", "sparring.worlds.faces:Faces"),
    Row(
        "maze",
        "a maze-chase game whose next frame is a coin",
        "the next frame from two, colour, any size",
        "sparring.worlds.maze:Maze",
    ),
    Row(
        "maze-in-turn",
        "the same where figures move one after another, so that the coins of one decide where the next may go",
        "the next frame from two, colour, any size",
        "sparring.worlds.maze:in_turn",
    ),
    Row(
        "grammar",
        "sums and products in brackets, by a grammar of known probabilities",
        "texts of at most 16 signs",
        "sparring.worlds.grammar:grammar",
    ),
    Row(
        "english",
        "English sentences whose verbs agree and whose clauses nest",
        "texts of at most 16 words",
        "sparring.worlds.english:english",
    ),
    Row("melodies", "simple tunes by rule", "texts of at most 24 notes", "sparring.worlds.melodies:melodies"),
    Row(
        "oracle", "texts of a random LSTM, the benchmark of SeqGAN", "20 of 100 words", "sparring.worlds.oracle:oracle"
    ),
    Row("oracle-500", "the same over 500 words", "20 of 500 words", "sparring.worlds.oracle:oracle_500"),
    Row("oracle-5000", "the same over 5,000 words", "20 of 5,000 words", "sparring.worlds.oracle:oracle_5000"),
)


def _constructor(place: str) -> Callable[..., Any]:
    module, name = place.split(":")
    return lambda **given: getattr(import_module(module), name)(**given)


FORESEEN = ("maze", "maze-in-turn")  # worlds of frames
WRITTEN = ("grammar", "english", "melodies", "oracle", "oracle-500", "oracle-5000")  # worlds of texts
WORLDS: dict[str, Callable[..., World]] = {row.name: _constructor(row.place) for row in ROWS}


def open(name: str, size: int | None = None, past: int | None = None) -> World:
    """The world of that name; `size` is the side of its pictures in pixels, or the most tokens of its texts; `past` the
    frames before one that is to be foreseen; None for the world's own.

    oracle=FILE.npz is the oracle of published weights, see `sparring.worlds.oracle.Weights.load`.
    """
    if str(name).startswith("oracle="):
        return WORLDS["oracle"](size=size, weights=name.removeprefix("oracle="))
    if name not in WORLDS:
        raise ValueError(f"{name!r} is no world: there are {', '.join(WORLDS)}{nearest(str(name), WORLDS)}")
    if past is None:
        return WORLDS[name](size=size)
    if name not in FORESEEN:
        raise ValueError(f"past {past} is of frames ({', '.join(FORESEEN)}), and {name!r} has none; leave it out")
    return WORLDS[name](size=size, past=past)


def about() -> list[dict[str, str]]:
    """A row {name, about, spec} for each world, in words; nothing is built."""
    return [{"name": row.name, "about": row.about, "spec": row.spec} for row in ROWS]
