"""How far made samples are from real ones: numbers with error bars, from two sets of features (n, d) and (m, d)."""

from collections.abc import Mapping
from types import MappingProxyType

from .kernels import kid
from .measure import Measure, Of, Part, measure
from .moments import Moments, fid, frechet, merge, moments
from .neighbours import coverage, density, prdc, precision, recall

MEASURES: Mapping[str, Of[Measure]] = MappingProxyType(
    {
        "fid": fid,
        "kid": kid,
        "precision": precision,
        "recall": recall,
        "density": density,
        "coverage": coverage,
    }
)

__all__ = [
    "MEASURES",
    "Measure",
    "Moments",
    "Part",
    "coverage",
    "density",
    "fid",
    "frechet",
    "kid",
    "measure",
    "merge",
    "moments",
    "prdc",
    "precision",
    "recall",
]
