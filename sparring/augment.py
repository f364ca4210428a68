"""Glass before the critic: what it looks at is transformed at random, real and fake alike, so that it cannot learn the
few examples by heart, and the generator need not imitate the transformations.

    glass = augment(x, memory, seen)      # draws the parameters of one turn, one set for each place in the batch
    glass(real), glass(fake)        # deterministic, affine in its argument

Pictures are square, in played form, (B, C, N, N) in [-1, 1].  A *layer* is a function (x, p) -> (x -> x): it draws its
parameters for a batch like x, each transformation of each sample with probability p.
"""

from collections.abc import Callable
from functools import reduce
from math import pi
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from sparring import parallel
from sparring.names import nearest
from sparring.schedules import Schedule
from sparring.turns import Augment, Glass, Memory, Turn

Layer = Callable[[Tensor, float], Glass]
Watch = Callable[[Turn, int, int], None]

HIGHEST = 0.85  # of p; with p near one a generator may keep a turned or discoloured world: customary limit .8 to .85


# What layers are made of -------------------------------------------------------------------------------------------


class Resample(torch.autograd.Function):
    """Bilinear sampling of x (B, C, N, N) at `grid` (B, N, N, 2), reflected at the borders; linear in x.

    Written out because not every version and device of torch differentiates `grid_sample` twice: the derivative of a
    linear map is its adjoint, and the derivative of that is the map again.  The grid gets no gradient.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, grid: Tensor) -> Tensor:
        ctx.save_for_backward(grid)
        ctx.shape = x.shape
        return grid_sample(x, grid, padding_mode="reflection", align_corners=False)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None]:
        return Spread.apply(slopes[0], ctx.saved_tensors[0], ctx.shape), None


class Spread(torch.autograd.Function):
    """The adjoint of `Resample`."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, grid: Tensor, shape: torch.Size) -> Tensor:
        ctx.save_for_backward(grid)
        bilinear, reflection = 0, 2
        backward = torch.ops.aten.grid_sampler_2d_backward
        return backward(y, y.new_empty(shape), grid, bilinear, reflection, False, [True, False])[0]

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None, None]:
        return Resample.apply(slopes[0], ctx.saved_tensors[0]), None, None


def draw(x: Tensor, p: float, value: Callable[..., Tensor], rest: float, *size: int) -> Tensor:
    """`value(B, *size)` where a coin of probability p falls so, elsewhere `rest`: (B, *size)."""
    coin = torch.rand(len(x), *[1] * len(size), device=x.device) < p
    return torch.where(coin, value(len(x), *size, device=x.device), rest)


def uniform(low: float, high: float) -> Callable[..., Tensor]:
    return lambda *size, device: torch.rand(size, device=device) * (high - low) + low


def normal(std: float) -> Callable[..., Tensor]:
    return lambda *size, device: torch.randn(size, device=device) * std


def choice(n: int) -> Callable[..., Tensor]:
    """One of 0, …, n − 1, as floats."""
    return lambda *size, device: torch.randint(n, size, device=device).float()


def pick(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """The pixels of x (B, C, N, N) at rows and columns, which broadcast to (B, N, N): an exact selection."""
    at = (rows * x.shape[-1] + columns).flatten(1)[:, None]
    return x.flatten(2).gather(2, at.expand(-1, x.shape[1], -1)).view_as(x)


def mix(x: Tensor, matrix: Tensor, offset: Tensor) -> Tensor:
    """M x + o for the C channels of each pixel; matrix (B, C, C), offset (B, C)."""
    return torch.baddbmm(offset.to(x)[..., None], matrix.to(x), x.flatten(2)).view_as(x)


def hole(x: Tensor, centre: Tensor, side: float) -> Tensor:
    """0 in a square of `side` around `centre` (B, 2), 1 elsewhere, in fractions of the picture: (B, 1, N, N)."""
    places = (torch.arange(x.shape[-1], device=x.device) + 0.5) / x.shape[-1]
    row, column = ((places - centre[:, i, None]).abs() < side / 2 for i in (0, 1))
    return 1 - (row[:, :, None] & column[:, None, :]).float()[:, None]


# The layers of ADA: Karras et al. 2020, Training Generative Adversarial Networks with Limited Data --------------------


def blit(x: Tensor, p: float) -> Glass:
    """Mirror, quarter turns, shifts by whole pixels up to an eighth of the side: pixels move, none changes."""
    n = x.shape[-1]
    mirror, turns = draw(x, p, choice(2), 0), draw(x, p, choice(4), 0)
    shift = (draw(x, p, uniform(-0.125, 0.125), 0, 2) * n).round().long()

    place = (torch.arange(n, device=x.device) - shift[..., None]) % (2 * n)
    row, column = torch.minimum(place, 2 * n - 1 - place).unbind(1)  # (B, N), reflected at the borders
    row = torch.where((turns >= 2)[:, None], n - 1 - row, row)[:, :, None]
    column = torch.where(((turns == 1) | (turns == 2))[:, None], n - 1 - column, column)[:, None, :]
    swap = (turns % 2 == 1)[:, None, None]
    rows, columns = torch.where(swap, column, row), torch.where(swap, row, column)
    columns = torch.where((mirror == 1)[:, None, None], n - 1 - columns, columns)

    return lambda x: pick(x, rows, columns)


def affine(x: Tensor, p: float) -> tuple[Tensor, Tensor]:
    """The parameters of `geom`: where each place of the picture [-1, 1]² is taken from, (B, 2, 3), and who is touched.

    Scale, a turn, a stretch, a turn, a shift; the two turns share p, so that together they happen with p.
    """
    halves = 1 - (1 - p) ** 0.5
    scale, stretch = (draw(x, p, normal(0.2), 0).exp2() for _ in range(2))
    before, after = (draw(x, halves, uniform(-pi, pi), 0) for _ in range(2))
    shift = draw(x, p, normal(0.125), 0, 2) * 2

    def turn(angle: Tensor) -> Tensor:
        return torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], 1).view(-1, 2, 2)

    linear = turn(before) @ torch.diag_embed(torch.stack([stretch, 1 / stretch], 1)) @ turn(after)
    linear = linear * scale[:, None, None]
    theta = torch.cat([linear, linear @ shift[..., None]], 2)
    return theta, (theta != torch.eye(2, 3, device=x.device)).flatten(1).any(1)


def geom(x: Tensor, p: float) -> Glass:
    """Scale, turn, stretch and shift as one affine map, sampled once, bilinearly, reflected at the borders."""
    theta, touched = affine(x, p)
    (where,) = touched.nonzero(as_tuple=True)  # the others stay exact, and cost nothing
    theta = theta[where]

    def glass(x: Tensor) -> Tensor:
        if not len(where):
            return x
        grid = affine_grid(theta.to(x), [len(where), *x.shape[1:]], align_corners=False)
        return x.index_copy(0, where, Resample.apply(x.index_select(0, where), grid))

    return glass


def colors(x: Tensor, p: float) -> tuple[Tensor, Tensor]:
    """The parameters of `color`: matrix (B, C, C) and offset (B, C).

    Brightness, contrast, luma flip, hue (of three channels), saturation; the luma is the mean of the channels.
    """
    channels = x.shape[1]
    eye = torch.eye(channels, device=x.device)
    luma = torch.full_like(eye, 1 / channels)  # projects on the gray axis
    brightness, contrast = draw(x, p, normal(0.2), 0), draw(x, p, normal(0.5), 0).exp2()
    flip, saturation = draw(x, p, choice(2), 0), draw(x, p, normal(1.0), 0).exp2()
    hue = draw(x, p, uniform(-pi, pi), 0)

    def each(b: Tensor) -> Tensor:
        return b[:, None, None]

    matrix = each(contrast) * (eye - 2 * each(flip) * luma)
    if channels == 3:  # Rodrigues: a turn by the angle hue about the gray axis
        cross = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]], device=x.device) / 3**0.5
        matrix = (eye + each(hue.sin()) * cross + each(1 - hue.cos()) * (luma - eye)) @ matrix
    matrix = (eye + each(saturation - 1) * (eye - luma)) @ matrix
    return matrix, matrix.sum(2) * brightness[:, None]


def color(x: Tensor, p: float) -> Glass:
    """Brightness, contrast, luma flip, hue and saturation as one affine map of the channels."""
    matrix, offset = colors(x, p)
    return lambda x: mix(x, matrix, offset)


def noise(x: Tensor, p: float) -> Glass:
    """White noise, its strength half-normal of std .1."""
    strength = draw(x, p, normal(0.1), 0, 1, 1, 1).abs()
    added = torch.randn(x.shape, device=x.device) * strength
    return lambda x: x + added.to(x)


def cutout(x: Tensor, p: float) -> Glass:
    """A gray square of half the side, its centre anywhere."""
    whole = (torch.rand(len(x), 1, 1, 1, device=x.device) >= p).float()
    kept = torch.maximum(whole, hole(x, torch.rand(len(x), 2, device=x.device), 0.5))
    return lambda x: x * kept.to(x)


# The layers of DiffAugment: Zhao et al. 2020, Differentiable Augmentation for Data-Efficient GAN Training -------------


def jitter(x: Tensor, p: float) -> Glass:
    """Brightness + U(−.5, .5); saturation × U(0, 2) about a pixel's mean; contrast × U(.5, 1.5) about the picture's."""
    brightness, saturation, contrast = torch.rand(3, len(x), 1, 1, 1, device=x.device)

    def glass(x: Tensor) -> Tensor:
        x = x + (brightness - 0.5).to(x)
        x = x.mean(1, keepdim=True).lerp(x, (saturation * 2).to(x))
        return x.mean((1, 2, 3), keepdim=True).lerp(x, (contrast + 0.5).to(x))

    return glass


def translation(x: Tensor, p: float) -> Glass:
    """A shift by whole pixels up to an eighth of the side, gray where nothing was."""
    n = x.shape[-1]
    most = int(n / 8 + 0.5)
    place = torch.arange(n, device=x.device) + torch.randint(-most, most + 1, (2, len(x), 1), device=x.device)
    row, column = place.clamp(0, n - 1)
    inside = (place >= 0) & (place < n)
    kept = (inside[0][:, :, None] & inside[1][:, None, :])[:, None].float()
    return lambda x: pick(x, row[:, :, None], column[:, None, :]) * kept.to(x)


def always_cutout(x: Tensor, p: float) -> Glass:
    """A gray square of half the side in every picture."""
    return cutout(x, 1)


LAYERS: dict[str, Layer] = {"blit": blit, "geom": geom, "color": color, "noise": noise, "cutout": cutout}
POLICIES: dict[str, Layer] = {"color": jitter, "translation": translation, "cutout": always_cutout}


# Augmentations -----------------------------------------------------------------------------------------------------


def through(layers: list[Layer], x: Tensor, p: float) -> Glass:
    """One layer after the other, without autocast: identity stays exact, and gradients keep their digits."""
    steps = [layer(x, p) for layer in layers]

    def glass(x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            x = x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
            return reduce(lambda x, step: step(x), steps, x)

    return glass


def none() -> Augment:
    """Clear glass."""
    return lambda x, memory, seen=0: lambda x: x


def diffaugment(policy: str = "color,translation,cutout") -> Augment:
    """Zhao et al. 2020: every picture is transformed, by any of color, translation, cutout."""
    layers = _named(policy, POLICIES, "policy of diffaugment")
    return lambda x, memory, seen=0: through(layers, x, 1)


def ada(p: float | None = None, groups: str = "blit,geom,color") -> Augment:
    """Karras et al. 2020: each transformation with probability p; for None that is `memory["ada/p"]`, set by `adapt`.

    groups: any of blit, geom, color, noise, cutout.  Unlike the paper's, `geom` samples bilinearly, without raising the
    resolution first.
    """
    layers = _named(groups, LAYERS, "group of ada")
    if p is not None and not 0 <= p <= 1:
        raise ValueError(f"p = {p}: a probability is between 0 and 1 (above {HIGHEST} transformations may leak)")

    def augment(x: Tensor, memory: Memory, seen: int = 0) -> Glass:
        now = float(memory.get("ada/p", 0)) if p is None else p
        return through(layers if now > 0 else [], x, now)

    return augment


def instance_noise(sigma: Schedule) -> Augment:
    """x + σ ε, ε ~ N(0, I): what is blurred so overlaps, however far apart real and fake lie; σ falls with time.

    Sønderby et al. 2016 (instance noise); Arjovsky & Bottou 2017.  σ, a function of samples seen, is in played units: a
    picture is 2 wide from black to white, points are about 1.  Works on any floats, pictures or not.
    """

    def augment(x: Tensor, memory: Memory, seen: int = 0) -> Glass:
        std = sigma(seen)
        if not std:
            return lambda x: x
        noise = std * torch.randn(x.shape, device=x.device)
        return lambda x: x + noise.to(x)

    return augment


def chain(*augments: Augment) -> Augment:
    """One glass behind the other, the first nearest to the sample."""

    def augment(x: Tensor, memory: Memory, seen: int = 0) -> Glass:
        glasses = [a(x, memory, seen) for a in augments]
        return lambda x: reduce(lambda x, glass: glass(x), glasses, x)

    return augment


def adapt(target: float = 0.6, speed: int = 500_000, every: int = 4) -> Watch:
    """Karras et al. 2020: p follows r_t = E sign D(real), which rises when the critic knows its examples by heart.

    The sign is that about the midpoint of the mean scores of real and fake: only some losses, as the paper's, put it at
    0, and most give the scores no zero at all.

    After every `every` looks, p rises if r_t is above `target`, else falls, by the samples of those looks / speed,
    within [0, .85].  Writes memory["ada/p"] and memory["ada/rt"], equal on all ranks; `n` counts a look's samples on
    all ranks.
    """

    def watch(turn: Turn, seen: int, n: int) -> None:
        m, real, fake = turn.memory, turn.d_real.detach().float(), turn.d_fake.detach().float()
        for key in ("p", "rt", "signs", "looks", "samples"):
            m.setdefault(f"ada/{key}", real.new_zeros(()))

        zero = (real.mean() + fake.mean()) / 2
        m["ada/signs"] = m["ada/signs"] + parallel.mean((real - zero).sign().mean())
        m["ada/looks"], m["ada/samples"] = m["ada/looks"] + 1, m["ada/samples"] + n
        if m["ada/looks"] < every:
            return

        m["ada/rt"] = m["ada/signs"] / m["ada/looks"]
        m["ada/p"] = (m["ada/p"] + (m["ada/rt"] - target).sign() * m["ada/samples"] / speed).clamp(0, HIGHEST)
        m |= {f"ada/{key}": real.new_zeros(()) for key in ("signs", "looks", "samples")}

    return watch


AUGMENTS: dict[str, Callable[..., Augment]] = {"none": none, "diffaugment": diffaugment, "ada": ada}


def _named(text: str, table: dict[str, Layer], kind: str) -> list[Layer]:
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in table:
            raise ValueError(f"{name!r} is no {kind}: any of {','.join(table)}{nearest(name, table)}")
    return [table[name] for name in table if name in names]


def parse(text: str | None) -> Augment | None:
    """`none` (which gives None), `diffaugment`, a policy like `color,translation`, or `ada`.

    `ada:0.3` holds p fixed, `ada:blit,geom` names the groups, `ada:blit,geom:0.3` does both.
    """
    name, *rest = (text or "none").strip().split(":")
    if name == "none" and not rest:
        return None
    if name == "diffaugment" and not rest:
        return diffaugment()
    if name == "ada":
        return ada(**dict(map(_argument, rest)))
    if not rest and any(part.strip() in POLICIES for part in name.split(",")):
        return diffaugment(name)
    choices = f"{', '.join(AUGMENTS)}, or any of {','.join(POLICIES)}"
    raise ValueError(f"{text!r} is no augmentation: {choices}{nearest(name, AUGMENTS | POLICIES)}")


def _argument(text: str) -> tuple[str, Any]:
    try:
        return "p", float(text)
    except ValueError:
        return "groups", text
