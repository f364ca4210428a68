"""Players for texts: generators that write token by token, and critics that judge each token as they read.

A generator is what it does with what it has read, `follow`; writing, scoring and chance are the same for all.
"""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, pad

from ..priors import Prior, Written
from ..sequences import END, mask
from ..spaces import Spec, Tokens
from .attention import Blocks
from .conditions import How, embedding


def tokens_of(spec: Spec) -> Tokens:
    if not isinstance(spec.x, Tokens):
        raise TypeError(f"sequence networks make Tokens(length, vocab), not {spec.x!r}")
    return spec.x


def stored(x: Tensor) -> Tensor:
    """Integers (B, L) of x as it is stored, or played one-hot."""
    return x.argmax(-1) if x.is_floating_point() else x.long()


class Writer(nn.Module, ABC):
    """z (B, prior.dim) and c -> x (B, L, V), one-hot: each token from its distribution after those before it.

    The last L numbers of z pick the tokens; what stands before them, and c, is what the text is about: it is heard
    with the first token (join "concat") or with each ("add").
    """

    def __init__(
        self,
        spec: Spec,
        prior: Prior | None,
        heard: int,  # numbers a word
        told: int,  # numbers that `follow` gives
        join: How = "concat",
        tied: bool = False,  # words are spoken with the numbers they are heard with
    ):
        super().__init__()
        if join not in ("concat", "add"):
            raise ValueError(f"join {join!r}: a writer hears z and c with its first token, concat, or with each, add")
        self.space, self.join, self.prior = tokens_of(spec), join, Written(tokens_of(spec).length, prior)
        self.words = nn.Embedding(self.space.vocab, heard)
        self.latent = nn.Linear(prior.dim, heard) if prior else None
        self.condition = embedding(spec.c, heard) if spec.c is not None else None
        self.speak = nn.Linear(told, heard if tied else self.space.vocab)
        self.often = nn.Parameter(torch.zeros(self.space.vocab)) if tied else None

    @abstractmethod
    def follow(self, h: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Goes on reading: (B, n, heard) and what was kept of earlier tokens, to (B, n, told) and what to keep."""

    def forward(self, z: Tensor, c: Tensor | None = None, temperature: float = 1.0) -> Tensor:
        """Texts (B, L, V), one-hot.  Below temperature 1 the likelier tokens are likelier still."""
        return self.space.encode(self.write(z, c, temperature)).to(z.dtype)

    def sample(self, z: Tensor, c: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Texts (B, L, V), and log p (B, L) of each token given those before it, z and c."""
        x = self.write(z, c)
        return self.space.encode(x).to(z.dtype), self.score(x, c, z)

    def score(self, x: Tensor, c: Tensor | None = None, z: Tensor | None = None, draws: int = 32) -> Tensor:
        """log p (B, L) of each token given those before it; 0 after the end.

        Without z, a generator that has a latent is the even mixture of what it writes for `draws` fixed ones.
        """
        x = stored(x)
        if z is None and self.prior.latent is not None:
            fixed = self.prior.sample(draws, torch.Generator().manual_seed(0)).to(self.words.weight)
            each = [self.score(x, c, one.expand(len(x), -1)).cumsum(1) for one in fixed]
            return torch.stack(each).logsumexp(0).diff(prepend=torch.full_like(each[0][:, :1], draws).log())
        logp = self.predict(x, c, z).log_softmax(-1).gather(-1, x[..., None])[..., 0]
        return logp * mask(x)

    def predict(self, x: Tensor, c: Tensor | None = None, z: Tensor | None = None) -> Tensor:
        """Logits (B, L, V) of each token of stored texts, from those before it."""
        before = pad(stored(x)[:, :-1], (1, 0), value=END)
        return self.logits(self.follow(self.heard(before, self.about(z, c)))[0])

    def logits(self, h: Tensor) -> Tensor:
        """(..., told) to (..., V)."""
        return self.speak(h) if self.often is None else linear(self.speak(h), self.words.weight, self.often)

    @torch.no_grad()
    def write(
        self, z: Tensor, c: Tensor | None = None, temperature: float = 1.0, begun: Tensor | None = None
    ) -> Tensor:
        """Texts as they are stored, (B, L); those `begun` (B, n) are written to their end."""
        about, state = self.about(z, c), None
        token = torch.full((len(z), 1), END, device=z.device)
        written = []
        for t, chance in enumerate(z[:, -self.space.length :].split(1, 1)):
            h, state = self.follow(self.heard(token, about, t), state)
            below = (self.logits(h[:, 0]).float() / temperature).softmax(-1).cumsum(-1)
            drawn = torch.searchsorted(below, chance * below[:, -1:], right=True).clamp_(max=self.space.vocab - 1)
            token = torch.where(token != END, drawn, END) if t else drawn
            if begun is not None and t < begun.shape[1]:
                token = begun[:, t : t + 1]
            written.append(token)
        return torch.cat(written, 1)

    def about(self, z: Tensor | None, c: Tensor | None) -> Tensor | None:
        """(B, heard) of the latent and the condition together; None if there is neither."""
        latent = self.latent(z[:, : -self.space.length]) if self.latent and z is not None else None
        condition = self.condition(c) if self.condition else None
        return condition if latent is None else latent if condition is None else latent + condition

    def heard(self, before: Tensor, about: Tensor | None, t: int = 0) -> Tensor:
        """The tokens before places t to t + n, (B, n), as (B, n, heard)."""
        h = self.words(before)
        if about is None or (t and self.join == "concat"):
            return h
        return h + (about[:, None] if self.join == "add" else pad(about[:, None], (0, 0, 0, h.shape[1] - 1)))


class RecurrentWriter(Writer):
    """A writer that remembers by LSTMs or GRUs, one on another, and speaks from what all of them say.

    embed: numbers a word, by default `width`.
    """

    def __init__(
        self,
        spec: Spec,
        prior: Prior | None = None,
        width: int = 64,
        join: How = "concat",
        layers: int = 1,
        embed: int | None = None,
        tied: bool = False,
        cell: type[nn.LSTM] | type[nn.GRU] = nn.LSTM,
    ):
        super().__init__(spec, prior, embed or width, layers * width, join, tied)
        sizes = [embed or width] + [width] * (layers - 1)
        self.memory = nn.ModuleList(cell(size, width, batch_first=True) for size in sizes)

    def follow(self, h: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        told, keep = [], []
        for i, layer in enumerate(self.memory):
            h, kept = layer(h, state[i] if state else None)
            told.append(h)
            keep.append(kept)
        return torch.cat(told, -1), keep


class AttentiveWriter(Writer):
    """A writer that looks back at all tokens: a causal Transformer, which keeps keys and values while it writes."""

    def __init__(self, spec: Spec, prior: Prior | None = None, width: int = 64, join: How = "concat", layers: int = 2):
        super().__init__(spec, prior, width, width, join)
        self.blocks = Blocks(width, layers, self.space.length)

    def follow(self, h: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        return self.blocks(h, state)
