"""Words have no slope: a writer picks the likeliest token, D judges it, and no gradient comes back.  Two ways round."""

from collections.abc import Callable
from itertools import product

import torch
from torch import Generator, Tensor
from torch.nn import GRU, Linear, Module, Parameter
from torch.nn.functional import logsigmoid, one_hot

from ..chance import generator, seeded
from ..losses import nonsaturating
from ..policy import Returns, score_function
from ..train import Method, State, pathwise
from .claims import Findings, Plot, at_least, at_most, equals, share

LENGTH, WORDS = 3, 4
NUDGE = 0.01
TEMPERATURES = (0.1, 0.5, 1.0, 5.0)
WHOLE = Returns(logsigmoid, discount=1.0, decay=0.9)  # a text earns, undiscounted, what the nonsaturating loss gives it


class Gumbels:
    """Noise g such that arg max (logits + g) is a draw from the logits' softmax (Gumbel)."""

    dim = LENGTH * WORDS

    def sample(self, n: int, generator: Generator | None = None) -> Tensor:
        u = torch.rand(n, self.dim, generator=generator, dtype=torch.float64).clamp(1e-300, 1 - 1e-16)
        return -(-u.log()).log()


class Writer(Module):
    """G: a table of logits for each token, given its place and the token before; the highest of logits + z is written.

    temperature: None writes by arg max alone; else the gradient goes straight through, as if by a softmax of it.
    """

    def __init__(self, temperature: float | None = None):
        super().__init__()
        self.prior, self.temperature = Gumbels(), temperature
        self.table = Parameter(torch.randn(LENGTH, WORDS, WORDS, dtype=torch.float64))  # place, before, word

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """(B, LENGTH, WORDS), one-hot."""
        return self.write(z)[0]

    def sample(self, z: Tensor, c: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """One-hot words, and log p (B, LENGTH) of each given those before it."""
        x, logits, _ = self.write(z)
        return x.detach(), (logits.log_softmax(-1) * x.detach()).sum(-1)

    def write(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Words, their logits (B, LENGTH, WORDS), and how far the winner was ahead at its nearest (B,)."""
        before = one_hot(torch.zeros(len(z), dtype=torch.long), WORDS).double()
        words, logits, ahead = [], [], []
        for table, noise in zip(self.table, z.view(-1, LENGTH, WORDS).unbind(1)):
            here = before @ table
            score = here + noise
            word = one_hot(score.argmax(-1), WORDS).double()
            if self.temperature is not None:
                soft = (score / self.temperature).softmax(-1)
                word = word + soft - soft.detach()
            best = score.topk(2).values
            words.append(word)
            logits.append(here)
            ahead.append(best[:, 0] - best[:, 1])
            before = word
        return torch.stack(words, 1), torch.stack(logits, 1), torch.stack(ahead, 1).amin(1)


class Reader(Module):
    """D: judges every word after what it has read so far, (B, LENGTH); random, and held still."""

    def __init__(self):
        super().__init__()
        self.memory, self.score = GRU(WORDS, 16, batch_first=True), Linear(16, 1)
        with torch.no_grad():
            for p in self.parameters():
                p.mul_(3)  # opinions strong enough to matter
        self.double().requires_grad_(False)

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        return self.score(self.memory(x)[0]).squeeze(-1)


def run(seed: int = 0, effort: float = 1.0) -> Findings:
    """Finite differences through arg max; REINFORCE and straight-through Gumbel against the exact gradient."""
    with seeded(torch.device("cpu"), "argmax", seed):
        G, D = Writer(), Reader()
    s = State.begin(G, D)
    s.D.requires_grad_(False)
    m = Method(nonsaturating, penalties=(), seed=seed)
    n = share(effort, 400_000)

    z = G.prior.sample(2000, generator("argmax", seed))
    loss, _ = pathwise(m, s, torch.zeros_like(G(z)), None, z)
    reached = sum(g.abs().sum().item() for g in slopes(loss.mean(), G))
    yield equals("through arg max, no gradient reaches G at all", reached, 0)

    changes, ahead = nudged(s, z)
    clear = ahead > 2 * NUDGE
    text = f"and none is there: a parameter moved by {NUDGE:g} changes D's score by, away from ties"
    yield equals(text, changes[:, clear].abs().max(), 0)
    yield at_most("a tie is near in this share of the texts", 1 - clear.double().mean(), 0.05)
    jumps = changes[changes != 0].abs() / NUDGE
    yield at_least("at a tie the score jumps: median |change| over the move", jumps.median() if len(jumps) else 0.0, 10)

    exact = flat(torch.autograd.grad(-worth(s, m), G.table))
    reinforce = estimated(m, s, score_function(WHOLE), n, seed)
    yield at_least("REINFORCE is unbiased: its cosine to the exact gradient", cosine(reinforce, exact), 0.995)
    yield equals("and as long: its norm over the exact one's", reinforce.norm() / exact.norm(), 1, 0.05)
    bent = estimated(m, s, score_function(WHOLE._replace(discount=0.2)), n, seed)
    text = "rewards to come discounted by .2, as is customary, bend it: |error| over the exact one's length"
    yield at_least(text, (bent - exact).norm() / exact.norm(), 0.1)

    straight = {}
    for tau in TEMPERATURES:
        G.temperature = tau
        straight[tau] = estimated(m, s, pathwise, n // 2, seed)
    G.temperature = None
    off = {tau: ((g - exact).norm() / exact.norm()).item() for tau, g in straight.items()}
    text = f"straight-through Gumbel is biased at every temperature ({', '.join(map(str, TEMPERATURES))}): least error"
    yield at_least(text, min(off.values()), 0.1)
    lengths = {tau: (g.norm() / exact.norm()).item() for tau, g in straight.items()}
    yield at_most("and too short when warm: its norm over the exact one's at temperature 5", lengths[5.0], 0.5)

    noise = {
        "REINFORCE": scatter(lambda k: estimated(m, s, score_function(WHOLE), 512, k)),
        "without a baseline": scatter(
            lambda k: estimated(m, s, score_function(WHOLE._replace(baseline="none")), 512, k)
        ),
    }
    ratio = noise["REINFORCE"] / noise["without a baseline"]
    yield at_most("a baseline steadies REINFORCE: variance over that without", ratio, 0.7)
    yield Plot(lambda figure: draw(figure, changes, exact, reinforce, straight, lengths))


def slopes(loss: Tensor, G: Module) -> list[Tensor]:
    """The gradient for each parameter of G; zeros where none comes back."""
    if not loss.requires_grad:
        return [torch.zeros_like(p) for p in G.parameters()]
    found = torch.autograd.grad(loss, list(G.parameters()), allow_unused=True)
    return [torch.zeros_like(p) if g is None else g for g, p in zip(found, G.parameters())]


@torch.no_grad()
def nudged(s: State, z: Tensor) -> tuple[Tensor, Tensor]:
    """By how much D's score of each text changes when each parameter moves a little (parameters, B); how clear (B,)."""
    before, table = s.D(s.G(z)).sum(1), s.G.table.view(-1)  # type: ignore[union-attr]
    changes = []
    for i in range(len(table)):
        kept = table[i].clone()
        table[i] += NUDGE
        changes.append(s.D(s.G(z)).sum(1) - before)
        table[i] = kept
    return torch.stack(changes), s.G.write(z)[2]  # type: ignore[operator]


def worth(s: State, m: Method) -> Tensor:
    """The exact mean reward of G: over all texts, their probability times what D thinks of them."""
    texts = torch.tensor(list(product(range(WORDS), repeat=LENGTH)))
    x = one_hot(texts, WORDS).double()
    before = torch.cat([torch.zeros(len(texts), 1, dtype=torch.long), texts[:, :-1]], 1)
    logp = s.G.table.log_softmax(-1)[torch.arange(LENGTH), before, texts].sum(1)  # type: ignore[union-attr, index]
    return (logp.exp() * -m.loss.generator(s.D(x), s.D(x)).sum(1)).sum()


def estimated(m: Method, s: State, route: Callable, n: int, seed: int, batch: int = 20_000) -> Tensor:
    """The gradient of n texts by a route of `train`, flat."""
    s.memory.clear()
    total, chance = torch.zeros(s.G.table.numel(), dtype=torch.float64), generator("routes", seed)  # type: ignore
    for _ in range(max(n // batch, 1)):
        z = s.G.prior.sample(min(batch, n), chance)  # type: ignore[union-attr]
        loss, _ = route(m, s, torch.zeros(len(z), LENGTH, WORDS, dtype=torch.float64), None, z)
        total += flat(torch.autograd.grad(loss.sum(1).mean(), s.G.table))  # type: ignore[arg-type]
    return total / max(n // batch, 1)


def scatter(estimate: Callable[[int], Tensor], runs: int = 40) -> float:
    """The summed variance of an estimate."""
    return torch.stack([estimate(k) for k in range(runs)]).var(0).sum().item()


def flat(grads: tuple[Tensor, ...]) -> Tensor:
    return torch.cat([g.flatten() for g in grads])


def cosine(a: Tensor, b: Tensor) -> Tensor:
    return torch.dot(a, b) / (a.norm() * b.norm())


def draw(figure, changes: Tensor, exact: Tensor, reinforce: Tensor, straight: dict, lengths: dict) -> None:
    from .drawing import BLUE, GREY, INK, RUST, titled

    left, middle, right = figure.subplots(1, 3)
    flips = (changes != 0).double().mean(1).tolist()
    titled(left, f"texts whose score changes\nwhen a parameter moves by {NUDGE:g}", "parameter", "share")
    left.bar(range(len(flips)), flips, color=BLUE)
    left.set_ylim(0, max(0.005, 1.2 * max(flips)))

    titled(middle, "each parameter's gradient", "exact", "estimated")
    middle.axline((0, 0), slope=1, color=GREY, lw=0.8)
    middle.plot(exact.tolist(), reinforce.tolist(), "o", color=BLUE, ms=4, label="REINFORCE")
    middle.plot(exact.tolist(), straight[1.0].tolist(), "x", color=RUST, ms=4, label="straight-through, 1")
    middle.legend()

    titled(right, "length of the straight-through\ngradient over the exact one", "temperature")
    right.semilogx(list(lengths), list(lengths.values()), "o-", color=RUST)
    right.axhline(1, color=INK, lw=0.6)
    right.set_ylim(0, None)
