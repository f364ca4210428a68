"""The game as a vector field: whether play turns or comes to rest, and how far the players are from the best answers.

The field at the parameters ω = (θ of G, ψ of D) is v(ω) = (∇_θ L_G, ∇_ψ L_D), what either player descends.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import Module
from torch.nn.functional import logsigmoid

from .chance import seeded
from .losses import Loss
from .train import Batch, Method, State, look, price_of_move, price_of_turn
from .turns import Move, Turn, each


class Path(NamedTuple):
    """Along the line from early to late parameters, ω_α = (1 − α) ω_early + α ω_late."""

    alpha: list[float]
    cosine: list[float]  # of ω_early − ω_late and v(ω_α): above 0 where play moves towards the late end
    size: list[float]  # |v(ω_α)|


class Gap(NamedTuple):
    """The duality gap of Grnarova et al. 2019 (arXiv 1811.05512), approximated by some steps of each best answer."""

    gap: float  # best_D − best_G: 0 at an equilibrium
    best_D: float  # M of G against a critic trained to the best answer; −log 2 if nobody can tell, 0 if anybody can
    best_G: float  # M of D against a generator trained to the best answer


def field(m: Method, s: State, x: Tensor, c: Tensor | None, z: Tensor, graph: bool = False) -> Tensor:
    """v of the mean losses over this batch, as one vector; `graph` for a further derivative.

    The losses are all that either player is charged at `s.seen`, with the chance of the next step: penalties, terms,
    pulls, what varies the loss, the glass, what is fed.  G's is that of `train.pathwise`, whatever the route.  Unlike
    those of a step, the losses have a gradient in the other player as well, which the Jacobian of v needs.
    """
    m = m if m.vary is None else replace(m, loss=m.vary(m.loss, s.seen))
    theta, psi = (list(net.parameters()) for net in (s.G, s.D))
    memory, chance = dict(s.memory), lambda name: seeded(x.device, "turn", m.seed, s.seen, name, 0, 0)

    with chance("D"):
        D, fed = look(m, s, x), m.feed(s.G, c, s.seen)
        real, fake = x.detach().requires_grad_(), s.G(z, fed).to(x.dtype)
        loss_D, _ = price_of_turn(m, Turn(D, c, real, fake, D(real, c), D(fake, fed), memory, s.seen, fed))
    with chance("G"):
        D, fed = look(m, s, x), m.feed(s.G, c, s.seen)
        fake = s.G(z, fed).to(x.dtype)
        loss_G, _ = price_of_move(m, Move(s.G, D, z, c, fed, x, fake, D(x, c), D(fake, fed), memory, s.seen))
    pulled = lambda net, name: sum(w * pull(net, name, memory) for pull, weight in m.pulls if (w := weight(s.seen)))

    slopes = [
        torch.autograd.grad(loss, params, create_graph=graph, retain_graph=True, materialize_grads=True)
        for loss, params in (
            (each(loss_G).mean() + pulled(s.G, "G"), theta),
            (each(loss_D).mean() + pulled(s.D, "D"), psi),
        )
    ]
    return torch.cat([g.flatten() for part in slopes for g in part])


def eigenvalues(m: Method, s: State, x: Tensor, c: Tensor | None, z: Tensor, k: int = 6) -> np.ndarray:
    """The k eigenvalues of the Jacobian of v that are largest in size: complex (k,), by falling size.

    A negative real part is a direction in which play runs away; an imaginary part far above the real one, a rotation
    (Mescheder et al. 2017, The Numerics of GANs).  Fewer than k where Arnoldi's iteration finds no more.
    """
    from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigs

    s = quiet(s)
    params = [*s.G.parameters(), *s.D.parameters()]
    v = field(m, s, x, c, z, graph=True)
    n, dummy = len(v), torch.zeros_like(v, requires_grad=True)
    pulled = torch.autograd.grad(v, params, dummy, create_graph=True, materialize_grads=True)  # Jᵀ dummy
    pulled = torch.cat([g.flatten() for g in pulled])

    def matvec(u: np.ndarray) -> np.ndarray:
        u_ = torch.as_tensor(u.reshape(-1), dtype=v.dtype, device=v.device)
        (Ju,) = torch.autograd.grad(pulled, dummy, u_, retain_graph=True, materialize_grads=True)
        return Ju.detach().double().cpu().numpy()

    if n <= k + 2:
        found = np.linalg.eigvals(np.stack([matvec(e) for e in np.eye(n)], 1))
    else:
        start = np.random.default_rng(0).standard_normal(n)
        J = LinearOperator((n, n), matvec=matvec, dtype=np.float64)  # pyright: ignore[reportCallIssue]
        try:
            found = np.asarray(eigs(J, k, v0=start, tol=1e-3, maxiter=100 * k, return_eigenvectors=False))  # pyright: ignore
        except ArpackNoConvergence as error:
            found = error.eigenvalues
    return found[np.argsort(-np.abs(found), kind="stable")][:k]


def path(m: Method, early: State, late: State, batch: Sequence[Tensor | None], alphas: Sequence[float]) -> Path:
    """Berard et al. 2020: the angle between the field and the line from the early to the late players."""
    x, c, z = batch
    assert x is not None and z is not None
    first, last = flat(early), flat(late)
    s, way = quiet(late), first - last
    cosines, sizes = [], []
    for alpha in alphas:
        pour(s, (1 - alpha) * first + alpha * last)
        v = field(m, s, x, c, z)
        sizes.append(v.norm().item())
        cosines.append((way @ v / (way.norm() * v.norm()).clamp_min(1e-12)).item())
    return Path(list(alphas), cosines, sizes)


def duality_gap(
    s: State,
    train: Batch,
    test: Batch,
    draw: Callable[[int], Tensor],
    steps: int = 100,
    lr: float = 1e-3,
    loss: Loss | None = None,
) -> Gap:
    """max over critics of M(G, ·) minus min over generators of M(·, D), M = ½ E log σ(D(x)) + ½ E log(1 − σ(D(G(z)))).

    Either best answer is sought by `steps` of Adam from the present players on `train` held-out examples, and judged
    on `test` ones.  draw(n) gives z (n, dim).  loss: that of the game; where it leaves D's offset free, D's scores
    count from the middle between both means on `train`.
    """

    def scores(G: Module, D: Module, x: Tensor, c: Tensor | None) -> tuple[Tensor, Tensor]:
        return each(D(x, c).float()), each(D(G(draw(len(x)), c), c).float())

    middle = torch.zeros(())
    if loss is not None and offset_free(loss):
        with torch.no_grad():
            t = quiet(s)
            d_real, d_fake = scores(t.G, t.D, *train)
            middle = (d_real.mean() + d_fake.mean()) / 2

    def M(G: Module, D: Module, x: Tensor, c: Tensor | None) -> Tensor:
        d_real, d_fake = (d - middle for d in scores(G, D, x, c))
        return (logsigmoid(d_real).mean() + logsigmoid(-d_fake).mean()) / 2

    def answered(player: str, sign: float) -> float:
        t = quiet(s)
        (t.G if player == "D" else t.D).requires_grad_(False)
        net = t.D if player == "D" else t.G
        opt = torch.optim.Adam(net.parameters(), lr=lr, betas=(0.0, 0.99))
        for _ in range(steps):
            opt.zero_grad()
            (-sign * M(t.G, t.D, *train)).backward()
            opt.step()
        with torch.no_grad():
            return M(t.G, t.D, *test).item()

    best_D, best_G = answered("D", 1.0), answered("G", -1.0)
    return Gap(best_D - best_G, best_D, best_G)


def offset_free(loss: Loss) -> bool:
    """Whether the critic's loss is the same for scores that are all higher by one number: it asks for differences."""
    real, fake = torch.linspace(-1.0, 2.0, 8), torch.linspace(-2.0, 1.5, 8)
    return torch.allclose(loss.critic(real, fake), loss.critic(real + 3, fake + 3), atol=1e-4)


def quiet(s: State) -> State:
    """A copy of the players in eval mode, whose parameters all want gradients; the state itself is left alone."""
    G, D = (copy.deepcopy(net).eval().requires_grad_(True) for net in (s.G, s.D))
    return State(G, D, s.opt_G, s.opt_D, s.ema, dict(s.memory), s.seen)


def flat(s: State) -> Tensor:
    """All parameters of both players as one vector."""
    return torch.cat([p.detach().flatten() for net in (s.G, s.D) for p in net.parameters()])


@torch.no_grad()
def pour(s: State, omega: Tensor) -> None:
    """Sets all parameters of both players from one vector."""
    params = [p for net in (s.G, s.D) for p in net.parameters()]
    for p, part in zip(params, omega.split([p.numel() for p in params])):
        p.copy_(part.view_as(p))
