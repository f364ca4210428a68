"""How a condition enters: the generator joins it to its noise, the critic projects onto it."""

from collections.abc import Callable
from functools import singledispatch
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, one_hot

from ..spaces import Label, Space, Spec, Tokens, Vector, any_samples

How = Literal["concat", "add", "project", "modulate"]


@singledispatch
def embedding(space: Space, dim: int) -> nn.Module:
    """A module from a condition in played form to (B, dim).

    For a space of your own: `embedding.register(MySpace, function)`.
    """
    known = ", ".join(kind.__name__ for kind in embedding.registry if kind is not object)
    raise TypeError(f"no embedding for {space!r}; there is one for {known}; for others, use embedding.register")


@embedding.register
def _(space: Label, dim: int) -> nn.Module:
    return Class(space.classes, dim)


@embedding.register
def _(space: Vector, dim: int) -> nn.Module:
    return nn.Linear(space.dim, dim)


@embedding.register
def _(space: Tokens, dim: int) -> nn.Module:
    return Caption(space.vocab, dim)


def between(a: Tensor, b: Tensor, t: float) -> Tensor:
    """The condition that lies at share t on the way from a to b: floats in played form, (B, ...).

    Captions (B, L, V) become a stack (B, 2, L, V) of both, each weighed by its share: `Caption` reads each and takes
    the mean of what it read.  Classes are to be given as weights (B, K), points as they are.
    """
    if not (a.is_floating_point() and b.is_floating_point()):
        raise ValueError("between takes classes as weights: give one_hot(c, classes).float() instead of integers")
    return torch.stack([(1 - t) * a, t * b], 1) if a.ndim == 3 else torch.lerp(a, b, t)


def mixed(space: Space, a: Tensor, b: Tensor, t: float = 0.5) -> Tensor:
    """The same of two conditions of a space in played form; classes become weights."""
    if isinstance(space, Label):
        a, b = (one_hot(c, space.classes).float() for c in (a, b))
    return between(a, b, t)


class Class(nn.Embedding):
    """Classes (B,), or weights of all classes (B, K) in floats, to (B, dim)."""

    def forward(self, input: Tensor) -> Tensor:
        return input @ self.weight if input.is_floating_point() else super().forward(input)


class Caption(nn.Module):
    """Captions (B, L, V), one word a place and word 0 for none, to (B, dim).

    Each word hears its two neighbours on either side (so that "red eyes, blue hair" is not "blue eyes, red hair"), and
    what it then says is added up: a word counts as much in a long caption as in a short one, for what is known of a
    picture adds up too.  Empty captions say the same as each other.  A stack (B, M, L, V), each caption weighed by its
    share, gives the mean of all (see `between`).
    """

    USUAL = 4.0  # the number of words from which a sum is as large as one word

    def __init__(self, vocab: int, dim: int, width: int = 96):
        super().__init__()
        self.words = nn.Linear(vocab, width, bias=False)
        self.hear = nn.ModuleList(nn.Conv1d(width, width, 3, padding=1) for _ in range(2))
        self.last = nn.Linear(width, dim)
        nn.init.normal_(self.words.weight)
        nn.init.normal_(self.last.weight, std=width**-0.5)

    def forward(self, c: Tensor) -> Tensor:
        if c.ndim == 4:
            share = c[:, :, 0].sum(-1)  # (B, M)
            said = self(c.flatten(0, 1) / share.flatten().clamp_min(1e-6)[:, None, None])
            return (said.unflatten(0, share.shape) * share[..., None]).sum(1)
        there = 1 - c[..., :1]  # (B, L, 1)
        h = (self.words(c) * there).mT
        for convolve in self.hear:
            h = (h + leaky_relu(convolve(h), 0.2)) * there.mT
        return self.last(h.to(self.last.weight.dtype).sum(2) / self.USUAL)


class Join(nn.Module):
    """Noise and condition as one vector (B, self.dim).

    how: "concat" lays an embedding of c, as wide as z, beside z (Mirza & Osindero 2014); "add" adds it to z; "project"
    is linear in either, as the critic's score is: (1 + W z) times the embedding.  "modulate", for generators with
    styles, leaves z alone: there c enters the style only.
    """

    def __init__(self, z_dim: int, space: Space | None, how: How = "concat"):
        super().__init__()
        if how not in get_args(How):
            raise ValueError(f"join {how!r} is none of {', '.join(get_args(How))}")
        if how == "modulate" and space is not None:
            raise ValueError(
                'join "modulate" is for a generator with styles, --net quick; join by concat, add, project'
            )
        self.embed = None if space is None else embedding(space, z_dim)
        self.how = how
        self.dim = 2 * z_dim if self.embed is not None and how == "concat" else z_dim
        if self.embed is not None and how == "project":
            self.turn = nn.Linear(z_dim, z_dim, bias=False)
            nn.init.normal_(self.turn.weight, std=z_dim**-0.5)

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        if self.embed is None:
            return z
        e = self.embed(c)
        match self.how:
            case "add":
                return z + e
            case "project":
                return (1 + self.turn(z)) * e
        return torch.cat([z, e], 1)


class Projection(nn.Module):
    """Features (B, d) to scores (B,) float32, of which autocast rounds the linear map.

    Without a condition a linear map; with one, Miyato & Koyama 2018 as in Huang et al. 2024: <W features, embedding of
    c>, without a term of its own for x.  Several conditions of one score (a pack of samples) are given as (B, pack).
    """

    def __init__(self, features: int, space: Space | None, dim: int | None = None, pack: int = 1, bias: bool = False):
        super().__init__()
        dim = pack * (dim or features)
        self.phi = nn.Linear(features, 1 if space is None else dim, bias=bias)
        self.embed = None if space is None else embedding(space, dim // pack)
        nn.init.normal_(self.phi.weight, std=features**-0.5)
        if isinstance(self.embed, Class):
            nn.init.normal_(self.embed.weight, std=dim**-0.5)
        if isinstance(self.embed, Caption):  # begins larger than one word's share: rare words have few chances
            nn.init.normal_(self.embed.last.weight, std=3 * (self.embed.last.in_features * dim) ** -0.5)
        self.pack = pack

    def forward(self, h: Tensor, c: Tensor | None = None) -> Tensor:
        phi = self.phi(h).float()
        if self.embed is None:
            return phi.squeeze(1)
        e = self.embed(c) if self.pack == 1 else self.embed(c.flatten(0, 1)).unflatten(0, (-1, self.pack))  # type: ignore
        return (phi * e.float().flatten(1)).sum(1)

    def every(self, h: Tensor, c: Tensor) -> Tensor:
        """Features (B, d) to scores (B, M) under each of M conditions."""
        if self.embed is None or self.pack > 1:
            raise ValueError("a score under every condition takes a condition, and one sample at a time: no pack")
        return self.phi(h).float() @ self.embed(c).float().T


class Named(nn.Module):
    """A critic of samples and captions that has learned one thing more: which words are said of what it sees.

    D: any critic with `features(x)`; its parameters become those of both tasks.
    """

    def __init__(self, D: nn.Module, spec: Spec):
        super().__init__()
        if not isinstance(spec.c, Tokens):
            raise ValueError(f"words are named of captions that are read by words or pieces, not of {spec.c!r}")
        width = _features(D, spec)
        self.D, self.names = D.train(), nn.Linear(width, spec.c.vocab - 1)

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        return self.D(x, c)

    def features(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        return self.D.features(x, c)  # type: ignore[operator]

    @property
    def every(self) -> Callable[[Tensor, Tensor], Tensor]:
        return self.D.every  # type: ignore[return-value]

    def naming(self, x: Tensor) -> Tensor:
        """Logits of each word but word 0, (B, V - 1) in float32."""
        return self.names(self.D.features(x).flatten(1)).float()  # type: ignore[operator]


class Auxiliary(nn.Module):
    """Odena et al. 2017 (AC-GAN): a critic that is not told c, and beside its score says which class it sees.

    D: any critic of spec.x alone that has `features(x)`; its parameters become those of both tasks.
    """

    def __init__(self, D: nn.Module, spec: Spec):
        super().__init__()
        if not isinstance(spec.c, Label):
            raise ValueError(f"an auxiliary classifier tells classes, not {spec.c!r}")
        width = _features(D, spec)
        self.D, self.classes = D.train(), nn.Linear(width, spec.c.classes)

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        return self.D(x)

    def features(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        return self.D.features(x)  # type: ignore[operator]

    def classify(self, x: Tensor) -> Tensor:
        """Logits of the classes, (B, K) in float32."""
        return self.classes(self.features(x).flatten(1)).float()


def _features(D: nn.Module, spec: Spec) -> int:
    """How many numbers D.features(x) gives of a sample."""
    if not hasattr(D, "features"):
        raise ValueError(f"classes and words are named by D.features(x), and {type(D).__name__} has none: add it")
    with torch.no_grad():
        return D.eval().features(any_samples(spec.x, 2)).flatten(1).shape[1]  # type: ignore[operator]
