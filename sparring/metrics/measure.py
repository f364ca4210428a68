"""What a measure is: a number with its standard error, from the features of real and of made samples."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Literal, NamedTuple, TypeVar

import torch
from torch import Tensor


class Measure(NamedTuple):
    """A value and how far it would move if both sets were drawn anew at the same sizes."""

    value: float
    se: float  # one standard error
    better: Literal["lower", "higher"]


T = TypeVar("T")
Of = Callable[[Tensor, Tensor], T]  # of the features of real (n, d) and of made samples (m, d)


@dataclass(frozen=True)
class Part:
    """One measure of several that the same pass yields; `measure` makes that pass once for all its parts."""

    whole: Of[dict[str, Measure]]
    name: str

    def __call__(self, real: Tensor, fake: Tensor) -> Measure:
        return self.whole(real, fake)[self.name]


def measure(
    real: Tensor, fake: Tensor, measures: Mapping[str, Of[Measure]], refused: dict[str, ValueError] | None = None
) -> dict[str, Measure]:
    """All `measures` of two sets of features (n, d) and (m, d), by name.

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
                found[name] = f(real, fake)
        except ValueError as reason:
            if refused is None:
                raise
            refused[name] = reason
    return found


def on_features(least: int) -> Callable[[Of[T]], Of[T]]:
    """Turn f(real, fake) into a measure of any two sets of at least `least` samples.

    Shapes, sizes and finiteness are checked.  Whatever training has switched on (gradients, autocast, short-cut
    products) is off inside: KID from bf16 products was seen 55 % too high.
    """

    def decorate(f: Of[T]) -> Of[T]:
        @wraps(f)
        @torch.no_grad()
        def of(real: Tensor, fake: Tensor, **options) -> T:
            real, fake = (features(x, name, least) for x, name in ((real, "real"), (fake, "fake")))
            if real.shape[1] != fake.shape[1]:
                raise ValueError(f"real has {real.shape[1]} features and fake {fake.shape[1]}; use one extractor")

            precision = torch.get_float32_matmul_precision()
            try:
                torch.set_float32_matmul_precision("highest")
                with torch.autocast(real.device.type, enabled=False):
                    return f(real, fake, **options)
            finally:
                torch.set_float32_matmul_precision(precision)

        return of

    return decorate


def features(x: Tensor, name: str, least: int) -> Tensor:
    """x as float32 (n, d), or an error that says what is wrong with it."""
    x = torch.as_tensor(x)
    if x.ndim != 2:
        raise ValueError(f"{name} has shape {tuple(x.shape)}; features are (n, d): flatten them or use an extractor")
    if len(x) < least:
        raise ValueError(f"{name} has {len(x)} samples and this measure needs {least} or more; draw more")
    if len(bad := (~x.isfinite().all(1)).nonzero()):
        raise ValueError(f"{name} has {len(bad)} samples with NaN or infinite features, first number {int(bad[0])}")
    return x.detach().float().contiguous()
