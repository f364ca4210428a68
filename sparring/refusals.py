"""What no run could use, what contradicts itself, what is likely a mistake; and the way out of each."""

import math
import os
from collections.abc import Iterator

from . import augment, penalties, ways
from .extractors import EXTRACTORS
from .metrics import MEASURES
from .names import RequestError, find, nearest, number, requested
from .nets import sizes
from .nets.blocks import pyramid
from .prices import loss, named_penalties, named_terms
from .priors import PRIORS
from .settings import Recipe
from .spaces import Image, Spec, Tokens
from .worlds import WORLDS, WRITTEN

OF_BATCHES = ("feature_matching", "mode_seeking")  # terms that take means over the whole batch
NEUTRAL = dict(norm="none", group=1, kernels=0, pack=1, forget=0.0, patches=1)  # networks' options that do nothing
OF_PICTURES, OF_WORDS = ("size", "fit", "augment"), ("spelling", "length")
OF_WRITING = (
    "rollouts",
    "tau",
    "tau_end",
    "relax",
    "reward",
    "discount",
    "baseline",
    "baseline_decay",
    "entropy",
    "ratio",
)
TRUTHS = ("modes", "quality", "valid", "kl", "obeyed")  # of worlds, that a run may aim at


def check(r: Recipe) -> None:
    """Refuses values that no run could use; names are looked up, numbers are held to their ranges."""
    loss(r)
    ways.check(r)
    for name in penalties.PAIRING:
        if (value := getattr(r, name)) and r.condition in (None, "none"):
            raise RequestError(
                f"--{name} {value} compares conditions; give --condition class or caption, or leave it out"
            )
    find(PRIORS, r.prior, "prior")
    if r.net != "auto":
        find(sizes.PAIRS, r.net, "net")
    if r.extractor is not None:
        find(EXTRACTORS, r.extractor, "extractor")
    named_penalties(r)
    for words in contradictions(r):
        raise RequestError(words)
    with requested():
        augment.parse(r.augment)
    for name, value in r.asdict().items():
        if isinstance(value, float) and not math.isfinite(value):
            raise RequestError(f"--{name} {value} must be a finite number")
    counts = ("size", "width", "batch", "micro", "lazy", "critic_steps", "group", "pack", "patience")
    counts += ("generator_steps", "length", "evaluate_n", "evaluate_final")
    counts += ("log_every", "sample_every", "evaluate_every", "checkpoint_every")
    amounts = ("ratio", "tau", "tau_end", "rollouts", "lr", "lr_D", "clip", "gamma_end", "settle", "top_k")
    for name in (*counts, "patches", "past", *amounts):
        value = getattr(r, name)
        if value is not None and not value > 0:
            raise RequestError(f"--{name} {value} must be above 0")
    if r.size is not None:
        with requested():
            pyramid(r.size)
    for name in ("evaluate_n", "evaluate_final"):
        if (value := getattr(r, name)) < 2:
            raise RequestError(f"--{name} {value} must be at least 2: one sample has no spread")
    ours = (
        "adversarial",
        "history",
        "instance_noise",
        "unroll",
        "kernels",
        *penalties.PAIRING,
        "auxiliary",
        "naming",
        "interpolate",
    )
    for name in ("z", "r1", "r2", "drift", "lr_end", "average", "weight_decay", "pretrain", *ours):
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
    check_length(r.samples, r.minutes)
    check_processes(r)


def check_length(samples: int | None, minutes: float | None) -> None:
    """Refuses what is no length of a run."""
    for name, value in (("samples", samples), ("minutes", minutes)):
        if value is not None and not (0 < value < math.inf):
            raise RequestError(f"--{name} {value} must be a number above 0")
    if samples and minutes:
        raise RequestError("--samples and --minutes both set the length of the run; give one")


def check_processes(r: Recipe) -> None:
    """Refuses shares of a batch that are uneven, or, as pieces of it, would cut what D looks at together."""
    if r.batch and r.batch % processes():
        raise RequestError(f"--batch {r.batch} cannot be shared equally by {processes()} processes")
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
        "naming": r.naming,
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


def check_place(r: Recipe, spec: Spec) -> None:
    """Refuses what was given for another kind of data."""
    texts, usual = isinstance(spec.x, Tokens), Recipe()
    for kind, here, names in (
        ("pictures", isinstance(spec.x, Image), OF_PICTURES),
        ("texts and captions", texts or isinstance(spec.c, Tokens), OF_WORDS),
        ("texts", texts, OF_WRITING),
    ):
        for name in names if not here else ():
            if (value := getattr(r, name)) != getattr(usual, name):
                raise RequestError(f"--{name} {value} is for {kind}, and {r.data!r} has none: leave it out")
    of_pictures = [f"--penalties {k}" for k in named_penalties(r) if k == "consistency"]
    of_pictures += [f"--terms {k}" for k in named_terms(r) if k == "gradients"]
    if of_pictures and not isinstance(spec.x, Image):
        raise RequestError(f"{of_pictures[0]} is for pictures, and {r.data!r} has none: leave it out")
    if r.data.partition("=")[0] in WRITTEN and r.spelling != usual.spelling:
        raise RequestError(
            f"--spelling {r.spelling} is for texts of your own, and {r.data!r} has its signs: leave it out"
        )


def contradictions(r: Recipe) -> Iterator[str]:
    """What cannot be had together, and the way out."""
    terms = named_terms(r)
    if not r.adversarial and not terms:
        yield "--adversarial 0 leaves G nothing to learn from: give --terms, such as feature_matching=1"
    if r.forcing and (compared := [name for name in terms if name in ("energy", "l1", "l2", "gradients")]):
        yield f"--terms {compared[0]} compares with the frame that followed the real past, not G's own: drop --forcing"
    if r.stop == "plateau" and r.tau_end not in (None, r.tau):
        yield f"--tau_end {r.tau_end:g} is that of the whole run, and --stop plateau may end it sooner: drop one"
    if r.optimizer == "rmsprop" and r.beta1:
        yield f"--beta1 {r.beta1} is of Adam, and --optimizer rmsprop has no momentum: drop one"
    if r.clip and r.spectral != "none":
        yield "--clip and --spectral each bound D's weights, and clipping would bound what is then divided: drop one"
    compared = r.mismatch or r.contrast or any(map(penalties.pairing, named_penalties(r)))
    if r.auxiliary and (r.condition != "class" or compared or (r.pack or 1) > 1):
        wants = "--contrast wants" if r.contrast else "--mismatch wants"
        other = f"{wants} D to compare conditions" if compared else f"--pack {r.pack} shows it several samples"
        yield f"--auxiliary {r.auxiliary:g}: D tells the class of one sample, and is not told it; " + (
            f"{other}: drop one" if r.condition == "class" else "give --condition class, or leave it out"
        )
    if r.naming and (r.condition != "caption" or r.encoder):
        yield f"--naming {r.naming:g}: D names words of captions: give --condition caption, and no --encoder"
    if r.naming and (r.pack or 1) > 1:
        yield f"--naming {r.naming:g} asks for the words of one sample, and --pack {r.pack} shows D several: drop one"
    if (r.contrast or "contrast" in named_penalties(r)) and (r.pack or 1) > 1:
        yield f"--contrast scores each sample under every condition, and --pack {r.pack} shows D several: drop one"
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
        raise RequestError(
            "--stop target needs --target NAME=VALUE, such as fid=2" + (f", not {r.target!r}" if r.target else "")
        )
    known = [*MEASURES, *TRUTHS] if r.data in WORLDS else list(MEASURES)
    if name not in known:
        raise RequestError(f"--target {r.target!r}: {name!r} is none of {', '.join(known)}{nearest(name, known)}")
    if equals and r.stop != "target":
        raise RequestError(
            f"--target {r.target}: a value is for --stop target, which ends the run there: add that, or say {name}"
        )
    if equals and number(value) is None:
        raise RequestError(f"--target {r.target!r}: {value!r} is no number; write NAME=VALUE, such as fid=2")


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
    if (r.lazy or 1) >= 8 and r.optimizer != "soap":
        said.append(
            f"--lazy {r.lazy}: with r1 and r2 at one step in 8 by Adam, the authors of R3GAN saw worse pictures, and "
            "stacked digits not learned at all; give --lazy 2 or 4, or --optimizer soap"
        )
    return said


def processes() -> int:
    """As many as torchrun has started."""
    return int(os.environ.get("WORLD_SIZE", "1"))
