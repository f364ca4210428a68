"""A frame drawn in pieces at once: each by the same network from its part of the past, blended where they overlap."""

import torch
from torch import Tensor, nn

EIGHT = 8  # by which places and sides go, as the maps of the networks do
BLIND = 4  # pixels beside a cut that another piece draws, which sees what lies around them


def windows(size: int, patches: int) -> tuple[list[int], int]:
    """Where the pieces of a side begin, and how long they are; ValueError where one would be the whole side.

    Each reaches beyond its share by a quarter of the side, and at least by 8 pixels.
    """
    up = lambda v: -(-int(v) // EIGHT) * EIGHT
    long = up(size / patches) + max(EIGHT, size // 4 // EIGHT * EIGHT)
    if long >= size:
        raise ValueError(f"--patches {patches} of a side of {size} would each be all of it; from 32 pixels on 2 can be")
    starts = [round(i * (size - long) / (patches - 1) / EIGHT) * EIGHT for i in range(patches)]
    return sorted(set(starts)), long


def shares(size: int, starts: list[int], long: int) -> Tensor:
    """How much each piece says at each place of a side, (pieces, size), 1 in sum; nothing near where it was cut."""
    at, told = torch.arange(size), []
    for start in starts:
        from_left = at - start + 1 if start else torch.full((size,), size)
        from_right = start + long - at if start + long < size else torch.full((size,), size)
        inside = (at >= start) & (at < start + long)
        told.append((torch.minimum(from_left, from_right) - BLIND).clamp(0, EIGHT) * inside)
    t = torch.stack(told).float()
    return t / t.sum(0)


class Patched(nn.Module):
    """(B, prior.dim) and past frames (B, T, C, H, W) to the next one, by a generator of frames that sees pieces alone.

    All pieces of a frame share its z, so that they agree on what happens where they overlap.
    """

    share: Tensor

    def __init__(self, whole: nn.Module, size: int, patches: int):
        super().__init__()
        self.whole, self.prior = whole, whole.prior
        starts, self.long = windows(size, patches)
        self.places = [(top, left) for top in starts for left in starts]
        side = shares(size, starts, self.long)
        self.register_buffer("share", torch.einsum("ih,jw->ijhw", side, side).flatten(0, 1), persistent=False)

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        assert c is not None
        part = lambda x, top, left: x[..., top : top + self.long, left : left + self.long]
        pasts = torch.cat([part(c, *place) for place in self.places])
        drawn = self.whole(z.repeat(len(self.places), 1), pasts).chunk(len(self.places))
        page = torch.zeros_like(c[:, -1], dtype=drawn[0].dtype)
        for x, share, place in zip(drawn, self.share, self.places):
            part(page, *place).add_(part(share, *place) * x)
        return page
