"""Features learned in minutes from the training examples alone: by two looks at each, or by their classes.

The same examples, seed, machine and number of threads give the same network.
"""

import time
from collections.abc import Callable
from math import cos, pi
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss, relu

from .. import machine
from ..chance import seeded
from ..data.split import Split
from ..spaces import Space, Tokens, at_once
from .contract import ExtractorError, planes
from .encoder import Encoder, Reader, Settled
from .texts import TextEncoder, next_token
from .views import view

STEPS, BATCH, RATE = 400, 128, 3e-3
RISE, TIMED, FEWEST = 20, 10, 40  # steps: of the rising rate, before the pace is known, that any limit of time leaves
CPU = torch.device("cpu")

Loss = Callable[[Tensor, Tensor | None], Tensor]  # of samples in played form, and of their classes


class Learned(NamedTuple):
    """A network that has learned, in how many steps, and what a person should know of it."""

    net: Settled
    steps: int
    notes: list[str]


def vicreg(a: Tensor, b: Tensor) -> Tensor:
    """Bardes, Ponce and LeCun 2022: two looks (B, d) alike, every feature alive, no two of them the same."""

    def alive(z: Tensor) -> Tensor:
        return relu(1 - (z.var(0) + 1e-4).sqrt()).mean()

    def apart(z: Tensor) -> Tensor:
        covariance = z.T.cov()
        return (covariance.square().sum() - covariance.diag().square().sum()) / z.shape[1]

    return 25 * mse_loss(a, b) + 25 / 2 * (alive(a) + alive(b)) + apart(a) + apart(b)


def learn(
    split: Split,
    space: Space,
    classes: int = 0,
    seed: int = 0,
    minutes: float = 5.0,
    steps: int = STEPS,
    progress: Callable[[int, int], object] = lambda done, total: None,
) -> Learned:
    """Learns from all examples of `split`: with `classes` from their labels, of texts by reading on, else from two
    looks at each.

    minutes: at most; where `steps` would take longer, at the pace of the first ten, fewer are made.
    """
    with seeded(CPU, "extractor", seed):
        if isinstance(space, Tokens) and not classes:
            net, head, loss = _by_reading(space)
        else:
            net, head, loss = _by_class(space, classes) if classes else _by_looks(space)
    parameters = [*net.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters, RATE, (0.9, 0.99), weight_decay=1e-4)
    began, asked, step = time.monotonic(), steps, 0
    net.train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    while step < steps:
        with seeded(CPU, "extractor", seed, step):
            rows = torch.randperm(len(split))[:BATCH]
            y = torch.from_numpy(split.labels[rows.numpy()]) if classes else None  # type: ignore[index]
            x = space.encode(split.take(rows)[0])
            value = loss(x, y)
        if not value.isfinite():
            raise ExtractorError(f"learning features of this data failed: the loss became {value.item()}")
        optimizer.param_groups[0]["lr"] = RATE * min((step + 1) / RISE, 1) * (1 + cos(pi * step / steps)) / 2
        optimizer.zero_grad()
        value.backward()
        optimizer.step()

        step += 1
        if step == TIMED:
            pace = (time.monotonic() - began) / step
            steps = min(steps, max(int(60 * minutes / pace), FEWEST))
        progress(step, steps)

    net.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    some = split.take(range(min(len(split), 2048)))[0]
    net.settle(space.encode(x) for x in some.split(at_once(space)))
    few = [
        f"{net.name} learned in {steps} of {asked} steps, the most in {minutes:g} minutes; allow more with --minutes"
    ]
    return Learned(net, steps, few if steps < asked else [])


def blank(space: Space, classes: int) -> Settled:
    """The network, before it has learned."""
    if isinstance(space, Tokens) and not classes:
        return TextEncoder(space.length, space.vocab)
    takes = planes(space, "classifier" if classes else "learned")
    return Reader(*takes, classes) if classes else Encoder(*takes)


def _look(net: Encoder, x: Tensor) -> Tensor:
    """Features of another look at each of x."""
    x = x.flatten(1, -3)
    with torch.autocast("cpu", torch.bfloat16, enabled=machine.fast_bf16(CPU)):
        return net(view(x).contiguous(memory_format=torch.channels_last)).float()


def _by_reading(space: Tokens) -> tuple[TextEncoder, nn.Module, Loss]:
    net = TextEncoder(space.length, space.vocab)
    head = nn.Linear(net.d, space.vocab)
    return net, head, lambda x, y: next_token(net, head, x)


def _by_looks(space: Space) -> tuple[Encoder, nn.Module, Loss]:
    net = Encoder(*planes(space, "learned"))
    head = nn.Sequential(nn.Linear(net.d, 256), nn.BatchNorm1d(256), nn.ReLU(), nn.Linear(256, 128))
    return net, head, lambda x, y: vicreg(head(_look(net, x)), head(_look(net, x)))


def _by_class(space: Space, classes: int) -> tuple[Reader, nn.Module, Loss]:
    net = Reader(*planes(space, "classifier"), classes)
    smooth = 0.1  # of each label, spread over all classes, so that probabilities stay apart from 0 and 1
    return net, nn.Identity(), lambda x, y: cross_entropy(net.logits(_look(net, x)), y, label_smoothing=smooth)  # type: ignore
