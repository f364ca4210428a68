"""What the generator is asked beside fooling the critic.  A term is a function of one move of G, and gives (B,).

The weights are the caller's.  Where `Method.adversarial` is 0, G descends its terms alone.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from . import parallel
from .turns import Move, wide

Term = Callable[[Move], Tensor]


def feature_matching(t: Move) -> Tensor:
    """|E f(x) - E f(G(z))|², f what D weighs into its score: fakes look on average as reals do (Salimans et al. 2016).

    There it takes the place of G's loss: that is weight 1, and 0 for the loss.  The means are over the whole batch, of
    all processes, but over one piece where a batch is walked in pieces; every sample gets the same number.  D must have
    `features(x, c)`.
    """
    with torch.no_grad():
        real = parallel.mean(wide(t.D.features(t.real, t.c)).mean(0))
    fake = parallel.mean_through(wide(t.D.features(t.fake, t.c)).mean(0))
    return (real - fake).square().sum().expand(len(t.fake))


TERMS: dict[str, Term] = {"feature_matching": feature_matching}
