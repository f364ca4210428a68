"""A run in names and numbers: what the command line and the run's folder speak.

Only this room turns names into things.
"""

import dataclasses
import difflib
import importlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import Module

from . import augment, machine, penalties, worlds
from .chance import generator
from .data import Dataset
from .losses import LOSSES
from .nets import sizes, vector
from .nets.blocks import pyramid
from .priors import PRIORS
from .schedules import constant, cosine, geometric, rise_and_fall
from .spaces import Image, Spec, Vector
from .spaces import from_json as spec_from_json
from .spaces import to_json as spec_json
from .train import Method
from .worlds import WORLDS


class RequestError(ValueError):
    """What was asked cannot be done; the message names the value, the choices and the way out."""


@dataclass(frozen=True)
class Recipe:
    """What to train, and how.  None means: chosen from the data and the machine, and written out in recipe.yaml."""

    data: str = "faces"
    """a world's name (see `sparring worlds`), a folder or zip of images, an .npz or .npy, or module:name"""
    size: int | None = None
    """side of the pictures in pixels"""
    fit: Literal["crop", "pad", "stretch"] = "crop"
    """how pictures that are not square become square"""
    condition: Literal["none", "class"] = "none"
    """what is made from: nothing, or the class (subfolder or label)"""

    loss: str = "relativistic"
    """a loss by name (a wrong name lists them), or module:name"""
    r1: float | None = None
    """weight of |slope of D at real samples|^2 / 2, at the start"""
    r2: float | None = None
    """the same at generated samples"""
    gamma_end: float | None = None
    """the share of r1 and r2 that is left at 0.7 of the run, by the same factor each sample"""
    penalties: str = ""
    """more penalties of D: NAME=WEIGHT or module:name=WEIGHT, with commas between"""
    clip: float | None = None
    """clip D's weights to [-clip, clip] after each step (WGAN)"""
    augment: str = "none"
    """what D sees everything through: none, ada, or a list such as color,translation,cutout"""

    net: str = "auto"
    """the pair of networks by name, auto, or module:name of a function (spec, prior, width) -> (G, D)"""
    width: int | None = None
    """channels of the networks"""
    prior: str = "normal"
    """what z is drawn from, by name or module:name of a class (dim)"""
    z: int | None = None
    """dimensions of z"""
    join: Literal["concat", "add"] = "concat"
    """how the generator joins z and its condition"""

    samples: int | None = None
    """real samples shown to D in all; the length of the run"""
    minutes: float | None = None
    """or: as many samples as fit this time, by a timing at the start"""
    batch: int | None = None
    """samples a step, over all processes"""
    micro: int | None = None
    """samples a backward pass, if the batch does not fit in memory"""
    lr: float | None = None
    """highest learning rate of G, after a rise over the first 2 % of the run"""
    lr_D: float | None = None
    """highest learning rate of D; the same as lr by default"""
    lr_end: float | None = None
    """the share of the rates that is left at the end of the run, along half a cosine"""
    settle: float | None = None
    """power of the half cosine along which G's rate falls (D's is 1): above 1, G settles while D still learns"""
    beta1: float = 0.0
    """Adam's first decay"""
    beta2: float | None = None
    """Adam's second decay at the end; it begins at 0.9"""
    optimizer: Literal["adam", "rmsprop"] = "adam"
    """rmsprop is the choice of the first Wasserstein GAN"""
    critic_steps: int = 1
    """turns of D for each turn of G"""
    average: float = 0.02
    """half-life of the average generator, as a share of all samples; early in the run, less"""
    seed: int = 0
    """of everything random; the same seed gives the same run"""

    device: str = "auto"
    """cpu, cuda, or auto"""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """bf16: networks in bfloat16 where the processor is fast at it; parameters, scores and penalties stay float32"""
    threads: int = 0
    """of the CPU; 0 = all cores"""
    log_every: int | None = None
    """samples between two lines of stats.jsonl"""
    sample_every: int | None = None
    """samples between two sheets"""
    evaluate_every: int | None = None
    """samples between two evaluations"""
    checkpoint_every: int | None = None
    """samples between two checkpoints"""
    evaluate_n: int = 1000
    """generated samples an evaluation while training"""
    evaluate_final: int = 2000
    """generated samples in the evaluation at the end"""

    def asdict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def of(cls, saved: Mapping[str, Any]) -> "Recipe":
        """The recipe that `asdict` wrote; unknown keys are refused."""
        names = [f.name for f in dataclasses.fields(cls)]
        for key in saved:
            if key not in names:
                raise RequestError(f"the recipe has an unknown setting {key!r}{nearest(key, names)}")
        return cls(**saved)


PENALTIES = penalties.PENALTIES | {"consistency": penalties.consistency(augment.diffaugment("color,translation"))}
FREE = ("device", "threads", "micro")  # what a resumed run may change: none of it decides where the run goes


def plan(r: Recipe, data: Dataset, device: torch.device) -> tuple[Recipe, list[str]]:
    """The recipe with every choice made, and the reasons in words."""
    spec, reasons = data.spec, []
    if r.net == "auto" or r.width is None:
        with requested():
            chosen = sizes.choose(spec, len(data.train), device)
        r = replace(r, net=chosen.name if r.net == "auto" else r.net, width=r.width or chosen.width)
        reasons.append(f"networks: {chosen.reason}")
    if isinstance(spec.x, Vector):
        reasons.append(f"points are centred at {spec.x.center:.4g} and divided by {spec.x.scale:.4g}, their own spread")

    defaults = DEFAULTS[type(spec.x)](spec, device)
    r = replace(r, **{k: v for k, v in defaults.items() if getattr(r, k) is None})
    r = replace(r, lr_D=r.lr if r.lr_D is None else r.lr_D)
    if isinstance(spec.x, Image):
        reasons.append(f"slope penalties: r1 {r.r1:g} and r2 {r.r2:g} ((size / 32)^2 if left out), batch {r.batch}")
    if r.precision == "auto":
        r = replace(r, precision="bf16" if isinstance(spec.x, Image) and machine.fast_bf16(device) else "fp32")
        reasons.append(f"precision: {r.precision}, the faster of two on this machine for these networks")
    return r, reasons


LATE = dict(lr_end=0.0, beta2=0.99)


def _vector(spec: Spec, device: torch.device) -> dict[str, Any]:
    z = vector.sizes(spec).noise
    return dict(r1=1.0, r2=1.0, gamma_end=2e-4, z=z, batch=256, samples=5_000_000, lr=1e-3, settle=3.0) | LATE


def _image(spec: Spec, device: torch.device) -> dict[str, Any]:
    side: int = spec.x.size  # type: ignore[union-attr]
    gamma = (side / 32) ** 2
    batch = 16 if side >= 24 and device.type == "cpu" else 64  # on a CPU many small steps learn more
    return dict(r1=gamma, r2=gamma, gamma_end=0.1, z=64, batch=batch, samples=300_000, lr=1e-3, settle=1.0) | LATE


DEFAULTS: dict[type, Callable[[Spec, torch.device], dict[str, Any]]] = {Vector: _vector, Image: _image}


def with_intervals(r: Recipe) -> Recipe:
    """The recipe with what happens how often, now that its length is known."""
    samples, batch = r.samples or 0, r.batch or 0
    share = lambda part: max(samples // part, 10 * batch)
    every = dict(log_every=share(150), sample_every=share(24), evaluate_every=share(6), checkpoint_every=share(12))
    return replace(r, **{k: v for k, v in every.items() if getattr(r, k) is None})


def check(r: Recipe) -> None:
    """Refuses values that no run could use; names are looked up, numbers are held to their ranges."""
    find(LOSSES, r.loss, "loss")
    find(PRIORS, r.prior, "prior")
    if r.net != "auto":
        find(sizes.PAIRS, r.net, "net")
    weighted(r)
    with requested():
        augment.parse(r.augment)
        if r.size is not None:
            pyramid(r.size)
    counts = ("size", "width", "z", "samples", "batch", "micro", "critic_steps")
    amounts = ("minutes", "lr", "lr_D", "clip", "gamma_end", "settle")
    for name in (*counts, *amounts):
        value = getattr(r, name)
        if value is not None and not value > 0:
            raise RequestError(f"--{name} {value} must be above 0")
    for name in ("r1", "r2", "lr_end", "average"):
        value = getattr(r, name)
        if value is not None and not value >= 0:
            raise RequestError(f"--{name} {value} must be 0 or more")
    for name in ("beta1", "beta2"):
        value = getattr(r, name)
        if value is not None and not 0 <= value < 1:
            raise RequestError(f"--{name} {value} must be in [0, 1)")
    if r.samples and r.minutes:
        raise RequestError("--samples and --minutes both set the length of the run; give one")
    if r.batch and int(os.environ.get("WORLD_SIZE", "1")) > 1 and r.batch % int(os.environ["WORLD_SIZE"]):
        raise RequestError(f"--batch {r.batch} cannot be shared equally by {os.environ['WORLD_SIZE']} processes")


def source(r: Recipe) -> Any:
    """What `data.open` opens: a world, a path, or what the user's own function makes."""
    if r.data in WORLDS:
        return worlds.open(r.data, size=r.size)
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
    prior = find(PRIORS, r.prior, "prior")(r.z)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(r.seed)
        if ":" in r.net:
            return find({}, r.net, "net")(spec, prior, r.width)
        find(sizes.PAIRS, r.net, "net")
        with requested():
            return sizes.build(r.net, spec, prior, width=r.width, join=r.join)


def method(r: Recipe) -> Method:
    """The recipe's way to play.  Every schedule runs over the whole budget of samples."""
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
    weights += [(penalty, constant(weight)) for penalty, weight in weighted(r).values()]
    glass, watch, longest = augment.parse(r.augment), (), r.average * r.samples
    if r.augment.partition(":")[0] == "ada":
        watch = (augment.adapt(relative=r.loss.startswith("relativistic")),)
    return Method(
        loss=find(LOSSES, r.loss, "loss"),
        penalties=tuple(weights),
        augment=glass,
        watch=watch,
        project=penalties.clip(r.clip) if r.clip else None,
        lr_G=rise_and_fall(r.lr, r.lr * r.lr_end, r.samples, power=r.settle),
        lr_D=rise_and_fall(r.lr_D, r.lr_D * r.lr_end, r.samples),
        beta1=r.beta1,
        beta2=cosine(min(0.9, r.beta2), r.beta2, r.samples),
        halflife=lambda seen: min(0.05 * seen, longest),
        critic_steps=r.critic_steps,
        micro=r.micro,
        seed=r.seed,
        bf16=r.precision == "bf16",
    )


def warnings(r: Recipe) -> list[str]:
    """What is allowed, and yet likely a mistake."""
    said = []
    names = set(weighted(r)) | ({"r1"} if r.r1 else set()) | ({"r2"} if r.r2 else set())
    if r.loss == "wasserstein" and not (names & penalties.LIPSCHITZ or r.clip):
        said.append(
            "the Wasserstein loss has no bound without a Lipschitz penalty: D's scores will grow for ever; "
            "add --penalties wgan_gp=10, or --r1 and --r2, or --clip 0.01"
        )
    if r.clip and names & penalties.LIPSCHITZ:
        said.append("weight clipping beside a gradient penalty does the same twice; the penalty alone is better")
    return said


def find(table: Mapping[str, Any], name: str, kind: str) -> Any:
    """A thing of the table by its name, or module:attribute of anyone's own."""
    if ":" in name:
        module, _, attribute = name.partition(":")
        try:
            return getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            raise RequestError(f"{kind} {name!r} cannot be imported: {error}; is its folder on PYTHONPATH?") from error
    if name not in table:
        raise RequestError(
            f"{kind} {name!r} is none of {', '.join(table)}{nearest(name, table)}; for your own, write module:name"
        )
    return table[name]


def nearest(name: str, names: Any) -> str:
    """The words that ask whether the name nearest to this one was meant, or nothing."""
    close = difflib.get_close_matches(name, list(names), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def difference(then: Recipe, now: Recipe) -> str:
    """What differs between two recipes of one run, in words; empty if nothing that matters does."""
    a, b = then.asdict(), now.asdict()
    return "; ".join(
        f"{k} was {a[k]} when the run began and is {b[k]} now" for k in a if k not in FREE and a[k] != b[k]
    )


def save_generator(folder: Path, G: Module, r: Recipe, data: Dataset, seen: int) -> None:
    """The average generator alone: weights and a card, all that `load_generator` needs."""
    made = dict(net=r.net, width=r.width, prior=r.prior, z=r.z, join=r.join)
    card = dict(made=made, spec=spec_json(data.spec), seen=seen, classes=data.classes)
    save_file({k: v.detach().contiguous() for k, v in G.state_dict().items()}, folder / "weights.safetensors")
    (folder / "generator.json").write_text(json.dumps(card, indent=1))


def load_generator(folder: str | Path) -> tuple[Module, Spec, dict[str, Any]]:
    """G in eval mode, its spec, and its card.  `x = spec.x.decode(G(G.prior.sample(n)))`."""
    folder = Path(folder)
    if not (folder / "generator.json").exists():
        raise RequestError(f"{folder} holds no generator (no generator.json); give the folder `generator` of a run")
    card = json.loads((folder / "generator.json").read_text())
    spec = spec_from_json(card["spec"])
    G, _ = players(Recipe(**card["made"]), spec)
    G.load_state_dict(load_file(folder / "weights.safetensors"))
    return G.eval().requires_grad_(False), spec, card


@torch.no_grad()
def draw(G: Module, spec: Spec, n: int, seed: int = 0, c: Tensor | None = None, batch: int = 250) -> Tensor:
    """n samples in stored form, the same for the same seed; c in stored form, (n, ...)."""
    device = next(G.parameters()).device
    z = G.prior.sample(n, generator("draw", seed))  # type: ignore[union-attr]
    parts = []
    for i in range(0, n, batch):
        ci = None if c is None or spec.c is None else spec.c.encode(c[i : i + batch]).to(device)
        parts.append(spec.x.decode(G(z[i : i + batch].to(device), ci)).cpu())
    return torch.cat(parts)


def weighted(r: Recipe) -> dict[str, tuple[Any, float]]:
    """The further penalties by name, each with its weight."""
    found = {}
    for text in filter(None, r.penalties.split(",")):
        name, _, weight = text.rpartition("=")
        try:
            found[name] = find(PENALTIES, name or text, "penalty"), float(weight)
        except ValueError as error:
            if isinstance(error, RequestError):
                raise
            raise RequestError(f"penalty {text!r} has no weight; write NAME=WEIGHT, such as wgan_gp=10") from None
    if "mismatch" in found and r.condition == "none":
        raise RequestError("penalty 'mismatch' compares conditions; give --condition class, or leave it out")
    return found


@contextmanager
def requested() -> Iterator[None]:
    """Inside, a value that some room refuses is a wrong request."""
    try:
        yield
    except (ValueError, TypeError) as error:
        raise RequestError(str(error)) from error
