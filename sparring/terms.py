"""What the generator is asked beside fooling the critic.  A term is a function of one move of G, and gives (B,).

The weights are the caller's.  Where `Method.adversarial` is 0, G descends its terms alone.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, logsigmoid

from . import parallel
from .turns import Move, each, partner, said, wide

Term = Callable[[Move], Tensor]


def feature_matching(t: Move) -> Tensor:
    """|E f(x) - E f(G(z))|², f what D weighs into its score: fakes look on average as reals do (Salimans et al. 2016).

    There it takes the place of G's loss: that is weight 1, and 0 for the loss.  The means are over the whole batch, of
    all processes, but over one piece where a batch is walked in pieces; every sample gets the same number.  D must have
    `features(x, c)`.
    """
    with torch.no_grad():
        real = parallel.mean(wide(t.D.features(t.real, t.c)).mean(0))
    fake = parallel.mean_through(wide(t.D.features(t.fake, t.fed)).mean(0))
    return (real - fake).square().sum().expand(len(t.fake))


def l1(t: Move) -> Tensor:
    """mean |x - G(z, c)|: alone, a regression to the median of what may follow c."""
    return wide(t.fake - t.real).abs().flatten(1).mean(1)


def l2(t: Move) -> Tensor:
    """mean (x - G(z, c))²: alone, a regression to the mean of what may follow c, which is blurred."""
    return wide(t.fake - t.real).square().flatten(1).mean(1)


def gradients(t: Move) -> Tensor:
    """Mathieu et al. 2016, the gradient difference loss at α = 1: edges as strong as the real ones.

    Mean over all neighbours, down and to the right, of | |x_i - x_j| - |y_i - y_j| |, of pictures (B, ..., H, W).
    """
    steps = lambda x: (wide(x).diff(dim=-2).abs(), wide(x).diff(dim=-1).abs())
    return torch.cat([(a - b).abs().flatten(1) for a, b in zip(steps(t.real), steps(t.fake))], 1).mean(1)


def energy(t: Move) -> Tensor:
    """The energy score |G(z, c) - x| - |G(z, c) - G(z', c)| / 2, by the Euclidean norm of whole samples.

    Strictly proper (Gneiting & Raftery 2007): its mean is least where G draws from what truly follows c, all of it and
    as often.  So it pays for right answers, and for different ones where there are several; l1 and l2 for the middle.
    """
    far = lambda a, b: wide(a - b).flatten(1).norm(dim=1)
    other = t.G(partner(t.z), t.c)
    return (far(t.fake, t.real) + far(other, t.real) - far(t.fake, other)) / 2


def mode_seeking(t: Move) -> Tensor:
    """E|z - z'| / E|G(z, c) - G(z', c)|, of two z for each c: what comes out must change with z (Mao et al. 2019).

    A critic that meets each condition once cannot tell one answer from many, each right as often as it should be.  The
    means are over the whole batch, as in `feature_matching`: where c leaves no choice, samples may stay alike.
    """
    other = partner(t.z)
    apart = lambda a, b: parallel.mean_through(wide(a - b).abs().mean())
    return (apart(t.z, other) / apart(t.fake, t.G(other, t.fed)).clamp_min(1e-6)).expand(len(t.fake))


def classified(t: Move) -> Tensor:
    """Cross-entropy of the class that D tells of a generated sample: G draws what is known (Odena et al. 2017)."""
    return cross_entropy(wide(t.D.classify(t.fake)), t.c, reduction="none")  # type: ignore[arg-type]


def named(t: Move) -> Tensor:
    """-log of the probability that D gives each word of the caption in a generated sample, their sum.

    What a caption leaves unsaid may still be there, so of other words nothing is asked.  D as for `penalties.named`.
    """
    assert t.c is not None
    logits = wide(t.D.naming(t.fake))
    return -(logsigmoid(logits) * said(t.c.argmax(2), t.c.shape[2]).to(logits)).sum(1)


def interpolated(generator: Callable[[Tensor, Tensor], Tensor], between: Callable[[Tensor, Tensor], Tensor]) -> Term:
    """Reed et al. 2016 (GAN-INT): G's loss at what lies between two conditions of the batch, which no data show.

    generator: of a `Loss`; between: of two conditions in played form, such as `partial(nets.conditions.mixed, space)`.
    z and the real sample are those of the first, the second is its `turns.partner`; D scores the sample with the
    condition that G was given.  Means of a coupled loss are over one piece of the batch.
    """

    def interpolated(t: Move) -> Tensor:
        assert t.c is not None
        c = between(t.c, partner(t.c))
        return each(generator(t.d_real, t.D(t.G(t.z, c), c)))

    return interpolated


TERMS: dict[str, Term] = {
    "feature_matching": feature_matching,
    "mode_seeking": mode_seeking,
    "energy": energy,
    "l1": l1,
    "l2": l2,
    "gradients": gradients,
}
