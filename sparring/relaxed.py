"""The route through relaxed tokens: what G wrote is a corner of the simplex, and the slope is that of a point near it.

G writes as always, and says with `predict(x, c, z) -> (B, L, V)` which logits it had; D scores each token, (B, L).
"""

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from .policy import Route
from .schedules import Schedule, constant
from .sequences import END, mask
from .train import Method, State, Stats, look, price_of_move
from .turns import Move

WARM = constant(1.0)


def gumbel(temperature: Schedule = WARM, soft: bool = False) -> Route:
    """Gumbel-softmax (Jang et al. 2017; Maddison et al. 2017): D sees what was written, and the gradient takes it for
    softmax((log p + g) / temperature), a draw of which it is the largest (straight-through).

    soft: D sees that point itself.  Where D is linear in each token, as a `WeighingReader` is, both tell G what every
    other token would have scored, the end among them; of others they tell what D's slope promises.  Low temperatures
    are nearer to the tokens and noisier.
    """

    def gumbel(m: Method, s: State, x: Tensor, c: Tensor | None, z: Tensor) -> tuple[Tensor, Stats]:
        D, tokens = look(m, s, x), s.G(z, c)
        logp = s.G.predict(tokens, c, z).log_softmax(-1)  # type: ignore[operator]
        fake = relaxed(tokens, logp, temperature(s.seen), soft)
        with torch.no_grad():
            d_real = D(x, c)
        loss, stats = price_of_move(m, Move(s.G, D, z, c, c, x, fake, d_real, D(fake, c), s.memory, s.seen))
        written = mask(tokens)
        surprise = -((logp * tokens).sum(-1) * written).sum(1)
        return loss, stats | {"G/surprise": surprise.detach(), "G/tokens": written.sum(1)}

    return gumbel


def relaxed(tokens: Tensor, logp: Tensor, temperature: float, soft: bool = False) -> Tensor:
    """Tokens (B, L, V), one-hot, with the slope of logp (B, L, V) through noise that picks just them; ends as they are
    after the first."""
    near = ((logp + noise_of(tokens, logp.detach())) / temperature).softmax(-1)
    x = near if soft else tokens + near - near.detach()
    after = one_hot(torch.tensor(END, device=tokens.device), tokens.shape[-1]).to(x.dtype)
    return torch.where(mask(tokens)[..., None] > 0, x, after)


def noise_of(tokens: Tensor, logp: Tensor) -> Tensor:
    """Gumbel noise g (B, L, V), given that the largest of logp + g is at these tokens (Maddison et al. 2014).

    The largest is -log e of an exponential e, whatever the tokens; every other is a Gumbel of its own, cut off there.
    """
    e = torch.empty_like(logp).exponential_().clamp_min(torch.finfo(logp.dtype).tiny)
    first = (e * tokens).sum(-1, keepdim=True)
    return torch.where(tokens > 0, -first.log(), -(e * (-logp).exp() + first).log()) - logp
