"""The smallest game there is, min over x and max over y of xy: who walks straight down its slope walks in circles."""

from collections.abc import Callable, Iterator
from itertools import islice
from math import log, sqrt

import numpy as np
import torch
from torch import Tensor

from ..losses import wasserstein
from .claims import Findings, Plot, at_least, at_most, equals
from .dirac import play

ETA, GAMMA, BETA = 0.1, 1.0, -0.5  # the step, the weight of consensus, the negative momentum

Field = Callable[[Tensor], Tensor]
Rule = Callable[[Field, Tensor, float], Iterator[Tensor]]  # the slopes, the start, the step -> one place after another


def slopes(w: Tensor) -> Tensor:
    """What each player of f(x, y) = xy descends: (∂f/∂x, -∂f/∂y), from w = (x, y)."""
    w = w if w.requires_grad else w.detach().requires_grad_()
    (grad,) = torch.autograd.grad(w[0] * w[1], w, create_graph=True)
    return grad * torch.tensor([1.0, -1.0], dtype=w.dtype)


def simultaneous(F: Field, w: Tensor, eta: float) -> Iterator[Tensor]:
    """Both move at once."""
    while True:
        w = (w - eta * F(w)).detach()
        yield w


def alternating(F: Field, w: Tensor, eta: float, beta: float = 0.0) -> Iterator[Tensor]:
    """x moves, and then y, who has seen it; beta < 0 is the negative momentum of Gidel et al. 2019."""
    turns = torch.eye(2, dtype=w.dtype)
    last = w
    while True:
        step = beta * (w - last)
        last = w
        for turn in turns:
            w = (w + turn * (step - eta * F(w))).detach()
        yield w


def extragradient(F: Field, w: Tensor, eta: float) -> Iterator[Tensor]:
    """Look one step ahead, and go by the slopes there (Korpelevich 1976)."""
    while True:
        w = (w - eta * F(w - eta * F(w))).detach()
        yield w


def optimism(F: Field, w: Tensor, eta: float) -> Iterator[Tensor]:
    """Expect the slopes to change as they did last (Daskalakis et al. 2018)."""
    before = F(w)
    while True:
        now = F(w)
        w, before = (w - eta * (2 * now - before)).detach(), now
        yield w


def consensus(F: Field, w: Tensor, eta: float, gamma: float = GAMMA) -> Iterator[Tensor]:
    """Both also want all slopes small: F + γ ∇|F|²/2 (Mescheder et al. 2017)."""
    while True:
        w = w.detach().requires_grad_()
        f = F(w)
        (calm,) = torch.autograd.grad(f.square().sum() / 2, w)
        w = (w - eta * (f + gamma * calm)).detach()
        yield w


def optimizer(make: Callable[..., torch.optim.Optimizer]) -> Rule:
    """Both at once, by an optimizer of torch."""

    def rule(F: Field, w: Tensor, eta: float) -> Iterator[Tensor]:
        w = w.clone()
        opt = make([w], lr=eta)
        while True:
            w.grad = F(w).detach()
            opt.step()
            yield w.detach().clone()

    return rule


USUAL: dict[str, Rule] = {
    "gradient descent": simultaneous,
    "momentum .9": optimizer(lambda w, lr: torch.optim.SGD(w, lr, momentum=0.9)),
    "RMSProp": optimizer(torch.optim.RMSprop),
    "Adam .9, .999": optimizer(torch.optim.Adam),
    "Adam 0, .99": optimizer(lambda w, lr: torch.optim.Adam(w, lr, betas=(0.0, 0.99))),
}

CURES: dict[str, tuple[Rule, float]] = {  # and the modulus of its largest eigenvalue: the rate a step
    "extragradient": (extragradient, sqrt(1 - ETA**2 + ETA**4)),
    "optimism": (optimism, max(abs(np.roots([1, 2j * ETA - 1, -1j * ETA])))),
    "negative momentum": (
        lambda F, w, eta: alternating(F, w, eta, BETA),
        # ((λ - 1)(λ - β))² + η² λ³ = 0
        max(abs(np.roots(np.polyadd(np.poly([1, 1, BETA, BETA]), [ETA**2, 0, 0, 0])))),
    ),
    "consensus": (consensus, sqrt((1 - ETA * GAMMA) ** 2 + ETA**2)),
}


def run(seed: int = 0, effort: float = 1.0) -> Findings:
    """Growth and decay of |(x, y)| a step, against the eigenvalues of each rule."""
    start = torch.ones(2, dtype=torch.float64)
    paths = {"simultaneous": path(simultaneous, start), "alternating": path(alternating, start)}

    grown = rate(paths["simultaneous"]) / log(sqrt(1 + ETA**2))
    yield equals("simultaneous play spirals out by √(1+η²) a step: measured growth over it", grown, 1, 0.05)

    r = paths["alternating"].norm(dim=1)
    yield equals("alternating play orbits: growth a step over all turns", rate(paths["alternating"]), 0, 1e-5)
    yield at_most("and stays within a band: its widest over its narrowest", float(r.max() / r.min()), 1.2)

    d = play(wasserstein, steps=2000, lr=ETA)
    swing = float(d.radius[-200:].max() / d.radius[:200].max())
    yield equals("the library's own turn, on this game, keeps the orbit: its last width over its first", swing, 1, 0.05)

    for name, (rule, theory) in CURES.items():
        paths[name] = path(rule, start)
        found = rate(paths[name]) / log(theory)
        yield equals(f"{name} converges by {theory:.4f} a step: measured decay over it", found, 1, 0.05)

    usual = {name: path(rule, start, 3000) for name, rule in USUAL.items()}
    least = min(float(w[-500:].norm(dim=1).max()) for w in usual.values())
    text = f"none of {', '.join(USUAL)} meets at (0, 0): least radius of the last 500 of 3,000 steps"
    yield at_least(text, least, 0.1)
    yield Plot(lambda figure: draw(figure, paths, usual))


def path(rule: Rule, start: Tensor, steps: int = 1500) -> Tensor:
    """(steps + 1, 2), the start first."""
    return torch.stack([start, *islice(rule(slopes, start, ETA), steps)])


def rate(w: Tensor) -> float:
    """Growth of log |w| a step, by a line through its later part, as far as numbers are large enough to tell."""
    log_r = w.norm(dim=1).log()
    log_r = log_r[: int((log_r > log(1e-12)).long().cumprod(0).sum())]
    later = log_r[len(log_r) // 5 :].numpy()
    return float(np.polyfit(np.arange(len(later)), later, 1)[0])


def draw(figure, paths: dict[str, Tensor], usual: dict[str, Tensor]) -> None:
    from .drawing import CYCLE, INK, titled

    left, middle, right = figure.subplots(1, 3)
    titled(left, "300 steps from (1, 1)", "x", "y")
    for color, (name, w) in zip(CYCLE, paths.items()):
        left.plot(*w[:300].T, color=color, lw=0.9, label=name)
        middle.semilogy(w.norm(dim=1).clamp_min(1e-12), color=color, label=name)
    left.plot(1, 1, "o", color=INK, ms=3)
    left.set_aspect("equal")
    titled(middle, "distance from the end", "step").set_ylim(1e-6, 1e4)
    middle.legend()
    titled(right, "the usual optimizers", "step").set_ylim(1e-3, 1e4)
    for name, w in usual.items():
        right.semilogy(w.norm(dim=1), label=name)
    right.legend()
