"""Glass is deterministic, affine, exact where it should be, and drawn with the promised chances."""

from collections import Counter
from math import pi

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck
from torch.nn.functional import conv2d, grid_sample

from sparring import augment
from sparring.augment import AUGMENTS, LAYERS, POLICIES, ada, affine, colors, diffaugment, none, parse

EVERY = {
    "none": none(),
    "diffaugment": diffaugment(),
    **{f"diffaugment {name}": diffaugment(name) for name in POLICIES},
    "ada": ada(p=0.8, groups=",".join(LAYERS)),
    **{f"ada {name}": ada(p=0.8, groups=name) for name in LAYERS},
}
every = pytest.mark.parametrize("pipe", EVERY.values(), ids=EVERY.keys())


def pictures(n=6, channels=3, size=8, dtype=torch.float32):
    return torch.rand(n, channels, size, size, dtype=dtype) * 2 - 1


# Laws of every glass --------------------------------------------------------------------------------------------------


@every
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("size", [8, 28])
def test_a_glass_keeps_shapes_and_shows_the_same_thing_twice(pipe, channels, size):
    x = pictures(channels=channels, size=size)
    glass = pipe(x, {})
    y = glass(x)
    assert y.shape == x.shape
    assert y.dtype == x.dtype
    assert y.isfinite().all()
    assert glass(x).equal(y)


@every
def test_the_seed_decides_what_is_drawn(pipe):
    x, seen = pictures(), []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        seen.append(pipe(x, {})(x))
    assert seen[0].equal(seen[1])
    assert pipe is EVERY["none"] or not seen[0].equal(seen[2])


@every
def test_a_glass_is_affine_so_real_and_fake_are_transformed_alike(pipe):
    real, fake = pictures(dtype=torch.float64), pictures(dtype=torch.float64)
    glass = pipe(real, {})
    assert torch.allclose(glass(0.3 * real + 0.7 * fake), 0.3 * glass(real) + 0.7 * glass(fake))


@every
def test_a_sample_is_transformed_by_its_place_and_by_nothing_beside_it(pipe):
    x = pictures()
    glass = pipe(x, {})
    y = x.clone()
    y[2] = 0
    kept = [i for i in range(len(x)) if i != 2]
    assert glass(y)[kept].equal(glass(x)[kept])


@every
@pytest.mark.parametrize("channels", [1, 3])
def test_first_and_second_derivatives_are_right(pipe, channels):
    x = pictures(3, channels, 5, torch.float64).requires_grad_()
    glass = pipe(x, {})
    curved = lambda x: glass(x).sin()
    assert gradcheck(curved, x)
    assert gradgradcheck(curved, x)


@every
def test_a_penalty_on_slopes_sees_through_the_glass(pipe):
    x, weight = pictures(size=16).requires_grad_(), torch.randn(4, 3, 3, 3, requires_grad=True)
    score = conv2d(pipe(x, {})(x), weight).relu().square().sum()
    (slope,) = torch.autograd.grad(score, x, create_graph=True)
    slope.square().sum().backward()
    assert weight.grad is not None
    assert weight.grad.abs().sum() > 0
    assert slope.abs().sum() > 0


@pytest.mark.parametrize("pipe", [ada(), ada(p=0), none()], ids=["ada unset", "ada at 0", "none"])
def test_without_chance_nothing_changes(pipe):
    x = pictures(size=28)
    assert pipe(x, {})(x).equal(x)


@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS.keys())
def test_a_layer_is_exactly_clear_where_its_coins_fall_so(layer):
    x = pictures(64, size=28)
    assert layer(x, 0)(x).equal(x)

    y = layer(x, 0.1)(x)
    clear = (y == x).flatten(1).all(1).float().mean()
    assert 0.4 < clear < 1, "most are untouched, bit for bit, beside those that are not"


def test_chance_is_read_from_memory():
    x = pictures(256)
    share = [(ada()(x, {"ada/p": torch.tensor(p)})(x) != x).flatten(1).any(1).float().mean() for p in (0.0, 0.05, 0.8)]
    assert share[0] == 0
    assert 0.2 < share[1] < 0.6
    assert share[2] > 0.99


def test_autocast_does_not_blur_the_glass():
    x = pictures()
    glass = ada(p=0.8)(x, {})
    with torch.autocast("cpu", torch.bfloat16):
        assert glass(x).equal(glass(x.clone()))
        blurred = glass(x)
        assert glass(x.bfloat16()).dtype == torch.float32
    assert blurred.equal(glass(x))


# Pixels that move -----------------------------------------------------------------------------------------------------


def test_quarter_turns_and_mirrors_permute_pixels_exactly(monkeypatch):
    monkeypatch.setattr(augment, "uniform", lambda low, high: lambda *size, device: torch.zeros(size))
    x = pictures(1, 3, 9).expand(400, -1, -1, -1)
    y = LAYERS["blit"](x, 1)(x)

    eight = [v.rot90(k, (1, 2)) for v in (x[0], x[0].flip(2)) for k in range(4)]
    found = Counter(next(i for i, view in enumerate(eight) if view.equal(shown)) for shown in y)
    assert set(found) == set(range(8)), "the eight symmetries of the square, nothing else"
    assert max(found.values()) < 90, "each an eighth of the time"


def test_whole_shifts_reflect_at_the_border():
    x = torch.arange(16.0).view(1, 1, 1, 16).expand(300, 1, 16, 16)
    y = LAYERS["blit"](x, 1)(x)
    assert set(y.unique().tolist()) <= set(range(16))

    straight = y[(y[:, 0].diff(dim=1) == 0).flatten(1).all(1), 0, 0]  # neither turned by a quarter nor three
    starts = {tuple(row.tolist()) for row in straight}
    ramp = torch.arange(16.0)
    for shift in range(-2, 3):
        padded = torch.cat([ramp[:2].flip(0), ramp, ramp[-2:].flip(0)])[2 - shift : 18 - shift]
        assert tuple(padded.tolist()) in starts
    assert len(starts) == 10, "five shifts, and their mirrors"


def test_resampling_is_grid_sample_and_its_adjoint():
    x, y = pictures(4, 3, 8, torch.float64).requires_grad_(), pictures(4, 3, 8, torch.float64)
    grid = torch.randn(4, 8, 8, 2, dtype=torch.float64)
    shown = augment.Resample.apply(x, grid)
    assert shown.equal(grid_sample(x, grid, padding_mode="reflection", align_corners=False))
    adjoint = augment.Spread.apply(y, grid, x.shape)
    assert torch.allclose((shown * y).sum(), (x * adjoint).sum())


def test_geometry_keeps_a_flat_picture_flat():
    x = torch.full((32, 3, 16, 16), 0.25)
    assert torch.allclose(LAYERS["geom"](x, 1)(x), x)


def test_geometry_has_the_promised_statistics():
    x = pictures(1, 1, 2).expand(20_000, -1, -1, -1)
    theta, touched = affine(x, 1)
    linear = theta[:, :, :2]
    assert touched.all()
    assert linear.det().log2().std().item() == pytest.approx(0.4, rel=0.05), "the scale, squared"
    assert linear.det().log2().mean().abs() < 0.02
    singular = torch.linalg.svdvals(linear).log2()
    assert (singular[:, 0] - singular[:, 1]).mean().item() == pytest.approx(2 * 0.2 * (2 / pi) ** 0.5, rel=0.05)
    turned = torch.atan2(linear[:, 1, 0], linear[:, 0, 0])
    assert turned.cos().mean().abs() < 0.03, "no direction is preferred"
    shift = torch.linalg.solve(linear, theta[:, :, 2])
    assert (shift / 2).std().item() == pytest.approx(0.125, rel=0.03)


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_coins_fall_as_promised(p):
    x = pictures(1, 3, 4).expand(20_000, -1, -1, -1)
    assert affine(x, p)[1].float().mean().item() == pytest.approx(1 - (1 - p) ** 4, abs=0.015)
    plain = (colors(x, p)[0] == torch.eye(3)).flatten(1).all(1).float().mean().item()
    assert plain == pytest.approx((1 - p) ** 3 * (1 - p / 2), abs=0.015)
    assert (colors(x, p)[1] == 0).all(1).float().mean().item() == pytest.approx(1 - p, abs=0.015)


def test_mirrors_do_not_lean_to_one_side():
    x = pictures(1, 1, 8).expand(20_000, -1, -1, -1)
    mean = LAYERS["blit"](x, 1)(x).mean(0)
    for seen in (mean.flip(2), mean.rot90(1, (1, 2))):
        assert (mean - seen).abs().max() < 0.05, "over many glasses the picture is symmetric"


def test_at_half_the_chance_most_still_stand_upright():
    x = pictures(1, 1, 9).expand(4000, -1, -1, -1)
    rows = x.clone()
    rows[:] = torch.arange(9.0)[:, None]
    y = LAYERS["blit"](rows, 0.5)(rows)
    up = (y.diff(dim=2).sum((1, 2, 3)) > 0).float().mean()
    down = (y.diff(dim=2).sum((1, 2, 3)) < 0).float().mean()
    assert up > 0.55 > 0.2 > down, "the upright world stays the commonest, so it can be told from a turned one"


# Colours --------------------------------------------------------------------------------------------------------------


def only(monkeypatch, *kept):
    """Colours with every transformation resting except those: brightness, contrast, flip, saturation, hue."""
    order = iter(("brightness", "contrast", "flip", "saturation", "hue"))
    drawn = augment.draw

    def draw(x, p, value, rest, *size):
        return drawn(x, p if next(order) in kept else 0, value, rest, *size)

    monkeypatch.setattr(augment, "draw", draw)


def test_hue_and_saturation_keep_the_luma(monkeypatch):
    only(monkeypatch, "hue", "saturation")
    x = pictures(64)
    y = LAYERS["color"](x, 1)(x)
    assert torch.allclose(x.mean(1), y.mean(1), atol=1e-5)
    assert not torch.allclose(x, y, atol=0.1)


def test_hue_turns_and_does_not_stretch(monkeypatch):
    only(monkeypatch, "hue")
    matrix, offset = colors(pictures(64), 1)
    assert torch.allclose(matrix @ matrix.mT, torch.eye(3).expand(64, -1, -1), atol=1e-5)
    assert torch.allclose(matrix.det(), torch.ones(64), atol=1e-5)
    assert (offset == 0).all()


def test_luma_flip_mirrors_the_luma_and_keeps_the_colour(monkeypatch):
    only(monkeypatch, "flip")
    x = pictures(64)
    y = LAYERS["color"](x, 1)(x)
    flipped = ~(x == y).flatten(1).all(1)
    assert 0.25 < flipped.float().mean() < 0.75
    x, y = x[flipped], y[flipped]
    assert torch.allclose(y.mean(1), -x.mean(1), atol=1e-5)
    assert torch.allclose(y - y.mean(1, keepdim=True), x - x.mean(1, keepdim=True), atol=1e-5)


def test_brightness_and_contrast_have_the_promised_statistics(monkeypatch):
    only(monkeypatch, "brightness", "contrast")
    x = pictures(1, 3, 2).expand(20_000, -1, -1, -1)
    matrix, offset = colors(x, 1)
    contrast = matrix[:, 0, 0]
    assert contrast.log2().std().item() == pytest.approx(0.5, rel=0.03)
    assert (offset[:, 0] / contrast).std().item() == pytest.approx(0.2, rel=0.03)


def test_gray_is_the_same_in_one_channel_as_in_three():
    gray = pictures(64, 1)
    shown = []
    for x in (gray, gray.expand(-1, 3, -1, -1)):
        torch.manual_seed(3)
        shown.append(LAYERS["color"](x, 0.8)(x))
    assert torch.allclose(shown[0].expand(-1, 3, -1, -1), shown[1], atol=1e-5)


# DiffAugment ----------------------------------------------------------------------------------------------------------


def test_translation_shifts_by_up_to_an_eighth_and_leaves_gray():
    x = torch.ones(500, 1, 16, 16)
    y = diffaugment("translation")(x, {})(x)[:, 0]
    rows, columns = 16 - y.amax(2).sum(1), 16 - y.amax(1).sum(1)
    assert set(rows.tolist()) == set(columns.tolist()) == {0, 1, 2}
    assert torch.equal(y.sum((1, 2)), (16 - rows) * (16 - columns))


def test_cutout_takes_a_square_of_half_the_side():
    x = torch.ones(2000, 3, 16, 16)
    y = diffaugment("cutout")(x, {})(x)
    gone = (y == 0).float().sum((1, 2, 3)) / 3
    assert gone.max() == 64
    assert gone.min() >= 16, "its centre lies in the picture"
    assert (gone / 256).mean().item() == pytest.approx((0.5 - 0.25**2) ** 2, rel=0.05), "less what falls outside"
    assert set(y.unique().tolist()) == {0, 1}


def test_color_has_the_promised_statistics():
    flat = torch.zeros(20_000, 3, 2, 2)
    brightness = diffaugment("color")(flat, {})(flat)[:, 0, 0, 0]
    assert brightness.min() > -0.5
    assert brightness.max() < 0.5
    assert brightness.std().item() == pytest.approx(12**-0.5, rel=0.02)

    gray = torch.tensor([-0.5, 0.5]).view(1, 1, 1, 2).expand(20_000, 3, 1, 2)
    contrast = diffaugment("color")(gray, {})(gray).diff(dim=3)[:, 0, 0, 0]
    assert contrast.min() > 0.5
    assert contrast.max() < 1.5


# Names ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", AUGMENTS)
def test_every_member_of_the_table_can_be_made_without_arguments(name):
    x = pictures()
    assert AUGMENTS[name]()(x, {})(x).shape == x.shape


@pytest.mark.parametrize(
    "text", ["ada", "ada:0.3", "ada:blit,geom", "ada:blit,geom:0.3", "color, cutout", "diffaugment"]
)
def test_words_become_augmentations(text):
    x, pipe = pictures(64), parse(text)
    assert pipe is not None
    changed = not pipe(x, {})(x).equal(x)
    assert changed == (text not in ("ada", "ada:blit,geom")), "with p unset nothing happens yet"


def test_no_augmentation_is_none():
    assert parse("none") is None
    assert parse(None) is None
    assert parse("") is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "diffaug",
            r"'diffaug' is no augmentation: none, diffaugment, ada, or any of color,translation,cutout; did you",
        ),
        (
            "color,cutuot",
            r"'cutuot' is no policy of diffaugment: any of color,translation,cutout; did you mean 'cutout'",
        ),
        ("ada:blit,gom", r"'gom' is no group of ada: any of blit,geom,color,noise,cutout; did you mean 'geom'"),
        ("ada:1.5", r"p = 1.5: a probability is between 0 and 1"),
        ("none:3", r"'none:3' is no augmentation"),
    ],
)
def test_wrong_words_are_answered_with_the_choices(text, says):
    with pytest.raises(ValueError, match=says):
        parse(text)
