"""A random LSTM that writes: the oracle of SeqGAN's benchmark (Yu et al. 2017), with its exact likelihoods.

Its texts have one length and no end, so token 0 never stands in them, and word w of the oracle is token w + 1.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from sparring.chance import generator
from sparring.sequences import END
from sparring.spaces import Spec, Tokens

from .grammar import lengths, spaced

HIDDEN = 32  # and numbers of an embedding
PART = 512  # texts at a time
PUBLISHED: Sequence[str] = (
    "embedding W_i U_i b_i W_f U_f b_f W_o U_o b_o W_c U_c b_c W b".split()
)  # the order of SeqGAN's own file


class Weights(NamedTuple):
    """Of the LSTM; gates are input, forget, output and cell, one after the other."""

    words: Tensor  # (V, 32), embeddings
    heard: Tensor  # (32, 4 * 32)
    kept: Tensor  # (32, 4 * 32)
    bias: Tensor  # (4 * 32,)
    spoken: Tensor  # (32, V)
    taste: Tensor  # (V,)

    @classmethod
    def draw(cls, vocab: int, seed: int) -> "Weights":
        """All N(0, 1), as the benchmark's are."""
        g = generator("oracle", vocab, seed)
        sizes = (vocab, HIDDEN), (HIDDEN, 4 * HIDDEN), (HIDDEN, 4 * HIDDEN), (4 * HIDDEN,), (HIDDEN, vocab), (vocab,)
        return cls(*(torch.randn(*size, generator=g) for size in sizes))

    @classmethod
    def load(cls, path: str | Path) -> "Weights":
        """Published ones: an .npz of the fifteen arrays of SeqGAN's target_params.pkl, in their order."""
        path = Path(path)
        if path.suffix != ".npz":
            raise ValueError(
                f"{path} is no .npz; a pickle may run code, so turn it into arrays first, where you trust it: "
                "numpy.savez('target.npz', *pickle.load(open('target_params.pkl', 'rb'), encoding='latin1'))"
            )
        try:
            with np.load(path, allow_pickle=False) as saved:
                arrays = [torch.from_numpy(a).float() for a in saved.values()]
        except (OSError, ValueError, TypeError) as error:
            raise ValueError(f"{path} is no file of arrays: {error}") from None
        if len(arrays) != len(PUBLISHED):
            raise ValueError(f"{path} holds {len(arrays)} arrays, not the 15 of an oracle: {', '.join(PUBLISHED)}")
        a = dict(zip(PUBLISHED, arrays))
        gates = lambda kind: torch.cat([a[f"{kind}_{gate}"] for gate in "ifoc"], -1)
        found = cls(a["embedding"], gates("W"), gates("U"), gates("b"), a["W"], a["b"])
        vocab = len(found.words)
        due = (vocab, HIDDEN), (HIDDEN, 128), (HIDDEN, 128), (128,), (HIDDEN, vocab), (vocab,)
        if [tuple(t.shape) for t in found] != list(due):
            raise ValueError(f"{path}: the arrays have shapes {[tuple(t.shape) for t in arrays]}; see Weights.load")
        return found


class Oracle:
    """Texts of `length` tokens by an LSTM of N(0, 1) weights over `vocab` words; stored as int16 (N, length).

    weights: a path of published ones instead of those of `seed`.  All likelihoods are of whole texts, in nats; divide
    by the length to compare with papers, which give them per token.
    """

    examples = (10_000, 10_000)

    def __init__(self, vocab: int = 100, length: int = 20, seed: int = 0, weights: str | Path | None = None):
        self.net = Weights.draw(vocab, seed) if weights is None else Weights.load(weights)
        self.vocab, self.length = len(self.net.words), length
        self.name = f"oracle-{self.vocab}"
        self.about = f"texts of a random LSTM over {self.vocab:,} words: the benchmark of SeqGAN"
        self.words = spaced(["", *map(str, range(self.vocab))])
        self.spec = Spec(Tokens(length, 1 + self.vocab))
        self.mark = "" if weights is None else Path(weights).stem

    def begin(self, n: int) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """The words that stand before texts, all number 0, and a state of zeros."""
        return torch.zeros(n, dtype=torch.long), (torch.zeros(n, HIDDEN), torch.zeros(n, HIDDEN))

    def follow(self, word: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """log p (n, V) of what comes after words (n,)."""
        h, cell = state
        gates = self.net.words[word] @ self.net.heard + h @ self.net.kept + self.net.bias
        write, keep, tell, new = gates.chunk(4, 1)
        cell = keep.sigmoid() * cell + write.sigmoid() * new.tanh()
        h = tell.sigmoid() * cell.tanh()
        return (h @ self.net.spoken + self.net.taste).log_softmax(1), (h, cell)

    @torch.no_grad()
    def write(self, chance: Tensor, sharpness: float = 1.0) -> Tensor:
        """Texts (n, L) from numbers in [0, 1), (n, L); `sharpness` multiplies the logits, above 1 for a cheater."""
        word, state = self.begin(len(chance))
        found = []
        for u in chance.unbind(1):
            logp, state = self.follow(word, state)
            below = (sharpness * logp).softmax(1).cumsum(1)
            word = torch.searchsorted(below, u[:, None].float() * below[:, -1:], right=True)[:, 0]
            word = word.clamp_max(self.vocab - 1)
            found.append(word)
        return torch.stack(found, 1).short() + 1

    def draw(self, n: int, seed: int, heldout: bool = False, sharpness: float = 1.0) -> tuple[Tensor, None]:
        """n texts; those of training and held-out come from unrelated streams."""
        g = generator(self.name, self.mark, "heldout" if heldout else "train", seed)
        chance = torch.rand(n, self.length, generator=g)
        return torch.cat([self.write(part, sharpness) for part in chance.split(PART)] or [chance.short()]), None

    @torch.no_grad()
    def laws(self, x: Tensor, sharpness: float = 1.0) -> tuple[Tensor, Tensor]:
        """log p of each token given those before, and the entropy of the law it was drawn from, both (N, L) float64.

        -inf where a text has ended: the oracle's never do.
        """
        logps, entropies = [], []
        for part in x.long().split(PART):
            (word, state), rows = self.begin(len(part)), []
            for token in part.unbind(1):
                logp, state = self.follow(word, state)
                logp = (sharpness * logp).log_softmax(1)
                word = (token - 1).clamp_min(0)
                of_token = torch.where(token == END, -torch.inf, logp.gather(1, word[:, None])[:, 0])
                rows.append(torch.stack([of_token, -(logp.exp() * logp).sum(1)]))
            of_part = torch.stack(rows, 2).double()
            logps.append(of_part[0])
            entropies.append(of_part[1])
        return torch.cat(logps), torch.cat(entropies)

    def logp(self, x: Tensor, sharpness: float = 1.0) -> Tensor:
        """log p of whole texts (N,), or that of the cheater who writes by `sharpness`."""
        return self.laws(x, sharpness)[0].sum(1)

    @cached_property
    def entropy(self) -> float:
        """Of a whole text: the mean of the exact entropy of each next word, over 2,000 texts of its own.

        Its standard error is below .02 nats a token; with the mean of -log p it would be twice as large.
        """
        return self.laws(self.draw(2_000, 0, heldout=True)[0])[1].sum(1).mean().item()

    def judge(self, x: Tensor, c: Tensor | None = None) -> dict[str, float]:
        """What samples (N, L) are.

        valid       share of full length
        different   share of different texts
        nll_oracle  -log p per token of the valid ones, nats: what papers report.  Copies of training texts have that
                    of real ones, and a sharpened oracle less: read it beside the divergences, never alone
        nll_real    the same of real texts: their entropy
        """
        x = x.cpu()
        valid = (x != END).all(1)
        nll = -self.logp(x[valid]).mean().item() / self.length if valid.any() else float("inf")
        return {
            "valid": valid.double().mean().item(),
            "different": len(x.unique(dim=0)) / len(x),
            "nll_oracle": nll,
            "nll_real": self.entropy / self.length,
        }


def anchors(world: Oracle, n: int = 5_000, seed: int = 0) -> Mapping[str, Tensor]:
    """Texts (n, L) between which every generator falls, by name: random words, what short memory of the training set
    writes, and two cheaters, one that copies it and one that writes what is likely."""
    real, L = world.draw(n, seed)[0].long() - 1, world.length
    g = generator("anchors", seed)
    choose = lambda *size: torch.rand(*size, generator=g)
    order = choose(n, L).argsort(0)
    return {
        "uniform": (choose(n, L) * world.vocab).short() + 1,
        "unigram": real.flatten()[(choose(n, L) * n * L).long()].short() + 1,
        "by place": real.gather(0, order).short() + 1,
        "bigram": _pairs(real, choose(n, L)).short() + 1,
        "replay": real[(choose(n) * n).long()].short() + 1,
        **{f"sharpened {by:g}": world.draw(n, seed + 1, sharpness=by)[0] for by in (1.25, 1.5, 2.0)},
    }


def _pairs(real: Tensor, chance: Tensor) -> Tensor:
    """Texts in which each word follows the one before as it does somewhere in real ones (n, L)."""
    before, after = real[:, :-1].flatten(), real[:, 1:].flatten()
    order = before.argsort(stable=True)
    after, count = after[order], before.bincount(minlength=int(real.max()) + 1)
    first = count.cumsum(0) - count
    word = real[:, 0][(chance[:, 0] * len(real)).long()]
    found = [word]
    for u in chance[:, 1:].unbind(1):
        again = real[:, 0][(u * len(real)).long()]  # after a word that only ever ended a text
        at = (first[word] + (u * count[word]).long()).clamp_max(len(after) - 1)
        word = torch.where(count[word] > 0, after[at], again)
        found.append(word)
    return torch.stack(found, 1)


def oracle(size: int | None = None, weights: str | None = None) -> Oracle:
    """Over 100 words, or those of published weights; `size` tokens long, 20 if left out, 40 being usual as well."""
    return Oracle(100, lengths(size, 20, 2), weights=weights)


def oracle_500(size: int | None = None) -> Oracle:
    return Oracle(500, lengths(size, 20, 2))


def oracle_5000(size: int | None = None) -> Oracle:
    return Oracle(5000, lengths(size, 20, 2))
