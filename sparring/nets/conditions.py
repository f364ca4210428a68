"""How a condition enters: the generator joins it to its noise, the critic projects onto it."""

from functools import singledispatch
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from ..spaces import Label, Space, Vector

How = Literal["concat", "add"]


@singledispatch
def embedding(space: Space, dim: int) -> nn.Module:
    """A module from a condition in played form to (B, dim).

    For a space of your own: `embedding.register(MySpace, function)`.
    """
    known = ", ".join(kind.__name__ for kind in embedding.registry if kind is not object)
    raise TypeError(f"no embedding for {space!r}; there is one for {known}; for others, use embedding.register")


@embedding.register
def _(space: Label, dim: int) -> nn.Module:
    return nn.Embedding(space.classes, dim)


@embedding.register
def _(space: Vector, dim: int) -> nn.Module:
    return nn.Linear(space.dim, dim)


class Join(nn.Module):
    """Noise and condition as one vector (B, self.dim).

    how: "concat" lays an embedding of c, as wide as z, beside z (Mirza & Osindero 2014); "add" adds it to z.
    """

    def __init__(self, z_dim: int, space: Space | None, how: How = "concat"):
        super().__init__()
        if how not in get_args(How):
            raise ValueError(f"join {how!r} is none of {', '.join(get_args(How))}")
        self.embed = None if space is None else embedding(space, z_dim)
        self.how = how
        self.dim = 2 * z_dim if self.embed is not None and how == "concat" else z_dim

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        if self.embed is None:
            return z
        e = self.embed(c)
        return z + e if self.how == "add" else torch.cat([z, e], 1)


class Projection(nn.Module):
    """Features (B, d) to scores (B,) in float32.

    Without a condition a linear map; with one, Miyato & Koyama 2018 as in Huang et al. 2024: <W features, embedding of
    c>, without a term of its own for x.  Several conditions of one score (a pack of samples) are given as (B, pack).
    """

    def __init__(self, features: int, space: Space | None, dim: int | None = None, pack: int = 1, bias: bool = False):
        super().__init__()
        dim = pack * (dim or features)
        self.phi = nn.Linear(features, 1 if space is None else dim, bias=bias)
        self.embed = None if space is None else embedding(space, dim // pack)
        nn.init.normal_(self.phi.weight, std=features**-0.5)
        if isinstance(self.embed, nn.Embedding):
            nn.init.normal_(self.embed.weight, std=dim**-0.5)

    def forward(self, h: Tensor, c: Tensor | None = None) -> Tensor:
        phi = self.phi(h).float()
        if self.embed is None:
            return phi.squeeze(1)
        return (phi * self.embed(c).float().flatten(1)).sum(1)
