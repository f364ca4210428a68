"""What may be done about a finding.  A remedy is a function Method -> Method, within bounds, on record.

    m = smoother(m, s.seen)                 # in a loop of your own

What a remedy may reach is bounded: r1 and r2 up to a weight of 100, rates down to a 64th of what the run began with.
A remedy that would leave its bounds gives the method back unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from . import augment, losses, penalties
from .schedules import Schedule, constant
from .spaces import Frames, Image, Spec
from .train import Method, named

Remedy = Callable[[Method, int], Method]  # the method, and the samples seen
MOST = 4  # acts in one run
STRONGEST = 100.0  # weight of r1 and r2 that a remedy may set; one that is above it stays
SLOWEST = 1 / 64  # share of the first rates that remedies may leave


class Act(NamedTuple):
    """One change of a run: when it was decided, why, what was changed, and from where the run goes on."""

    at: int  # samples seen
    to: int  # samples seen of the checkpoint it went back to; `at` if it did not
    finding: str
    remedy: str
    before: dict[str, Any]
    after: dict[str, Any]
    of: int = 0  # samples that the run was to see then; 0 for those that it is to see now


# -- remedies ---------------------------------------------------------------------------------------------------------


def smoother(m: Method, seen: int, factor: float = 10.0, least: float = 0.1) -> Method:
    """r1 and r2 tenfold, and both there: the critic has no steep places."""
    old = {named(p): w for p, w in m.penalties}
    weight = max((w(seen) for name, w in old.items() if name in ("r1", "r2")), default=0.0)
    if weight >= STRONGEST:
        return m
    new = constant(1.0) if weight < least else _times(_strongest(m, seen), factor, STRONGEST)
    rest = tuple((p, w) for p, w in m.penalties if named(p) not in ("r1", "r2"))
    return replace(m, penalties=((penalties.r1, new), (penalties.r2, new), *rest))


def looser(m: Method, seen: int) -> Method:
    """r1 and r2 a tenth: the critic may be steeper."""
    return replace(m, penalties=tuple((p, _times(w, 0.1) if named(p) in ("r1", "r2") else w) for p, w in m.penalties))


def slower(m: Method, seen: int) -> Method:
    """Both rates halved, and no momentum."""
    return replace(m, lr_G=_times(m.lr_G, 0.5), lr_D=_times(m.lr_D, 0.5), beta1=0.0)


def slower_critic(m: Method, seen: int) -> Method:
    """A quarter of the critic's rate, and as many turns for either player."""
    return replace(m, lr_D=_times(m.lr_D, 0.25), critic_steps=1)


def faster_critic(m: Method, seen: int) -> Method:
    """The critic at the generator's rate at least; or, where it has that, two turns of it for each of G's."""
    if m.lr_D(seen) < 0.99 * m.lr_G(seen):
        return replace(m, lr_D=m.lr_G)
    return replace(m, critic_steps=2) if m.critic_steps == 1 else m


def faster_generator(m: Method, seen: int) -> Method:
    """The generator at the critic's rate."""
    return replace(m, lr_G=m.lr_D) if m.lr_G(seen) < 0.99 * m.lr_D(seen) else m


def relativistic(m: Method, seen: int) -> Method:
    """The relativistic loss with r1 and r2 (Huang et al. 2024), whose gradient lasts; even turns, no clipping."""
    known = {named(p) for p, w in m.penalties if w(seen) >= 0.1}
    m = m if {"r1", "r2"} <= known else smoother(m, seen)
    return replace(m, loss=losses.relativistic, critic_steps=1, project=None, beta1=0.0)


def unclipped(m: Method, seen: int) -> Method:
    """r1 and r2 in the place of clipped weights (Gulrajani et al. 2017: a penalty repairs what clipping spoils)."""
    return smoother(replace(m, project=None), seen) if m.project is not None else m


def augmented(m: Method, seen: int) -> Method:
    """Adaptive augmentation (Karras et al. 2020): the critic no longer knows its few examples by heart."""
    if m.augment is not None:
        return m
    return replace(m, augment=augment.ada(), watch=(*m.watch, augment.adapt()))


def clearer(m: Method, seen: int) -> Method:
    """No augmentation: what leaks through it is not drawn any more."""
    return replace(m, augment=None, watch=()) if m.augment is not None else m


def mismatched(m: Method, seen: int) -> Method:
    """A real example with another's condition must lose: the critic has to look at it (after Reed et al. 2016).

    A critic that tells the class of a sample is not told it, and cannot.
    """
    known = {named(p) for p, _ in m.penalties}
    if "classified" in known or any(map(penalties.pairing, known)):
        return m
    return replace(m, penalties=(*m.penalties, (penalties.mismatch, constant(1.0))))


def nearer_average(m: Method, seen: int) -> Method:
    """An average generator of the last twentieth of the run at most."""
    longest = m.halflife
    now = replace(m, halflife=lambda seen: min(longest(seen), 0.05 * seen))
    return now if longest(seen) > 0.06 * max(seen, 1) else m


def reseeded(m: Method, seen: int) -> Method:
    """Other noise and another order of the data: where chance decides, another chance."""
    return replace(m, seed=m.seed + 1)


def back_to(usual: Method) -> Remedy:
    """The default game of this kind of data, as given by `recipe.usual`: its loss, penalties, rates and turns."""
    game = ("loss", "penalties", "lazy", "lr_G", "lr_D", "beta1", "beta2", "critic_steps", "project")

    def as_usual(m: Method, seen: int) -> Method:
        return replace(m, **{k: getattr(usual, k) for k in game})

    return as_usual


REMEDIES: dict[str, tuple[Remedy, ...]] = {  # what is tried first stands first
    "not finite": (slower, smoother),
    "generator frozen": (faster_generator,),
    "clip too tight": (unclipped,),
    "clip too loose": (unclipped,),
    "vanishing gradient": (relativistic, slower_critic),
    "critic unbounded": (smoother, slower),
    "exploding slope": (smoother, slower_critic),
    "augmentation leak": (clearer,),
    "condition ignored": (mismatched,),
    "copying": (augmented,),
    "critic overfits": (augmented, smoother),
    "average lags": (nearer_average,),
    "collapse": (relativistic, slower, reseeded),
    "critic blind": (faster_critic, looser),
    "oscillation": (slower, smoother),
    "critic wins": (relativistic, smoother, slower_critic),
    "modes missing": (relativistic, smoother, reseeded),
}
IN_PLACE = {"average lags"}  # nothing is lost: no need to go back
OF_DATA = {"augmentation leak", "condition ignored", "copying", "critic overfits", "average lags"}  # not of the game


def cures(finding: str, usual: Method | None = None, spec: Spec | None = None) -> tuple[Remedy, ...]:
    """What is tried about a finding, in this order: where the game's settings may be at fault, first the usual ones.

    spec: of the data; of any other than pictures drawn without a past, nothing is augmented.
    """
    known = REMEDIES.get(finding, ())
    if spec is not None and not (isinstance(spec.x, Image) and not isinstance(spec.c, Frames)):
        known = tuple(remedy for remedy in known if remedy is not augmented)
    return (back_to(usual), *known) if usual is not None and known and finding not in OF_DATA else known


# -- the choice -------------------------------------------------------------------------------------------------------


def choose(
    m: Method,
    seen: int,
    finding: str,
    at: Sequence[int],
    acts: Sequence[Act],
    first: Method | None = None,
    usual: Method | None = None,
    spec: Spec | None = None,
) -> tuple[Act, Method] | None:
    """The next act about a finding, and the method after it; None if there is none left.

    first: the method that the run began with, which bounds the rates; usual: the default game of its data;
    spec: its spaces.
    at: places to go on from, samples seen of checkpoints older than the fault, newest first (0 is the beginning).
    A place is never tried twice with the same settings; where the same fault came back from a place, an older one is.
    """
    if len(acts) >= MOST:
        return None
    tried = {(act.to, _frozen(act.after)) for act in acts}
    came_back = {act.to for act in acts if act.finding == finding}
    places = [place for place in at if place not in came_back] or list(at[-1:])
    for remedy in cures(finding, usual, spec):
        for place in [seen] if finding in IN_PLACE else places[:1]:
            before, new = settings(m, seen), remedy(m, seen)
            if finding not in IN_PLACE and remedy is not reseeded:
                new = reseeded(new, seen)
            after = settings(new, seen)
            same = {**after, "seed": 0} == {**before, "seed": 0} and remedy is not reseeded
            if not same and (place, _frozen(after)) not in tried and bounded(new, first or m, seen):
                return Act(seen, place, finding, remedy.__name__, before, after), new
    return None


def bounded(m: Method, first: Method, seen: int) -> bool:
    """Whether the rates are within what remedies may leave of the first ones."""
    kept = lambda now, then: now(seen) >= SLOWEST * then(seen)
    return kept(m.lr_G, first.lr_G) and kept(m.lr_D, first.lr_D)


SETTLE = 0.3  # of what was seen at a plateau: how long the rates then take to fall


def tail(at: int, samples: int) -> int:
    """How many samples a run settles for that has found its plateau at `at` of `samples`."""
    return min(max(round(SETTLE * at), 1), max(samples - at, 1))


def settled(m: Method, at: int, samples: int) -> Method:
    """From `at` on, every schedule runs to its end at `samples` within `tail`: the rates fall, the players settle.

    All but the half-life of the average, a share of what was seen, and what a route has of its own.
    """
    over = tail(at, samples)
    clock = lambda seen: seen if seen <= at else min(at + round((seen - at) * (samples - at) / over), samples)
    quick = lambda schedule: lambda seen: schedule(clock(seen))
    each = lambda charges: tuple((f, quick(w)) for f, w in charges)
    vary, augment, feed = m.vary, m.augment, m.feed
    late = replace(m, lr_G=quick(m.lr_G), lr_D=quick(m.lr_D), beta2=quick(m.beta2), adversarial=quick(m.adversarial))
    return replace(
        late,
        penalties=each(m.penalties),
        terms=each(m.terms),
        pulls=each(m.pulls),
        vary=vary and (lambda loss, seen: vary(loss, clock(seen))),
        augment=augment and (lambda x, memory, seen: augment(x, memory, clock(seen))),
        feed=lambda G, c, seen: feed(G, c, clock(seen)),
    )


def replay(m: Method, acts: Sequence[Act], samples: int, usual: Method | None = None) -> Method:
    """The method after these acts, in a run of so many samples: as exact as if it had never been left.

    An act of a run of another length is replayed at the same share of this one, where schedules are as they were then.
    """
    known = BY_NAME | ({"as_usual": back_to(usual)} if usual is not None else {})
    for act in acts:
        if act.remedy == "settled":
            m = settled(m, act.at, samples)
            continue
        remedy, at = known[act.remedy], round(act.at * samples / act.of) if act.of else act.at
        m = remedy(m, at)
        if act.finding not in IN_PLACE and remedy is not reseeded:
            m = reseeded(m, at)
    return m


BY_NAME: dict[str, Remedy] = {f.__name__: f for row in REMEDIES.values() for f in row}


def settings(m: Method, seen: int) -> dict[str, Any]:
    """A method in plain values, as it is when so much has been seen."""
    loss = next((name for name, known in losses.LOSSES.items() if known == m.loss), "own")
    weights = {named(p): float(f"{w(seen):.6g}") for p, w in m.penalties}
    rates = {"lr_G": m.lr_G(seen), "lr_D": m.lr_D(seen), "halflife": m.halflife(seen)}
    return {
        "loss": loss,
        **weights,
        **{k: float(f"{v:.6g}") for k, v in rates.items()},
        "beta1": m.beta1,
        "lazy": m.lazy,
        "critic_steps": m.critic_steps,
        "clipped": m.project is not None,
        "augmented": m.augment is not None,
        "seed": m.seed,
    }


def changed(act: Act) -> str:
    """What an act changed, in words: `r1 1 -> 10, lr_G 0.001 -> 0.0005`."""
    names = dict.fromkeys((*act.before, *act.after))
    show = lambda v: "none" if v is None else f"{v:.3g}" if isinstance(v, float) else str(v)
    return ", ".join(
        f"{k} {show(act.before.get(k))} -> {show(act.after.get(k))}"
        for k in names
        if act.before.get(k) != act.after.get(k)
    )


def _times(schedule: Schedule, factor: float, most: float = float("inf")) -> Schedule:
    return lambda seen: min(factor * schedule(seen), max(most, schedule(seen)))


def _strongest(m: Method, seen: int) -> Schedule:
    """Of r1 and r2, the one that weighs more."""
    return max((w for p, w in m.penalties if named(p) in ("r1", "r2")), key=lambda w: w(seen))


def _frozen(settings: Mapping[str, Any]) -> tuple:
    return tuple(sorted((k, str(v)) for k, v in settings.items() if k != "seed"))
