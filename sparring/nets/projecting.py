"""What all critics of whole samples share: a score of their features, by projection onto the condition."""

from abc import ABC, abstractmethod

from torch import Tensor, nn

from .conditions import Projection
from .minibatch import of_packs, to_each


class Projecting(nn.Module, ABC):
    """x (B, ...) and c to scores (B,): `features`, what stands `beside` them in the batch, and a projection onto c.

    pack: samples that are judged together, and all get the score of the pack.
    """

    beside: nn.Module
    score: Projection
    pack: int

    @abstractmethod
    def features(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """(B, d), or of each pack."""

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        score = self.score(self.beside(self.features(x)), of_packs(c, self.pack))
        return to_each(score, self.pack, len(x))

    def every(self, x: Tensor, c: Tensor) -> Tensor:
        """Scores (B, M) of each sample under each of M conditions."""
        return self.score.every(self.beside(self.features(x)), c)
