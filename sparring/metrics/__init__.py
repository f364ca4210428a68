"""How far made samples are from real ones: numbers with error bars, from two sets of features (n, d) and (m, d).

fid(real, fake), kid(real, fake), prdc(real, fake): tensors, arrays or banks.  Samples that stream by, in batches or in
several processes, go into a `Bank` (features), into `RunningMoments` or into `Labels` (what a classifier says).
"""

from collections.abc import Mapping
from types import MappingProxyType

from sparring.names import nearest

from .bank import Bank
from .diversity import support, vendi
from .frames import foreseen
from .frechet import fid, fid_by_class, fid_inf, frechet
from .kernels import kid
from .labels import ON_LABELS, Labels, Reader, Told, am, borji_mode_score, cas, inception_score, mode_score
from .measure import Measure, Of, Part, measure
from .modes import modes
from .moments import Moments, RunningMoments, merge, moments
from .neighbours import (
    coverage,
    density,
    prdc,
    precision,
    rarity,
    rarity_of_each,
    realism,
    realism_of_each,
    recall,
)
from .ngrams import lm, reverse_lm
from .spectrum import spectrum
from .transport import sliced, wasserstein
from .two_samples import c2st, js, ndb, one_nn
from .words import ON_WORDS as _COUNTED

MEASURES: Mapping[str, Of[Measure]] = MappingProxyType(  # what is always measured
    {
        "fid": fid,
        "kid": kid,
        "precision": precision,
        "recall": recall,
        "density": density,
        "coverage": coverage,
    }
)

ON_FEATURES: Mapping[str, Of[Measure]] = MappingProxyType(
    {
        **MEASURES,
        "fid_inf": fid_inf,
        "realism": realism,
        "rarity": rarity,
        "vendi": vendi,
        "support": support,
        "ndb": ndb,
        "js": js,
        "c2st": c2st,
        "one_nn": one_nn,
        "sliced": sliced,
        "wasserstein": wasserstein,
    }
)

ON_PICTURES: Mapping[str, Of[Measure]] = MappingProxyType({"spectrum": spectrum})  # of pictures in stored form

ON_WORDS: Mapping[str, Of[Measure]] = MappingProxyType(  # of sentences
    {**_COUNTED, "lm": lm, "reverse_lm": reverse_lm}
)

EVERY: Mapping[str, Of[Measure]] = MappingProxyType({**ON_FEATURES, **ON_LABELS, **ON_PICTURES, **ON_WORDS})


def chosen(names: str) -> dict[str, Of[Measure]]:
    """The measures of a list of names with commas between, or of "all"; ValueError, with the nearest, at another."""
    wanted = list(EVERY) if names.strip() == "all" else [name.strip() for name in names.split(",") if name.strip()]
    for name in wanted:
        if name not in EVERY:
            raise ValueError(f"{name!r} is none of all, {', '.join(EVERY)}{nearest(name, EVERY)}")
    if not wanted:
        raise ValueError(f"no measure is named; there are all, {', '.join(EVERY)}")
    return {name: EVERY[name] for name in wanted}


__all__ = [
    "EVERY",
    "MEASURES",
    "ON_FEATURES",
    "ON_LABELS",
    "ON_PICTURES",
    "ON_WORDS",
    "Bank",
    "Labels",
    "Measure",
    "Moments",
    "Part",
    "Reader",
    "RunningMoments",
    "Told",
    "am",
    "borji_mode_score",
    "c2st",
    "cas",
    "chosen",
    "coverage",
    "density",
    "fid",
    "fid_by_class",
    "fid_inf",
    "foreseen",
    "frechet",
    "inception_score",
    "js",
    "kid",
    "measure",
    "merge",
    "mode_score",
    "modes",
    "moments",
    "ndb",
    "one_nn",
    "prdc",
    "precision",
    "rarity",
    "rarity_of_each",
    "realism",
    "realism_of_each",
    "recall",
    "sliced",
    "spectrum",
    "support",
    "vendi",
    "wasserstein",
]
