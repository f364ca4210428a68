"""How far two distributions are that one can write down, by their probabilities."""

from math import log

import torch
from torch import Tensor
from torch.special import xlogy


def kl(p: Tensor, q: Tensor) -> Tensor:
    """KL(p ‖ q) = Σ p log (p / q) over the last dimension, in nats; infinite where p has mass and q none.

    p, q: probabilities (..., K), each summing to one; float64 gives the most digits.
    """
    return (xlogy(p, p) - xlogy(p, q)).sum(-1)


def js(p: Tensor, q: Tensor) -> Tensor:
    """Jensen–Shannon: the mean KL of both to their middle; symmetric, from 0 to log 2, which it is where they do not
    meet at all."""
    both = p + q  # not halved: half of the smallest number there is would be zero, and KL to it infinite
    return (kl(p, both) + kl(q, both)) / 2 + log(2)


def earth(p: Tensor, q: Tensor, at: Tensor | None = None) -> Tensor:
    """The least work, mass times way, that turns the piles p into the piles q on a line; of probabilities it is W₁.

    p, q: (..., K) of equal sums; at: their places (K,), rising; one apart if left out.
    """
    if not torch.allclose(p.sum(-1), q.sum(-1)):
        raise ValueError(f"piles of {p.sum(-1).tolist()} and {q.sum(-1).tolist()}: earth is moved, not made")
    way = torch.ones(p.shape[-1] - 1, dtype=p.dtype) if at is None else at.diff()
    return ((p - q).cumsum(-1)[..., :-1].abs() * way).sum(-1)
