"""A text is tokens up to its end.  Token 0 is the end, and fills all places after it; a text of full length has none.

x is stored, integers (B, L), or played, points of the simplex (B, L, V); what is said of a played x has its gradient.
"""

import torch
from torch import Tensor

END = 0


def going_on(x: Tensor) -> Tensor:
    """(B, L): 1 where a text goes on beyond a place, 0 from its end on; for a soft x, the chance of it."""
    stays = 1 - x[..., END] if x.is_floating_point() else (x != END).float()
    return stays.cumprod(1)


def mask(x: Tensor) -> Tensor:
    """(B, L): 1 at every place that was written, the first end included, 0 after it."""
    on = going_on(x)
    return torch.cat([torch.ones_like(on[:, :1]), on[:, :-1]], 1)


def lengths(x: Tensor) -> Tensor:
    """(B,): how many tokens stand before the end."""
    return going_on(x).sum(1)


def closed(x: Tensor) -> Tensor:
    """The stored x (B, L) with nothing but ends after the first."""
    return torch.where(mask(x) > 0, x, END)
