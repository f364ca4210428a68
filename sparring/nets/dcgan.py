"""The recipe of the texts: DCGAN (Radford et al. 2016), strided and batch-normalized convolutions in both players."""

from torch import Tensor, nn

from ..priors import Prior
from ..spaces import Spec
from .blocks import LEAK, image, pyramid
from .conditions import How, Join, Projection


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
    """(B, prior.dim) and c to pictures (B, C, H, W) in [-1, 1]."""

    def __init__(self, spec: Spec, prior: Prior, width: int = 64, join: How = "concat"):
        super().__init__()
        x, self.prior = image(spec), prior
        w = [*widths(x.size, width), x.channels]

        self.join = Join(prior.dim, spec.c, join)
        stages: list[nn.Module] = [nn.ConvTranspose2d(self.join.dim, w[0], pyramid(x.size)[0], bias=False)]
        for a, b in zip(w, w[1:]):
            stages += [nn.BatchNorm2d(a), nn.ReLU(), nn.ConvTranspose2d(a, b, 4, stride=2, padding=1, bias=False)]
        self.stages = nn.Sequential(*stages)
        start(self)

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        return self.stages(self.join(z, c)[:, :, None, None]).float().tanh()


class Critic(nn.Module):
    """(B, C, H, W) and c to scores (B,), higher = more real.  In training mode, samples see their batch."""

    def __init__(self, spec: Spec, width: int = 64):
        super().__init__()
        x = image(spec)
        w = [x.channels, *reversed(widths(x.size, width))]

        stages: list[nn.Module] = []
        for i, (a, b) in enumerate(zip(w, w[1:])):
            norm = [nn.BatchNorm2d(b)] if i else []
            stages += [nn.Conv2d(a, b, 4, stride=2, padding=1, bias=False), *norm, nn.LeakyReLU(LEAK)]
        self.stages = nn.Sequential(*stages)
        self.score = Projection(w[-1] * pyramid(x.size)[0] ** 2, spec.c, w[-1])
        start(self)

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        return self.score(self.stages(x).flatten(1), c)


def pair(spec: Spec, prior: Prior, width: int = 64, join: How = "concat") -> tuple[Generator, Critic]:
    """G and D that mirror each other; the paper draws z uniformly from 100 dimensions."""
    return Generator(spec, prior, width, join), Critic(spec, width)
