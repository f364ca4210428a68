"""What samples are compared by.  An extractor makes features (B, d) of samples in played form, and has a `name`.

    raw         the numbers themselves                          any
    pca         their 64 directions of most variance            any, after the training examples
    random      a random convolution network                    pictures, frames, words; costs nothing
    learned     a network that learned from two looks at each   pictures, frames; minutes, then kept
                or, of texts, to know the next token            words; seconds, then kept
    classifier  a network that learned the classes              the same, where there are labels
    inception   the network of published FIDs, from --weights   pictures

What has learned has seen the training examples only, never those held out.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ..data import Dataset, Split
from ..metrics import Bank
from ..names import tried
from ..spaces import Frames, Image, Space, Tokens, Vector, shape
from . import kept, learned, weights
from .contract import ExtractorError, batch_of, features, place, planes, played
from .own import own
from .pca import Pca
from .sized import RESIZES, Sized
from .standard import FidInception
from .untrained import Identity, RandomConv, RandomWords

__all__ = [
    "EXTRACTORS",
    "RESIZES",
    "ExtractorError",
    "Making",
    "batch_of",
    "cheap",
    "convert",
    "features",
    "make",
    "place",
    "played",
    "reference",
    "taken",
    "usual",
]

convert = weights.convert


Bar = Callable[[str], Callable[[int, int], object]]


def _no_bar(what: str) -> Callable[[int, int], object]:
    return lambda done, total: None


@dataclass(frozen=True)
class Making:
    """All that an extractor may be made from.

    data: whose training examples it may learn from; weights: of `inception`, as `weights.inception` takes them.
    minutes: of learning, at most; seed: of learning; cache: a folder, None for the usual one.
    bar: what a bar of progress is begun with, to give `progress(done, total)`.
    """

    data: Dataset
    weights: str | None = None
    minutes: float = 5.0
    seed: int = 0
    cache: Path | None = None
    bar: Bar = _no_bar

    @property
    def space(self) -> Space:
        return self.data.spec.x


def cheap(space: Space) -> nn.Module:
    """The extractor that costs nothing: what training looks through while it runs."""
    match space:
        case Vector():
            return Identity().eval()
        case Image(channels, size):
            return RandomConv(channels, size).eval()
        case Frames(count, channels, size):
            return RandomConv(count * channels, size).eval()
        case Tokens(length, vocab):
            return RandomWords(vocab, length).eval()
    raise TypeError(f"no extractor is known for {space!r}; give a module that makes (B, d) features of its samples")


def usual(space: Space, given: str | None = None) -> list[str]:
    """The names of the extractors that a space is measured by where none is asked for.

    Pictures without the standard weights are measured by two, which see different faults: a random network sees noise
    and blur first, a learned one classes that are missing.
    """
    match space:
        case Image():
            return ["inception"] if weights.wanted(given) else ["random", "learned"]
        case Frames() | Tokens():
            return ["random", "learned"]
        case Vector():
            return ["raw"]
    return ["random"]


def make(names: Mapping[str, Any], m: Making, resize: str | None = None) -> list[nn.Module]:
    """The extractors of these names in `EXTRACTORS`; under another name anybody's own, as `own` takes it.

    resize: a rule of `RESIZES` for those with a side of their own, None for `clean`.
    """
    if resize not in (None, *RESIZES):
        raise ExtractorError(f"resize {resize!r} is none of {', '.join(RESIZES)}")
    if m.weights and not any(name.startswith("inception") for name in names):
        raise ExtractorError(
            f"--weights are those of inception, and not of {', '.join(names)}; add inception, or leave them out"
        )
    made = [_made(name, thing, m, resize or "clean") for name, thing in names.items()]
    if resize and not any(isinstance(extractor, Sized) for extractor in made):
        raise ExtractorError(
            f"--resize {resize} has nothing to do: none of {', '.join(names)} has a size of its own; leave it out, or "
            "give your module a `side`, in pixels"
        )
    return made


def taken(extractor: nn.Module, x: Tensor, space: Space, bar: Bar = _no_bar, what: str = "samples") -> Bank:
    """Features of samples in stored form (n, ...); the bank's source is the extractor's name."""
    progress = bar(f"features of {len(x):,} {what} by {extractor.name}")
    return _bank(extractor, features(extractor, played(x, space, batch_of(extractor)), progress, len(x)))


def reference(extractor: nn.Module, m: Making, part: str, n: int) -> Bank:
    """Features of the first n examples of `part` (train or heldout), from the cache if they were taken before."""
    split: Split = getattr(m.data, part)

    def anew() -> Tensor:
        x = split.take(range(min(n, len(split))))[0]
        return taken(extractor, x, m.space, m.bar, f"examples ({part})").features

    if extractor.name == "raw" or not getattr(extractor, "kept", True):
        return _bank(extractor, anew())
    return _bank(extractor, kept.features(m.data, part, n, str(extractor.name), m.cache, anew))


def _bank(extractor: nn.Module, x: Tensor) -> Bank:
    return Bank(x.shape[1], str(extractor.name)).update(x)


def _made(name: str, thing: Any, m: Making, resize: str) -> nn.Module:
    if name in EXTRACTORS:
        extractor = EXTRACTORS[name](m)
    else:
        with tried(f"--extractor {name}"):
            extractor = own(thing, name)
    if hasattr(extractor, "side"):
        _pictures(m.space, name)
        extractor = Sized(extractor, resize)
    return extractor.eval()


def _pictures(space: Space, name: str) -> None:
    if not isinstance(space, Image):
        raise ExtractorError(f"extractor {name!r} looks at pictures, not at {space!r}; leave --extractor out")


def _random(m: Making) -> nn.Module:
    if isinstance(m.space, Vector):
        raise ExtractorError(f"extractor 'random' convolves, and {m.space!r} has nothing beside anything; take raw")
    return cheap(m.space)


def _pca(m: Making) -> nn.Module:
    fit = min(5000, max(200, 2**26 // math.prod(shape(m.space))))  # and fewer of large pictures
    few = m.data.train.take(range(min(len(m.data.train), fit)))[0]
    return Pca(few.float() if isinstance(m.space, Vector) else m.space.encode(few))


def _learned(m: Making) -> nn.Module:
    return _kept(m, 0)


def _classifier(m: Making) -> nn.Module:
    if m.data.classes is None or m.data.train.labels is None:
        raise ExtractorError(
            f"extractor 'classifier' needs classes, and {m.data.card['source']} has none; take learned, or put each "
            "class in a subfolder of its own"
        )
    return _kept(m, len(m.data.classes))


def _kept(m: Making, classes: int) -> nn.Module:
    if classes or not isinstance(m.space, Tokens):
        planes(m.space, "classifier" if classes else "learned")
    what = "learning to tell the classes" if classes else "learning features of the training examples"

    options = {"seed": m.seed, "minutes": m.minutes, "steps": learned.STEPS}

    def made() -> learned.Learned:
        return learned.learn(m.data.train, m.space, classes, **options, progress=m.bar(what))

    net, _, notes = kept.network(m.data, classes, options, m.cache, made)
    net.notes = notes  # type: ignore[assignment]
    return net


def _inception(bf16: bool) -> Callable[[Making], nn.Module]:
    def made(m: Making) -> nn.Module:
        _pictures(m.space, "inception")
        return FidInception(m.weights, bf16)

    return made


EXTRACTORS: dict[str, Callable[[Making], nn.Module]] = {
    "raw": lambda m: Identity(),
    "pca": _pca,
    "random": _random,
    "learned": _learned,
    "classifier": _classifier,
    "inception": _inception(False),
    "inception-bf16": _inception(True),
}
