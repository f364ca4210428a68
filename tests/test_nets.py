"""One table of pairs, many laws over it."""

import copy

import pytest
import torch
from torch import nn

from sparring.nets import image, quick, sizes
from sparring.nets.blocks import Down, PixelNorm, Up, pyramid
from sparring.nets.conditions import Join, Projection
from sparring.nets.minibatch import MinibatchStd, packed
from sparring.priors import Normal
from sparring.spaces import Frames, Image, Label, Spec, Vector, any_samples

VARIANTS = {
    "quick": ("quick", {}),
    "quick alone": ("quick", {"group": 1}),
    "quick pixel": ("quick", {"norm": "pixel", "group": 1}),
    "quick none": ("quick", {"norm": "none", "group": 1}),
    "quick packed": ("quick", {"pack": 2, "group": 1}),
    "quick virtual": ("quick", {"norm": "virtual", "group": 1}),
    "quick kernels": ("quick", {"kernels": 3, "group": 1}),
    "dcgan": ("dcgan", {}),
    "dcgan virtual, all at once": ("dcgan", {"norm": "virtual", "group": 2, "pack": 2, "kernels": 3}),
    "r3gan": ("r3gan", {}),
    "r3gan, all at once": ("r3gan", {"group": 2, "pack": 2, "kernels": 3}),
}
JUDGES_TOGETHER = ("quick", "quick packed", "quick kernels", "dcgan virtual, all at once", "r3gan, all at once")
PLAIN, LABELLED = Spec(Image(3, 16)), Spec(Image(3, 16), Label(5))

every_pair = pytest.mark.parametrize("variant", VARIANTS)
every_spec = pytest.mark.parametrize("spec", [PLAIN, LABELLED], ids=["plain", "labelled"])


def build(variant, spec, join="concat", width=8):
    name, options = VARIANTS[variant]
    return sizes.build(name, spec, Normal(6), width, join, **options)


def conditions(spec, n):
    return None if spec.c is None else any_samples(spec.c, n)


def awake(G):
    """Fix-up blocks begin as the identity; away from the beginning every path is open."""
    for m in G.modules():
        if isinstance(m, image.Block):
            nn.init.normal_(m.W3.weight, std=0.1)
    return G


@every_pair
@pytest.mark.parametrize("size", [4, 8, 20, 28, 32])
@pytest.mark.parametrize("channels", [1, 3])
def test_shapes_at_every_size(variant, size, channels):
    spec = Spec(Image(channels, size))
    G, D = build(variant, spec)
    x = G(torch.randn(3, 6))
    assert x.shape == (3, channels, size, size)
    assert D(x).shape == (3,)
    assert x.dtype == D(x).dtype == torch.float32


@every_pair
@every_spec
@pytest.mark.parametrize("join", ["concat", "add"])
def test_gradients_reach_every_parameter(variant, spec, join):
    G, D = map(awake, build(variant, spec, join))
    z, c = torch.randn(4, 6), conditions(spec, 4)
    (D(G(z, c), c) * torch.randn(4)).sum().backward()
    lost = [k for net in (G, D) for k, p in net.named_parameters() if p.grad is None or not p.grad.any()]
    followed = nn.BatchNorm2d in map(type, [*G.modules(), *D.modules()])  # its mean swallows the bias before it
    assert [k for k in lost if not (followed and k.endswith("bias"))] == []


@every_pair
@every_spec
def test_slope_has_a_finite_derivative_also_in_bfloat16_and_channels_last(variant, spec):
    for bf16 in False, True:
        _, D = map(awake, build(variant, spec))
        x, c = any_samples(spec.x, 5).requires_grad_(), conditions(spec, 5)
        if bf16:
            D = D.to(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            score = D(x, c)
            (slope,) = torch.autograd.grad(score.sum(), x, create_graph=True)
        assert score.dtype == torch.float32
        slope.square().sum().backward()
        grads = [p.grad for p in D.parameters() if p.grad is not None]
        assert all(g.isfinite().all() for g in grads)
        assert sum(bool(g.any()) for g in grads) >= len(grads) / 2


@pytest.mark.parametrize("block", [Down(), Up(), PixelNorm(), MinibatchStd(2).spread], ids=str)
def test_blocks_have_the_second_derivative_of_finite_differences(block):
    x = torch.randn(2, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(block, x)
    assert torch.autograd.gradgradcheck(block, x)


@every_pair
@every_spec
def test_at_rest_no_sample_sees_another_and_all_is_repeatable(variant, spec):
    G, D = (awake(net).eval() for net in build(variant, spec))
    z, c = torch.randn(4, 6), conditions(spec, 4)
    first = None if c is None else c[:1]
    x = G(z, c)
    assert torch.equal(x, G(z, c))
    torch.testing.assert_close(x[:1], G(z[:1], first))
    assert torch.equal(D(x, c), D(x, c))
    if variant not in JUDGES_TOGETHER:
        torch.testing.assert_close(D(x, c)[:1], D(x[:1], first))


@pytest.mark.parametrize("variant", ["quick pixel", "quick none", "quick virtual", "r3gan"])
def test_without_statistics_no_sample_sees_another_in_training_either(variant):
    G, D = map(awake, build(variant, PLAIN))
    z = torch.randn(4, 6)
    torch.testing.assert_close(G(z)[:1], G(z[:1]))
    torch.testing.assert_close(D(G(z))[:1], D(G(z))[:1])
    assert not list(G.buffers()) or variant == "quick virtual"


@every_pair
def test_the_condition_is_heard(variant):
    for join in "concat", "add":
        G, D = (awake(net).eval() for net in build(variant, LABELLED, join))
        z, a, b = torch.randn(2, 6), torch.tensor([0, 0]), torch.tensor([1, 1])
        assert not torch.allclose(G(z, a), G(z, b))
        assert not torch.allclose(D(G(z, a), a), D(G(z, a), b))


@every_pair
def test_bfloat16_in_channels_last_says_nearly_the_same(variant):
    G, D = (awake(net).eval() for net in build(variant, PLAIN))
    z = torch.randn(4, 6)
    x = G(z).detach()
    d = D(x).detach()
    G, D = (copy.deepcopy(net).to(memory_format=torch.channels_last) for net in (G, D))
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(G(z), x, rtol=0.05, atol=0.05 * float(x.abs().max()))
        torch.testing.assert_close(D(x), d, rtol=0.05, atol=0.05 * float(d.abs().max()) + 0.02)


PUBLISHED = [  # Huang et al. 2024, Table 9 (StackedMNIST, CIFAR-10, FFHQ-256, FFHQ-64), in millions
    (Spec(Image(3, 32)), [768] * 4, 20.73, 20.68),
    (Spec(Image(3, 32), Label(10)), [768] * 4, 20.78, 21.28),
    (Spec(Image(3, 256)), [768, 768, 768, 768, 384, 192, 96], 23.06, 23.01),
    (Spec(Image(3, 64)), [768, 768, 768, 768, 384], 22.43, 22.38),
]


@pytest.mark.parametrize(("spec", "widths", "millions_G", "millions_D"), PUBLISHED)
def test_residual_pairs_have_the_published_counts_of_parameters(spec, widths, millions_G, millions_D):
    with torch.device("meta"):
        nets = image.pair(spec, Normal(64), widths)
    assert [round(count(net) / 1e6, 2) for net in nets] == [millions_G, millions_D]
    assert image.each_stage(spec.x.size, 768) == widths


def count(net):
    return sum(p.numel() for p in net.parameters())


def test_the_counts_at_32_pixels_are_those_of_the_formula():
    with torch.device("meta"):
        G, D = image.pair(PLAIN._replace(x=Image(3, 32)), Normal(64), 768)
    C = 768
    block = 2 * C * C + 2 * C * 16 * 9 + 2 * C * C + 2 * (2 * C)  # 1x1, grouped 3x3, 1x1 and two biases
    assert count(G) == 8 * block + C * 16 + 64 * C + 3 * C
    assert count(D) == 8 * block + C * 16 + C + 3 * C


def test_residual_networks_begin_with_blocks_that_do_nothing():
    block = image.Block(16, blocks=8)
    x = torch.randn(2, 16, 5, 5)
    assert torch.equal(block(x), x)


@pytest.mark.parametrize(
    ("size", "sides"),
    [(4, [4]), (7, [7]), (8, [4, 8]), (28, [7, 14, 28]), (32, [4, 8, 16, 32]), (96, [6, 12, 24, 48, 96])],
)
def test_pyramids(size, sides):
    assert pyramid(size) == sides


@pytest.mark.parametrize(("size", "nearest"), [(30, "28 and 32"), (3, "4"), (36, "32 and 40"), (100, "96 and 112")])
def test_a_size_that_fits_no_pyramid_is_refused_with_the_nearest(size, nearest):
    with pytest.raises(ValueError, match=f"size {size} .* nearest.* {nearest}"):
        pyramid(size)


@pytest.mark.parametrize("n", [1, 2, 4, 6, 8, 9])
def test_minibatch_std_is_its_formula(n):
    x = torch.randn(n, 3, 4, 5)
    y = MinibatchStd(4)(x)
    assert y.shape == (n, 1)
    for i in range(n):
        group = x[i // 4 * 4 : i // 4 * 4 + 4]
        spread = (group.var(0, unbiased=False) + 1e-8).sqrt().mean()
        torch.testing.assert_close(y[i, 0], spread)


def test_minibatch_std_of_pieces_is_that_of_the_whole():
    x = torch.randn(16, 3, 4, 4)
    torch.testing.assert_close(torch.cat([MinibatchStd(4)(p) for p in x.split(8)]), MinibatchStd(4)(x))


@pytest.mark.parametrize("group", [1, 4])
@pytest.mark.parametrize("n", [1, 3, 8])
def test_a_pack_has_one_score(group, n):
    _, D = sizes.build("quick", LABELLED, Normal(6), 8, group=group, pack=2)
    score = D(any_samples(LABELLED.x, n), conditions(LABELLED, n))
    assert score.shape == (n,)
    assert all(score[i] == score[i - 1] for i in range(1, n, 2))


def test_packs_hold_every_sample_once_and_fill_up_from_the_first():
    assert packed(torch.arange(5), 2).tolist() == [[0, 1], [2, 3], [4, 0]]
    assert packed(torch.arange(1), 3).tolist() == [[0, 0, 0]]


def test_pixel_norm_leaves_unit_mean_squares():
    y = PixelNorm()(torch.randn(2, 8, 3, 3) * 7)
    torch.testing.assert_close(y.square().mean(1), torch.ones(2, 3, 3))


def test_resampling_is_the_binomial_kernel():
    k = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
    kernel = k.outer(k).expand(5, 1, 4, 4)
    x = torch.randn(2, 5, 8, 8)
    down = nn.functional.conv2d(x, kernel, stride=2, padding=1, groups=5)
    up = nn.functional.conv_transpose2d(x, 4 * kernel, stride=2, padding=1, groups=5)
    torch.testing.assert_close(Down()(x), down)
    torch.testing.assert_close(Up()(x)[..., 1:-1, 1:-1], up[..., 1:-1, 1:-1])
    torch.testing.assert_close(Up()(torch.ones_like(x)), torch.ones(2, 5, 16, 16))


def test_joins():
    z, c = torch.randn(3, 6), torch.tensor([0, 1, 0])
    concat, add = Join(6, Label(2), "concat"), Join(6, Label(2), "add")
    assert torch.equal(concat(z, c), torch.cat([z, concat.embed(c)], 1))
    assert torch.equal(add(z, c), z + add.embed(c))
    assert (concat.dim, add.dim, Join(6, None).dim) == (12, 6, 6)
    assert torch.equal(Join(6, Vector(2))(z, torch.ones(3, 2))[:, :6], z)
    with pytest.raises(ValueError, match="'mix' is none of concat, add"):
        Join(6, None, "mix")
    with pytest.raises(TypeError, match=r"no embedding for Frames.*Label, Vector.*register"):
        Join(6, Frames(2, 1, 8))


def test_projection_is_an_inner_product():
    P = Projection(6, Label(3), 4)
    h, c = torch.randn(2, 6), torch.tensor([2, 0])
    torch.testing.assert_close(P(h, c), ((h @ P.phi.weight.T) * P.embed.weight[c]).sum(1))


@pytest.mark.parametrize("examples", [100, 10_000, 10**6])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("x", [Vector(2), Vector(100), Image(1, 8), Image(3, 32), Image(3, 256)])
def test_a_choice_can_be_built_and_says_why(x, device, examples):
    choice = sizes.choose(Spec(x), examples, device)
    assert choice.reason.startswith(f"{choice.name}, width {choice.width}")
    with torch.device("meta"):
        sizes.build(choice.name, Spec(x), Normal(4), choice.width)


@pytest.mark.parametrize("name", ["dcgan", "quick", "mine:pair"])
def test_a_width_is_chosen_for_the_pair_that_plays(name):
    choice = sizes.choose(Spec(Image(3, 64)), 50_000, "cuda", asked=name)
    assert choice.name == name and choice.reason.startswith(f"{name}, width {choice.width}")
    assert choice.width == {"mine:pair": 384}.get(name, 64)


def test_more_examples_never_choose_a_smaller_network():
    widths = [sizes.choose(Spec(Image(3, 32)), n, "cuda").width for n in (10, 10**3, 10**4, 10**5, 10**6)]
    assert widths == sorted(widths)
    assert widths[0] < widths[-1]


def test_what_cannot_be_built_is_refused():
    with pytest.raises(ValueError, match=r"'quik' are none of vector, plain, quick"):
        sizes.build("quik", PLAIN, Normal(4))
    with pytest.raises(TypeError, match="no networks for Frames"):
        sizes.choose(Spec(Frames(2, 1, 8)), 10)
    with pytest.raises(TypeError, match="image networks make Image"):
        sizes.build("quick", Spec(Vector(2)), Normal(4))
    with pytest.raises(ValueError, match="norm 'layer' is none of batch, virtual, pixel, none"):
        sizes.build("quick", PLAIN, Normal(4), norm="layer")
    with pytest.raises(ValueError, match="multiple of 8"):
        sizes.build("r3gan", PLAIN, Normal(4), 12)


@pytest.mark.parametrize(("size", "learned"), [(8, False), (28, False), (32, True), (64, True)])
def test_the_quick_generator_learns_its_last_enlargement_where_pictures_are_fine(size, learned):
    torch.manual_seed(0)
    G, _ = sizes.build("quick", Spec(Image(3, size)), Normal(4), 8)
    h, w = torch.randn(2, 16, size // 2, size // 2), torch.randn(2, 32)
    assert isinstance(G.enlarge[-1], quick.Split) == learned
    fours = G.enlarge[-1](h, w).unflatten(2, (-1, 2)).unflatten(4, (-1, 2))  # (B, C, H/2, 2, W/2, 2)
    assert (fours == fours[:, :, :, :1, :, :1]).all() == (not learned)
    assert all(isinstance(enlarge, quick.Copy) for enlarge in G.enlarge[:-1])
