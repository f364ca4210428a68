"""Further routes by which the game reaches the generator, beside `train.pathwise`, and what it is fed on the way; see
`policy` for texts."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import Module
from torch.optim import Optimizer

from . import parallel
from .schedules import Schedule
from .train import Feed, Method, State, Stats, look, price_of_move, price_of_turn
from .turns import Look, Move, Turn


def unrolled(steps: int) -> Callable[..., tuple[Tensor, Stats]]:
    """Metz et al. 2017: G plays against the critic as it would be after `steps` more steps against this very G.

    So G sees where D would go, and that a mode left empty will be found out.  The steps are gradient descent on all
    that the critic descends, on this batch, and G's gradient passes through them all; a step is about as long as those
    that D's optimizer takes now (`pace`).  D, its optimizer and the memory stay as they are.

    The whole batch must come in one piece: ValueError with `micro`.  Several processes are exactly one.
    """
    if steps < 1:
        raise ValueError(f"unrolled({steps}): the critic must be thought ahead by at least 1 step")

    def unrolled(m: Method, s: State, x: Tensor, c: Tensor | None, z: Tensor) -> tuple[Tensor, Stats]:
        if m.micro is not None:
            raise ValueError(f"unrolled looks ahead on a whole batch; leave out micro (it is {m.micro})")
        if not torch.is_grad_enabled():  # the first look of a loss with means over the batch
            raise ValueError(
                "unrolled and a loss coupled over the batch play in one process only, or take another loss"
            )
        glass, memory = look(m, s, x).glass, dict(s.memory)
        fed = m.feed(s.G, c, s.seen)
        fake = s.G(z, fed)
        theta = {k: p.detach().requires_grad_() for k, p in s.D.named_parameters()}
        eta = pace(s.opt_D, m.lr_D(s.seen))

        for _ in range(steps):
            D = Look(Imagined(s.D, theta), glass)
            real, made = x.detach().requires_grad_(), fake.view_as(fake)  # of this step: theta hangs on those before
            loss, _ = price_of_turn(m, Turn(D, c, real, made, D(real, c), D(made, fed), memory, s.seen, fed))
            slopes = torch.autograd.grad(loss.mean(), list(theta.values()), create_graph=True, materialize_grads=True)
            shared = parallel.mean_through(torch.cat([g.flatten() for g in slopes])).split([g.numel() for g in slopes])
            theta = {k: p - eta * g.view_as(p) for (k, p), g in zip(theta.items(), shared)}

        D = Look(Imagined(s.D, theta), glass)
        return price_of_move(m, Move(s.G, D, z, c, fed, x, fake, D(x, c), D(fake, fed), s.memory, s.seen))

    return unrolled


class Imagined:
    """D as it would be with other parameters, theta."""

    def __init__(self, D: Module, theta: dict[str, Tensor]):
        self.asked, self.theta = Asked(D), {f"D.{k}": p for k, p in theta.items()}
        for name in ("features", "every", "naming", "classify"):
            if hasattr(D, name):
                setattr(self, name, partial(self.ask, name))

    def ask(self, what: str, *of: Tensor | None) -> Tensor:
        return functional_call(self.asked, self.theta, (what, *of))

    def __call__(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        return self.ask("__call__", x, c)


class Asked(nn.Module):
    """D, asked for its scores, its features or whatever else it tells, as a call of one module."""

    def __init__(self, D: Module):
        super().__init__()
        self.D = D

    def forward(self, what: str, *of: Tensor | None) -> Tensor:
        return getattr(self.D, what)(*of)


def pace(opt: Optimizer, lr: float) -> Tensor | float:
    """The rate at which plain gradient descent takes steps as long as `opt` does in its present state.

    For Adam, RMSProp and SOAP that is lr over the root mean square of all slopes, as they remember them; one for each
    parameter would be as theirs, but a slope that was near zero and is not any more would then throw it far away.
    """
    squares = []
    for group in opt.param_groups:
        for state in (opt.state[p] for p in group["params"] if p in opt.state):
            if "exp_avg_sq" in state:
                squares.append(state["exp_avg_sq"] / (1 - group["betas"][1] ** state["step"]))
            elif "square_avg" in state:
                squares.append(state["square_avg"])
            elif "square" in state:
                squares.append(state["square"] / state["weight"])
    if not squares:
        return lr
    mean = torch.stack([v.sum() for v in squares]).sum() / sum(v.numel() for v in squares)
    return lr / (mean.sqrt() + opt.param_groups[0]["eps"])


def own_frames(share: Schedule) -> Feed:
    """Student forcing: pasts (B, T, ...) whose last frames G has made itself, as in a roll-out; without gradient.

    share: of samples seen, the chance of each sample to go one frame on; then perhaps another, T at most.
    """

    @torch.no_grad()
    def feed(G: Module, c: Tensor, seen: int) -> Tensor:
        c, on, chance = c.clone(), torch.arange(len(c), device=c.device), share(seen)
        for _ in range(c.shape[1]):
            on = on[(torch.rand(len(on)) < chance).to(c.device)]
            if not len(on):
                break
            z = G.prior.sample(len(on)).to(c)  # type: ignore[union-attr]
            c[on] = torch.cat([c[on, 1:], G(z, c[on]).to(c.dtype)[:, None]], 1)
        return c

    return feed
