"""What makes a game ill, for benchmarks/faults.py: worlds too small, pairs that are lame, priors that are poor."""

import torch
from torch import nn

from sparring import worlds
from sparring.augment import Augment
from sparring.chance import generator
from sparring.nets import quick, vector
from sparring.priors import Mixture
from sparring.spaces import Image, Label, Spec, Vector

FEW = 24  # examples of a world that is too small


class Few:
    """A world of very few training examples, and as many held-out ones as ever."""

    def __init__(self, name: str, n: int = FEW):
        self.world, self.name = worlds.open(name), f"few-{name}"
        self.about, self.spec, self.examples = self.world.about, self.world.spec, (n, min(self.world.examples[1], 2000))

    def draw(self, n, seed, heldout=False):
        return self.world.draw(n, seed, heldout)

    def judge(self, x, c=None):
        return self.world.judge(x, c)


class Cloud:
    """Points of one wide Gaussian, of which there are very few to train on."""

    name, about, examples = "few-cloud", "points of N(0, I) in the plane", (FEW, 2000)
    spec = Spec(Vector(2))

    def draw(self, n, seed, heldout=False):
        return torch.randn(n, 2, generator=generator(self.name, "heldout" if heldout else "train", seed)), None

    def judge(self, x, c=None):
        known = self.draw(FEW, 0)[0]
        near = torch.cdist(x.float(), known).topk(2, largest=False).values
        return {"copies": (near[:, 0] < 0.2 * near[:, 1]).float().mean().item()}


def few_points():
    return Cloud()


def dozen_digits():
    return Few("digits", 12)


def few_digits():
    return Few("digits")


class Classes:
    """Points of a ring or a grid, each made from the number of its mode."""

    def __init__(self, name: str, shuffled: bool = False):
        self.world, self.shuffled = worlds.open(name), shuffled
        self.name = f"{name}-by-{'chance' if shuffled else 'mode'}"
        self.about, self.examples = self.world.about, (20_000, 2_000)
        self.spec = Spec(self.world.spec.x, Label(len(self.world.centers)))

    def draw(self, n, seed, heldout=False):
        x, _ = self.world.draw(n, seed, heldout)
        c = torch.cdist(x, self.world.centers).argmin(1)
        return x, c.roll(7) if self.shuffled else c

    def judge(self, x, c=None):
        obeyed = (
            {} if c is None else {"obeyed": float((torch.cdist(x, self.world.centers).argmin(1) == c).float().mean())}
        )
        return self.world.judge(x) | obeyed


def ring_by_mode():
    return Classes("ring")


def ring_by_chance():
    return Classes("ring", shuffled=True)


def pair(spec, prior, width):
    """The standard pair of this kind of data."""
    if isinstance(spec.x, Image):
        return quick.pair(spec, prior, width)
    s = vector.sizes(spec)
    return vector.Generator(spec, prior, width, s.depth), vector.Critic(spec, width, s.depth, s.waves)


class Deaf(nn.Module):
    """A critic that never looks at the condition."""

    def __init__(self, D):
        super().__init__()
        self.D = D

    def forward(self, x, c=None):
        return self.D(x, None)


def deaf(spec, prior, width):
    G, _ = pair(spec, prior, width)
    _, D = pair(Spec(spec.x), prior, width)
    return G, Deaf(D)


class Numb(nn.Module):
    """A generator that hardly hears its noise."""

    def __init__(self, G):
        super().__init__()
        self.G, self.prior = G, G.prior

    def forward(self, z, c=None):
        return self.G(1e-3 * z, c)


def numb(spec, prior, width):
    G, D = pair(spec, prior, width)
    return Numb(G), D


class Dying(nn.Module):
    """A generator that loses its gradient after some calls, as units do that are off for ever."""

    def __init__(self, G, calls=100):
        super().__init__()
        self.G, self.prior = G, G.prior
        self.register_buffer("left", torch.tensor(float(calls)))

    def forward(self, z, c=None):
        x = self.G(z, c)
        if self.training and torch.is_grad_enabled():
            self.left -= 1
        return x if self.left > 0 else x.detach() + 0.0 * x


def dying(spec, prior, width):
    G, D = pair(spec, prior, width)
    return Dying(G), D


class Blindfold(nn.Module):
    """A critic that sees of a point only how far out it is, and of a picture only how bright."""

    def __init__(self, D):
        super().__init__()
        self.D = D

    def forward(self, x, c=None):
        seen = x.mean((2, 3), keepdim=True).expand_as(x) if x.ndim == 4 else x.norm(dim=1, keepdim=True).expand_as(x)
        return self.D(seen, c)


def blindfold(spec, prior, width):
    G, D = pair(spec, prior, width)
    return G, Blindfold(D)


def plain(spec, prior, width):
    """Plain perceptrons, and for pictures no look at the batch: as the first of these games were."""
    if isinstance(spec.x, Image):
        return quick.Generator(spec, prior, width), quick.Critic(spec, width, group=1)
    s = vector.sizes(spec)
    return vector.Generator(spec, prior, width, s.depth), vector.Critic(spec, width, s.depth, waves=0)


class Bomb(nn.Module):
    """A critic that divides by nothing once its last layer has grown."""

    def __init__(self, D, fuse=300):
        super().__init__()
        self.D, self.fuse = D, fuse
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x, c=None):
        if self.training and torch.is_grad_enabled():
            self.calls += 1
        d = self.D(x, c)
        return d + (d - d) / (self.calls < self.fuse).float()


def bomb(spec, prior, width):
    G, D = pair(spec, prior, width)
    return G, Bomb(D)


def lumps(dim):
    """Three narrow lumps of z: a generator can hardly make more than three kinds of things of them."""
    return Mixture(dim, components=3, std=0.2 if dim < 8 else 0.6)


def one(dim):
    """A single narrow lump."""
    return Mixture(dim, components=1, std=0.02)


def only_real(augment: Augment) -> Augment:
    """An augmentation that fakes never pass through, as where somebody augments the data alone."""

    def lame(x, memory, seen=0):
        glass = augment(x, memory, seen)
        return lambda y: glass(y) if y.data_ptr() == x.data_ptr() else y

    return lame
