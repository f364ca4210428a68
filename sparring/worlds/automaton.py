"""Strings by rules whose probabilities are known exactly: drawn, weighed, counted, and judged.

An automaton reads a string token by token; where it stands says how likely each next token is.  Since each token leads
to one place, a string has one reading, and all that one may ask of the whole law follows by dynamic programming.
"""

from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import cached_property

import torch
from torch import Tensor

from sparring.chance import generator
from sparring.metrics.words import total_variation
from sparring.sequences import END, closed
from sparring.spaces import Spec, Tokens

Moves = Callable[
    [Hashable], Iterable[tuple[float, int, Hashable]]
]  # place -> (weight, token, next place), END included


class Automaton:
    """The law of strings that begin at `start`, given that they end within `length` tokens.

    moves(place): what may follow and how likely, relative; a token stands there once.  A string of full length has no
    END, yet must be one that could end there.
    """

    def __init__(self, start: Hashable, moves: Moves, vocab: int, length: int):
        self.length, self.vocab = length, vocab
        number, rows = {start: 0}, []
        for place in (found := [start]):  # grows while it is walked
            rows.append(row := {})
            for weight, token, after in moves(place):
                if token in row:
                    raise ValueError(f"token {token} may lead from {place!r} to two places: strings are ambiguous")
                if token != END and after not in number:
                    number[after] = len(found)
                    found.append(after)
                row[token] = weight, number[after] if token != END else None

        over = len(found)  # the place where a string has ended
        self.places = found
        self.p = torch.zeros(over + 1, vocab, dtype=torch.float64)
        self.to = torch.full((over + 1, vocab), over)
        self.p[over, END] = 1
        for i, row in enumerate(rows):
            total = sum(weight for weight, _ in row.values()) or 1  # 0: a blind alley, which nobody enters
            for token, (weight, after) in row.items():
                self.p[i, token], self.to[i, token] = weight / total, over if after is None else after

        finish = [self.p[:, END]]  # of each place, how likely a string ends within k more tokens
        for _ in range(length):
            finish.append((self.p * finish[-1][self.to]).sum(1))
        self.finish = torch.stack(finish)
        if not self.finish[length, 0] > 0:
            raise ValueError(f"no string ends within {length} tokens; allow more")

    def law(self, t: int, at: Tensor | slice = slice(None)) -> Tensor:
        """The probabilities of token t (from 0) at these places, given that the string ends in time: (..., vocab)."""
        left = self.length - t
        return self.p[at] * self.finish[left - 1][self.to[at]] / self.finish[left][at, None].clamp_min(1e-300)

    def logp(self, x: Tensor) -> Tensor:
        """log p of each token given those before, (B, L) float64: 0 after the end, -inf from the first that cannot be.

        x: integers (B, L).
        """
        at, found = x.new_zeros(len(x), dtype=torch.long), []
        for t, token in enumerate(x.long().unbind(1)):
            token = torch.where(at == len(self.places), END, token)
            after, left = self.to[at, token], self.length - t
            likely = self.p[at, token] * self.finish[left - 1, after] / self.finish[left, at].clamp_min(1e-300)
            found.append(likely.log())
            at = torch.where(likely > 0, after, len(self.places))
        return torch.stack(found, 1)

    def draw(self, chance: Tensor) -> Tensor:
        """Strings (n, L) from numbers in [0, 1), (n, L)."""
        at, found = torch.zeros(len(chance), dtype=torch.long), []
        for t, u in enumerate(chance.double().unbind(1)):
            up = self.law(t, at).cumsum(1)
            token = torch.searchsorted(up, u[:, None] * up[:, -1:], right=True)[:, 0].clamp_max(self.vocab - 1)
            found.append(token)
            at = self.to[at, token]
        return torch.stack(found, 1)

    @cached_property
    def entropy(self) -> float:
        """Of a whole string, in nats."""
        ahead = torch.zeros(len(self.p), dtype=torch.float64)
        for t in reversed(range(self.length)):
            law = self.law(t)
            ahead = (torch.special.entr(law) + law * ahead[self.to]).sum(1)
        return float(ahead[0])

    @cached_property
    def support(self) -> float:
        """How many strings there are."""
        ways = (self.p[:, END] > 0).double()
        for _ in range(self.length):
            ways = ((self.p > 0) * ways[self.to]).sum(1)
        return float(ways[0])

    @cached_property
    def marginals(self) -> tuple[Tensor, Tensor]:
        """How likely a string has each length, (L + 1,), and each of its tokens is what, (vocab,), END left out."""
        here = torch.zeros(len(self.p), dtype=torch.float64)
        here[0], going, tokens = 1, [], torch.zeros(self.vocab, dtype=torch.float64)
        for t in range(self.length):
            going.append(1 - here[-1])
            flow = here[:, None] * self.law(t)
            tokens += flow.sum(0)
            here = torch.zeros_like(here).index_add_(0, self.to.flatten(), flow.flatten())
        longer = torch.stack([*going[1:], 1 - here[-1], here.new_zeros(())])  # than 0, than 1, …
        tokens[END] = 0
        return -torch.cat([here.new_ones(1), longer]).diff(), tokens / tokens.sum()


class Strings:
    """A world of strings of an automaton, spelled in `words`, the first, that of END, empty; stored as integers (N, L).

    Training and held-out strings come from unrelated streams of one law: frequent ones are in both, as they must be
    where likelihoods are compared.  also: what else is true of samples (N, L), by name.
    """

    def __init__(
        self,
        name: str,
        about: str,
        automaton: Automaton,
        words: Sequence[str],
        examples: tuple[int, int] = (10_000, 4_000),
        also: Callable[[Tensor], dict[str, float]] | None = None,
    ):
        self.name, self.about, self.words, self.examples, self.also = name, about, tuple(words), examples, also
        self.automaton, self.entropy = automaton, automaton.entropy
        self.spec = Spec(Tokens(automaton.length, automaton.vocab))

    def draw(self, n: int, seed: int, heldout: bool = False) -> tuple[Tensor, None]:
        """n strings (n, L), int16."""
        g = generator(self.name, "heldout" if heldout else "train", seed)
        return self.automaton.draw(torch.rand(n, self.automaton.length, generator=g, dtype=torch.float64)).short(), None

    def logp(self, x: Tensor) -> Tensor:
        """log p of whole strings (N,), float64; -inf of those that the rules forbid."""
        return self.automaton.logp(x).sum(1)

    def spell(self, x: Tensor) -> list[str]:
        """Strings (N, L) as people write them, up to their end."""
        return ["".join(self.words[i] for i in row).strip() for row in closed(x).tolist()]

    def judge(self, x: Tensor, c: Tensor | None = None) -> dict[str, float]:
        """What samples (N, L) are, against the exact law.

        valid       share that the rules allow
        valid_long  the same among strings of 3 tokens or more: a single token is easily right; 0 if there are none
        different   share of different strings; it falls with N
        mass        the mass, under the law, of all valid strings that occur: it rises with N
        tokens      mean number of tokens
        lengths_tv  total variation between the lengths of samples and their exact law
        tokens_tv   the same of tokens
        """
        x = closed(x.cpu())
        long, logp = (x != END).sum(1), self.logp(x)
        valid = logp > -torch.inf
        different, of = x.unique(dim=0, return_inverse=True)
        once = torch.zeros(len(different), dtype=torch.float64).index_copy_(0, of, logp.exp())
        lengths, tokens = self.automaton.marginals
        share = lambda hit: hit.double().mean().item() if len(hit) else 0.0
        return {
            "valid": share(valid),
            "valid_long": share(valid[long >= 3]),
            "different": len(different) / len(x),
            "mass": once.sum().item(),
            "tokens": long.double().mean().item(),
            "lengths_tv": total_variation(long.bincount(minlength=len(lengths)), lengths),
            "tokens_tv": total_variation(x[x != END].long().bincount(minlength=len(tokens)), tokens),
            **(self.also(x) if self.also else {}),
        }
