"""The theory of adversarial generators, happening: each experiment states claims, measures them, draws them."""

import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from ..names import RequestError, nearest
from ..progress import clock, tell
from .claims import Claim, Experiment, Plot, Result

__all__ = ["EXPERIMENTS", "Claim", "Plot", "Result", "Session", "drawn", "experiment", "perform", "session", "wanted"]


# In the order in which a student would want them: a name, and what is seen; each is a module of this package.
EXPERIMENTS = {
    "divergences": "KL, JS, and moving earth: only the last feels distance where nothing overlaps",
    "optimal-critic": "the best critic is p / (p + q); its value is how far G is from the data",
    "bilinear": "f = xy: plain play circles or flies apart; four rules arrive, at their rates",
    "dirac": "a point chases a point: which losses and penalties meet, and how fast",
    "supports": "curves in 64 dimensions: a perfect critic, JS at log 2, and what noise does",
    "vanishing-gradient": "the better D, the less G learns: every loss, with and without R1 and R2",
    "clipping": "a critic clipped to ±c: too small vanishes, too large explodes; the penalty",
    "collapse": "plain losses lose modes; the same networks with each cure",
    "dropping": "three of ten digits are never drawn: precision does not see it, coverage does",
    "prior": "what z is drawn from: where it matters, and where not",
    "join": "a condition laid beside, added, or projected onto",
    "mismatch": "real samples with wrong conditions: what happens without that kind of pair",
    "average": "a figure turns left or right: regression draws half of each, a game one",
    "argmax": "words have no slope: arg max, REINFORCE, straight-through Gumbel",
}


def wanted(names: Iterable[str]) -> list[str]:
    """The experiments of these names, each once, in the order of the table; "all" is all of them.

    Raises RequestError for a name that is none.
    """
    names = list(names)
    for name in names:
        if name not in EXPERIMENTS and name != "all":
            raise RequestError(
                f"{name!r} is no experiment: there are {', '.join(EXPERIMENTS)}, and all"
                f"{nearest(name, [*EXPERIMENTS, 'all'])}"
            )
    return [name for name in EXPERIMENTS if name in names or "all" in names]


def experiment(name: str) -> Experiment:
    """The function `run(seed, effort)` of an experiment: it yields claims as it measures them, then its plot."""
    return import_module(f".{name.replace('-', '_')}", __name__).run


def perform(name: str, seed: int = 0, effort: float = 1.0, say: Callable[[str], None] = tell) -> Result:
    """Runs one experiment to its end; `say` hears each claim when it is known.

    effort: 1 is what the docs quote; less plays fewer and shorter games where they are learned.
    """
    result = Result(name)
    began, worked = time.monotonic(), time.process_time()
    for found in experiment(name)(seed=seed, effort=effort):
        if isinstance(found, Plot):
            result.plot = found
            continue
        result.claims.append(found)
        result.seconds.append((time.monotonic() - began, time.process_time() - worked))
        began, worked = time.monotonic(), time.process_time()
        say(f"  {found.line()}")
    return result


def drawn(result: Result, folder: Path) -> Path | None:
    """The plot of a result as folder/NAME.png; None if it has none."""
    if result.plot is None:
        return None
    from .drawing import saved

    return saved(result.plot, folder / f"{result.name}.png")


@dataclass
class Session:
    """Several experiments and what came of them."""

    results: list[Result] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)  # names of experiments that did not run to their end

    @property
    def status(self) -> int:
        """1 if an experiment failed; a claim that does not hold is a finding, and no failure."""
        return int(bool(self.failed))

    def rows(self) -> list[dict[str, Any]]:
        """What `sparring lab --json` prints."""
        return [row for result in self.results for row in result.rows()]


def session(names: list[str], folder: Path, seed: int = 0, say: Callable[[str], None] | None = None) -> Session:
    """Runs experiments one after another, on one thread, and draws each into the folder.

    `say` hears what is found, line by line; without it standard error does.  An experiment that fails is told there
    with its traceback, and the next begins.  Raises RequestError if the folder cannot be one.
    """
    say = say or tell
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RequestError(f"--out {folder}: no folder can be made there ({error.strerror}); name another") from error

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # these networks are small: a second thread only gets in the way
    done, began = Session(), time.monotonic()
    try:
        for i, name in enumerate(names, 1):
            say(f"{name} ({i} of {len(names)}): {EXPERIMENTS[name]}")
            try:
                result = perform(name, seed, say=say)
                say(f"  drawn: {drawn(result, folder)}")
            except Exception:
                tell(f"sparring: the experiment {name} failed:\n{traceback.format_exc()}")
                done.failed.append(name)
            else:
                done.results.append(result)
    finally:
        torch.set_num_threads(threads)

    claims = [claim for result in done.results for claim in result.claims]
    held = sum(claim.holds for claim in claims)
    say(f"{held} of {len(claims)} claims hold in {clock(time.monotonic() - began)}; plots in {folder}/")
    if done.failed:
        tell(f"sparring: failed: {', '.join(done.failed)}")
    return done
