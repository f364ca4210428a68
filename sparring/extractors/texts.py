"""The network that learned features of texts come from: it reads on, and learns to know the next token."""

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ..sequences import mask
from .encoder import Settled


class TextEncoder(Settled):
    """(B, L, V) one-hot to features (B, 128): what a GRU knows after each token of a text, in the mean."""

    def __init__(self, length: int, vocab: int, d: int = 128):
        super().__init__((length, vocab), d)
        self.words, self.memory = nn.Linear(vocab, 64, bias=False), nn.GRU(64, d, batch_first=True)
        nn.init.normal_(self.words.weight, std=0.5)

    def read(self, x: Tensor) -> Tensor:
        """What is known after each token, (B, L, d)."""
        if x.shape[1:] != self.takes:
            raise ValueError(f"{self.name} takes {self.takes} a sample, not {tuple(x.shape[1:])}")
        return self.memory(self.words(x.float()))[0]

    def forward(self, x: Tensor) -> Tensor:
        on = mask(x.argmax(-1))[..., None]
        return self.standard((self.read(x) * on).sum(1) / on.sum(1))


def next_token(net: TextEncoder, head: nn.Module, x: Tensor) -> Tensor:
    """-log p of each token given those before it, in the mean of all that are written: ()."""
    known, tokens = net.read(x), x.argmax(-1)
    before = torch.cat([torch.zeros_like(known[:, :1]), known[:, :-1]], 1)
    nll = cross_entropy(head(before).mT, tokens, reduction="none")
    on = mask(tokens)
    return (nll * on).sum() / on.sum()
