"""Anybody's own extractor: a module, or a function of a batch, that gives features (B, d)."""

import inspect
from collections.abc import Callable
from hashlib import sha256
from typing import Any

from torch import Tensor, nn

from .contract import ExtractorError, digest


class Own(nn.Module):
    """What the user brought, held to the contract.

    net: takes (B, C, H, W) in [-1, 1], or whatever the played form of the data is, and gives (B, d).
    `side`, `channels`, `batch` and `logits`, a function of features, are passed on; `name` too, and else one is made of
    the weights, or of a function's text.
    """

    def __init__(self, net: Callable[[Tensor], Tensor], name: str) -> None:
        super().__init__()
        self.net = net
        for attribute in ("side", "channels", "batch", "logits"):
            if hasattr(net, attribute):
                setattr(self, attribute, getattr(net, attribute))
        self.kept = isinstance(getattr(net, "name", None), str)  # without one, who knows what else it depends on
        self.name = str(net.name) if self.kept else f"{name}-{self._digest()}"  # type: ignore[attr-defined]

    def _digest(self) -> str:
        if isinstance(self.net, nn.Module):
            return digest(self.net)
        try:
            text = inspect.getsource(self.net)
        except (OSError, TypeError):
            text = repr(self.net)
        return sha256(text.encode()).hexdigest()[:8]

    def forward(self, x: Tensor) -> Tensor:
        f = self.net(x)
        if not isinstance(f, Tensor):
            raise ExtractorError(f"{self.name} gives {type(f).__name__} and should give a tensor (B, d)")
        if f.ndim != 2 or len(f) != len(x):
            raise ExtractorError(
                f"{self.name} gives {tuple(f.shape)} for {tuple(x.shape)} and should give ({len(x)}, d)"
            )
        return f


def own(thing: Any, name: str) -> Own:
    """An extractor of a module, of a class or function that makes one, or of a function of a batch."""
    if isinstance(thing, type) or (not isinstance(thing, nn.Module) and callable(thing) and not _arguments(thing)):
        if needed := [p.name for p in _arguments(thing) if p.default is p.empty and p.kind is not p.VAR_KEYWORD]:
            raise ExtractorError(f"extractor {name!r} needs {', '.join(needed)}; name a function that makes it")
        thing = thing()
    if not callable(thing):
        kind = type(thing).__name__
        raise ExtractorError(f"extractor {name!r} is {kind}, which cannot be called; give a module or a function")
    if isinstance(thing, nn.Module):
        thing.eval().requires_grad_(False)
    return Own(thing, name)  # type: ignore[arg-type]


def _arguments(thing: Callable[..., Any]) -> list[inspect.Parameter]:
    try:
        return [p for p in inspect.signature(thing).parameters.values() if p.kind is not p.VAR_POSITIONAL]
    except (TypeError, ValueError):  # written in C
        return [inspect.Parameter("x", inspect.Parameter.POSITIONAL_ONLY)]
