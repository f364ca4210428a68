"""What is measured while they play: cheap numbers that say how the game stands, on the same examples and z every time.

    p = panel(z, train, heldout)        # once
    probe(m, s, p)                      # now and then: {"spread": .9, "slope/fake": .4, ...}

A look changes nothing: players, buffers, modes and torch's own generators are as they were.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import Module
from torch.nn.functional import adaptive_avg_pool2d, one_hot

from .chance import seeded
from .optimizers import last_step
from .sequences import going_on, lengths, mask
from .train import Batch, Method, State
from .turns import differs, each

BANK = 2048  # examples of each split, at most, among which neighbours are sought
CELLS = 8  # parts of the data, where it has no classes
WORD = 16  # numbers of a word, when texts are compared
RANK = 3  # of the neighbour that bounds the ball around a sample


class Panel(NamedTuple):
    """What the players are shown at every look; x in played form, marks (n, d) are what samples are compared by."""

    z: Tensor  # (n, dim)
    train: Batch  # n examples that D trains on
    heldout: Batch  # n that it never does
    known: Tensor  # marks of many training examples
    unknown: Tensor  # marks of many held-out ones
    cell: Tensor  # (len(unknown), K) one for the class or the part of the data that a held-out example is of
    usual: Tensor  # `lonely` of held-out examples: its least twentieth, ()
    kind: Tensor | None = None  # (len(unknown),) classes of the held-out ones, where they are known


class Marks(NamedTuple):
    """Samples as they are compared, and as their mirror images would be."""

    x: Tensor  # (n, d)
    mirrored: Tensor


def panel(z: Tensor, train: Iterable[Batch], heldout: Iterable[Batch], labels: Tensor | None = None) -> Panel:
    """z (n, dim), and examples of either split in played form, by batches; `labels` of the held-out ones, if known."""
    (x, c, (known, _)), (y, e, unknown) = shown(train, len(z)), shown(heldout, len(z))
    usual = lonely(nearest(unknown, known)).quantile(0.05)
    n = min(len(z), len(x), len(y))
    cut = lambda t: None if t is None else t[:n]
    kind = None if labels is None else labels[: len(unknown.x)].long().to(unknown.x.device)
    cell = cells(unknown.x, kind, n)
    return Panel(z[:n], (x[:n], cut(c)), (y[:n], cut(e)), known, unknown.x, cell, usual, kind)


def shown(batches: Iterable[Batch], n: int) -> tuple[Tensor, Tensor | None, Marks]:
    """The first n examples, what they are given, and the marks of all, of which no more is kept."""
    first: list[Batch] = []
    found: list[Marks] = []
    left = n
    for x, c in batches:
        found.append(marks(x))
        if left > 0:
            first.append((x[:left], _cut(c, left)))
            left -= len(x)
    x, c = (None if parts[0] is None else torch.cat(parts) for parts in zip(*first))
    return x, c, Marks(*map(torch.cat, zip(*found)))  # type: ignore


@torch.no_grad()
def probe(m: Method, s: State, p: Panel) -> dict[str, float]:
    """One look at the players.  Scores are D's of clear samples; `n` is the number of the panel's z.

    What is told over a distance of real examples is left out where they lie together, or are too few.

    score/train, score/heldout, score/drawn: D's mean score on examples that it trains on, that it never does, and on
        fakes; score/average on those of the average generator.
    accuracy/train, accuracy/heldout: how often D puts a real example above a fake; 1/2 is guessing.
    overfit/known: how often D puts a training example above a held-out one; 1/2 means that it knows none by heart.
    overfit/sign, overfit/gap: r_t of Karras et al. 2020, the mean sign of training scores about the middle of the
        game, and the share of the gap between training examples and fakes that held-out examples do not have.
    slope/real, slope/fake: mean |grad_x D| of each sample.
    push: mean |grad_x loss| at fakes, all that G is told; push over slope/fake is what the loss lets through.
    G/grad, D/grad; G/step, D/step: norm of the last gradient; length of the last step over that of the weights.
    D/bound: share of D's weights that have the greatest magnitude of all: where they are clipped.
    spread: mean distance between fakes over that between real examples.
    duplicates: share of fakes whose nearest neighbour is ten times nearer than usual.
    precision, recall, coverage: of n fakes and n held-out examples, with balls out to the third neighbour.
    missing: share of the data in parts of it (classes, or 8 clusters) that get less than a quarter of their due.
    uneven: total variation between the shares of those parts among fakes and among held-out examples.
    near: how often the nearest of all examples (or of their mirror images) is a held-out one, over how often it would
        be if fakes knew nothing of the split; below 1 they are nearer to the training set.  Of held-out examples no
        more are taken than there are training ones.
    copies: share of fakes as close to one training example and far from all others as 5 % of held-out examples are.
    condition/sample: how far another condition moves a sample, over how far another z does.
    condition/score: how much less a real example scores with another's condition, over the std of scores; of a critic
        that names classes, its log-probability of the class counts to the score.
    condition/obeyed: of classes, how often the held-out example nearest to a fake is of the class that it was made
        from: 1 always, 0 as often as by chance.
    condition/within: how far another z moves a sample of the same condition, over the mean distance of real examples:
        of those of one class, or, made from captions or points, of all.
    condition/futures: of next frames, in the place of both, how far another z moves one, over how far real ones are
        from the frame before.
    leak: the share of what D sees through its augmentation, in a mixture of it and of clear examples that is as far
        from both as fakes are; not where both are almost alike.
    swing: rms distance of fakes from those of the average generator, over the mean distance of real examples; not of
        texts.
    Of texts, written by a G that has `score`:
    surprise/own, surprise/heldout: -log of the likelihood that G gives to its own and to held-out texts, nats a text.
    length: mean number of tokens, over that of held-out texts.
    repeats, stutter: share of texts that say what another says, and of tokens that repeat the one before, beyond those
        of held-out texts.
    saturated: share of the tokens written for which 2 sigmoid(D) - 1 is beyond .95 of 1 or -1.
    G/average: distance of the average generator's parameters from G's, over the size of G's.
    """
    k = max(len(p.z) // 4, 1)
    (x, c), (y, e) = p.train, p.heldout
    with playing(s), torch.autocast(x.device.type, torch.bfloat16, enabled=m.bf16):
        fake, average = s.G(p.z, e).float(), s.ema(p.z[:k], _cut(e, k)).float()
        d_train, d_average = score(s.D, x, c), score(s.D, average, _cut(e, k))
        d_held, slope_held = sloped(s.D, y, e, k)
        d_fake, slope_fake = sloped(s.D, fake, e, k)
        found = condition(s, p, fake, d_held, k) if e is not None else {}

    real, fakes = marks(y), marks(fake)
    between, within = torch.cdist(real.x, fakes.x), pairs(real.x)
    found |= neighbours(between, within, pairs(fakes.x)) | parts(p, fakes) | copies(p, fakes)
    if fake.ndim == 3 and hasattr(s.G, "score"):
        with playing(s):
            found |= writing(s, fake, y, e)
    if m.augment is not None and x.ndim > 2:
        found |= leak(m, s, p, real, fakes)
    found |= {
        "score/train": d_train.mean(),
        "score/heldout": d_held.mean(),
        "score/drawn": d_fake.mean(),
        "score/average": d_average.mean(),
        "accuracy/train": above(d_train, d_fake),
        "accuracy/heldout": above(d_held, d_fake),
        "overfit/known": above(d_train, d_held),
        "overfit/sign": (d_train - (d_train.mean() + d_fake.mean()) / 2).sign().mean(),
        "overfit/gap": (d_train.mean() - d_held.mean()) / (d_train.mean() - d_fake.mean()).abs().clamp_min(1e-9),
        "slope/real": slope_held.mean(),
        "slope/fake": slope_fake.mean(),
        "push": (slope_fake * saturation(m, d_held, d_fake)[:k]).mean(),
        "G/average": apart(s.ema, s.G),
    }
    if x.ndim != 3:  # with one token another, all of a text that comes after it is
        swing = (fake[:k] - average).flatten(1).square().sum(1).mean().sqrt()
        found |= over("swing", swing, plain(y).nanmean())
    if m.project is not None:
        found["D/bound"] = at_bound(s.D)
    return {name: float(v) for name, v in (found | moves(s)).items()}


# -- the critic -------------------------------------------------------------------------------------------------------


@contextmanager
def playing(s: State) -> Iterator[None]:
    """Inside, both players are asked, not trained."""
    before = s.D.training, s.G.training
    s.D.eval()
    s.G.eval()
    yield
    s.D.train(before[0])
    s.G.train(before[1])


def score(D: Module, x: Tensor, c: Tensor | None) -> Tensor:
    """One score a sample, (n,)."""
    return each(D(x, c).float())


def sloped(D: Module, x: Tensor, c: Tensor | None, k: int) -> tuple[Tensor, Tensor]:
    """The scores of all (n,), and |grad_x D| of the first k."""
    with torch.enable_grad():
        some = x[:k].detach().requires_grad_()
        d = score(D, some, _cut(c, k))
        (slope,) = torch.autograd.grad(d.sum(), some)
    rest = [score(D, x[k:], None if c is None else c[k:])] if len(x) > k else []
    return torch.cat([d.detach(), *rest]), slope.float().flatten(1).norm(dim=1)


def saturation(m: Method, d_real: Tensor, d_fake: Tensor) -> Tensor:
    """|d loss / d score| of each fake: how much of the critic's slope reaches G, (n,)."""
    with torch.enable_grad():
        d_fake = d_fake.detach().requires_grad_()
        (slope,) = torch.autograd.grad(m.loss.generator(d_real, d_fake).sum(), d_fake)
    return slope.abs()


def above(a: Tensor, b: Tensor) -> Tensor:
    """P(a > b), ties counting half: (n,), (m,) -> ()."""
    return ((a[:, None] - b).sign().mean() + 1) / 2


def at_bound(net: Module) -> Tensor:
    """The share of weights of the greatest magnitude of all."""
    weights = torch.cat([q.detach().flatten().abs() for q in net.parameters()])
    return (weights > 0.999 * weights.max()).float().mean()


def moves(s: State) -> dict[str, Tensor]:
    """Norms of the last gradients, and of the last steps over those of the weights."""
    found = {}
    for name, net, opt in (("G", s.G, s.opt_G), ("D", s.D, s.opt_D)):
        grads = [q.grad for q in net.parameters() if q.grad is not None]
        if grads:
            found[f"{name}/grad"] = norm(grads)
        if taken := last_step(opt):
            found[f"{name}/step"] = norm(taken) / norm(list(net.parameters())).clamp_min(1e-12)
    return found


def norm(tensors: Sequence[Tensor]) -> Tensor:
    """The length of them all as one vector."""
    return torch.stack([t.detach().float().square().sum() for t in tensors]).sum().sqrt()


# -- the samples ------------------------------------------------------------------------------------------------------


def marks(x: Tensor) -> Marks:
    """What samples are compared by, cheaply: pictures and frames at 8 pixels a side, words by a few numbers each,
    anything else as it is."""
    if x.ndim == 3 and x.shape[-1] > WORD:
        x = x @ torch.randn(x.shape[-1], WORD, generator=torch.Generator().manual_seed(0)).to(x)
    if x.ndim < 4:
        return Marks(flat := x.flatten(1).float(), flat)
    small = adaptive_avg_pool2d(x.flatten(1, -3).float(), min(8, x.shape[-1]))
    return Marks(small.flatten(1), small.flip(-1).flatten(1))


def pairs(x: Tensor) -> Tensor:
    """Distances between all samples (n, d), each row without the sample itself: (n, n - 1)."""
    d = torch.cdist(x, x)
    return d[~torch.eye(len(x), dtype=torch.bool, device=x.device)].view(len(x), len(x) - 1)


def plain(x: Tensor) -> Tensor:
    return pairs(x.flatten(1).float())


def neighbours(between: Tensor, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
    """Distances (real, fake), and among each (n, n - 1), to the shares of samples in the others' balls."""
    ball = lambda d: d.kthvalue(min(RANK, d.shape[1]), 1).values if d.shape[1] else d.new_zeros(len(d))
    ball_real, ball_fake = ball(real), ball(fake)
    near = 0.1 * real.min(1).values.median() if real.shape[1] else torch.tensor(0.0)
    share = lambda hit: hit.float().mean()
    return {
        "duplicates": share(fake.min(1).values < near) if fake.shape[1] else torch.tensor(0.0),
        "precision": share((between <= ball_real[:, None]).any(0)),
        "recall": share((between <= ball_fake).any(1)),
        "coverage": share(between.min(1).values <= ball_real),
    } | over("spread", fake.nanmean(), real.nanmean())


def over(name: str, a: Tensor, b: Tensor) -> dict[str, Tensor]:
    """{name: a / b}, or nothing where b is 0 or no number."""
    return {name: a / b} if b > 0 else {}


def cells(x: Tensor, labels: Tensor | None, n: int) -> Tensor:
    """(m, K) ones for the part of the data that each of m examples is of: its class, if n samples have 6 of each."""
    if labels is not None and 1 < (k := int(labels.max()) + 1) <= n / 6:
        return one_hot(labels, k).float()
    from sklearn.cluster import KMeans

    k = min(CELLS, len(x.unique(dim=0)))
    means = KMeans(k, n_init=4, random_state=0)  # pyright: ignore[reportArgumentType]
    found = means.fit_predict(x.cpu().numpy())
    return one_hot(torch.from_numpy(found).long(), k).float().to(x.device)


def parts(p: Panel, fakes: Marks) -> dict[str, Tensor]:
    """How the fakes are shared among the parts of the data, each being of that of its nearest held-out example; where
    they were made from classes, also how much more often than by chance that example is of the right one."""
    near, due = torch.cdist(fakes.x, p.unknown).argmin(1), p.cell.mean(0)
    got = p.cell[near].mean(0)
    found = {"missing": due[got < due / 4].sum(), "uneven": (got - due).abs().sum() / 2}
    e = p.heldout[1]
    if e is None or e.ndim > 1 or p.kind is None or not torch.equal(p.kind[: len(e)], e):
        return found
    right, chance = (p.kind[near] == e).float().mean(), (p.kind == e[:, None]).float().mean()
    return found | over("condition/obeyed", right - chance, 1 - chance)


def nearest(a: Marks, known: Tensor) -> Tensor:
    """Distances to the five nearest of the known, of a sample or its mirror image, whichever has the nearer: (n, 5)."""
    k = min(5, len(known))
    straight, mirrored = (torch.cdist(x, known).topk(k, largest=False).values for x in a)
    return torch.where((mirrored[:, :1] < straight[:, :1]), mirrored, straight)


def lonely(near: Tensor) -> Tensor:
    """The distance to the nearest over that to the fifth: small for a copy, near 1 for what is like many."""
    return near[:, 0] / near[:, -1].clamp_min(1e-9)


def copies(p: Panel, fakes: Marks) -> dict[str, Tensor]:
    """How near the fakes are to training examples, beside held-out ones."""
    others = p.unknown[: len(p.known)]
    known, unknown = nearest(fakes, p.known), nearest(fakes, others)
    due = len(others) / (len(p.known) + len(others))
    return {
        "near": (unknown[:, 0] < known[:, 0]).float().mean() / due,
        "copies": (lonely(known) < p.usual).float().mean(),
    }


def leak(m: Method, s: State, p: Panel, real: Marks, fakes: Marks) -> dict[str, Tensor]:
    """Whether fakes look like what D sees through its glass: E d(., seen) - E d(., real) is linear in a mixture of
    both, so where it lies between that of clear examples and that of seen ones is the share of the latter."""
    assert m.augment is not None
    (x, _), (y, _) = p.train, p.heldout
    with seeded(y.device, "look", m.seed, s.seen):
        seen, others = (marks(m.augment(x, s.memory, s.seen)(x)).x for x in (y, x))
    far = lambda a, b: torch.cdist(a, b).mean()
    of = lambda a: far(a, seen) - far(a, real.x)
    clear = marks(x).x
    apart = of(clear) - of(others)
    return {"leak": (of(clear) - of(fakes.x)) / apart} if apart > 0.02 * far(clear, real.x) else {}


def condition(s: State, p: Panel, fake: Tensor, d_held: Tensor, k: int) -> dict[str, Tensor]:
    """What another condition changes, where the neighbour's is another."""
    (y, e), other = p.heldout, p.heldout[1].roll(1, 0)  # type: ignore[union-attr]
    assert e is not None
    at = differs(e, other).nonzero()[:k, 0]
    if not len(at):
        return {}
    size = lambda x: x.flatten(1).norm(dim=1).mean()
    by_c = size(s.G(p.z[at], other[at]).float() - fake[at])
    by_z = size(s.G(p.z.roll(1, 0)[at], e[at]).float() - fake[at])
    found = {"condition/sample": by_c / by_z.clamp_min(1e-9)}
    if e.ndim == 5:  # past frames: with those of another clip, D's score means nothing
        return found | over("condition/futures", by_z, size(y - e[:, -1]))
    lost = d_held[at] - score(s.D, y[at], other[at])
    if hasattr(s.D, "classify"):
        known = s.D.classify(y[at]).float().log_softmax(1)  # type: ignore[operator]
        lost = lost + known.gather(1, e[at, None])[:, 0] - known.gather(1, other[at, None])[:, 0]
    found |= {"condition/score": lost.mean() / d_held.std().clamp_min(1e-9)}
    alike = e[:, None] == e if e.ndim == 1 else torch.ones(len(e), len(e), dtype=torch.bool, device=e.device)
    alike = alike & ~torch.eye(len(e), dtype=torch.bool, device=e.device)
    apart = torch.cdist(y.flatten(1).float(), y.flatten(1).float())[alike]
    return found | over("condition/within", by_z, apart.mean())


def writing(s: State, fake: Tensor, real: Tensor, c: Tensor | None) -> dict[str, Tensor]:
    """How a writer writes, beside held-out texts."""
    x, y = fake.argmax(-1), real.argmax(-1)
    own, held = (-s.G.score(t, c).sum(1).mean() for t in (x, y))  # type: ignore[operator]
    d = s.D(fake, c).float()
    d = d[mask(x) > 0] if d.ndim == 2 else d
    return {
        "surprise/own": own,
        "surprise/heldout": held,
        "length": lengths(x).mean() / lengths(y).mean().clamp_min(1e-9),
        "repeats": repeated(x) - repeated(y),
        "stutter": stuttered(x) - stuttered(y),
        "saturated": (2 * d.sigmoid() - 1).abs().gt(0.95).float().mean(),
    }


def repeated(x: Tensor) -> Tensor:
    """The share of texts (n, L) that an earlier one says."""
    return torch.tensor(1 - len(x.unique(dim=0)) / len(x))


def stuttered(x: Tensor) -> Tensor:
    """The share of tokens that are the same as the one before."""
    on = going_on(x)[:, 1:]
    return ((x[:, 1:] == x[:, :-1]) * on).sum() / on.sum().clamp_min(1)


def apart(a: Module, b: Module) -> Tensor:
    """|a - b| / |b| over all parameters."""
    gap = norm([q - r for q, r in zip(a.parameters(), b.parameters())])
    return gap / norm(list(b.parameters())).clamp_min(1e-12)


def _cut(c: Tensor | None, k: int) -> Tensor | None:
    return None if c is None else c[:k]
