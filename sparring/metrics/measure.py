"""What a measure is: a number with its standard error, from the features of real and of made samples."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from math import sqrt
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from .bank import Bank, one_source
from .distances import precision


class Measure(NamedTuple):
    """A value and how far it would move if both sets were drawn anew at the same sizes."""

    value: float
    se: float  # one standard error
    better: Literal["lower", "higher"]
    n_real: int = 0
    n_fake: int = 0
    provenance: Mapping[str, Any] = {}  # the measure's name, its options, and what the features came from


T = TypeVar("T")
Of = Callable[..., T]  # of the features of real (n, d) and of made samples (m, d), and options by name


@dataclass(frozen=True)
class Part:
    """One measure of several that the same pass yields; `measure` makes that pass once for all its parts."""

    whole: Of[dict[str, Measure]]
    name: str

    def __call__(self, real: Any, fake: Any, **options: Any) -> Measure:
        return self.whole(real, fake, **options)[self.name]


def measure(
    real: Any, fake: Any, measures: Mapping[str, Of[Measure]], refused: dict[str, ValueError] | None = None
) -> dict[str, Measure]:
    """All `measures` of two sets of features (n, d) and (m, d), by name; one that finds several adds them all.

    Given `refused`, a measure that these samples do not allow is put there with its reason, and does not end the rest.
    """
    found: dict[str, Measure] = {}
    passes: dict[Of[dict[str, Measure]], dict[str, Measure]] = {}

    for name, f in measures.items():
        try:
            if isinstance(f, Part):
                passes[f.whole] = passes.get(f.whole) or f.whole(real, fake)
                found[name] = passes[f.whole][f.name]
            else:
                one = f(real, fake)
                found |= {name: one} if isinstance(one, Measure) else one
        except ValueError as reason:
            if refused is None:
                raise
            refused[name] = reason
    return found


def on_features(least: int, name: str = "") -> Callable[[Of[T]], Of[T]]:
    """Turn f(real, fake) on tensors into a measure of any two sets of at least `least` samples, called f or `name`.

    Taken are tensors, arrays and banks.  Shapes, sizes and finiteness are checked, and where the features came from.
    Whatever training has switched on (gradients, autocast, short-cut products) is off inside: KID from bf16 products
    was seen 55 % too high.
    """

    def decorate(f: Of[T]) -> Of[T]:
        @wraps(f)
        @torch.no_grad()
        def of(real: Any, fake: Any, **options: Any) -> T:
            source = one_source(real, fake)
            one_kind(real, fake)
            real, fake = (features(x, name, least) for x, name in ((real, "real"), (fake, "fake")))
            if real.shape[1] != fake.shape[1]:
                raise ValueError(f"real has {real.shape[1]} features and fake {fake.shape[1]}; use one extractor")

            with precision("highest"), torch.autocast(real.device.type, enabled=False):
                found = f(real, fake, **options)

            told = {"measure": name or f.__name__, **options, **({"features": source} if source else {})}
            signed = lambda m: m._replace(n_real=len(real), n_fake=len(fake), provenance=told)
            if isinstance(found, Measure):
                return signed(found)
            if isinstance(found, dict) and all(isinstance(m, Measure) for m in found.values()):
                return {k: signed(m) for k, m in found.items()}  # type: ignore[return-value]
            return found

        return of

    return decorate


def features(x: Any, name: str, least: int) -> Tensor:
    """x as float32 (n, d), or an error that says what is wrong with it."""
    x = x.features if isinstance(x, Bank) else tensor(x)
    if x.ndim != 2:
        raise ValueError(f"{name} has shape {tuple(x.shape)}; features are (n, d): flatten them or use an extractor")
    if len(x) < least:
        raise ValueError(f"{name} has {len(x)} samples and this measure needs {least} or more; draw more")
    x = x.detach().float().contiguous()  # first, for fp64 holds numbers that are infinite here
    if len(bad := (~x.isfinite().all(1)).nonzero()):
        raise ValueError(f"{name} has {len(bad)} samples with NaN or infinite features, first number {int(bad[0])}")
    return x


def tensor(x: Any) -> Tensor:
    """x as a tensor; arrays that may not be written to are copied."""
    return torch.as_tensor(np.array(x) if isinstance(x, np.ndarray) and not x.flags.writeable else x)


def one_kind(real: Any, fake: Any) -> None:
    """Bytes are never compared with floats: one of the two sets was not brought to the other's scale."""
    kinds = {name: str(x.dtype) for name, x in (("real", real), ("fake", fake)) if hasattr(x, "dtype")}
    integers = [name for name, kind in kinds.items() if "int" in kind]
    if len(kinds) == 2 and len(integers) == 1:
        raise ValueError(
            f"real is {kinds['real']} and fake {kinds['fake']}: bytes 0 to 255 and floats are different scales; "
            "bring both to one form (a space's encode or decode)"
        )


def median(x: Tensor, better: Literal["lower", "higher"]) -> Measure:
    """The median of independent numbers (n,), with half the width of the ranks that hold it 68 times in 100."""
    if not len(x):
        return Measure(float("nan"), float("nan"), better)
    x, n = x.double().sort().values, len(x)
    low, high = max(0, int(n / 2 - sqrt(n) / 2)), min(n - 1, int(n / 2 + sqrt(n) / 2))
    return Measure(float(x.median()), float(x[high] - x[low]) / 2 if n > 1 else float("nan"), better)
