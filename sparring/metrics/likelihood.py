"""How far a generator is from the truth where both can be written down: divergences of texts, from log-likelihoods.

KL(p ‖ q) asks whether all that is real can be written, KL(q ‖ p) whether what is written could be real; one alone is
gamed by writing little, or anything.  All are in nats per text.
"""

from collections.abc import Callable
from math import exp, inf, log, sqrt

from torch import Tensor

from .measure import Measure

Likelihood = Callable[[Tensor], Tensor]  # texts in stored form (n, L) -> log-likelihoods (n,)


def mean(values: Tensor, better: str, name: str, n_real: int, n_fake: int) -> Measure:
    v = values.double()
    se = float(v.std() / sqrt(len(v))) if len(v) > 1 else inf
    return Measure(float(v.mean()), se, better, n_real, n_fake, {"measure": name})  # type: ignore[arg-type]


def forward_kl(p: Tensor, q: Tensor) -> Measure:
    """KL(p ‖ q) = E_p[log p - log q] of n real texts: log p (n,) and log q (n,).  Infinite where q writes one never."""
    return mean(p - q, "lower", "forward_kl", len(p), 0)


def reverse_kl(p: Tensor, q: Tensor) -> Measure:
    """KL(q ‖ p) of m made texts that the truth allows, log p (m,) and log q (m,), given that it allows them.

    Where p is -inf the divergence is infinite whatever the rest; so it is that of q restricted to what is valid, whose
    likelihood there is q over the valid share.  Read it beside that share.
    """
    valid = p > -inf
    if not valid.any():
        return Measure(inf, inf, "lower", 0, len(p), {"measure": "reverse_kl"})
    found = mean((q - p)[valid], "lower", "reverse_kl", 0, len(p))
    share = float(valid.double().mean())
    return found._replace(value=found.value - log(share), se=sqrt(found.se**2 + (1 - share) / (share * len(p))))


def entropy_gap(entropy: float, q: Tensor) -> tuple[float, float]:
    """H(q) - H(p) and its standard error, from H(p) and log q (m,) of made texts: below 0 a generator repeats itself,
    above it rambles."""
    gap = mean(-q - entropy, "lower", "entropy_gap", 0, len(q))
    return gap.value, gap.se


def perplexity(q: Tensor, lengths: Tensor) -> Measure:
    """exp of -log q per token of n real texts: log q (n,), tokens of each (n,), their end counted."""
    nll = -float(q.sum()) / float(lengths.sum())
    each = (-q - nll * lengths) / lengths.double().mean()
    se = float(each.std() / sqrt(len(q)))
    return Measure(exp(nll), exp(nll) * se, "lower", len(q), 0, {"measure": "perplexity"})


def divergences(real: Tensor, fake: Tensor, truth: Likelihood, score: Likelihood) -> dict[str, Measure]:
    """Both divergences, of real (n, L) and made (m, L) texts in stored form.

    truth: log p of whole texts, -inf where it forbids them; score: log q of the generator's.
    """
    return {"forward_kl": forward_kl(truth(real), score(real)), "reverse_kl": reverse_kl(truth(fake), score(fake))}
