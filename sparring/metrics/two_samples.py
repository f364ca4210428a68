"""Could the two sets be one?  Tests that ask a classifier, the nearest neighbour, or the bins of a histogram."""

from math import erfc, sqrt

import torch
from torch import Tensor

from .distances import Cloud, nearest
from .measure import Measure, Part, on_features


@on_features(least=20)
def c2st(real: Tensor, fake: Tensor, seed: int = 0) -> Measure:
    """How often a linear classifier, trained on one half of both sets, tells the other half apart: .5 if they are one.

    Lopez-Paz & Oquab 2017.  Logistic regression on standardised features, with as many of either set.  `se` is
    binomial, so that (value - .5) / se is their test statistic.
    """
    from sklearn.linear_model import LogisticRegression

    n = min(len(real), len(fake)) // 2 * 2
    g = torch.Generator().manual_seed(seed)
    A, B = (x[torch.randperm(len(x), generator=g)[:n].to(x.device)].cpu().double() for x in (real, fake))
    train, test = (torch.cat([A[i::2], B[i::2]]) for i in (0, 1))
    y = torch.arange(2).repeat_interleave(n // 2)

    mean, std = train.mean(0), train.std(0).clamp_min(1e-12)
    train, test = (((x - mean) / std).numpy() for x in (train, test))
    right = LogisticRegression(C=1 / train.shape[1] ** 0.5, max_iter=200, tol=1e-3).fit(train, y).score(test, y)
    return Measure(float(right), sqrt(max(right * (1 - right), 0.5 / n) / n), "lower")


@on_features(least=2)
def one_nn(real: Tensor, fake: Tensor, seed: int = 0) -> Measure:
    """How often a sample's nearest neighbour, in both sets together, is of its own set: .5 if they are one.

    Lopez-Paz & Oquab 2017; Xu et al. 2018.  Above, the sets lie apart; below, made samples sit on top of real ones.
    As many of either set.  `se` counts pairs that are each other's nearest as one, for they hit or miss together.
    """
    n = min(len(real), len(fake))
    g = torch.Generator().manual_seed(seed)
    pool = torch.cat([x[torch.randperm(len(x), generator=g)[:n].to(x.device)] for x in (real, fake)])

    cloud = Cloud.of(pool, pool.mean(0))
    to = nearest(cloud, cloud, 1).numbers[:, 0]
    own = (to < n) == (torch.arange(2 * n, device=to.device) < n)
    mutual = float((to[to] == torch.arange(2 * n, device=to.device)).double().mean())

    p = float(own.double().mean())
    return Measure(p, sqrt(max(p * (1 - p), 0.25 / n) * (1 + mutual) / (2 * n)), "lower")


@on_features(least=20)
def binned(real: Tensor, fake: Tensor, bins: int = 100, seed: int = 0) -> dict[str, Measure]:
    """Both sets as histograms over the cells of K-means on the real one.  Richardson & Weiss 2018.

    ndb  share of cells whose two proportions differ at the 5 % level (two-sided z test): about .05 if the sets are one
    js   Jensen-Shannon divergence of the histograms, nats; about (K - 1)(1/n + 1/m) / 8 if they are one

    Cells are `bins`, or fewer so that each has ten real samples on average.  `se` of ndb is binomial over cells, of js
    by the delta method, less what that counts twice where the sets are close.
    """
    from sklearn.cluster import KMeans

    n, m = len(real), len(fake)
    K = max(2, min(bins, n // 10))
    cells = KMeans(K, n_init=1, random_state=seed)  # type: ignore[arg-type]
    cells.fit(real.cpu().numpy())
    p, q = (
        torch.bincount(torch.as_tensor(cells.predict(x.cpu().numpy())).long(), minlength=K).double() / len(x)
        for x in (real, fake)
    )

    pooled = (n * p + m * q) / (n + m)
    z = (p - q).abs() / (pooled * (1 - pooled) * (1 / n + 1 / m)).sqrt().clamp_min(1e-12)
    differ = sum(erfc(float(v) / sqrt(2)) < 0.05 for v in z) / K

    middle = (p + q) / 2
    slope = lambda a: torch.where(a > 0, (a / middle).log() / 2, torch.zeros_like(a))  # of js, in each proportion
    js = float((p * slope(p) + q * slope(q)).sum())
    var = sum(float((a * slope(a).square()).sum() - (a * slope(a)).sum() ** 2) / k for a, k in ((p, n), (q, m)))
    chance = 2 * (K - 1) * (1 / n + 1 / m) ** 2 / 64

    return {
        "ndb": Measure(differ, sqrt(max(differ * (1 - differ), 0.05 * 0.95) / K), "lower"),
        "js": Measure(js, sqrt(max(var - chance, var / 2)), "lower"),
    }


ndb, js = Part(binned, "ndb"), Part(binned, "js")
