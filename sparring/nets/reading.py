"""Critics of texts: they read from the start, and say after each token how real the text is so far."""

from abc import ABC, abstractmethod
from math import log, pi

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, leaky_relu, pad

from ..priors import Prior
from ..sequences import mask
from ..spaces import Spec
from .attention import Blocks
from .conditions import How, embedding
from .sequence import AttentiveWriter, RecurrentWriter, Writer, tokens_of


class Reader(nn.Module, ABC):
    """x (B, L, V) and c -> scores (B, L), each of a token after those before it; 0 after the end.

    forget: the share of the numbers of its words that it drops in each look, the same for all tokens and texts of it
    (de Masson d'Autume et al. 2019, ScratchGAN); only while it learns.
    """

    places: Tensor  # (L, 8)

    def __init__(self, spec: Spec, width: int, forget: float = 0.1, embed: int | None = None):
        super().__init__()
        space = tokens_of(spec)
        self.words = nn.Parameter(torch.randn(space.vocab, embed or width))
        self.register_buffer("places", waves(space.length))
        self.hear = nn.Linear((embed or width) + self.places.shape[1], width)
        self.condition = embedding(spec.c, width) if spec.c is not None else None
        self.score, self.forget = nn.Linear(width, 1), forget

    @abstractmethod
    def follow(self, h: Tensor) -> Tensor:
        """(B, L, width) to (B, L, width), each place from those up to it."""

    def features(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """What is known after each token, (B, L, width)."""
        words = spoken(x, dropout(self.words, self.forget, self.training))
        h = self.hear(torch.cat([words, self.places.expand(len(x), -1, -1)], -1))
        return self.follow(h if self.condition is None else h + self.condition(c)[:, None])

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        return self.score(self.features(x, c)).squeeze(-1) * mask(x)


def spoken(x: Tensor, words: Tensor) -> Tensor:
    """x (B, L, V) times words (V, d); where x is one-hot and wants no gradient, looked up."""
    if not x.requires_grad:
        i = (x @ torch.arange(len(words), device=x.device, dtype=x.dtype)).round().long().clamp(0, len(words) - 1)
        if bool((x.gather(-1, i[..., None]) == 1).all()):
            return words[i]
    return x @ words


def waves(length: int, count: int = 8) -> Tensor:
    """(length, count): places as cosines, from one that turns every two places to one that turns once in all."""
    period = torch.logspace(log(2), log(max(length, 2)), count, base=2.718281828459045)
    return (2 * pi * torch.arange(length)[:, None] / period + torch.linspace(0, 2, count)).cos()


class RecurrentReader(Reader):
    """A critic that remembers by a layer-normed LSTM."""

    def __init__(self, spec: Spec, width: int = 64, forget: float = 0.1, embed: int | None = None):
        super().__init__(spec, width, forget, embed)
        self.memory = NormedLSTM(width, width)

    def follow(self, h: Tensor) -> Tensor:
        return self.memory(h)


class AttentiveReader(Reader):
    """A critic that looks back at all tokens: a causal Transformer."""

    def __init__(self, spec: Spec, width: int = 64, forget: float = 0.1, layers: int = 2):
        super().__init__(spec, width, forget)
        self.blocks = Blocks(width, layers, tokens_of(spec).length, dropout=forget)

    def follow(self, h: Tensor) -> Tensor:
        return self.blocks(h)[0]


class ConvolvedReader(Reader):
    """A critic that looks back by causal convolutions: each of its layers twice as far as the one before."""

    def __init__(self, spec: Spec, width: int = 64, forget: float = 0.1):
        super().__init__(spec, width, forget)
        reach = [2**i for i in range(max(tokens_of(spec).length - 1, 1).bit_length())]
        self.layers = nn.ModuleList(nn.Conv1d(width, width, 2, dilation=r) for r in reach)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in reach)

    def follow(self, h: Tensor) -> Tensor:
        for layer, norm in zip(self.layers, self.norms):
            before = pad(norm(h).mT, (layer.dilation[0], 0))  # type: ignore[index, arg-type]
            h = h + leaky_relu(layer(before), 0.2).mT
        return h


class WeighingReader(Reader):
    """A critic that weighs every token that could come, before it looks: a score is that of the one which stands there.

    So a score is linear in its own token, and its slope tells exactly what each other token would have got in its
    place; what was read before has no slope.  That is the critic that a generator can be led by through relaxed tokens.
    """

    def __init__(self, spec: Spec, width: int = 64, forget: float = 0.1, embed: int | None = None):
        super().__init__(spec, width, forget, embed)
        self.memory = NormedLSTM(width, width)
        self.score = nn.Linear(width, len(self.words))

    def follow(self, h: Tensor) -> Tensor:
        return self.memory(h)

    def features(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """What is known before each token, (B, L, width)."""
        return super().features(pad(x.detach()[:, :-1], (0, 0, 1, 0)), c)

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        return (self.score(self.features(x, c)) * x).sum(-1) * mask(x.detach())


class NormedLSTM(nn.Module):
    """An LSTM whose gates are layer-normed (Ba et al. 2016): (B, L, inputs) to (B, L, width)."""

    def __init__(self, inputs: int, width: int):
        super().__init__()
        self.hear, self.recall = nn.Linear(inputs, 4 * width), nn.Linear(width, 4 * width, bias=False)
        self.of_heard, self.of_recalled = nn.LayerNorm(4 * width), nn.LayerNorm(4 * width, bias=False)
        self.of_kept = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        kept = h = x.new_zeros(len(x), self.recall.in_features)
        told = []
        for heard in self.of_heard(self.hear(x)).unbind(1):
            write, keep, tell, new = (heard + self.of_recalled(self.recall(h))).chunk(4, 1)
            kept = (keep + 1).sigmoid() * kept + write.sigmoid() * new.tanh()
            h = tell.sigmoid() * self.of_kept(kept).tanh()
            told.append(h)
        return torch.stack(told, 1)


# Pairs ----------------------------------------------------------------------------------------------------------------


def recurrent(
    spec: Spec, prior: Prior | None = None, width: int = 64, join: How = "concat", forget: float = 0.1
) -> tuple[Writer, Reader]:
    """LSTMs: the smallest that write well, and the quickest."""
    return RecurrentWriter(spec, prior, width, join), RecurrentReader(spec, width, forget)


def gated(
    spec: Spec, prior: Prior | None = None, width: int = 64, join: How = "concat", forget: float = 0.1
) -> tuple[Writer, Reader]:
    """A GRU writes, causal convolutions read."""
    return RecurrentWriter(spec, prior, width, join, cell=nn.GRU), ConvolvedReader(spec, width, forget)


def weighing(
    spec: Spec, prior: Prior | None = None, width: int = 64, join: How = "concat", forget: float = 0.1
) -> tuple[Writer, Reader]:
    """An LSTM writes, and one reads that weighs all tokens at each place."""
    return RecurrentWriter(spec, prior, width, join), WeighingReader(spec, width, forget)


def attentive(
    spec: Spec, prior: Prior | None = None, width: int = 64, join: How = "concat", forget: float = 0.1
) -> tuple[Writer, Reader]:
    """Causal Transformers of two blocks."""
    return AttentiveWriter(spec, prior, width, join), AttentiveReader(spec, width, forget)


def scratchgan(
    spec: Spec, prior: Prior | None = None, width: int = 512, join: How = "concat", forget: float = 0.1
) -> tuple[Writer, Reader]:
    """de Masson d'Autume et al. 2019: two LSTMs write with tied words, one reads.

    A word has 364 numbers, all of them learned; theirs began with 300 of GloVe's.
    """
    G = RecurrentWriter(spec, prior, width, join, layers=2, embed=364, tied=True)
    return G, RecurrentReader(spec, width, forget, embed=364)
