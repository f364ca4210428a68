"""Causal attention, written out: fused attention has no second derivative, which penalties of a critic need."""

import torch
from torch import Tensor, nn

Kept = list[tuple[Tensor, Tensor]]  # keys and values (B, heads, t, d) of each block


class Blocks(nn.Module):
    """Pre-norm Transformer blocks with learned places: (B, n, width) -> (B, n, width), each place from those up to it.

    With what was kept of t places before, h holds places t to t + n.
    """

    def __init__(self, width: int, layers: int, length: int, dropout: float = 0.0):
        super().__init__()
        self.places = nn.Parameter(0.02 * torch.randn(length, width))
        self.blocks = nn.ModuleList(Block(width, dropout) for _ in range(layers))
        self.last = nn.LayerNorm(width)

    def forward(self, h: Tensor, kept: Kept | None = None) -> tuple[Tensor, Kept]:
        t = kept[0][0].shape[2] if kept else 0
        h, keep = h + self.places[t : t + h.shape[1]], []
        for i, block in enumerate(self.blocks):
            h, both = block(h, kept[i] if kept else None)
            keep.append(both)
        return self.last(h), keep


class Block(nn.Module):
    """Attention, then a perceptron of each place alone."""

    def __init__(self, width: int, dropout: float = 0.0):
        super().__init__()
        self.heads = next(k for k in (8, 4, 2, 1) if width % (16 * k) == 0 or k == 1)  # of 16 numbers or more
        self.look, self.think = nn.LayerNorm(width), nn.LayerNorm(width)
        self.ask, self.join = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.own = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.drop = nn.Dropout(dropout)

    def forward(self, h: Tensor, kept: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self.ask(self.look(h)).chunk(3, -1))
        if kept is not None:
            k, v = torch.cat([kept[0], k], 2), torch.cat([kept[1], v], 2)
        later = torch.ones(q.shape[2], k.shape[2], dtype=torch.bool, device=h.device).triu(1 + k.shape[2] - q.shape[2])
        weight = (q @ k.mT / q.shape[-1] ** 0.5).masked_fill(later, float("-inf")).softmax(-1)
        h = h + self.drop(self.join((weight @ v).transpose(1, 2).flatten(2)))
        return h + self.drop(self.own(self.think(h))), (k, v)
