"""One table of cures, many laws over it; and the formula of each against a second computation."""

import json
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn.functional import batch_norm

from sparring import generators, prices, recipe, refusals
from sparring.cli import main
from sparring.folder import RunFolder, read_tree, write_tree
from sparring.losses import LOSSES
from sparring.names import RequestError
from sparring.nets import minibatch, sizes
from sparring.nets.blocks import spectral
from sparring.nets.minibatch import REFERENCE, MinibatchDiscrimination, MinibatchStd, VirtualBatchNorm, referenced
from sparring.optimizers import OPTIMIZERS
from sparring.priors import Bernoulli, Normal
from sparring.settings import Recipe
from sparring.spaces import Image, Label, Spec, Vector
from sparring.train import State, descend, step

from .test_train import data, everything, same

CURES = {  # what a user asks for; on points and on pictures
    "feature matching": dict(terms="feature_matching=1", adversarial=0.0),
    "feature matching beside": dict(terms="feature_matching=1"),
    "minibatch discrimination": dict(kernels=3),
    "minibatch standard deviation": dict(group=4),
    "historical averaging": dict(history=0.01),
    "virtual batch norm": dict(norm="virtual"),
    "batch norm": dict(norm="batch"),
    "instance noise": dict(instance_noise=0.3),
    "clipping": dict(clip=0.05, r1=0.0, r2=0.0),
    "gradient penalty": dict(penalties="wgan_gp=10", r1=0.0, r2=0.0),
    "zero-centred penalties": dict(r1=1.0, r2=1.0),
    "lazy penalties": dict(lazy=3),
    "packing": dict(pack=2),
    "unrolled": dict(unroll=2),
    "spectral norm": dict(spectral="D", r1=0.0, r2=0.0),
    "spectral norm of both": dict(spectral="both"),
    "top-k": dict(top_k=0.5),
    "two time scales": dict(lr_D=4e-2),
    "rmsprop": dict(optimizer="rmsprop"),
    "soap": dict(optimizer="soap"),
    "several": dict(
        terms="feature_matching=1,mode_seeking=0.1",
        kernels=2,
        pack=2,
        history=0.01,
        unroll=1,
        top_k=0.5,
        norm="virtual",
    ),
}
PICTURES = Spec(Image(1, 8), Label(3))
POINTS = Spec(Vector(2))
BASE = dict(width=8, z=2, batch=8, samples=800, lr=1e-2, r1=0.1, r2=0.1, gamma_end=0.1, settle=1.0, beta2=0.99)
DONE = dict(lr_end=0.0, average=0.02, precision="fp32", seed=3)


def ready(cure, spec=POINTS, dtype=None, **more):
    """The method and the players of a recipe with this cure, half way through its run."""
    net = "plain" if spec == POINTS else "quick"
    chosen = dict(data="ring", net=net, lr_D=1e-2, penalties="") | BASE | DONE | CURES[cure] | more
    r = Recipe(**chosen)
    refusals.check(r)
    G, D = recipe.players(r, spec)

    if dtype:
        G, D = G.to(dtype), D.to(dtype)
    s = State.begin(G, D, OPTIMIZERS[r.optimizer or "adam"])
    s.seen = 400
    return recipe.method(r), s


def batch(spec, seed=0):
    if spec == POINTS:
        return data(seed=seed), None
    g = torch.Generator().manual_seed(seed)
    return torch.rand(8, 1, 8, 8, generator=g) * 2 - 1, torch.randint(3, (8,), generator=g)


def finite(net):
    return all(v.isfinite().all() for v in net.state_dict().values())


def lives(cure, spec, **more):
    """D's turn moves D, G's turn moves G, and neither anything else; all numbers are finite."""
    m, s = ready(cure, spec, **more)
    x, c = batch(spec)
    G, D = everything(s.G), everything(s.D)
    stats = descend(m.critic_loss, m, s, s.D, x, c)
    if m.project:
        m.project(s.D)
    assert same(everything(s.G), G) and not same(everything(s.D), D)
    D = everything(s.D)
    stats |= descend(m.generator_loss, m, s, s.G, x, c)
    assert same(everything(s.D), D) and not same(everything(s.G), G)
    assert finite(s.G) and finite(s.D) and all(v.isfinite().all() for v in stats.values())


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("cure", CURES)
def test_every_cure_plays_with_every_loss(cure, loss):
    lives(cure, POINTS, loss=loss)


@pytest.mark.parametrize("cure", CURES)
def test_every_cure_plays_on_pictures_with_classes(cure):
    lives(cure, PICTURES, loss="nonsaturating")


@pytest.mark.parametrize("cure", CURES)
def test_resumed_is_never_stopped(cure, tmp_path):
    ends = []
    for stop in (None, 3):
        m, s = ready(cure)
        for i in range(6):
            if i == stop:
                write_tree(tmp_path, s.save())
                _, s = ready(cure, seed=99)
                s.load(read_tree(tmp_path))
            step(m, s, *batch(POINTS, i))
        ends.append(s)
    a, b = ends
    for x, y in ((a.G, b.G), (a.D, b.D), (a.ema, b.ema)):
        assert same(everything(x), everything(y))
    assert same(a.memory, b.memory)


@pytest.mark.parametrize("cure", CURES)
@pytest.mark.parametrize("spec", [POINTS, PICTURES], ids=["points", "pictures"])
def test_real_and_fake_are_never_judged_in_one_pass(cure, spec):
    m, s = ready(cure, spec)
    x, c = batch(spec)
    s.opt_D.state.clear()
    asked, look = [], type(s.D).forward

    def spy(net, x, c=None):
        asked.append(x.detach().clone())
        return look(net, x, c)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(s.D), "forward", spy)
        step(m, s, x, c)
    for pass_ in asked:
        assert len(pass_) == len(x)  # none holds both
    alone = [torch.equal(p, x) for p in asked]
    assert any(alone) or CURES[cure].get("instance_noise")
    assert not all(alone)


# -- formulas ----------------------------------------------------------------------------------------------------------


def test_minibatch_discrimination_is_its_sum():
    layer, f = MinibatchDiscrimination(4, 3).double(), torch.randn(5, 4, dtype=torch.double)
    T = layer.T.detach()
    for i in range(5):
        for k in range(3):
            M = [f[j] @ T[:, k] for j in range(5)]
            by_hand = sum(torch.exp(-(M[i] - M[j]).abs().sum()) for j in range(5))
            torch.testing.assert_close(layer(f)[i, k], by_hand)
    assert torch.autograd.gradcheck(layer, f.requires_grad_())
    assert torch.autograd.gradgradcheck(layer, f)


def test_minibatch_discrimination_hears_that_all_are_one():
    layer = MinibatchDiscrimination(4, 3)
    assert torch.allclose(layer(torch.randn(1, 4).expand(6, 4)), torch.tensor(6.0))
    assert (layer(10 * torch.randn(6, 4)) < 5).all()


@pytest.mark.parametrize("places", [(), (3, 3)])
def test_virtual_batch_norm_is_batch_norm_of_the_reference_with_one_added(places):
    layer = VirtualBatchNorm(4).double()
    nn.init.normal_(layer.scale)
    nn.init.normal_(layer.shift)
    reference, x = (torch.randn(n, 4, *places, dtype=torch.double) * 3 + 1 for n in (REFERENCE, 5))
    y = layer(torch.cat([reference, x]))

    norm = lambda x: batch_norm(x, None, None, layer.scale, layer.shift, training=True, eps=1e-5)
    torch.testing.assert_close(y[:REFERENCE], norm(reference))
    for i in range(5):
        torch.testing.assert_close(y[REFERENCE + i], norm(torch.cat([reference, x[i : i + 1]]))[-1])


def test_virtual_batch_norm_without_a_reference_says_so():
    with pytest.raises(ValueError, match="its reference of 32 among them"):
        VirtualBatchNorm(4)(torch.randn(8, 4))
    plain = nn.Linear(2, 2)
    assert referenced(plain, POINTS, Normal(2)) is plain


@pytest.mark.parametrize(("name", "spec"), [("plain", POINTS), ("vector", POINTS), ("quick", PICTURES)])
def test_virtual_batch_norm_leaves_samples_independent(name, spec):
    G, _ = sizes.build(name, spec, Bernoulli(4), 8, norm="virtual")
    z, c = torch.randn(6, 4), None if spec.c is None else torch.tensor([0, 1, 2, 0, 1, 2])
    x = G(z, c)
    for i in range(6):
        torch.testing.assert_close(x[i : i + 1], G(z[i : i + 1], None if c is None else c[i : i + 1]))


def test_the_reference_is_fixed_and_comes_back():
    m, s = ready("virtual batch norm", PICTURES)
    z, c = s.G.z.clone(), s.G.c.clone()
    for i in range(4):
        step(m, s, *batch(PICTURES, i))
    assert torch.equal(s.G.z, z) and torch.equal(s.G.c, c)
    assert torch.equal(s.ema.z, z)
    _, other = ready("virtual batch norm", PICTURES, seed=4)
    assert not torch.equal(other.G.z, z)
    other.G.load_state_dict(s.G.state_dict())
    assert torch.equal(other.G.z, z) and torch.equal(other.G.c, c)


@pytest.mark.parametrize("cure", ["virtual batch norm", "spectral norm of both", "several"])
@pytest.mark.parametrize("spec", [POINTS, PICTURES], ids=["points", "pictures"])
def test_a_saved_generator_draws_what_it_drew(cure, spec, tmp_path):
    m, s = ready(cure, spec)
    step(m, s, *batch(spec))
    net = "plain" if spec == POINTS else "quick"
    r = Recipe(**dict(net=net, lr_D=1e-2) | BASE | DONE | CURES[cure])
    generators.save_generator(
        tmp_path, s.ema, r, SimpleNamespace(spec=spec, classes=None, vocabulary=None, spelling=None), s.seen
    )
    G, _, _ = generators.load_generator(tmp_path)
    z, c = torch.randn(5, 2), None if spec.c is None else torch.tensor([0, 1, 2, 0, 1])
    assert torch.equal(G(z, c), s.ema(z, c))


def test_spectral_norm_leaves_the_largest_singular_value_at_one():
    net = spectral(nn.Sequential(nn.Linear(6, 8), nn.Conv2d(3, 5, 3), nn.Embedding(7, 4)))
    for layer in net:
        for _ in range(200):
            W = layer.weight  # each look is a step of the power iteration
        assert torch.linalg.matrix_norm(W.detach().flatten(1), ord=2).item() == pytest.approx(1, abs=1e-3)


def test_a_normalised_critic_is_no_steeper_than_its_layers():
    """|D(x) - D(y)| <= |x - y| for linear layers and rectifiers of slope at most 1."""
    _, D = sizes.build("plain", POINTS, Normal(2), 16)
    spectral(D)
    for _ in range(200):
        D(data())
    x, y = torch.randn(2, 500, 2)
    assert ((D(x) - D(y)).abs() <= (x - y).norm(dim=1) * 1.001).all()


def test_weights_of_zero_have_no_direction():
    with pytest.raises(ValueError, match=r"begins at zero"):
        spectral(sizes.build("r3gan", Spec(Image(1, 8)), Normal(4), 8)[1])


@pytest.mark.parametrize("shape", [(3,), (3, 4, 4)])
def test_minibatch_std_takes_any_shape(shape):
    x = torch.randn(8, *shape)
    for i, spread in enumerate(MinibatchStd(4)(x)):
        group = x[i // 4 * 4 : i // 4 * 4 + 4]
        torch.testing.assert_close(spread[0], (group.var(0, unbiased=False) + 1e-8).sqrt().mean())


@pytest.mark.parametrize("name", ["plain", "vector"])
def test_packs_of_points_are_judged_by_one_score(name):
    _, D = sizes.build(name, Spec(Vector(2), Label(3)), Normal(2), 8, pack=3)
    x, c = torch.randn(7, 2), torch.randint(3, (7,))
    score = D(x, c)
    assert [score[i] == score[3 * (i // 3)] for i in range(7)] == [True] * 7
    other = x.clone()
    other[1] += 1  # its pack alone notices
    moved = D(other, c) != score
    assert moved.tolist() == [True] * 3 + [False] * 3 + [True]  # the last is filled up from the first
    assert minibatch.to_each(torch.tensor([1.0, 2.0]), 2, 3).tolist() == [1, 1, 2]


def test_one_sided_smoothing_is_reachable_with_its_label():
    real, fake = torch.randn(2, 9)
    a, b = (prices.loss(Recipe(loss=name)).critic(real, fake) for name in ("smoothed", "smoothed=0.9"))
    assert torch.equal(a, b)
    cross = nn.functional.binary_cross_entropy_with_logits
    by_hand = cross(real, torch.full((9,), 0.75), reduction="none") + cross(fake, torch.zeros(9), reduction="none")
    torch.testing.assert_close(prices.loss(Recipe(loss="smoothed=0.75")).critic(real, fake), by_hand)


# -- by the command ----------------------------------------------------------------------------------------------------

SHORT = ["--samples", "640", "--batch", "64", "--threads", "1", "--evaluate_n", "50", "--evaluate_final", "50"]
ALL = "--norm virtual --group 2 --kernels 2 --pack 2 --spectral D --instance_noise 0.2 --unroll 1 --top_k 0.5"
MORE = "--terms feature_matching=0.5 --history 0.01 --loss smoothed=0.8 --optimizer rmsprop --lr_D 0.004"


def test_a_run_with_cures_resumes_exactly_and_its_generator_loads(tmp_path):
    run = tmp_path / "run"
    assert (
        main(["train", "ring", *ALL.split(), *MORE.split(), *SHORT, "--checkpoint_every", "128", "--run", str(run)])
        == 0
    )
    folder = RunFolder(run)
    end = folder.load()["state"]
    asked = folder.recipe()
    assert (asked["norm"], asked["pack"], asked["terms"]) == ("virtual", 2, "feature_matching=0.5")

    last = folder.checkpoints()[-1]
    last.rename(tmp_path / "aside")  # as if it had been killed before
    assert main(["resume", str(run)]) == 0
    again = folder.load()["state"]
    assert end["seen"] == again["seen"]
    for part in ("G", "D", "ema", "memory"):
        assert same(end[part], again[part])

    G, spec, card = generators.load_generator(run / "generator")
    assert torch.equal(G.z, end["ema"]["z"])
    assert card["made"]["norm"] == "virtual"
    assert generators.draw(G, spec, 5).shape == (5, 2)
    rows = folder.rows("stats.jsonl")
    assert {"term/feature_matching", "G/historical", "D/historical"} <= rows[-1].keys()
    assert "history/G/turns" not in rows[-1]


def test_pulls_take_weights_as_they_lie(tmp_path):
    """Those of pictures are channels_last."""
    run = tmp_path / "run"
    assert main(["train", "digits", *SHORT, "--history", "0.01", "--weight_decay", "0.01", "--run", str(run)]) == 0
    assert {"G/historical", "D/historical", "D/decay"} <= RunFolder(run).rows("stats.jsonl")[-1].keys()


def test_every_choice_is_written_out(tmp_path):
    assert main(["train", "digits", *SHORT, "--width", "4", "--run", str(tmp_path / "run")]) == 0
    asked = RunFolder(tmp_path / "run").recipe()
    assert {k: asked[k] for k in refusals.NEUTRAL} == dict(
        norm="batch", group=4, kernels=0, pack=1, forget=0.0, patches=1
    )


def test_a_weight_may_go_to_another():
    chosen = dict(data="ring", lr_D=1e-2, terms="feature_matching=1:0.01,l1=2", penalties="lecam=3:6") | BASE | DONE
    m = recipe.method(Recipe(**chosen))
    (_, first), (_, steady) = m.terms
    assert [first(seen) for seen in (0, 280, 560, 800)] == pytest.approx([1, 0.1, 0.01, 0.01])  # 0.7 of 800 is 560
    assert steady(0) == steady(700) == 2
    assert [m.penalties[-1][1](seen) for seen in (0, 560)] == pytest.approx([3, 6])


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ("--adversarial 0", "give --terms"),
        ("--terms feature_matching", "no weight; write NAME=WEIGHT, such as feature_matching=1"),
        ("--terms feature_machting=1", "did you mean 'feature_matching'"),
        ("--clip 0.1 --spectral D", "drop one"),
        ("--optimizer rmsprop --beta1 0.5", "--beta1 0.5 is of Adam, and --optimizer rmsprop has no momentum"),
        ("--penalties consistency=1", "--penalties consistency is for pictures, and 'ring' has none"),
        ("--terms gradients=1", "--terms gradients is for pictures"),
        ("--unroll 2 --micro 32", "needs the whole batch at once: leave out --micro"),
        ("--terms feature_matching=1 --micro 32", "leave out --micro"),
        ("--kernels 8 --micro 32", "leave out --micro"),
        ("--pack 3 --micro 32", "give pieces of a multiple of 3"),
        ("--top_k 1.5", "at most 1"),
        ("--top_k 0", "above 0"),
        ("--unroll -1", "0 or more"),
        ("--instance_noise -1", "0 or more"),
        ("--norm layer", "norm"),
        ("--norm pixel", "none, batch, virtual"),
        ("--loss hinge=0.9", "smoothed alone takes a number"),
        ("--loss smoothed=0.3", "above 1/2"),
        ("--loss smoothed=abc", "--loss smoothed=abc: give a label above 0.5, such as smoothed=0.9"),
        ("--net tests.test_cures:own --pack 2", "build it into yours"),
        ("--net tests.test_cures:own --terms feature_matching=1", "D.features"),
    ],
)
def test_contradictions_are_refused_with_the_way_out(argv, words, tmp_path, capsys):
    assert main(["train", "ring", *SHORT, *argv.split(), "--run", str(tmp_path / "run")]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def own(spec, prior, width):
    from .test_train import Judge, Maker

    G, D = Maker(), Judge()
    G.prior = Normal(3)
    return G, D


def test_networks_without_an_option_name_those_that_have_it(tmp_path, capsys):
    assert main(["train", "digits", *SHORT, "--net", "r3gan", "--norm", "batch", "--run", str(tmp_path / "run")]) == 2
    assert "networks 'r3gan' take no norm; vector, plain, quick, dcgan, frame do" in capsys.readouterr().err


def test_several_processes_are_refused_what_they_cannot_do(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(RequestError, match="--top_k 0.5 looks at the whole batch before G moves"):
        refusals.check(Recipe(unroll=1, top_k=0.5))
    with pytest.raises(RequestError, match=r"--batch 6 in 2 processes cuts the 2 samples"):
        refusals.check_processes(Recipe(pack=2, batch=6))
    json.dumps(Recipe().asdict())
