"""What a pair of players must be able to do, and a check of it for anybody's own pair.

G has `prior` (see `priors`) and `forward(z, c=None) -> x`; D has `forward(x, c=None) -> scores`, (B,) or (B, L).
A G that writes has `sample(z, c=None) -> (x, logp)` besides, whose logp (B, L) carries the gradient that x cannot.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module

from .sequences import mask
from .spaces import Spec, Tokens, any_samples, shape


class PlayerError(ValueError):
    """A player that cannot play; the message says which, what it did, and what is expected."""


def check_players(G: Module, D: Module, spec: Spec, batch: int = 4) -> None:
    """Lets G and D make one move each on random data of `spec`, and raises PlayerError at the first fault.

    Shapes, dependence on z, gradients to every parameter, a second derivative through D, and that asking one player
    with its parameters frozen leaves no gradient there.  Parameters, buffers and modes are left as they were.
    """
    g = torch.Generator().manual_seed(0)
    if not hasattr(G, "prior"):
        raise PlayerError("G has no `prior`; set self.prior = sparring.priors.Normal(dim) in its __init__")
    kept = [{k: v.clone() for k, v in net.state_dict().items()} for net in (G, D)]
    wanted = [(p, p.requires_grad) for net in (G, D) for p in net.parameters()]
    device = next((p.device for p, _ in wanted), torch.device("cpu"))
    try:
        for p, _ in wanted:
            p.requires_grad_(True)
            p.grad = None
        z = G.prior.sample(batch, g).to(device)  # type: ignore[union-attr]
        c = None if spec.c is None else any_samples(spec.c, batch, g).to(device)
        writes = isinstance(spec.x, Tokens) and hasattr(G, "sample")
        (_check_writer if writes else _check_generator)(G, spec, z, c)
        _check_critic(D, any_samples(spec.x, batch, g).to(device), c)
        _check_turns(G, D, z, c, writes)
    finally:
        for net, state in zip((G, D), kept):
            net.load_state_dict(state)
        for p, flag in wanted:
            p.requires_grad_(flag)
            p.grad = None


def _check_generator(G: Module, spec: Spec, z: Tensor, c: Tensor | None) -> None:
    x = _asked("G(z, c)", G, z, c)
    if tuple(x.shape) != shape(spec.x, len(z)):
        raise PlayerError(f"G(z, c) gave shape {tuple(x.shape)}; {spec.x} wants {shape(spec.x, len(z))}")
    if not x.isfinite().all():
        raise PlayerError("G(z, c) gave NaN or infinity on random z")
    if not x.requires_grad:
        raise PlayerError("G(z, c) carries no gradient; is there a .detach() or torch.no_grad() in its forward?")
    if torch.equal(x[0], x[1]):
        raise PlayerError("G(z, c) gave the same sample for two different z; is z used?")
    x.float().square().sum().backward()
    _all_reached("G", G, "the sum of its squared sample")


def _check_writer(G: Module, spec: Spec, z: Tensor, c: Tensor | None) -> None:
    told = _asked("G.sample(z, c)", G.sample, z, c)  # type: ignore[arg-type]
    if not (isinstance(told, tuple) and len(told) == 2):
        raise PlayerError(f"G.sample(z, c) gave {type(told).__name__}; it must give a pair, texts and their logp")
    x, logp = told
    if tuple(x.shape) != shape(spec.x, len(z)) or tuple(logp.shape) != tuple(x.shape[:2]):
        raise PlayerError(
            f"G.sample(z, c) gave shapes {tuple(x.shape)} and {tuple(logp.shape)}; {spec.x} wants "
            f"{shape(spec.x, len(z))} and {shape(spec.x, len(z))[:2]}"
        )
    if not torch.equal(x.sum(-1), torch.ones_like(x[..., 0])) or not ((x == 0) | (x == 1)).all():
        raise PlayerError("G.sample(z, c) gave texts that are not one-hot; every place is one token")
    if not logp.requires_grad:
        raise PlayerError("logp of G.sample(z, c) carries no gradient, the only one there is; is it detached?")
    if (logp[mask(x) == 0] != 0).any() or (logp > 0).any():
        raise PlayerError("logp of G.sample(z, c) must be 0 after the first end, token 0, and nowhere above 0")
    logp.float().sum().backward()
    _all_reached("G", G, "the logp of its sample")


def _check_critic(D: Module, x: Tensor, c: Tensor | None) -> None:
    x.requires_grad_()
    d = _asked("D(x, c)", D, x, c)
    if d.shape[:1] != x.shape[:1] or d.ndim > 2:
        raise PlayerError(f"D(x, c) gave shape {tuple(d.shape)}; it must give one score a sample, ({len(x)},)")
    if not d.isfinite().all():
        raise PlayerError("D(x, c) gave NaN or infinity on random x")
    try:
        (slope,) = torch.autograd.grad(d.float().sum(), x, create_graph=True)
        tasks = (getattr(D, name) for name in ("classify", "naming") if hasattr(D, name))
        told = sum(task(x).square().sum() for task in tasks)
        (d.float().square().sum() + slope.square().sum() + told).backward()
    except RuntimeError as error:
        raise PlayerError(
            f"D has no second derivative ({str(error).splitlines()[0]}); gradient penalties need it: avoid fused "
            "attention and in-place operations, or use the approximate penalties r1_approx and r2_approx"
        ) from error
    _all_reached("D", D, "its score and slope")


def _check_turns(G: Module, D: Module, z: Tensor, c: Tensor | None, writes: bool) -> None:
    for p in (*G.parameters(), *D.parameters()):
        p.grad = None
    D.requires_grad_(False)
    if writes:
        return
    D(G(z, c), c).float().sum().backward()
    if any(p.grad is not None for p in D.parameters()):
        raise PlayerError("D's parameters got gradients while frozen; does its forward turn requires_grad back on?")
    if all(p.grad is None or not p.grad.any() for p in G.parameters()):
        raise PlayerError("no gradient reaches G through D; is there a .detach(), a rounding or an argmax between?")


def _asked(what: str, net: Callable[..., Any], *inputs: Tensor | None) -> Any:
    try:
        return net(*inputs)
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        shapes = ", ".join("None" if i is None else str(tuple(i.shape)) for i in inputs)
        raise PlayerError(f"{what} failed on inputs of shape {shapes}: {error}") from error


def _all_reached(name: str, net: Module, loss: str) -> None:
    lost = [k for k, p in net.named_parameters() if p.grad is None]
    if lost:
        raise PlayerError(f"{name}'s {', '.join(lost[:5])} got no gradient from {loss}; unused parameters?")
