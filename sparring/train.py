"""The game.  Two losses, one step, one loop; everything else in the library serves these.

Shapes: x is (B, ...) as its space plays it; c is (B, ...) or None; z is (B, dim); scores and losses are (B,), or (B, L)
from a critic that judges every token.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module
from torch.optim import Adam, Optimizer

from . import parallel
from .chance import generator, seeded
from .losses import Loss, relativistic
from .penalties import Penalty, r1, r2
from .schedules import Schedule, constant
from .terms import Term
from .turns import Augment, Look, Memory, Move, Turn

Batch = tuple[Tensor, Tensor | None]
Stats = dict[str, Tensor]
Charges = Iterable[tuple[Callable[[Any], Tensor], Schedule]]
Feed = Callable[[Module, Any, int], Any]
Pull = Callable[[Module, str, Memory], Tensor]  # (player, "G" or "D", memory) -> ()


def critic_loss(m: Method, s: State, x: Tensor, c: Tensor | None, z: Tensor) -> tuple[Tensor, Stats]:
    """f(D(x,c), D(G(z,c'),c')) + sum_i w_i P_i, with G held still; c' is what `Method.feed` makes of c, or c."""
    D, fed = look(m, s, x), m.feed(s.G, c, s.seen)
    with torch.no_grad():
        fake = s.G(z, fed)
    slopes = bool(m.penalties)  # else nobody asks for them
    real, fake = x.detach().requires_grad_(slopes), fake.to(x.dtype).requires_grad_(slopes)
    turn = Turn(D, c, real, fake, D(real, c), D(fake, fed), s.memory, s.seen, fed)

    loss, stats = price_of_turn(m, turn)
    for watch in m.watch:
        watch(turn, s.seen, len(x) * parallel.size())
    return loss, stats


def pathwise(m: Method, s: State, x: Tensor, c: Tensor | None, z: Tensor) -> tuple[Tensor, Stats]:
    """a g(D(x,c), D(G(z,c'),c')) + sum_i w_i T_i, with D held still; the gradient reaches G through the sample."""
    D, fed = look(m, s, x), m.feed(s.G, c, s.seen)
    with torch.no_grad():
        d_real = D(x, c)
    fake = s.G(z, fed)
    return price_of_move(m, Move(s.G, D, z, c, fed, x, fake, d_real, D(fake, fed), s.memory, s.seen))


def as_given(G: Module, c: Tensor | None, seen: int) -> Tensor | None:
    """Fakes are made from what the data gives."""
    return c


def price_of_turn(m: Method, t: Turn) -> tuple[Tensor, Stats]:
    """What the critic descends: its loss and its penalties."""
    loss = m.loss.critic(t.d_real, t.d_fake)
    whole, stats = charged(loss, m.penalties, t, "penalty")
    return whole, {"D/loss": loss, "score/real": t.d_real, "score/fake": t.d_fake} | stats


def price_of_move(m: Method, t: Move) -> tuple[Tensor, Stats]:
    """What the generator descends: its loss and its terms."""
    loss = m.loss.generator(t.d_real, t.d_fake)
    whole, stats = charged(m.adversarial(t.seen) * loss, m.terms, t, "term")
    return whole, {"G/loss": loss} | stats


def named(charge: Callable[..., Tensor]) -> str:
    """What a penalty, a term or a pull is called in the log: also a partial of one, or an object that is called."""
    return getattr(getattr(charge, "func", charge), "__name__", type(charge).__name__)


def charged(loss: Tensor, charges: Charges, t: Any, kind: str) -> tuple[Tensor, Stats]:
    """loss + sum_i w_i P_i(t), and each P_i."""
    stats = {}
    for charge, weight in charges:
        if w := weight(t.seen):
            p = charge(t)
            loss = loss + w * p.view(-1, *[1] * (loss.ndim - 1))
            stats[f"{kind}/{named(charge)}"] = p
    return loss, stats


@dataclass(frozen=True)
class Method:
    """How the game is played: all of training that is not a network or a sample.

    Every schedule is a function of samples seen.  A remedy is a function Method -> Method.
    """

    loss: Loss = relativistic
    penalties: tuple[tuple[Penalty, Schedule], ...] = ((r1, constant(1.0)), (r2, constant(1.0)))
    lazy: int = 1  # turns of D from one r1 to the next, and of r2 between them; each is then so many times as heavy
    terms: tuple[tuple[Term, Schedule], ...] = ()  # of G's turn, beside its loss
    adversarial: Schedule = constant(1.0)  # weight of G's loss; at 0, G descends its terms alone
    pulls: tuple[tuple[Pull, Schedule], ...] = ()  # of each player's parameters, once a turn: historical averaging
    vary: Callable[[Loss, int], Loss] | None = None  # (loss, samples seen) -> the loss of now: top-k
    augment: Augment | None = None
    feed: Feed = as_given  # (G, c, samples seen) -> what fakes are made from, and judged with
    watch: tuple[Callable[[Turn, int, int], None], ...] = ()  # called after each look of the critic; may write memory
    project: Callable[[Module], None] | None = None  # of D, after its step: weight clipping
    lr_G: Schedule = constant(2e-4)
    lr_D: Schedule = constant(2e-4)
    beta1: float = 0.0
    beta2: Schedule = constant(0.99)
    halflife: Schedule = constant(10_000)  # of the average generator, in samples
    critic_steps: int = 1  # turns of D for each turn of G
    generator_steps: int = 1  # steps of G in its turn, from the same noise
    micro: int | None = None  # samples per backward pass; None = the whole batch
    seed: int = 0
    bf16: bool = False  # autocast the networks; parameters, losses and penalties stay float32
    critic_loss: Callable[..., tuple[Tensor, Stats]] = critic_loss
    generator_loss: Callable[..., tuple[Tensor, Stats]] = pathwise


@dataclass
class State:
    """Who plays, and how far they are: all that a checkpoint holds."""

    G: Module
    D: Module
    opt_G: Optimizer
    opt_D: Optimizer
    ema: Module  # the average generator
    memory: Memory = field(default_factory=dict)  # running means that losses and penalties keep
    seen: int = 0  # real samples shown to D, over all processes

    @classmethod
    def begin(cls, G: Module, D: Module, optimizer: Callable[..., Optimizer] = Adam) -> State:
        """Two fresh players; `Method` sets every rate of the optimizers at each step."""
        parallel.follow_first(G, D)
        fused = {"fused": True} if optimizer is Adam else {}
        opt_G, opt_D = (optimizer(net.parameters(), lr=0.0, **fused) for net in (G, D))
        return cls(G, D, opt_G, opt_D, copy.deepcopy(G).eval().requires_grad_(False))

    def save(self) -> dict[str, Any]:
        """Nested dictionaries of tensors and plain values."""
        return {k: v.state_dict() if hasattr(v, "state_dict") else v for k, v in vars(self).items()}

    def load(self, saved: dict[str, Any]) -> None:
        for k, v in vars(self).items():
            v.load_state_dict(saved[k]) if hasattr(v, "load_state_dict") else setattr(self, k, saved[k])
        device = next(self.G.parameters()).device
        self.memory = {k: v.to(device) for k, v in self.memory.items()}
        for opt in (self.opt_G, self.opt_D):
            for p, kept in opt.state.items():
                for k, v in kept.items():
                    if isinstance(v, Tensor) and v.shape == p.shape:
                        kept[k] = torch.empty_like(p).copy_(v)  # a fused step pairs weights and moments as they lie


def train(m: Method, s: State, batches: Iterable[Batch]) -> Iterator[Stats]:
    """Plays for ever.  The loop is the caller's: look at the numbers, save, measure, or break."""
    for x, c in batches:
        yield step(m, s, x, c)


def step(m: Method, s: State, x: Tensor, c: Tensor | None = None) -> Stats:
    """One round (Goodfellow et al. 2014, Algorithm 1): D moves, then G, then the average follows G.

    x, c: this process's share of the batch, in played form.  Returns what each sample contributed, detached.
    """
    n = len(x) * parallel.size()
    stats = descend(m.critic_loss, m, s, s.D, x, c)
    if m.project is not None:
        m.project(s.D)
    if (s.seen // n + 1) % m.critic_steps == 0:
        for _ in range(m.generator_steps):
            stats |= descend(m.generator_loss, m, s, s.G, x, c)
        follow(s.ema, s.G, 0.5 ** (n * m.critic_steps / max(m.halflife(s.seen), 1e-8)))
    s.seen += n
    return stats


def descend(loss_of: Callable, m: Method, s: State, player: Module, x: Tensor, c: Tensor | None) -> Stats:
    """One step of one player down its mean loss, in as many pieces as memory asks for; the other is held still."""
    name, opt, lr = ("G", s.opt_G, m.lr_G) if player is s.G else ("D", s.opt_D, m.lr_D)
    m = m if m.vary is None else replace(m, loss=m.vary(m.loss, s.seen))
    m = m if m.lazy == 1 else replace(m, penalties=due(m, s.seen // (len(x) * parallel.size())))
    s.G.requires_grad_(name == "G")
    s.D.requires_grad_(name == "D")
    for group in opt.param_groups:
        group["lr"] = lr(s.seen)
        if "betas" in group:
            group["betas"] = m.beta1, m.beta2(s.seen)
        if "alpha" in group:
            group["alpha"] = m.beta2(s.seen)
        if "bf16" in group:
            group["bf16"] = m.bf16

    mine = slice(parallel.rank() * len(x), (parallel.rank() + 1) * len(x))
    z = s.G.prior.sample(len(x) * parallel.size(), generator("noise", m.seed, s.seen, name))  # type: ignore[union-attr]
    z = z[mine].to(x)

    opt.zero_grad(set_to_none=True)
    gathered: dict[str, list[Tensor]] = {}
    # torch 2.8 would keep the weights of G that its own frames or texts were made with, without a gradient
    autocast = partial(torch.autocast, x.device.type, torch.bfloat16, enabled=m.bf16, cache_enabled=name == "D")
    with held(s.D if name == "G" else s.G):
        parts = list(pieces(x, c, z, m.micro))
        place = [("turn", m.seed, s.seen, name, parallel.rank(), i) for i in range(len(parts))]
        losses = [m.loss] * len(parts)
        if m.loss.coupled and len(parts) * parallel.size() > 1:
            with autocast():
                losses = coupled(loss_of, m, s, parts, place)

        for part, at, loss_here in zip(parts, place, losses):
            with seeded(x.device, *at), autocast():
                loss, stats = loss_of(replace(m, loss=loss_here), s, *part)
            (loss.reshape(len(part[0]), -1).mean(1).sum() / len(x)).backward()
            for key, value in stats.items():
                gathered.setdefault(key, []).append(value.detach())

    for pull, weight in m.pulls:
        if w := weight(s.seen):
            p = pull(player, name, s.memory)
            (w * p).backward()
            gathered[f"{name}/{named(pull)}"] = [p.detach()[None]]

    parallel.average_gradients(player)
    parallel.average_buffers(player)
    opt.step()
    return {key: torch.cat(values) for key, values in gathered.items()}


def due(m: Method, turn: int) -> tuple[tuple[Penalty, Schedule], ...]:
    """The penalties of one turn of D where r1 and r2 come by turns (Karras et al. 2020, StyleGAN2: one in 16)."""
    after: dict[Penalty, int] = {r1: 0, r2: m.lazy // 2}
    heavier = lambda w: lambda seen: m.lazy * w(seen)
    return tuple(
        (p, heavier(w) if p in after else w)
        for p, w in m.penalties
        if p not in after or (turn - after[p]) % m.lazy == 0
    )


def coupled(loss_of: Callable, m: Method, s: State, parts: list[tuple], place: list[tuple]) -> list[Loss]:
    """For a loss with means over the batch: one loss a piece, which knows the scores of all pieces of all processes.

    A first look without gradients records the scores; the pieces then descend exactly the loss of the whole batch.
    """
    scores: list[tuple[Tensor, Tensor]] = []

    def record(real: Tensor, fake: Tensor) -> Tensor:
        scores.append((real, fake))
        return torch.zeros_like(fake)

    blind = replace(m, loss=Loss(record, record), penalties=(), terms=(), watch=())
    with torch.no_grad():
        for part, at in zip(parts, place):
            with seeded(part[0].device, *at):
                loss_of(blind, s, *part)
    everywhere = [[parallel.gather(t) for t in pair] for pair in scores]  # [piece][real or fake][process]
    reals, fakes = ([t for piece in everywhere for t in piece[kind]] for kind in (0, 1))

    def of_whole(f: Callable[[Tensor, Tensor], Tensor], k: int) -> Callable[[Tensor, Tensor], Tensor]:
        def of_piece(real: Tensor, fake: Tensor) -> Tensor:
            all_real = torch.cat([*reals[:k], real, *reals[k + 1 :]])
            all_fake = torch.cat([*fakes[:k], fake, *fakes[k + 1 :]])
            each = f(all_real, all_fake)
            start = sum(map(len, reals[:k]))
            own = each[start : start + len(real)].detach()
            # this piece's scores reach every sample's loss through the means, or the order, of all
            through_all = each.reshape(len(each), -1).mean(1).sum() / len(real)
            return own + (through_all - through_all.detach())

        return of_piece

    mine = [i * parallel.size() + parallel.rank() for i in range(len(parts))]
    return [Loss(of_whole(m.loss.critic, k), of_whole(m.loss.generator, k)) for k in mine]


def pieces(x: Tensor, c: Tensor | None, z: Tensor, n: int | None) -> Iterator[tuple[Tensor, Tensor | None, Tensor]]:
    n = n or len(x)
    return zip(x.split(n), c.split(n) if c is not None else [None] * -(-len(x) // n), z.split(n))


def look(m: Method, s: State, x: Tensor) -> Look:
    """D as it looks at a batch like x, through this turn's glass."""
    return Look(s.D, (lambda x: x) if m.augment is None else m.augment(x, s.memory, s.seen))


@contextmanager
def held(net: Module) -> Iterator[None]:
    """Inside, net may be asked, but its buffers (running statistics, power iterations) end where they began."""
    before = [b.clone() for b in net.buffers()]
    yield
    with torch.no_grad():
        for b, old in zip(net.buffers(), before):
            b.copy_(old)


@torch.no_grad()
def follow(average: Module, net: Module, beta: float) -> None:
    """average <- beta average + (1 - beta) net; buffers are taken as they are."""
    for a, b in zip(average.parameters(), net.parameters()):
        a.lerp_(b, 1 - beta)
    for a, b in zip(average.buffers(), net.buffers()):
        a.copy_(b)
