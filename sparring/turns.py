"""What lies before a player when it moves.  Penalties and watchers read the critic's turn, terms the generator's."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import Module

Memory = dict[str, Tensor]  # running means and the like; kept in the checkpoint
Glass = Callable[[Tensor], Tensor]
Augment = Callable[[Tensor, Memory, int], Glass]  # (a batch of real samples, memory, samples seen) -> one turn's glass


class Look(NamedTuple):
    """A critic through one glass, the same at every call: real and fake pass it alike, so that G never learns it
    (Karras et al. 2020)."""

    critic: Callable[..., Tensor]
    glass: Glass

    def __call__(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """Scores (B,) or (B, L)."""
        return self.critic(self.glass(x), c).to(x.dtype)

    def features(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """What the critic weighs into its score, (B, ...): its own `features(x, c)`."""
        features = self._own("features", "features(x, c) -> (B, d), such as its last layer before the score")
        return features(self.glass(x), c).to(x.dtype)

    def every(self, x: Tensor, c: Tensor) -> Tensor:
        """Scores (B, M) of each sample under each of M conditions: the critic's own `every(x, c)`."""
        every = self._own("every", "every(x, c) -> (B, M), as `nets.projecting.Projecting` has it")
        return every(self.glass(x), c).to(x.dtype)

    def classify(self, x: Tensor) -> Tensor:
        """Which class the critic takes x for, logits (B, K): its own `classify(x)`."""
        classify = self._own("classify", "classify(x) -> (B, K), as `nets.conditions.Auxiliary` has it")
        return classify(self.glass(x)).to(x.dtype)

    def naming(self, x: Tensor) -> Tensor:
        """Which words the critic sees, logits (B, V - 1), of all but word 0: its own `naming(x)`."""
        naming = self._own("naming", "naming(x) -> (B, V - 1), as `nets.conditions.Named` has it")
        return naming(self.glass(x)).to(x.dtype)

    def _own(self, name: str, method: str) -> Callable[..., Tensor]:
        if not hasattr(self.critic, name):
            raise AttributeError(f"{type(self.critic).__name__} has no `{name}`; give the critic a method {method}")
        return getattr(self.critic, name)


class Turn(NamedTuple):
    """All that lies before the critic when it moves."""

    D: Look  # all of its looks are through this turn's glass
    c: Tensor | None
    real: Tensor  # (B, ...), a leaf that requires grad where there are penalties
    fake: Tensor  # (B, ...), the same
    d_real: Tensor  # (B,) or (B, L)
    d_fake: Tensor  # (B,) or (B, L), of the same pass of D or of another
    memory: Memory
    seen: int = 0  # real samples so far, over all processes
    fed: Tensor | None = None  # what G was given, if not c: frames of its own in the place of some

    @property
    def made_from(self) -> Tensor | None:
        """What the fakes are judged with."""
        return self.c if self.fed is None else self.fed


class Move(NamedTuple):
    """All that lies before the generator when it moves."""

    G: Module
    D: Look  # held still; all of its looks are through this turn's glass
    z: Tensor  # (B, dim)
    c: Tensor | None  # of the data
    fed: Tensor | None  # what G was given: c, or frames of its own in the place of some
    real: Tensor  # (B, ...)
    fake: Tensor  # (B, ...), G(z, fed) with its gradient
    d_real: Tensor  # (B,) or (B, L)
    d_fake: Tensor  # (B,) or (B, L), with G's gradient
    memory: Memory
    seen: int = 0  # real samples so far, over all processes


def each(score: Tensor) -> Tensor:
    """One number a sample: (B,) as it is, (B, L) by its mean over L."""
    return score if score.ndim == 1 else score.flatten(1).mean(1)


def partner(t: Tensor) -> Tensor:
    """What the neighbour in the batch has, (B, ...): 0 and 1 change places, 2 and 3, …; the last of an odd batch has
    the first's.  So pieces of a batch, and shares of processes, of even size pair as the whole does."""
    i = torch.arange(len(t), device=t.device) ^ 1
    return t[i.where(i < len(t), 0)]


def differs(a: Tensor, b: Tensor) -> Tensor:
    """Where two conditions are not the same: (B, ...), (B, ...) -> (B,)."""
    return (a != b).reshape(len(a), -1).any(1)


def wide(t: Tensor) -> Tensor:
    """float32, or float64 if it was so: small squares vanish in half precision."""
    return t.to(torch.promote_types(t.dtype, torch.float32))


def said(told: Tensor, vocab: int) -> Tensor:
    """Which words are in captions (N, L), of all but word 0, which is none: (N, V - 1) of 0 and 1."""
    return torch.zeros(len(told), vocab, device=told.device).scatter_(1, told, 1.0)[:, 1:]
