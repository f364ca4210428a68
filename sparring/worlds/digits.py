"""Real handwriting: the 1,797 digits that come with scikit-learn, alone or three at a time as a picture's colours.

One digit in five of each class is held out, for good.  The judge compares samples with the training pool, pixel by
pixel, and sets its bounds by what held-out digits show.
"""

from functools import lru_cache
from math import log
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from sparring.spaces import Image, Spec

SIZES = (8, 16, 32, 64)


class Pool(NamedTuple):
    """Digits as bytes (N, 1, size, size) and their classes (N,)."""

    x: Tensor
    y: Tensor


@lru_cache
def _pools(size: int) -> tuple[Pool, Pool]:
    """The training digits and the held-out ones."""
    from sklearn.datasets import load_digits  # a second to import: only when asked for

    images, classes = load_digits(return_X_y=True)
    x, y = torch.tensor(images).view(-1, 1, 8, 8) * 255 / 16, torch.tensor(classes)
    if size != 8:
        x = interpolate(x, size=(size, size), mode="bilinear")
    x = x.round().byte()

    by_class = torch.argsort(y, stable=True)
    heldout = torch.zeros(len(y), dtype=torch.bool)
    heldout[by_class[4::5]] = True
    return Pool(x[~heldout], y[~heldout]), Pool(x[heldout], y[heldout])


def edges(x: Tensor) -> Tensor:
    """The energy of the slopes of each picture, Σ|∇x|²: it falls when strokes are blurred or averaged."""
    x = x.float()
    return x.diff(dim=2).square().sum((1, 2, 3)) + x.diff(dim=3).square().sum((1, 2, 3))


class Reader:
    """Reads digits (N, 1, size, size): the class by the nearest training digits, and whether it could be real.

    A sample is valid when it is as near to a training digit as 99 % of the held-out are, and its `edges` are within
    the central 99 % of the training digits' (an average of digits is near to all of them, but its strokes are pale).
    It is a copy when it is nearer than half the least distance that a held-out digit has.
    """

    neighbours = 5  # 99.2 % of the held-out are read rightly

    def __init__(self, size: int):
        self.train, heldout = _pools(size)
        self.points = self.train.x.flatten(1).float()

        distance = self.nearest(heldout.x)[0][:, 0]
        self.far = distance.quantile(0.99).item()
        self.copied = distance.min().item() / 2
        self.edges = edges(self.train.x).quantile(torch.tensor([0.005, 0.995])).tolist()

    def nearest(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Distances to the nearest training digits (N, neighbours), and their classes."""
        norms = self.points.square().sum(1)
        found = []
        for part in x.flatten(1).float().split(4096):
            squares = norms - 2 * part @ self.points.T + part.square().sum(1, keepdim=True)
            found.append(squares.topk(self.neighbours, largest=False))
        distance = torch.cat([f.values for f in found]).clamp_min(0).sqrt()
        return distance, self.train.y[torch.cat([f.indices for f in found])]

    def read(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The class of each sample (N,), whether it is valid (N,), whether it is a copy (N,)."""
        distance, classes = self.nearest(x)
        votes = torch.zeros(len(x), 10).scatter_add_(1, classes, 1 / (distance.square() + 1e-6))

        near, (low, high), energy = distance[:, 0], self.edges, edges(x)
        return votes.argmax(1), (near <= self.far) & (low <= energy) & (energy <= high), near < self.copied


_reader = lru_cache(Reader)


def _kl(counts: Tensor, truth: Tensor) -> float:
    """KL(samples ‖ truth) of a histogram, in nats."""
    q, p = counts.double() / counts.sum(), truth.double() / truth.sum()
    return torch.special.xlogy(q, q / p).sum().item()


def _sized(size: int | None, name: str) -> int:
    if size not in (None, *SIZES):
        raise ValueError(f"{name} of size {size}: the sizes are {', '.join(map(str, SIZES))} (drawn at 8, enlarged)")
    return size or 8


def _shuffled(n: int, pool: int, seed: int) -> Tensor:
    """n indices into a pool: each once before any comes twice."""
    generator = torch.Generator().manual_seed(seed)
    return torch.cat([torch.randperm(pool, generator=generator) for _ in range(-(-n // pool) or 1)])[:n]


class Digits:
    """Handwritten digits, gray, 8 × 8 (or enlarged to 16, 32, 64), ten classes; stored as bytes (N, 1, size, size).

    scikit-learn's `load_digits`: Alpaydin and Kaynak 1998, Optical Recognition of Handwritten Digits, the UCI test set.
    """

    name = "digits"
    about = "the 1,797 real handwritten digits of scikit-learn"

    def __init__(self, size: int | None = None):
        self.size = _sized(size, self.name)
        self.spec = Spec(Image(1, self.size))
        self.examples = tuple(len(pool.y) for pool in _pools(self.size))

    def draw(self, n: int, seed: int, heldout: bool = False) -> tuple[Tensor, None]:
        """n digits, each once before any comes twice; 1,438 are for training and 359 held out."""
        pool = _pools(self.size)[heldout]
        return pool.x[_shuffled(n, len(pool.y), seed)], None

    def labels(self, n: int, seed: int, heldout: bool = False) -> Tensor:
        """The classes (n,), 0 to 9, of what `draw` gives for the same arguments."""
        pool = _pools(self.size)[heldout]
        return pool.y[_shuffled(n, len(pool.y), seed)]

    def judge(self, x: Tensor, c: Tensor | None = None) -> dict[str, float]:
        """What samples (N, 1, size, size) are, against the training digits.

        modes   classes, of 10, of which there is a valid sample
        kl      KL(classes read ‖ classes of the training digits), nats; 0 is best
        valid   fraction that could be digits; about .98 of real ones
        copies  fraction nearer to a training digit than half of what any held-out digit is; 0 of real ones
        obeyed  fraction read as the class c (N,) asked for, where c is given
        """
        reader = _reader(self.size)
        read, valid, copies = reader.read(x.cpu())
        truth = {
            "modes": float(len(read[valid].unique())),
            "kl": _kl(read.bincount(minlength=10), reader.train.y.bincount(minlength=10)),
            "valid": valid.double().mean().item(),
            "copies": copies.double().mean().item(),
        }
        return truth if c is None else truth | {"obeyed": (read == c.cpu()).double().mean().item()}


def stack(images: Tensor, labels: Tensor, n: int, seed: int) -> tuple[Tensor, Tensor]:
    """n pictures (n, 3, H, W), each three random digits of `images` (N, 1, H, W); classes 100 a + 10 b + c (n,)."""
    chosen = torch.randint(len(images), (n, 3), generator=torch.Generator().manual_seed(seed))
    return images[chosen, 0], labels[chosen].long() @ torch.tensor([100, 10, 1])


class StackedDigits:
    """Three handwritten digits as red, green and blue: 1,000 modes, endless; stored as bytes (N, 3, size, size).

    The test of Metz et al. 2017 (Unrolled GANs) on stacked MNIST, with the digits of scikit-learn.  Pictures of
    training hold digits of the training pool only, held-out pictures those of the held-out pool.
    """

    name = "stacked-digits"
    about = "three handwritten digits as red, green and blue: 1,000 modes"
    examples = (50_000, 10_000)

    def __init__(self, size: int | None = None):
        self.size = _sized(size, self.name)
        self.spec = Spec(Image(3, self.size))

    def draw(self, n: int, seed: int, heldout: bool = False) -> tuple[Tensor, None]:
        """n pictures of three independent digits, drawn with replacement."""
        return stack(*_pools(self.size)[heldout], n, seed)[0], None

    def labels(self, n: int, seed: int, heldout: bool = False) -> Tensor:
        """The modes (n,), 0 to 999, of what `draw` gives for the same arguments."""
        return stack(*_pools(self.size)[heldout], n, seed)[1]

    def judge(self, x: Tensor, c: Tensor | None = None) -> dict[str, float]:
        """What samples (N, 3, size, size) are; 26,000 are customary.

        modes     triples read at least once, of 1,000, valid or not (as in the published protocol)
        kl        KL(triples read ‖ uniform), nats
        kl_floor  what `kl` is expected to be for N perfect samples, (1000 − 1) / (2 N), at most log 1000
        valid     fraction of which all three digits could be digits; about .95 of real ones
        copies    fraction of which all three digits are copies of training digits
        obeyed    fraction read as the mode c (N,) asked for, where c is given
        """
        digits = x.cpu().reshape(-1, 1, *x.shape[2:])
        read, valid, copies = (r.view(-1, 3) for r in _reader(self.size).read(digits))
        modes = read @ torch.tensor([100, 10, 1])
        counts = modes.bincount(minlength=1000)
        truth = {
            "modes": float((counts > 0).sum()),
            "kl": _kl(counts, torch.ones(1000)),
            "kl_floor": min(999 / (2 * len(x)), log(1000)),
            "valid": valid.all(1).double().mean().item(),
            "copies": copies.all(1).double().mean().item(),
        }
        return truth if c is None else truth | {"obeyed": (modes == c.cpu()).double().mean().item()}
