"""What a classifier says of samples: how sure it is, how evenly its classes come, what can be learned from them.

Any classifier will do; the measures take its logits (n, C), or what `Labels` kept of them.
"""

from collections.abc import Mapping
from math import exp, sqrt
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .frechet import fid_by_class
from .measure import Measure, Of, features
from .moments import Moments, RunningMoments


class Labels(RunningMoments):
    """What is left of a classifier's logits (n, C) when means are asked for: moments of p(y|x) and of Σ p log p.

    classes: C; source: the classifier, in words.  `update`, `merge`, `all_reduce` and `state_dict` as for moments.
    """

    def __init__(self, classes: int, source: str = "") -> None:
        super().__init__(classes + 1, source)
        self.classes = classes

    def update(self, logits: Tensor) -> "Labels":
        """Puts in the logits (b, C) of a batch, without softmax."""
        if logits.ndim != 2 or logits.shape[1] != self.classes:
            raise ValueError(f"logits of shape {tuple(logits.shape)} for {self.classes} classes; give (b, C)")
        log_p = features(logits, "the batch", 0).double().log_softmax(1)
        super().update(torch.cat([log_p.exp(), (log_p.exp() * log_p).sum(1, keepdim=True)], 1))
        return self


def known(x: Any, name: str, least: int = 2) -> tuple[Moments, int]:
    """The moments of `Labels`, or of logits (n, C), and C."""
    if not isinstance(x, Labels):
        x = features(x, name, least)
        x = Labels(x.shape[1]).update(x)
    if len(x) < least:
        raise ValueError(f"{name} has {len(x)} samples and this measure needs {least} or more; draw more")
    return x.now, x.classes


def inception_score(fake: Any) -> Measure:
    """exp of the mean KL(p(y|x) ‖ p(y)), from 1 to C: sure of each sample, evenly over all.  Salimans et al. 2016.

    Of all samples at once: the mean over ten parts that is customary is lower, the smaller the parts.  Biased downward
    at few samples.  Says nothing of the real ones.  With p(y|x) all alike it is 1, of C classes made evenly and surely
    it is C, whether or not each class is made in one way only.
    """
    now, classes = known(fake, "fake")
    mean = now.mean[:classes]
    value = exp(float(now.mean[-1] - torch.special.xlogy(mean, mean).sum()))
    return Measure(value, value * spread(now, -safe_log(mean), 1.0), "higher", 0, now.n, {"measure": "is"})


def am(real: Any, fake: Any) -> Measure:
    """KL(p_real(y) ‖ p_fake(y)) + mean entropy of p(y|x): 0 where each sample is sure and classes come as in the real.

    Zhou et al. 2018.  p_real is the mean of the classifier's own p(y|x) over the real samples.
    """
    (a, classes), (b, _) = both(real, fake)
    p, q = a.mean[:classes], b.mean[:classes]
    value = float((torch.special.xlogy(p, p) - p * safe_log(q)).sum() - b.mean[-1])
    ratio = p / q.clamp_min(1e-300)
    se = sqrt(spread(b, -ratio, -1.0) ** 2 + spread(a, safe_log(p) - safe_log(q), 0.0) ** 2)
    return Measure(value, se, "lower", a.n, b.n, {"measure": "am"})


def mode_score(real: Any, fake: Any) -> Measure:
    """exp(mean KL(p(y|x) ‖ p_fake(y)) - KL(p_fake(y) ‖ p_real(y))): the inception score, less for classes out of
    proportion.  The form of Xu et al. 2018.

    Borji 2018 prints mean KL(p(y|x) ‖ p_real(y)) - KL(p_fake(y) ‖ p_real(y)), in which p_real cancels: that is the
    inception score (`borji_mode_score`).
    """
    (a, classes), (b, _) = both(real, fake)
    p, q = a.mean[:classes], b.mean[:classes]
    value = exp(float(b.mean[-1] - 2 * torch.special.xlogy(q, q).sum() + (q * safe_log(p)).sum()))
    se = sqrt(spread(b, safe_log(p) - 2 * safe_log(q), 1.0) ** 2 + spread(a, q / p.clamp_min(1e-300), 0.0) ** 2)
    return Measure(value, value * se, "higher", a.n, b.n, {"measure": "mode_score"})


def borji_mode_score(real: Any, fake: Any) -> float:
    """The mode score as Borji 2018 prints it; equal to the inception score, whatever the real samples are."""
    (a, classes), (b, _) = both(real, fake)
    p, q = a.mean[:classes], b.mean[:classes]
    to_real = b.mean[-1] - (q * safe_log(p)).sum()
    return exp(float(to_real - (torch.special.xlogy(q, q) - q * safe_log(p)).sum()))


def both(real: Any, fake: Any) -> tuple[tuple[Moments, int], tuple[Moments, int]]:
    a, b = known(real, "real"), known(fake, "fake")
    if a[1] != b[1]:
        raise ValueError(f"real has {a[1]} classes and fake {b[1]}; use one classifier")
    return a, b


def spread(m: Moments, of_p: Tensor, of_h: float) -> float:
    """The standard error of the mean of pᵀ of_p + of_h Σ p log p."""
    w = torch.cat([of_p, of_p.new_tensor([of_h])])
    return sqrt(max(float(w @ m.cov @ w), 0.0) / m.n)


def safe_log(p: Tensor) -> Tensor:
    return p.clamp_min(1e-300).log()


# -- learning from samples --------------------------------------------------------------------------------------------


class Reader:
    """A linear classifier on features, learned from real samples: what is asked where nobody brings a better one.

    x: (n, d); y: (n,) classes, any whole numbers or words.
    """

    def __init__(self, x: Tensor, y: Any) -> None:
        from sklearn.linear_model import LogisticRegression

        y = checked(x, y)
        self.mean, self.std = x.double().mean(0), x.double().std(0).clamp_min(1e-12)
        self.model = LogisticRegression(C=1 / x.shape[1] ** 0.5, max_iter=200, tol=1e-3).fit(self._scaled(x), y)
        self.classes = self.model.classes_

    def logits(self, x: Tensor) -> Tensor:
        """(n, C) of features (n, d), in the order of `classes`."""
        return torch.as_tensor(np.log(np.maximum(self.model.predict_proba(self._scaled(x)), 1e-300)))

    def read(self, x: Tensor) -> np.ndarray:
        """The class of each, (n,)."""
        return self.model.predict(self._scaled(x))

    def _scaled(self, x: Tensor) -> np.ndarray:
        return ((x.double() - self.mean) / self.std).cpu().numpy()


def checked(x: Tensor, y: Any) -> np.ndarray:
    """Labels as an array, one for each sample and two kinds or more."""
    y = np.asarray(y.cpu() if isinstance(y, Tensor) else y)
    if y.shape != (len(x),):
        raise ValueError(f"labels of shape {y.shape} for {len(x)} samples; give one each")
    if y.dtype.kind not in "iubUSO":
        raise ValueError(f"labels of {y.dtype}; give whole numbers or names of classes")
    if len(np.unique(y)) < 2:
        raise ValueError(f"all {len(y)} labels are {y[0] if len(y) else 'missing'}; two classes or more are needed")
    return y


def cas(real: Tensor, real_labels: Any, fake: Tensor, fake_labels: Any) -> Measure:
    """Classification accuracy score: how well real samples are read by what was learned from made ones.

    Ravuri & Vinyals 2019, with a linear classifier on features (n, d), (m, d).  Read it beside the accuracy of what was
    learned from as many real ones.  `se` is that of the test's samples, not of those that were learned from.
    """
    real, fake = (features(x, name, 2) for x, name in ((real, "real"), (fake, "fake")))
    y = checked(real, real_labels)
    read = Reader(fake, fake_labels)
    if strange := sorted(set(read.classes.tolist()) - set(np.unique(y).tolist())):
        raise ValueError(f"fake has the class {strange[0]!r}, which no real sample has")
    right = float((read.read(real) == y).mean())
    n = len(real)
    return Measure(right, sqrt(max(right * (1 - right), 0.5 / n) / n), "higher", n, len(fake), {"measure": "cas"})


# -- by name ----------------------------------------------------------------------------------------------------------


class Told(NamedTuple):
    """Samples and what is known of their classes; None what is not."""

    features: Tensor  # (n, d)
    labels: np.ndarray | None = None  # (n,) what each is, or was to be
    logits: Tensor | None = None  # (n, C) what a classifier says of each


def each_class(real: Told, fake: Told) -> dict[str, Measure]:
    """The FID of each class, and their mean as `fid_by_class`: of the classes that both sets hold two samples of."""
    found = fid_by_class(real.features, fake.features, asked(real, "real"), asked(fake, "made"))
    if not found:
        raise ValueError("no class has two samples on both sides; draw more")
    mean = sum(m.value for m in found.values()) / len(found)
    se = sqrt(sum(m.se**2 for m in found.values())) / len(found)
    counted = (sum(m.n_real for m in found.values()), sum(m.n_fake for m in found.values()))
    whole = Measure(mean, se, "lower", *counted, {"measure": "fid_by_class", "classes": len(found)})
    return {"fid_by_class": whole} | {f"fid_by_class/{c}": m for c, m in found.items()}


def asked(x: Told, side: str) -> np.ndarray:
    if x.labels is None:
        raise ValueError(f"it asks for the classes of the {side} samples, and they have none")
    return x.labels


def said(x: Told) -> Tensor:
    if x.logits is None:
        raise ValueError("it asks for a classifier, and the real samples have no classes to learn one from")
    return x.logits


ON_LABELS: Mapping[str, Of] = MappingProxyType(
    {
        "is": lambda real, fake: inception_score(said(fake)),
        "am": lambda real, fake: am(said(real), said(fake)),
        "mode_score": lambda real, fake: mode_score(said(real), said(fake)),
        "cas": lambda real, fake: cas(real.features, asked(real, "real"), fake.features, asked(fake, "made")),
        "fid_by_class": each_class,
    }
)
