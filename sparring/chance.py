"""Randomness as a function of place: the same numbers give the same draws, wherever and whenever they are asked for."""

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b

import torch


def seed_of(*place: int | str) -> int:
    """One 63-bit seed from any names and numbers; different places give unrelated seeds."""
    digest = blake2b("/".join(map(str, place)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def generator(*place: int | str) -> torch.Generator:
    """A CPU generator that stands at this place."""
    return torch.Generator().manual_seed(seed_of(*place))


@contextmanager
def seeded(device: torch.device, *place: int | str) -> Iterator[None]:
    """Inside, torch's own generators of the CPU and of `device` stand at this place; outside, nobody notices."""
    seed = seed_of(*place)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed notes a stack trace for absent GPUs
        if device.type == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield
