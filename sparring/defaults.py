"""What is chosen where a recipe leaves it open, by the kind of data."""

from collections.abc import Callable
from typing import Any

import torch

from .nets import vector
from .settings import Recipe
from .spaces import Frames, Image, Label, Spec, Tokens, Vector

CLASSES = 10  # by which slope penalties rise at most; nothing was measured beyond
ALL = dict(optimizer="adam", average=0.02, lazy=1)
LATE = ALL | dict(drift=0.0, lr_end=0.0, beta2=0.99, loss="relativistic", beta1=0.0, route="pathwise")


def _vector(r: Recipe, spec: Spec, device: torch.device) -> dict[str, Any]:
    optimizer = r.optimizer or ("soap" if device.type == "cpu" and spec.c is None else "adam")
    soap, own = optimizer == "soap", dict(r1=1.0, r2=1.0, gamma_end=2e-4, z=vector.sizes(spec).noise, batch=256)
    pace = dict(samples=3_500_000, lr=3e-3, settle=2.0) if soap else dict(samples=5_000_000, lr=1e-3, settle=3.0)
    return LATE | own | pace | dict(optimizer=optimizer)


def _image(r: Recipe, spec: Spec, device: torch.device) -> dict[str, Any]:
    if isinstance(spec.c, Frames):
        return _frames(r, spec, device)
    side: int = spec.x.size  # type: ignore[union-attr]
    quick, told = r.net == "quick", by_class(r, spec)
    gamma = (side / 32) ** 2 * (min(spec.c.classes, CLASSES) if told else 1)  # type: ignore[union-attr]
    cpu = device.type == "cpu"
    matched = isinstance(spec.c, Tokens | Vector) and quick  # captions, told apart within the batch
    lr_end = 0.5 if side >= 32 and cpu else 0.0  # rates that stay high to the end
    lr = r.lr or (3e-3 if quick else 2e-4)  # 2e-4: Huang et al. 2024, Table 9
    optimizer = r.optimizer or ("soap" if quick and cpu and side >= 32 and spec.c is None else "adam")
    few = 32 if matched or optimizer == "soap" else 16  # of steps that cost more there are fewer
    batch = few if side >= 24 and cpu else 64  # where time is short, many small steps
    lr_D = lr / (3 if matched else 1.5 if optimizer == "soap" else 6) if quick else lr  # its G has norms, its D none
    game = dict(r1=gamma, r2=gamma, gamma_end=1.0 if told else 0.1, lr=lr, lr_D=lr_D, lr_end=lr_end, settle=1.0)
    of_soap = dict(average=0.03, lazy=8) if optimizer == "soap" else {}
    return LATE | game | dict(z=64, batch=batch, samples=300_000, optimizer=optimizer) | of_soap


def _frames(r: Recipe, spec: Spec, device: torch.device) -> dict[str, Any]:
    lr = r.lr or 2e-3
    own = dict(r1=0.05, r2=0.05, gamma_end=0.1, z=8, batch=8, samples=300_000, lr=lr, lr_D=lr / 2, settle=1.0)
    return LATE | own | dict(drift=0.01)


def _tokens(r: Recipe, spec: Spec, device: torch.device) -> dict[str, Any]:
    lr, momentum = r.lr or 1e-3, 0.0 if r.optimizer == "rmsprop" else 0.5
    game = dict(
        loss="nonsaturating", drift=0.0, r1=0.0, r2=0.0, gamma_end=0.1, lr=lr, lr_D=2 * lr, lr_end=0.0, settle=1.0
    )
    return ALL | game | dict(route="reinforce", z=0, batch=256, samples=400_000, beta1=momentum, beta2=0.999)


def by_class(r: Recipe, spec: Spec) -> bool:
    """Whether slopes weigh more, for each class: D scores it along a direction of its own, learned from few."""
    return r.net == "quick" and isinstance(spec.c, Label) and not r.auxiliary


def join(spec: Spec) -> str:
    return "modulate" if isinstance(spec.c, Frames) else "concat"


DEFAULTS: dict[type, Callable[[Recipe, Spec, torch.device], dict[str, Any]]] = {
    Vector: _vector,
    Image: _image,
    Tokens: _tokens,
}
