"""What turns gradients into steps, by name; and what a step was."""

from collections.abc import Callable

from torch import Tensor
from torch.optim import Adam, Optimizer, RMSprop

from .soap import SOAP

OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {"adam": Adam, "rmsprop": RMSprop, "soap": SOAP}


def last_step(opt: Optimizer) -> list[Tensor]:
    """What the optimizer took from each parameter that has moved, at its last step, whose gradients are still there.

    One that has `taken(p, group)` is asked; any other is Adam or RMSprop if it keeps what these keep, or else plain.
    """
    taken = []
    for group in opt.param_groups:
        for p in group["params"]:
            known = opt.state.get(p, {})
            if hasattr(opt, "taken"):
                taken += [opt.taken(p, group)] if known and p.grad is not None else []  # type: ignore[operator]
            elif "exp_avg_sq" in known:
                b1, b2 = group["betas"]
                t = float(known["step"])
                size = (known["exp_avg_sq"] / (1 - b2**t)).sqrt() + group["eps"]
                taken.append(known["exp_avg"] / size * (group["lr"] / (1 - b1**t)))
            elif p.grad is not None:
                size = known["square_avg"].sqrt() + group["eps"] if "square_avg" in known else 1.0
                taken.append(p.grad / size * group["lr"])
    return taken
