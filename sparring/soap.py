"""Adam along the directions in which gradients lie: SOAP (Vyas et al. 2024, arXiv 2409.11321)."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

LEAST = 4  # channels from which a side has directions of its own


class SOAP(Optimizer):
    """Adam in the eigenbasis of Shampoo's factors.

    The gradient of a weight is seen as (out, places, in): a convolution has a place for each tap, a matrix has one.  Of
    the sides out and in a running mean of second moments is kept, over all else; along its eigenvectors the gradient is
    turned, there Adam takes its step, and the step is turned back.  Weights of neither two nor four dimensions, such as
    biases, are taken as single numbers, and these are Adam's as they are.

    every: steps after which the moments take in the latest gradient, and their eigenvectors follow by one power step.
    memory: what is left of the moments at that time.
    largest: channels up to which a side has directions; the cost of a step rises with their square.
    Where a group says bf16, the directions are kept, and the products taken, in bfloat16.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.0, 0.99),
        eps: float = 1e-8,
        every: int = 20,
        memory: float = 0.8,
        largest: int = 512,
    ):
        own = dict(lr=lr, betas=betas, eps=eps, every=every, memory=memory, largest=largest, bf16=False)
        super().__init__(params, own)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        loss = None if closure is None else torch.enable_grad()(closure)()
        for group in self.param_groups:
            for p in (p for p in group["params"] if p.grad is not None):
                self.move(p, group)
        return loss

    def move(self, p: Tensor, group: dict[str, Any]) -> None:
        g, s, (beta1, beta2) = spread(p.grad), self.state[p], group["betas"]  # type: ignore[arg-type]
        if not s:
            s |= dict(steps=0, weight=0.0, mean_weight=0.0, square=torch.zeros_like(g))
            s |= {f"moments{side}": g.new_zeros(n, n) for side, n in sides(p, group["largest"])}
        if beta1 and "mean" not in s:
            s["mean"] = torch.zeros_like(g)
        if s["steps"] % group["every"] == 0:
            look(s, g, group["memory"], torch.bfloat16 if group["bf16"] else g.dtype)
        s["steps"] += 1
        along = turned(g, s, group["bf16"])
        s["square"].mul_(beta2).addcmul_(along, along, value=1 - beta2)
        s["weight"] = beta2 * s["weight"] + 1 - beta2
        if beta1:
            s["mean"].lerp_(along, 1 - beta1)
            s["mean_weight"] = beta1 * s["mean_weight"] + 1 - beta1
        p.sub_(direction(s, along, group, p.shape), alpha=group["lr"])

    def taken(self, p: Tensor, group: dict[str, Any]) -> Tensor:
        """What the last step took from p, whose gradient still is that of this step."""
        s = self.state[p]
        along = turned(spread(p.grad), s, group["bf16"])  # type: ignore[arg-type]
        return group["lr"] * direction(s, along, group, p.shape)


def spread(g: Tensor) -> Tensor:
    """The gradient of a weight as (out, places, in); of anything else as (n, 1, 1)."""
    match g.ndim:
        case 4:
            return g.permute(0, 2, 3, 1).flatten(1, 2)  # no copy where channels lie last
        case 2:
            return g[:, None]
        case _:
            return g.reshape(-1, 1, 1)


def folded(u: Tensor, shape: torch.Size) -> Tensor:
    """What `spread` has spread, in its shape again."""
    return u.unflatten(1, shape[2:]).permute(0, 3, 1, 2) if len(shape) == 4 else u.reshape(shape)


def sides(p: Tensor, largest: int) -> list[tuple[int, int]]:
    """The sides of `spread` (0 out, 2 in) that have directions, and how many."""
    if p.ndim not in (2, 4):
        return []
    return [(side, n) for side, n in ((0, p.shape[0]), (2, p.shape[1])) if LEAST <= n <= largest]


def look(s: dict[str, Any], g: Tensor, memory: float, dtype: torch.dtype) -> None:
    """The moments take g in, and the directions follow; what Adam knows of each goes with it."""
    for side in (0, 2):
        if (moments := s.get(f"moments{side}")) is None:
            continue
        flat = g.movedim(side, 0).flatten(1)
        moments.mul_(memory).addmm_(flat, flat.T, alpha=1 - memory)
        if (basis := s.get(f"basis{side}")) is None:
            basis = torch.linalg.eigh(moments.nan_to_num(0, 0, 0)).eigenvectors.flip(1)
            s[f"basis{side}"] = basis.contiguous().to(dtype)
            continue
        basis = basis.to(g.dtype)
        onward = moments @ basis
        order = (basis * onward).sum(0).argsort(descending=True, stable=True)
        s |= {k: s[k].index_select(side, order) for k in ("mean", "square") if k in s}
        s[f"basis{side}"] = torch.linalg.qr(onward[:, order]).Q.contiguous().to(dtype)


def turned(g: Tensor, s: dict[str, Any], bf16: bool, back: bool = False) -> Tensor:
    """(out, places, in) along the directions of its sides, or back from them; a copy."""
    bases = [s.get(f"basis{side}") for side in (0, 2)]
    if bases == [None, None]:
        return g.clone()
    like = torch.bfloat16 if bf16 else g.dtype
    left, right = (None if q is None else (q if back else q.T).to(like) for q in bases)
    h = g.to(like)
    h = h if left is None else (left @ h.flatten(1)).view(g.shape)
    h = h if right is None else h @ right.T
    return h.to(g.dtype)


def direction(s: dict[str, Any], along: Tensor, group: dict[str, Any], shape: torch.Size) -> Tensor:
    """Adam's, for a rate of 1."""
    ahead = s["mean"] / s["mean_weight"] if group["betas"][0] else along
    ahead = ahead.div_(s["square"].div(s["weight"]).sqrt_().add_(group["eps"]))
    return folded(turned(ahead, s, group["bf16"], back=True), shape)
