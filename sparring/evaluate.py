"""How good samples are: features first, then measures with error bars, beside what real samples would get."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from math import isfinite, isinf
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol, TypedDict

import numpy as np
import torch
from torch import Tensor, nn

from .extractors import batch_of, cheap, features, place, played
from .metrics import MEASURES, ON_LABELS, ON_PICTURES, ON_WORDS, Bank, Measure, Reader, Told, foreseen, measure
from .metrics.likelihood import Likelihood, divergences, entropy_gap, perplexity
from .metrics.measure import Of
from .metrics.words import copied, sentences
from .names import RequestError
from .sequences import END, mask
from .spaces import Frames, Image, Space, Spec, Tokens

NOTHING: Mapping[str, Any] = MappingProxyType({})


class Judge(Protocol):
    """A world, as far as it tells the truth about samples in stored form."""

    def judge(self, x: Tensor, c: Tensor | None = None) -> dict[str, float]: ...


class _Infinite(TypedDict, total=False):
    infinite: bool  # there, and true, where the value is known and JSON has no number for it


class Numbers(_Infinite):
    """One measure in JSON; None where a number is infinite, or not known."""

    value: float | None
    se: float | None
    better: str


class Foreseen(TypedDict):
    """Next frames against those that came."""

    metrics: dict[str, Numbers]
    truth: dict[str, float | None]


class Report(TypedDict):
    """What `sparring evaluate --json` prints."""

    data: str
    split: str
    n_real: int
    n_fake: int
    metrics: dict[str, Numbers]
    truth: dict[str, float | None]
    extractor: str
    resize: str  # the rule by which pictures came to the extractor's size: clean, tf1, none
    ceiling: dict[str, Numbers | float | None]  # measures and truth of real samples
    notes: list[str]  # what a reader must know before comparing these numbers with others
    beside: dict[str, Foreseen]  # of next frames: what others would get, such as to copy the last frame


def evaluate(
    real: Tensor,
    fake: Tensor,
    spec: Spec,
    world: Judge | None = None,
    extractor: nn.Module | None = None,
    measures: Mapping[str, Of[Measure]] | None = None,
    seed: int = 0,
    *,
    c: Tensor | None = None,
    others: Tensor | None = None,
    known: Mapping[str, Bank] = NOTHING,
    score: Likelihood | None = None,
    labels: Mapping[str, np.ndarray | None] = NOTHING,
    ceiling: bool = True,
    data: str = "",
    split: str = "heldout",
    strict: bool = False,
) -> Report:
    """Made samples against real ones, both in stored form (n, ...), and what the world that knows says of them.

    `c`, what the made samples were made from, goes to the world's judge.  `others` are further real samples, such as
    training ones: the ceiling is what as many of them as there are made samples get.  Without others so many of `real`,
    half of it at most, are held against the rest; FID of fewer samples is higher, so that ceiling is a modest one.
    measures: None for the `usual` ones.  score: what log-likelihood (n,) the generator of texts gives to such in stored
    form; then its divergences from a world that knows its law, or else the perplexity of real texts, are measured.
    `known` are features of `real`, `fake` or `others`, under these names, if this extractor has already taken them;
    `labels` the classes (n,) of each, where they have some.  A classifier, where one is asked for, is that of the
    extractor, or else a linear one on its features, learned from the others (from `real` if there are none).
    A measure that these samples do not allow is left out, and a note says why; if `strict`, RequestError does.
    Next frames (c are Frames) are also held against those that came, which must stand at the same places of `real`;
    as is, with a ceiling, the last frame.
    """
    extractor = cheap(spec.x) if extractor is None else extractor
    measures = usual(spec.x) if measures is None else measures
    name = getattr(extractor, "name", type(extractor).__name__)

    def of(x: Tensor, side: str) -> Tensor:
        if side not in known:
            return features(extractor, played(x, spec.x, batch_of(extractor)))
        if known[side].source != name:
            raise ValueError(f"{side}: features by {known[side].source} beside others by {name}; use one for all")
        if len(known[side]) != len(x):
            raise ValueError(f"{side}: {len(known[side])} features of {len(x)} samples; give one of each")
        return known[side].features

    side = lambda which, x: Side(x, of(x, which), labels.get(which))
    a, b = side("real", real), side("fake", fake)
    rest = None if others is None else side("others", others)
    refused: dict[str, ValueError] = {}
    says, told_by = reader(extractor, rest or a, a) if any(k in ON_LABELS for k in measures) else (None, [])
    found = measured(a, b, spec.x, measures, refused) | of_classes(a, b, says, measures, refused)
    if strict and refused:
        k, reason = next(iter(refused.items()))
        raise RequestError(f"{k} cannot be measured by {name}: {reason}")
    again = copies(spec.x, others, fake, refused)

    report = Report(
        data=data,
        split=split,
        n_real=len(a.x),
        n_fake=len(b.x),
        metrics=numbers(dict(sorted(found.items(), key=lambda named: rank(named[0], measures)))),
        truth={k: finite(v) for k, v in world.judge(fake, c).items()} if world else {},
        extractor=name,
        resize=getattr(extractor, "resize", "none"),
        ceiling={},
        notes=cautions(a.features, b.features, measures, refused) + told_by,
        beside={},
    )
    if score is not None and isinstance(spec.x, Tokens):
        report["metrics"] |= numbers(likelihoods(real, fake, world, score))
        if hasattr(world, "entropy"):
            gap, se = entropy_gap(world.entropy, score(fake))  # type: ignore[union-attr]
            report["truth"] |= {"entropy_gap": finite(gap), "entropy_gap_se": finite(se)}
    report["metrics"] |= numbers(again)
    if isinstance(spec.c, Frames) and c is not None:
        report["metrics"] |= ahead(real, fake, c, None)["metrics"]
        report["beside"] = {"copy-last": ahead(real, c[:, -1], c, world)} if ceiling else {}
    if ceiling:
        held, good = real_against_real(a, len(b.x), rest, seed)
        if rest is None:
            says = says and reader(extractor, good, held)[0]

        truth = {}
        if world and (c is None or isinstance(spec.c, Frames)):
            truth = world.judge(real, None if c is None else c[: len(real)])
        # The classifier knows the others by heart, so in what it says the held-out ones stand for the made.
        best = measured(held, good, spec.x, measures, {}) | of_classes(good, held, says, measures, {})
        best |= copies(spec.x, others, real, {})
        report["ceiling"] = {**numbers(best), **{k: finite(v) for k, v in truth.items()}}
        source = "other real ones" if others is not None else "the rest"
        few = min(len(held.x), len(good.x)) < min(len(real), len(fake))
        fewer = "; of fewer, so fid, which is biased, is higher there" if few and "fid" in best else ""
        report["notes"].append(f"real against real: {len(held.x)} samples against {len(good.x)} of {source}{fewer}")
    return report


def usual(space: Space) -> Mapping[str, Of[Measure]]:
    """What is measured of samples of a space where nothing is asked for."""
    return {**MEASURES, **ON_WORDS} if isinstance(space, Tokens) else MEASURES


def stored(space: Space, x: Tensor) -> Any:
    """Samples as `on_stored` measures take them: texts as sentences up to their end, others as they are."""
    return sentences(x, END) if isinstance(space, Tokens) else x


def copies(space: Space, train: Tensor | None, made: Tensor, refused: dict[str, ValueError]) -> dict[str, Measure]:
    """Of texts, the share that stands in the training set word for word, where there is one."""
    if train is None or not isinstance(space, Tokens):
        return {}
    return measure(stored(space, train), stored(space, made), {"copied": copied}, refused)


def likelihoods(real: Tensor, fake: Tensor, world: Any, score: Likelihood) -> dict[str, Measure]:
    """What is known by the log-likelihoods that a generator gives to texts."""
    if hasattr(world, "logp"):
        return divergences(real, fake, world.logp, score)
    return {"perplexity": perplexity(score(real), mask(real).sum(1).double())}


def ahead(real: Tensor, made: Tensor, c: Tensor, world: Judge | None) -> Foreseen:
    """Frames made after c against those that came, as far as there are both, and what the world says of them."""
    n = min(len(real), len(made))
    truth = {k: finite(v) for k, v in world.judge(made, c[: len(made)]).items()} if world else {}
    return Foreseen(metrics=numbers(foreseen(c[:n], real[:n], made[:n])), truth=truth)


class Side(NamedTuple):
    """One set of samples: in stored form, their features, and their classes where they have some."""

    x: Tensor  # (n, ...)
    features: Tensor  # (n, d)
    labels: np.ndarray | None = None  # (n,)

    def at(self, rows: Tensor) -> Side:
        return Side(self.x[rows], self.features[rows], None if self.labels is None else self.labels[rows.numpy()])


def real_against_real(real: Side, n: int, rest: Side | None, seed: int) -> tuple[Side, Side]:
    """What is held against what for the ceiling: the real ones against n of the rest, or, where there is none, against
    n of their own, half of them at most."""
    g = torch.Generator().manual_seed(seed)
    if rest is not None:
        return real, rest.at(torch.randperm(len(rest.x), generator=g)[:n].sort().values)
    k = min(n, (len(real.x) + 1) // 2)
    good, held = map(real.at, torch.randperm(len(real.x), generator=g).tensor_split([k]))
    return held, good


def measured(
    real: Side, fake: Side, space: Space, measures: Mapping[str, Of], refused: dict[str, ValueError]
) -> dict[str, Measure]:
    """The measures on features, and those on samples as they are stored."""
    own, other = on_stored(space), {**ON_LABELS, **ON_PICTURES, **ON_WORDS}
    for kind, of_kind in (("pictures", ON_PICTURES), ("words", ON_WORDS)):
        if strange := [k for k in measures if k in of_kind and k not in own]:
            ask = "they ask" if len(strange) > 1 else "it asks"
            refused[", ".join(strange)] = ValueError(f"{ask} for {kind}, and these are none")
    chosen = lambda wanted: {k: f for k, f in measures.items() if wanted(k)}
    found = measure(real.features, fake.features, chosen(lambda k: k not in other), refused)
    return found | measure(stored(space, real.x), stored(space, fake.x), chosen(lambda k: k in own), refused)


# -- by classes -------------------------------------------------------------------------------------------------------

Classifier = Callable[[Tensor], Tensor]  # features (n, d) to logits (n, C)


def of_classes(
    real: Side, fake: Side, says: Classifier | None, measures: Mapping[str, Of], refused: dict[str, ValueError]
) -> dict[str, Measure]:
    """The measures on what a classifier says, and on classes."""
    chosen = {k: f for k, f in measures.items() if k in ON_LABELS}
    told = lambda s: Told(s.features, s.labels, says and says(s.features))
    return measure(told(real), told(fake), chosen, refused) if chosen else {}


def reader(extractor: nn.Module, known: Side, test: Side) -> tuple[Classifier | None, list[str]]:
    """The extractor's own logits; or a linear classifier on its features, learned from what is `known`; or none."""
    if hasattr(extractor, "logits"):
        return partial(logits, extractor), [f"classes: as {extractor.name} tells them"]
    if known.labels is None or len(np.unique(known.labels)) < 2:
        return None, []
    linear = Reader(known.features, known.labels)
    note = f"classes: as a linear classifier on these features tells them, learned from {len(known.x)} real samples"
    if test is not known and test.labels is not None:
        note += f", right about {(linear.read(test.features) == test.labels).mean():.1%} of the held-out ones"
    return linear.logits, [note]


@torch.no_grad()
def logits(extractor: nn.Module, features: Tensor) -> Tensor:
    """The extractor's own logits (n, C) of features (n, d), on the CPU both; taken where its weights are."""
    return extractor.logits(features.to(place(extractor))).float().cpu()  # type: ignore[operator]


def on_stored(space: Space) -> Mapping[str, Of[Measure]]:
    """The measures that samples of a space get as they are stored, without features."""
    return ON_PICTURES if isinstance(space, Image | Frames) else ON_WORDS if isinstance(space, Tokens) else {}


def cautions(A: Tensor, B: Tensor, measures: Iterable[str], refused: Mapping[str, ValueError]) -> list[str]:
    """What features (n, d) and (m, d) are too few for, or too uneven."""
    few, d = min(len(A), len(B)), A.shape[1]
    said = [f"{name} {'are' if ',' in name else 'is'} left out: {reason}" for name, reason in refused.items()]
    if few <= d and "fid" in measures:
        said.append(f"fid from {few} samples of {d} features is mostly bias: take more than {d}, or read kid")
    if len(A) != len(B):
        said.append(f"{len(A)} real and {len(B)} made samples: compare only with the same numbers of each")
    return said


def rank(found: str, measures: Iterable[str]) -> int:
    """Where a measure stands that was found by the asked-for one of its name; one of another name comes last."""
    asked = list(measures)
    name = found.partition("/")[0]
    return asked.index(name) if name in asked else len(asked)


def numbers(measured: Mapping[str, Measure]) -> dict[str, Numbers]:
    """Measures as JSON can have them."""
    found = {k: Numbers(value=finite(m.value), se=finite(m.se), better=m.better) for k, m in measured.items()}
    for k in (k for k, m in measured.items() if isinf(m.value)):
        found[k]["infinite"] = True
    return found


def finite(x: Any) -> float | None:
    """x as JSON can have it."""
    return float(x) if isfinite(x) else None
