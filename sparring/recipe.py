"""From a recipe's names and numbers to the things that play."""

from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.nn import Module

from . import augment, machine, penalties, ways, worlds
from .data import Dataset
from .defaults import DEFAULTS, by_class, join
from .losses import top_k
from .names import RequestError, find, nearest, requested, tried
from .nets import sizes
from .nets.blocks import spectral
from .nets.conditions import Auxiliary, Named, mixed
from .prices import loss, named_penalties, named_terms
from .priors import PRIORS
from .refusals import NEUTRAL, check_kind, check_place, check_processes
from .routes import own_frames
from .schedules import constant, cosine, geometric, linear, rise_and_fall
from .settings import Recipe, by_length, with_intervals
from .spaces import Frames, Image, Spec, Vector
from .terms import classified, interpolated, named
from .train import Method, as_given
from .worlds import WORLDS

SMALL = 2**15  # examples of a step times the width of a layer


def plan(r: Recipe, data: Dataset, device: torch.device) -> tuple[Recipe, list[str]]:
    """The recipe with every choice made, and the reasons in words."""
    spec, reasons = data.spec, []
    if r.net == "auto" or r.width is None:
        with requested():
            asked = None if r.net == "auto" else r.net
            chosen = sizes.choose(spec, len(data.train), device, r.route, asked)
        r = replace(r, net=chosen.name, width=r.width or chosen.width)
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
        r = replace(r, terms="" if not past else own if r.forcing else "energy=1:0.1")
        if r.terms:
            reasons.append(f"terms: {r.terms}, for D, which meets each past once, cannot tell one future from many")
    r = paired(r)
    if r.naming:
        reasons.append(
            f"naming: {r.naming:g} at first, a tenth of it in the end, for what is small seldom tells captions apart"
        )
    if isinstance(spec.x, Image):
        usual = "0.05 for next frames" if past else "(size / 32)^2"
        usual += ", times the classes up to ten," if by_class(r, spec) else ""
        often = f", by turns, each at one step in {r.lazy} and so much heavier there" if (r.lazy or 1) > 1 else ""
        reasons.append(f"slope penalties: r1 {r.r1:g} and r2 {r.r2:g} ({usual} if left out){often}; batch {r.batch}")
    if r.optimizer == "soap":
        reasons.append(f"optimizer: soap, lr {r.lr:g} and lr_D {r.lr_D:g}; its steps cost more, and fewer are needed")
    small = isinstance(spec.x, Vector) and ":" not in r.net and (r.batch or 0) * (r.width or 0) <= SMALL
    if small and device.type == "cpu" and not r.threads:
        r = replace(r, threads=1)
        reasons.append("threads: 1, for steps are small; for more give --threads")
    if r.precision == "auto":
        pictures = isinstance(spec.x, Image)
        r = replace(r, precision="bf16" if pictures and machine.fast_bf16(device) else "fp32")
        why = "the faster of two on this machine for these networks" if pictures else "bf16 is tried for pictures alone"
        reasons.append(f"precision: {r.precision}, {why}")
    if r.forcing and not past:
        raise RequestError(f"--forcing {r.forcing} feeds G frames of its own, and {r.data} has none; leave it out")
    check_processes(r)
    check_kind(r, spec)
    check_place(r, spec)
    return r, reasons


def paired(r: Recipe) -> Recipe:
    """The recipe with how D learns that a sample and its condition belong together."""
    by_name = any(map(penalties.pairing, named_penalties(r)))
    free = r.mismatch is None and not by_name and r.loss != "matching_aware" and ":" not in r.net and (r.pack or 1) == 1
    if r.contrast is None:
        r = replace(r, contrast=float(free and r.condition == "caption"))
    if r.mismatch is None:
        half = r.loss == "matching_aware" and r.condition in ("class", "caption") and not r.auxiliary
        one = r.condition == "caption" and not r.contrast
        r = replace(r, mismatch=0.0 if by_name else 0.5 if half else float(one))
    if r.naming is None:
        r = replace(r, naming=float(free and bool(r.contrast) and r.condition == "caption" and not r.encoder))
    return r


GAME = ("loss", "r1", "r2", "gamma_end", "lazy", "drift", "clip")
GAME += ("lr", "lr_D", "lr_end", "settle", "beta1", "beta2")


def filled(r: Recipe, spec: Spec, device: torch.device) -> Recipe:
    """The recipe with the defaults of this kind of data where it leaves a choice open."""
    defaults = DEFAULTS[type(spec.x)](r, spec, device)
    r = replace(r, **{k: v for k, v in defaults.items() if getattr(r, k) is None})
    return replace(r, lr_D=r.lr if r.lr_D is None else r.lr_D)


def usual(r: Recipe, spec: Spec, device: torch.device) -> Method:
    """How this data and these players would play by the default game: loss, penalties and rates as if left out."""
    plain = replace(r, **dict.fromkeys(GAME), penalties="", critic_steps=1)  # type: ignore[arg-type]
    return method(filled(plain, spec, device), spec)


def lengthened(r: Recipe, samples: int) -> Recipe:
    """The recipe over another number of samples; intervals that went by its length go by the new one."""
    return with_intervals(replace(r, **dict.fromkeys(by_length(r)), samples=samples, minutes=None))  # type: ignore


def source(r: Recipe) -> Any:
    """What `data.open` opens: a world, a path, or what the user's own function makes."""
    if (world := r.data.partition("=")[0]) in WORLDS:  # oracle=FILE.npz
        with requested():
            return worlds.open(r.data, size=r.length if world in worlds.WRITTEN else r.size, past=r.past)
    if ":" in r.data and not Path(r.data).exists():
        with tried(f"DATA {r.data}"):
            return find({}, r.data, "data")()
    if not Path(r.data).exists():
        raise RequestError(
            f"data {r.data!r} is no file or folder here, and no world (worlds: {', '.join(WORLDS)})"
            f"{nearest(r.data, [*WORLDS, *map(str, Path(r.data).parent.glob('*'))])}"
        )
    return r.data


def players(r: Recipe, spec: Spec) -> tuple[Module, Module]:
    """The pair of networks, from the recipe's seed."""
    with tried(f"--prior {r.prior}") if ":" in r.prior else nullcontext():
        prior = find(PRIORS, r.prior, "prior")(r.z) if r.z else None
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(r.seed)  # the networks are made on the CPU
        pair = find(sizes.PAIRS, r.net, "net")

        def make(spec: Spec) -> tuple[Module, Module]:
            if ":" in r.net:
                with tried(f"--net {r.net}"):
                    return pair(spec, prior, r.width)
            able = sizes.options(pair)
            asked = {k: v for k in NEUTRAL if (v := getattr(r, k)) is not None and (k in able or v != NEUTRAL[k])}
            with requested():
                return sizes.build(r.net, spec, prior, width=r.width, join=r.join or join(spec), **asked)  # type: ignore[arg-type]

        G, D = make(spec)
        with requested():
            D = Auxiliary(make(Spec(spec.x))[1], spec) if r.auxiliary else Named(D, spec) if r.naming else D
        if "feature_matching" in named_terms(r) and not hasattr(D, "features"):
            raise RequestError(f"feature_matching compares D.features(x, c), and the D of {r.net} has none: add it")
        if (r.contrast or "contrast" in named_penalties(r)) and not hasattr(D, "every"):
            raise RequestError(
                f"--contrast asks D.every(x, c), scores (B, M) of each sample under each of M conditions, and the D of "
                f"{r.net} has none: add it, or give --mismatch 1"
            )
        with requested():
            return spectral(G) if r.spectral == "both" else G, spectral(D) if r.spectral != "none" else D


def method(r: Recipe, spec: Spec | None = None) -> Method:
    """The recipe's way to play.  Every schedule runs over the whole budget of samples.

    spec: of the data, where G is to interpolate conditions.
    """
    assert r.samples and r.lr and r.lr_D and r.lr_end is not None and r.settle and r.beta2 is not None
    assert r.gamma_end and r.r1 is not None and r.r2 is not None and r.average is not None
    fall = partial(geometric, over=0.7 * r.samples)
    slopes = (penalties.r1, r.r1), (penalties.r2, r.r2)
    weights = [(penalty, fall(gamma, gamma * r.gamma_end)) for penalty, gamma in slopes if gamma]
    if r.drift:
        weights.append((penalties.drift, constant(r.drift)))
    weights += [(penalty, fall(*ends)) for penalty, *ends in named_penalties(r).values()]
    terms = [(term, fall(*ends)) for term, *ends in named_terms(r).values()]
    if r.auxiliary:
        weights.append((penalties.classified, constant(r.auxiliary)))
        terms.append((classified, constant(r.auxiliary)))
    if r.naming:
        over = 0.8 * r.samples  # what is learned by then stays, and the pictures gain
        weights.append((penalties.named, cosine(r.naming, r.naming / 10, over)))
        terms.append((named, cosine(r.naming / 5, r.naming / 50, over)))
    if r.interpolate and spec is not None and spec.c is not None:
        terms.append((interpolated(loss(r).generator, partial(mixed, spec.c)), constant(r.interpolate)))
    if r.contrast:
        weights.append((penalties.contrast, constant(r.contrast)))
    if r.mismatch:
        third = penalties.mismatch_original if r.loss == "matching_aware" else penalties.mismatch
        weights.append((third, constant(r.mismatch)))
    pulls = ((penalties.historical, r.history), (penalties.decay, r.weight_decay))
    glass, watch, longest = augment.parse(r.augment), (), r.average * r.samples
    early = max(0.05, r.average)
    if r.instance_noise:
        noise = augment.instance_noise(linear(r.instance_noise, 0.0, 0.7 * r.samples))
        glass = noise if glass is None else augment.chain(glass, noise)
    if r.augment.partition(":")[0] == "ada":
        watch = (augment.adapt(),)
    return Method(
        loss=loss(r),
        penalties=tuple(weights),
        lazy=r.lazy or 1,
        terms=tuple(terms),
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
        halflife=lambda seen: min(early * seen, longest),
        critic_steps=r.critic_steps,
        generator_steps=r.generator_steps,
        micro=r.micro,
        seed=r.seed,
        bf16=r.precision == "bf16",
        generator_loss=ways.route(r),
        feed=own_frames(linear(0.0, r.forcing, 0.5 * r.samples)) if r.forcing else as_given,
    )
