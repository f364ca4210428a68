"""What is measured while they play: cheap numbers that say how the game stands, on held-out data and fixed z."""

import torch
from torch import Tensor
from torch.nn import Module

from .train import State


@torch.no_grad()
def probe(s: State, x: Tensor, c: Tensor | None, z: Tensor) -> dict[str, float]:
    """One look at the players: x, c are held-out data in played form, (B, ...), z is fixed, (B, dim).

    score/heldout: D's mean score on data that it never trained on; far below score/real means that it memorises.
    spread: mean distance between generated samples over that between real ones; far below 1 means collapse.
    duplicates: the share of generated samples whose nearest neighbour is ten times nearer than usual.
    G/average: distance of the average generator's parameters from G's, over the size of G's.
    """
    training = s.D.training, s.G.training
    s.D.eval()
    s.G.eval()
    fake = s.G(z, c).float()
    d_heldout = s.D(x, c).float()
    s.D.train(training[0])
    s.G.train(training[1])

    real_pairs, fake_pairs = distances(x), distances(fake)
    near = 0.1 * real_pairs.min(1).values.median()
    return {
        "score/heldout": d_heldout.mean().item(),
        "spread": (fake_pairs.nanmean() / real_pairs.nanmean()).item(),
        "duplicates": (fake_pairs.min(1).values < near).float().mean().item(),
        "G/average": apart(s.ema, s.G),
    }


def distances(x: Tensor) -> Tensor:
    """Distances between all samples, each row without the sample itself: (B, B - 1)."""
    flat = x.flatten(1)
    d = torch.cdist(flat, flat)
    return d[~torch.eye(len(x), dtype=torch.bool, device=x.device)].view(len(x), len(x) - 1)


def apart(a: Module, b: Module) -> float:
    """|a - b| / |b| over all parameters."""
    pairs = list(zip(a.parameters(), b.parameters()))
    gap = sum((p - q).float().square().sum() for p, q in pairs)
    size = sum(q.float().square().sum() for _, q in pairs)
    return (torch.as_tensor(gap).sqrt() / torch.as_tensor(size).sqrt().clamp_min(1e-12)).item()
