"""The order of examples, a function of (seed, position): a run that stops and goes on is one that never stopped."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from ..chance import generator
from .split import Split


def permutation(n: int, seed: int, epoch: int) -> np.ndarray:
    """The order of n examples in one epoch."""
    return torch.randperm(n, generator=generator("order", seed, epoch)).numpy()


def chances(n: int, seed: int, epoch: int) -> np.ndarray:
    """(n,) in [0, 1): which of its captions each place of an epoch's order is given."""
    return torch.rand(n, generator=generator("caption", seed, epoch), dtype=torch.float64).numpy()


def places(n: int, seed: int, start: int, count: int) -> np.ndarray:
    """Which of n examples a run sees at positions `start` to `start + count`."""
    epochs = range(start // n, (start + count - 1) // n + 1)
    order = np.concatenate([permutation(n, seed, epoch) for epoch in epochs])
    return order[start - epochs[0] * n :][:count]


def batches(
    split: Split, batch: int, seed: int, seen: int = 0, rank: int = 0, ranks: int = 1
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """The examples from position `seen` on, endlessly: (x, c) in stored form, batch / ranks of them at a time.

    batch: how many all ranks take together; each takes its own slice, in their order.  Each epoch is a permutation; a
    batch may reach from one into the next, or over several.  Of several captions of an example one is taken by chance.
    """
    n = len(split)
    if batch < 1 or batch % ranks:
        raise ValueError(f"batch {batch} cannot be shared equally by {ranks} ranks; give a multiple of {ranks}")
    if not 0 <= rank < ranks:
        raise ValueError(f"rank {rank} is none of 0 to {ranks - 1}")
    share = batch // ranks

    order, chance, epoch = permutation(n, seed, seen // n), chances(n, seed, seen // n), seen // n
    while True:
        chosen, fell, start, left = [], [], seen + rank * share, share
        while left:
            e, i = divmod(start, n)
            if e != epoch:
                order, chance, epoch = permutation(n, seed, e), chances(n, seed, e), e
            part = order[i : i + left]
            chosen.append(part)
            fell.append(chance[i : i + left])
            start, left = start + len(part), left - len(part)
        yield split.take(np.concatenate(chosen), np.concatenate(fell))
        seen += batch
