"""The route to a generator that writes: no gradient passes a token, so it takes that of the tokens' probability.

G has `sample(z, c) -> (x, logp)`, logp (B, L) of each token given those before it, 0 where nothing is written; and for
several steps on one batch `score(x, c, z) -> logp`.  D scores each token, (B, L), or the whole, (B,).
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import Module
from torch.nn.functional import logsigmoid, one_hot

from . import parallel
from .sequences import mask
from .train import Method, State, Stats, look
from .turns import Memory

Reward = Callable[[Tensor], Tensor]  # of each score
Route = Callable[[Method, State, Tensor, Tensor | None, Tensor], tuple[Tensor, Stats]]
Baseline = Literal["mean", "step", "none"]

REWARDS: dict[str, Reward] = {  # a score of 0, where D does not know or nothing is written, is a reward of 0
    "sigmoid": lambda d: 2 * d.sigmoid() - 1,  # de Masson d'Autume et al. 2019, ScratchGAN
    "log": lambda d: logsigmoid(d) - logsigmoid(d.new_zeros(())),  # Fedus et al. 2018, MaskGAN
    "score": lambda d: d,  # of the best D, log p/q of the text so far
}


class Returns(NamedTuple):
    """What a token is worth: R_t = r_t + discount R_{t+1}, above what is usual."""

    reward: Reward = REWARDS["sigmoid"]
    discount: float = 0.23
    baseline: Baseline = "mean"  # of all tokens, of those at the same place ("step"), or 0 ("none")
    decay: float = 0.08  # the share of the baseline that a batch leaves
    entropy: float = 0.0  # paid for each nat of surprise


USUAL = Returns()


class Told(NamedTuple):
    """Texts that G wrote, and what it is told about them."""

    x: Tensor  # (B, L, V), one-hot
    logp: Tensor  # (B, L), with G's gradient
    reward: Tensor  # (B, L)
    gain: Tensor  # (B, L), rewards from each token on, above the usual


def score_function(returns: Returns = USUAL) -> Route:
    """REINFORCE (Williams 1992): G descends -(R_t - b) log p(x_t | x_<t), b being the usual R, kept in memory."""

    def score_function(m: Method, s: State, x: Tensor, c: Tensor | None, z: Tensor) -> tuple[Tensor, Stats]:
        t = told(m, s, x, c, z, returns)
        loss = -t.gain * t.logp
        return loss, said(t, loss)

    return score_function


def proximal(steps: int = 4, clip: float = 0.2, returns: Returns = USUAL) -> Route:
    """As `score_function`, for `Method.generator_steps` of `steps` on the same texts (Schulman et al. 2017, PPO).

    With w = p(x_t | x_<t) over what it was when they were written, G descends -min(w A, clip(w, 1 - clip, 1 + clip) A).
    """

    def proximal(m: Method, s: State, x: Tensor, c: Tensor | None, z: Tensor) -> tuple[Tensor, Stats]:
        if m.generator_steps != steps or m.micro is not None:
            raise ValueError(f"proximal({steps}) plays with generator_steps={steps} and whole batches, micro=None")
        if "proximal/x" in s.memory:
            kept, old, r, gain = (s.memory[f"proximal/{k}"] for k in ("x", "logp", "reward", "gain"))
            t = Told(kept, s.G.score(kept, c, z), r, gain)  # type: ignore[operator]
            left = s.memory["proximal/left"] - 1
        else:
            t = told(m, s, x, c, z, returns)
            old, left = t.logp.detach(), torch.tensor([steps - 1])
        kept = {**t._asdict(), "logp": old, "left": left} if left > 0 else {}
        for k in ("x", "logp", "reward", "gain", "left"):  # gone after the last step: no checkpoint holds them
            s.memory.pop(f"proximal/{k}", None)
        s.memory.update({f"proximal/{k}": v for k, v in kept.items()})
        w = (t.logp - old).exp()
        loss = -torch.minimum(w * t.gain, w.clamp(1 - clip, 1 + clip) * t.gain) * (old != 0)
        return loss, said(t, loss)

    return proximal


def rollouts(n: int = 16, returns: Returns = USUAL) -> Route:
    """Yu et al. 2017 (SeqGAN), Equation 4: a token is worth what D thinks, in the mean, of n ends that the average
    generator writes to the text so far; the last one, what D thinks of the text.

    D's opinion of a text is its score, (B,), or that of its last token.  Costs n L / 2 texts for each.
    """

    def rollouts(m: Method, s: State, x: Tensor, c: Tensor | None, z: Tensor) -> tuple[Tensor, Stats]:
        fake, logp = s.G.sample(z, c)  # type: ignore[operator]
        with torch.no_grad():
            written = (logp != 0).to(logp.dtype)
            r = worth(lambda x: returns.reward(last(look(m, s, x)(x, c), x)), s.ema, fake, c, n) * written
            gain = (r - returns.entropy * logp - usual(r, written, s.memory, returns)) * written
        t = Told(fake, logp, r, gain)
        loss = -t.gain * t.logp
        return loss, said(t, loss)

    return rollouts


def worth(opinion: Callable[[Tensor], Tensor], G: Module, x: Tensor, c: Tensor | None, n: int) -> Tensor:
    """The mean opinion (B,) of n texts that go on as x (B, L, V) begins, up to each of its tokens: (B, L)."""
    tokens, (B, L, V) = x.argmax(-1), x.shape
    found = []
    for t in range(1, L):
        each = []
        for _ in range(n):
            z = G.prior.sample(B).to(x)  # type: ignore[union-attr]
            each.append(opinion(one_hot(G.write(z, c, begun=tokens[:, :t]), V).to(x)))  # type: ignore[operator]
        found.append(torch.stack(each).mean(0))
    return torch.stack([*found, opinion(x)], 1)


def last(scores: Tensor, x: Tensor) -> Tensor:
    """Of scores (B, L) those of the last tokens, the first end or the one at full length; (B,) as they are."""
    at = mask(x).sum(1).long() - 1
    return scores if scores.ndim == 1 else scores.gather(1, at[:, None])[:, 0]


def likelihood(m: Method, s: State, x: Tensor, c: Tensor | None, z: Tensor) -> tuple[Tensor, Stats]:
    """No game: G descends -log p of each token of the real texts.  The baseline that a game has to beat."""
    nll = -s.G.score(x, c, z)  # type: ignore[operator]
    return nll, {"G/loss": nll.detach().sum(1) / mask(x).sum(1), "G/nll": nll.detach().sum(1)}


def pretrained(until: int, route: Route) -> Route:
    """`likelihood` for the first `until` samples of the run, then `route`.  D learns from the first."""

    def pretrained(m: Method, s: State, x: Tensor, c: Tensor | None, z: Tensor) -> tuple[Tensor, Stats]:
        return (likelihood if s.seen < until else route)(m, s, x, c, z)

    return pretrained


def told(m: Method, s: State, x: Tensor, c: Tensor | None, z: Tensor, returns: Returns) -> Told:
    """New texts of G, and what D gives for them."""
    fake, logp = s.G.sample(z, c)  # type: ignore[operator]
    with torch.no_grad():
        written = (logp != 0).to(logp.dtype)
        r = returns.reward(look(m, s, x)(fake, c))
        if r.ndim == 1:  # one reward a text: at its last token
            r = r[:, None] * (written.cumsum(1) == written.sum(1, keepdim=True)) * written
        gain = to_go(r - returns.entropy * logp, returns.discount)
        return Told(fake, logp, r, (gain - usual(gain, written, s.memory, returns)) * written)


def usual(gain: Tensor, written: Tensor, memory: Memory, of: Returns) -> Tensor:
    """The usual gain, () or (L,), with this batch of all processes in it."""
    if of.baseline == "none":
        return gain.new_zeros(())
    over = 0 if of.baseline == "step" else (0, 1)
    total, count = (parallel.mean(t.sum(over)) for t in (gain * written, written))
    now = total / count.clamp_min(1e-9)
    if "baseline" in memory:
        now = torch.where(count > 0, memory["baseline"].lerp(now, 1 - of.decay), memory["baseline"])
    memory["baseline"] = now
    return now


def to_go(reward: Tensor, discount: float) -> Tensor:
    """R_t = r_t + discount R_{t+1}, along the last dimension."""
    gain = reward.clone()
    for t in range(reward.shape[-1] - 2, -1, -1):
        gain[..., t] += discount * gain[..., t + 1]
    return gain


def said(t: Told, loss: Tensor) -> Stats:
    """What the log hears of each text: its loss, mean reward, nats of surprise and tokens, the end among them."""
    n = (t.logp != 0).sum(1)
    mean = lambda v: v.detach().sum(1) / n.clamp_min(1)
    return {"G/loss": mean(loss), "G/reward": mean(t.reward), "G/surprise": -t.logp.sum(1), "G/tokens": n.float()}
