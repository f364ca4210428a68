"""From a recipe's names and numbers to the things that play.  Only this room turns names into things."""

import os
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.nn import Module

from . import augment, machine, penalties, ways, worlds
from .data import Dataset
from .defaults import DEFAULTS, join
from .losses import LOSSES, Loss, smoothed, top_k
from .metrics import MEASURES
from .names import RequestError, find, nearest, requested, weighted
from .nets import sizes
from .nets.blocks import pyramid, spectral
from .nets.conditions import Auxiliary, mixed
from .priors import PRIORS
from .routes import own_frames
from .schedules import constant, cosine, geometric, linear, rise_and_fall
from .settings import Recipe
from .spaces import Frames, Image, Spec, Tokens, Vector
from .terms import TERMS, classified, interpolated
from .train import Method, as_given
from .worlds import WORLDS

PENALTIES = penalties.PENALTIES | {"consistency": penalties.consistency(augment.diffaugment("color,translation"))}


def plan(r: Recipe, data: Dataset, device: torch.device) -> tuple[Recipe, list[str]]:
    """The recipe with every choice made, and the reasons in words."""
    spec, reasons = data.spec, []
    if r.net == "auto" or r.width is None:
        with requested():
            chosen = sizes.choose(spec, len(data.train), device, r.route)
        r = replace(r, net=chosen.name if r.net == "auto" else r.net, width=r.width or chosen.width)
        reasons.append(f"networks: {chosen.reason}")
    if isinstance(spec.x, Vector):
        reasons.append(f"points are centred at {spec.x.center:.4g} and divided by {spec.x.scale:.4g}, their own spread")

    of_net = {} if ":" in r.net else sizes.options(find(sizes.PAIRS, r.net, "net"))
    r = replace(r, **{k: of_net.get(k, v) for k, v in NEUTRAL.items() if getattr(r, k) is None})
    r = replace(filled(r, spec, device), join=r.join or join(spec))
    past = spec.c.count if isinstance(spec.c, Frames) else None
    r = replace(r, condition=r.condition or ("past" if past else "none"), past=past)
    if r.terms is None:
        own = "" if r.micro else "mode_seeking=0.01"  # energy compares with what came, and takes no frames of G's own
        r = replace(r, terms="" if not past else own if r.forcing else "energy=1")
        if r.terms:
            reasons.append(f"terms: {r.terms}, for D, which meets each past once, cannot tell one future from many")
    r = paired(r)
    if isinstance(spec.x, Image):
        usual = "0.05 for next frames" if past else "(size / 32)^2"
        reasons.append(f"slope penalties: r1 {r.r1:g} and r2 {r.r2:g} ({usual} if left out), batch {r.batch}")
    if r.precision == "auto":
        fast = isinstance(spec.x, Image) and machine.fast_bf16(device)
        r = replace(r, precision="bf16" if fast and not past else "fp32")  # next frames differ by less than bf16 tells
        why = (
            "D compares frames that are almost alike"
            if past
            else "the faster of two on this machine for these networks"
        )
        reasons.append(f"precision: {r.precision}, {why}")
    if r.forcing and not past:
        raise RequestError(f"--forcing {r.forcing} feeds G frames of its own, and {r.data} has none; leave it out")
    check_pieces(r)
    check_kind(r, spec)
    return r, reasons


PAIRING = ("mismatch", "contrast")  # penalties by which D learns that a sample and its condition belong together


def pairing(name: str) -> bool:
    """Whether a penalty of this name is one of them."""
    return name.startswith(PAIRING)


def paired(r: Recipe) -> Recipe:
    """The recipe with how D learns that a sample and its condition belong together."""
    named = any(map(pairing, named_penalties(r)))
    free = r.mismatch is None and not named and r.loss != "matching_aware" and ":" not in r.net and (r.pack or 1) == 1
    if r.contrast is None:
        r = replace(r, contrast=float(free and r.condition == "caption"))
    if r.mismatch is None:
        half = r.loss == "matching_aware" and r.condition in ("class", "caption") and not r.auxiliary
        one = r.condition == "caption" and not r.contrast
        r = replace(r, mismatch=0.0 if named else 0.5 if half else float(one))
    return r


OF_BATCHES = ("feature_matching", "mode_seeking")  # terms that take means over the whole batch
GAME = ("loss", "r1", "r2", "gamma_end", "clip", "lr", "lr_D", "lr_end", "settle", "beta1", "beta2")
NEUTRAL = dict(norm="none", group=1, kernels=0, pack=1, forget=0.0, patches=1)  # networks' options that do nothing
TRUTHS = ("modes", "quality", "valid", "kl", "obeyed")  # of worlds, that a run may aim at


def filled(r: Recipe, spec: Spec, device: torch.device) -> Recipe:
    """The recipe with the defaults of this kind of data where it leaves a choice open."""
    defaults = DEFAULTS[type(spec.x)](r, spec, device)
    r = replace(r, **{k: v for k, v in defaults.items() if getattr(r, k) is None})
    return replace(r, lr_D=r.lr if r.lr_D is None else r.lr_D)


def usual(r: Recipe, spec: Spec, device: torch.device) -> Method:
    """How this data and these players would play by the default game: loss, penalties and rates as if left out."""
    plain = replace(r, **dict.fromkeys(GAME), penalties="", critic_steps=1)  # type: ignore[arg-type]
    return method(filled(plain, spec, device), spec)


def with_intervals(r: Recipe) -> Recipe:
    """The recipe with what happens how often, now that its length is known."""
    samples, batch = r.samples or 0, r.batch or 0
    share = lambda part: max(samples // part, 10 * batch)
    often = 6 if r.stop == "budget" else 24
    every = dict(log_every=share(150), sample_every=share(24), evaluate_every=share(often), checkpoint_every=share(12))
    every |= dict(patience=share(8)) if r.stop == "plateau" else {}
    return replace(r, **{k: v for k, v in every.items() if getattr(r, k) is None})


def check(r: Recipe) -> None:
    """Refuses values that no run could use; names are looked up, numbers are held to their ranges."""
    loss(r)
    ways.check(r)
    for name in PAIRING:
        if (value := getattr(r, name)) and r.condition in (None, "none"):
            raise RequestError(
                f"--{name} {value} compares conditions; give --condition class or caption, or leave it out"
            )
    find(PRIORS, r.prior, "prior")
    if r.net != "auto":
        find(sizes.PAIRS, r.net, "net")
    named_penalties(r)
    for words in contradictions(r):
        raise RequestError(words)
    with requested():
        augment.parse(r.augment)
        if r.size is not None:
            pyramid(r.size)
    counts = ("size", "width", "samples", "batch", "micro", "critic_steps", "group", "pack", "patience")
    counts += ("generator_steps", "length", "evaluate_n", "evaluate_final")
    amounts = ("tau", "tau_end", "rollouts", "minutes", "lr", "lr_D", "clip", "gamma_end", "settle", "top_k")
    for name in (*counts, "patches", "past", *amounts):
        value = getattr(r, name)
        if value is not None and not value > 0:
            raise RequestError(f"--{name} {value} must be above 0")
    ours = (
        "adversarial",
        "history",
        "instance_noise",
        "unroll",
        "kernels",
        *PAIRING,
        "auxiliary",
        "interpolate",
    )
    for name in ("z", "r1", "r2", "lr_end", "average", "weight_decay", "pretrain", *ours):
        value = getattr(r, name)
        if value is not None and not value >= 0:
            raise RequestError(f"--{name} {value} must be 0 or more")
    for name in ("beta1", "beta2", "baseline_decay", "forget"):
        value = getattr(r, name)
        if value is not None and not 0 <= value < 1:
            raise RequestError(f"--{name} {value} must be in [0, 1)")
    if not 0 <= r.discount <= 1:
        raise RequestError(f"--discount {r.discount} must be in [0, 1]: 0 counts each reward for its own token alone")
    if r.generator_steps > 1 and r.micro:
        raise RequestError(f"--generator_steps {r.generator_steps} are of a whole batch: leave out --micro")
    if not 0 <= r.forcing < 1:
        raise RequestError(f"--forcing {r.forcing} is a chance, from 0 to below 1")
    if r.top_k > 1:
        raise RequestError(f"--top_k {r.top_k} is a share of the batch, at most 1")
    if r.stop == "target" or r.target is not None:
        aim(r)
    if r.samples and r.minutes:
        raise RequestError("--samples and --minutes both set the length of the run; give one")
    if r.batch and r.batch % processes():
        raise RequestError(f"--batch {r.batch} cannot be shared equally by {processes()} processes")


def check_pieces(r: Recipe) -> None:
    """Refuses pieces of a batch, and shares of it, that would cut what D looks at together."""
    together, share = (r.group or 1) * (r.pack or 1), r.micro or (r.batch or 0) // processes()
    if (r.micro or processes() > 1) and share % together:
        which = f"--micro {r.micro}" if r.micro else f"--batch {r.batch} in {processes()} processes"
        raise RequestError(
            f"{which} cuts the {together} samples that D looks at together (--group {r.group}, --pack {r.pack}); "
            f"give pieces of a multiple of {together}, or --group 1"
        )


def check_kind(r: Recipe, spec: Spec) -> None:
    """Refuses what texts cannot have, and what only they can."""
    if not isinstance(spec.x, Tokens):
        if not r.z:
            raise RequestError("--z 0 leaves nothing to make pictures or points from; only texts have chance besides")
        if r.route in ways.OF_TEXTS:
            raise RequestError(f"--route {r.route} is for texts; samples of floats have a gradient: leave it out")
        if r.pretrain:
            raise RequestError(f"--pretrain {r.pretrain} is for texts, whose likelihood is known: leave it out")
        return
    if r.route == "pathwise":
        raise RequestError(
            f"--route pathwise: no gradient passes through a token; take {' or '.join(ways.OF_TEXTS[:3])}"
        )
    smooth = {"terms": r.terms, "augment": r.augment != "none", "instance_noise": r.instance_noise}
    smooth |= {
        "auxiliary": r.auxiliary,
        "interpolate": r.interpolate,
        "unroll": r.unroll,
        "top_k": r.top_k < 1,
        "adversarial": r.adversarial != 1,
    }
    if given := [name for name, value in smooth.items() if value]:
        raise RequestError(f"--{given[0]} {getattr(r, given[0])} is not for texts, which have no slope: leave it out")
    if loss(r).coupled:
        raise RequestError(
            f"--loss {r.loss} looks at means of a batch, whose texts end at different places; take nonsaturating"
        )


def processes() -> int:
    """As many as torchrun has started."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def contradictions(r: Recipe) -> Iterator[str]:
    """What cannot be had together, and the way out."""
    terms = named_terms(r)
    if not r.adversarial and not terms:
        yield "--adversarial 0 leaves G nothing to learn from: give --terms, such as feature_matching=1"
    if r.forcing and (compared := [name for name in terms if name in ("energy", "l1", "l2", "gradients")]):
        yield f"--terms {compared[0]} compares with the frame that followed the real past, not G's own: drop --forcing"
    if r.clip and r.spectral != "none":
        yield "--clip and --spectral each bound D's weights, and clipping would bound what is then divided: drop one"
    compared = r.mismatch or r.contrast or any(map(pairing, named_penalties(r)))
    if r.auxiliary and (r.condition != "class" or compared or (r.pack or 1) > 1):
        wants = "--contrast wants" if r.contrast else "--mismatch wants"
        other = f"{wants} D to compare conditions" if compared else f"--pack {r.pack} shows it several samples"
        yield f"--auxiliary {r.auxiliary:g}: D tells the class of one sample, and is not told it; " + (
            f"{other}: drop one" if r.condition == "class" else "give --condition class, or leave it out"
        )
    if r.encoder and r.condition != "caption":
        yield f"--encoder {r.encoder} reads captions: give --condition caption, or leave it out"
    if r.encoder and r.spelling != "auto":
        yield f"--encoder {r.encoder} reads captions as they are, and --spelling {r.spelling} cuts them: drop one"
    if r.interpolate and r.condition not in ("class", "caption"):
        yield f"--interpolate {r.interpolate:g} lies between conditions: give --condition class or caption, or drop it"
    whole = [f"--terms {name}" for name in terms if name in OF_BATCHES]
    whole += [f"--{name} {value}" for name in ("unroll", "kernels") if (value := getattr(r, name))]
    if r.micro and whole:
        yield f"{whole[0]} needs the whole batch at once: leave out --micro, or take a smaller --batch"
    if r.unroll and processes() > 1 and (loss(r).coupled or r.top_k < 1):
        what = f"--top_k {r.top_k}" if r.top_k < 1 else f"--loss {r.loss}"
        yield f"{what} looks at the whole batch before G moves, and --unroll looks ahead at each process's: drop one"
    if ":" in r.net and (given := [k for k, v in NEUTRAL.items() if getattr(r, k) not in (None, v)]):
        yield f"--{given[0]} {getattr(r, given[0])} is for our networks; build it into yours, {r.net}, and leave it out"


def aim(r: Recipe) -> None:
    """Refuses a target that no run could reach for, or that names nothing that is measured."""
    name, equals, value = (r.target or "").partition("=")
    if r.stop == "target" and not equals:
        raise RequestError(f"--stop target needs --target NAME=VALUE, such as fid=2, not {r.target!r}")
    known = [*MEASURES, *TRUTHS] if r.data in WORLDS else list(MEASURES)
    if name not in known:
        raise RequestError(f"--target {r.target!r}: {name!r} is none of {', '.join(known)}{nearest(name, known)}")
    try:
        float(value or 0)
    except ValueError:
        raise RequestError(f"--target {r.target!r}: {value!r} is no number; write NAME=VALUE, such as fid=2") from None


def source(r: Recipe) -> Any:
    """What `data.open` opens: a world, a path, or what the user's own function makes."""
    if r.data.partition("=")[0] in WORLDS:  # oracle=FILE.npz
        with requested():
            return worlds.open(r.data, size=r.size, past=r.past)
    if ":" in r.data and not Path(r.data).exists():
        return find({}, r.data, "data")()
    if not Path(r.data).exists():
        raise RequestError(
            f"data {r.data!r} is no file or folder here, and no world (worlds: {', '.join(WORLDS)})"
            f"{nearest(r.data, [*WORLDS, *map(str, Path(r.data).parent.glob('*'))])}"
        )
    return r.data


def players(r: Recipe, spec: Spec) -> tuple[Module, Module]:
    """The pair of networks, from the recipe's seed."""
    prior = find(PRIORS, r.prior, "prior")(r.z) if r.z else None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(r.seed)
        pair = find(sizes.PAIRS, r.net, "net")

        def make(spec: Spec) -> tuple[Module, Module]:
            if ":" in r.net:
                return pair(spec, prior, r.width)
            able = sizes.options(pair)
            asked = {k: v for k in NEUTRAL if (v := getattr(r, k)) is not None and (k in able or v != NEUTRAL[k])}
            with requested():
                return sizes.build(r.net, spec, prior, width=r.width, join=r.join or join(spec), **asked)  # type: ignore[arg-type]

        G, D = make(spec)
        with requested():
            D = Auxiliary(make(Spec(spec.x))[1], spec) if r.auxiliary else D
        if "feature_matching" in named_terms(r) and not hasattr(D, "features"):
            raise RequestError(f"feature_matching compares D.features(x, c), and the D of {r.net} has none: add it")
        with requested():
            return spectral(G) if r.spectral == "both" else G, spectral(D) if r.spectral != "none" else D


def method(r: Recipe, spec: Spec | None = None) -> Method:
    """The recipe's way to play.  Every schedule runs over the whole budget of samples.

    spec: of the data, where G is to interpolate conditions.
    """
    assert (
        r.samples
        and r.lr
        and r.lr_D
        and r.settle
        and r.lr_end is not None
        and r.gamma_end
        and r.beta2
        and r.r1 is not None
    )
    assert r.r2 is not None
    weights = [
        (penalty, geometric(gamma, gamma * r.gamma_end, 0.7 * r.samples))
        for penalty, gamma in ((penalties.r1, r.r1), (penalties.r2, r.r2))
        if gamma
    ]
    weights += [(penalty, constant(weight)) for penalty, weight in named_penalties(r).values()]
    terms = list(named_terms(r).values())
    if r.auxiliary:
        weights.append((penalties.classified, constant(r.auxiliary)))
        terms.append((classified, r.auxiliary))
    if r.interpolate and spec is not None and spec.c is not None:
        terms.append((interpolated(loss(r).generator, partial(mixed, spec.c)), r.interpolate))
    if r.contrast:
        weights.append((penalties.contrast, constant(r.contrast)))
    if r.mismatch:
        third = penalties.mismatch_original if r.loss == "matching_aware" else penalties.mismatch
        weights.append((third, constant(r.mismatch)))
    pulls = ((penalties.historical, r.history), (penalties.decay, r.weight_decay))
    glass, watch, longest = augment.parse(r.augment), (), r.average * r.samples
    if r.instance_noise:
        noise = augment.instance_noise(linear(r.instance_noise, 0.0, 0.7 * r.samples))
        glass = noise if glass is None else augment.chain(glass, noise)
    if r.augment.partition(":")[0] == "ada":
        watch = (augment.adapt(relative=(r.loss or "").startswith("relativistic")),)
    return Method(
        loss=loss(r),
        penalties=tuple(weights),
        terms=tuple((term, constant(weight)) for term, weight in terms),
        adversarial=constant(r.adversarial),
        pulls=tuple((pull, constant(weight)) for pull, weight in pulls if weight),
        vary=top_k(geometric(1.0, r.top_k, 0.5 * r.samples)) if r.top_k < 1 else None,
        augment=glass,
        watch=watch,
        project=penalties.clip(r.clip) if r.clip else None,
        lr_G=rise_and_fall(r.lr, r.lr * r.lr_end, r.samples, power=r.settle),
        lr_D=rise_and_fall(r.lr_D, r.lr_D * r.lr_end, r.samples),
        beta1=r.beta1 or 0.0,
        beta2=cosine(min(0.9, r.beta2), r.beta2, r.samples),
        halflife=lambda seen: min(0.05 * seen, longest),
        critic_steps=r.critic_steps,
        generator_steps=r.generator_steps,
        micro=r.micro,
        seed=r.seed,
        bf16=r.precision == "bf16",
        generator_loss=ways.route(r),
        feed=own_frames(linear(0.0, r.forcing, 0.5 * r.samples)) if r.forcing else as_given,
    )


def warnings(r: Recipe) -> list[str]:
    """What is allowed, and yet likely a mistake."""
    said = []
    names = set(named_penalties(r)) | ({"r1"} if r.r1 else set()) | ({"r2"} if r.r2 else set())
    if r.loss == "wasserstein" and not (names & penalties.LIPSCHITZ or r.clip or r.spectral != "none"):
        said.append(
            "the Wasserstein loss has no bound without a Lipschitz penalty: D's scores will grow for ever; "
            "add --penalties wgan_gp=10, or --r1 and --r2, or --clip 0.01, or --spectral D"
        )
    if r.loss == "matching_aware" and not r.mismatch and "mismatch_original" not in names:
        said.append(
            "the matching-aware loss gives fakes half a weight, and nothing takes the other half: give --condition "
            "class or caption, or --loss nonsaturating"
        )
    if r.clip and names & penalties.LIPSCHITZ:
        said.append("weight clipping beside a gradient penalty does the same twice; the penalty alone is better")
    return said


def loss(r: Recipe) -> Loss:
    """The recipe's loss; smoothed=LABEL is made with its label."""
    name, _, label = (r.loss or "relativistic").partition("=")
    if not label:
        return find(LOSSES, name, "loss")
    if name != "smoothed":
        raise RequestError(f"--loss {r.loss}: smoothed alone takes a number, the label of reals; write --loss {name}")
    with requested():
        return smoothed(float(label))


def named_terms(r: Recipe) -> dict[str, tuple[Any, float]]:
    """The terms of G's turn by name, each with its weight."""
    return weighted(r.terms or "", TERMS, "term")


def named_penalties(r: Recipe) -> dict[str, tuple[Any, float]]:
    """The further penalties of D by name, each with its weight."""
    found = weighted(r.penalties, PENALTIES, "penalty")
    for name in found:
        if pairing(name) and r.condition in (None, "none"):
            raise RequestError(
                f"penalty {name!r} compares conditions; give --condition class or caption, or leave it out"
            )
    return found
