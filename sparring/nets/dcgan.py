"""DCGAN (Radford et al. 2016): strided and batch-normalized convolutions in both players."""

from typing import Literal

from torch import Tensor, nn

from ..priors import Prior
from ..spaces import Spec
from .blocks import LEAK, image, pyramid
from .conditions import How, Join, Projection
from .minibatch import Beside, VirtualBatchNorm, referenced, side_by_side
from .projecting import Projecting

Norm = Literal["batch", "virtual"]
NORMS: dict[str, type[nn.Module]] = {"batch": nn.BatchNorm2d, "virtual": VirtualBatchNorm}


def widths(size: int, width: int) -> list[int]:
    """Channels at each side but the full one, from the coarsest: `width` at half the size, doubling, at most 8x."""
    return [width * min(8, size // side // 2) for side in pyramid(size)[:-1]]


def start(net: nn.Module) -> None:
    """Radford et al. 2016: all weights from N(0, 0.02), scales of the batch normalization from N(1, 0.02)."""
    for m in net.modules():
        if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            nn.init.normal_(m.weight, 0.0, 0.02)
        elif isinstance(m, nn.BatchNorm2d):
            nn.init.normal_(m.weight, 1.0, 0.02)


class Generator(nn.Module):
    """(B, prior.dim) and c to pictures (B, C, H, W) in [-1, 1].

    norm: "batch" as in the paper; "virtual" by a fixed batch (make it by `pair`).
    """

    def __init__(self, spec: Spec, prior: Prior, width: int = 64, join: How = "concat", norm: Norm = "batch"):
        super().__init__()
        if norm not in NORMS:
            raise ValueError(f"norm {norm!r} is none of {', '.join(NORMS)}")
        x, self.prior = image(spec), prior
        w = [*widths(x.size, width), x.channels]

        self.join = Join(prior.dim, spec.c, join)
        stages: list[nn.Module] = [nn.ConvTranspose2d(self.join.dim, w[0], pyramid(x.size)[0], bias=False)]
        for a, b in zip(w, w[1:]):
            stages += [NORMS[norm](a), nn.ReLU(), nn.ConvTranspose2d(a, b, 4, stride=2, padding=1, bias=False)]
        self.stages = nn.Sequential(*stages)
        start(self.stages)

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        return self.stages(self.join(z, c)[:, :, None, None]).float().tanh()


class Critic(Projecting):
    """(B, C, H, W) and c to scores (B,), higher = more real.  In training mode, samples see their batch.

    group, pack, kernels: as in `quick.Critic`.
    """

    def __init__(self, spec: Spec, width: int = 64, group: int = 1, pack: int = 1, kernels: int = 0):
        super().__init__()
        x, self.pack = image(spec), pack
        w = [pack * x.channels, *reversed(widths(x.size, width))]

        stages: list[nn.Module] = []
        for i, (a, b) in enumerate(zip(w, w[1:])):
            norm = [nn.BatchNorm2d(b)] if i else []
            stages += [nn.Conv2d(a, b, 4, stride=2, padding=1, bias=False), *norm, nn.LeakyReLU(LEAK)]
        self.stages = nn.Sequential(*stages)
        self.beside = Beside(w[-1] * pyramid(x.size)[0] ** 2, group, kernels)
        self.score = Projection(self.beside.dim, spec.c, w[-1], pack)
        start(self.stages)

    def features(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """(B, d), or of each pack."""
        return self.stages(side_by_side(x, self.pack)).flatten(1)


def pair(
    spec: Spec,
    prior: Prior,
    width: int = 64,
    join: How = "concat",
    norm: Norm = "batch",
    group: int = 1,
    pack: int = 1,
    kernels: int = 0,
) -> tuple[nn.Module, Critic]:
    """G and D that mirror each other; the paper draws z uniformly from 100 dimensions."""
    G = referenced(Generator(spec, prior, width, join, norm), spec, prior)
    return G, Critic(spec, width, group, pack, kernels)
