"""A look tells what was put there, on players made to have it; and changes nothing."""

import copy
import math

import pytest
import torch
from torch import nn

from sparring import augment, worlds
from sparring.losses import LOSSES
from sparring.optimizers import last_step
from sparring.penalties import clip
from sparring.priors import Normal
from sparring.probes import above, panel, probe
from sparring.schedules import constant
from sparring.train import Method, State, step

N = 64


class Draws(nn.Module):
    """A generator that draws what it is given, whatever z is."""

    def __init__(self, x, c=None):
        super().__init__()
        self.prior, self.scale = Normal(2), nn.Parameter(torch.ones(()))
        self.register_buffer("x", x)

    def forward(self, z, c=None):
        return self.x[: len(z)] * self.scale


class Line(nn.Module):
    """A critic of constant slope 3, in the first number of x."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.tensor(3.0))

    def forward(self, x, c=None):
        return self.w * x.flatten(1)[:, 0]


def points(n, seed, heldout=False):
    world = worlds.open("ring")
    return world.spec.x.encode(world.draw(n, seed, heldout)[0])


def pictures(n, heldout=False):
    world = worlds.open("digits", 16)
    return world.spec.x.encode(world.draw(n, 0, heldout)[0])


def look(x, train, heldout, m=None, D=None, labels=None, c=None):
    s = State.begin(Draws(x), D or Line())
    z = s.G.prior.sample(N, torch.Generator().manual_seed(0))
    return probe(m or Method(), s, panel(z, [(train, c)], [(heldout, c)], labels))


def test_real_samples_look_real():
    for x, train, held in (
        (points(N, 5), points(500, 1), points(300, 2, heldout=True)),
        (pictures(N + 300, True)[300:], pictures(1000), pictures(300, True)),
    ):
        found = look(x, train, held)
        assert 0.8 < found["spread"] < 1.2
        assert 0.5 < found["near"] < 1.6
        assert found["copies"] < 0.25
        assert found["coverage"] > 0.8
        assert found["precision"] > 0.8
        assert found["missing"] < 0.15
        assert 0.35 < found["accuracy/train"] < 0.65
        assert 0.35 < found["overfit/known"] < 0.65
        assert found["swing"] == found["G/average"] == 0


@pytest.mark.parametrize("change", [lambda x: x, lambda x: x.flip(-1), lambda x: x + 0.01])
def test_copies_are_told_though_mirrored_or_retouched(change):
    train = pictures(1000)
    found = look(change(train[100 : 100 + N]), train, pictures(300, heldout=True))
    assert found["copies"] > 0.9
    assert found["near"] < 0.3


def test_a_generator_of_one_thing_has_no_spread():
    found = look(points(1, 0).expand(N, 2), points(500, 1), points(300, 2))
    assert found["spread"] < 1e-6
    assert found["duplicates"] == 1
    assert found["missing"] > 0.8


def test_parts_that_are_never_drawn_are_missed_with_labels_and_without():
    x, held = points(4 * N, 5), points(500, 2)
    kind = lambda x: ((torch.atan2(x[:, 1], x[:, 0]) + 0.1) % 6.283 / (6.283 / 8)).long()
    half = x[kind(x) < 4][:N]
    for labels in (None, kind(held)):
        found = look(half, points(500, 1), held, labels=labels)
        assert 0.35 < found["missing"] < 0.65
        assert found["precision"] > 0.8
        assert found["recall"] < 0.8


def test_what_is_only_seen_through_the_glass_leaks():
    m, held = Method(augment=augment.ada(1.0, "geom")), pictures(300, True)
    honest = look(pictures(N + 300, True)[300:], pictures(500), held, m)
    torch.manual_seed(1)
    turned = augment.ada(1.0, "geom")(held[:N], {}, 0)(pictures(N + 300, True)[300:])
    assert honest["leak"] < 0.2 < 0.4 < look(turned, pictures(500), held, m)["leak"]
    assert "leak" not in look(turned, pictures(500), held)


def test_slopes_and_what_the_loss_lets_through():
    x, train, held = points(N, 5), points(500, 1), points(300, 2)
    for name, loss in LOSSES.items():
        found = look(x + 2, train, held, Method(loss=loss))
        assert found["slope/real"] == pytest.approx(3, rel=1e-5), name
        assert found["slope/fake"] == pytest.approx(3, rel=1e-5), name
    certain = look(x - 50, train, held, Method(loss=LOSSES["minimax"]))
    assert certain["push"] < 1e-6 < certain["slope/fake"]
    assert look(x - 50, train, held, Method(loss=LOSSES["nonsaturating"]))["push"] == pytest.approx(3, rel=1e-3)
    assert certain["accuracy/heldout"] == 1


@pytest.mark.parametrize("optimizer", [torch.optim.Adam, torch.optim.RMSprop, torch.optim.SGD])
def test_the_last_step_is_the_one_that_was_taken(optimizer):
    net = nn.Linear(3, 2)
    opt = optimizer(net.parameters(), lr=0.01)
    for _ in range(3):
        opt.zero_grad()
        net(torch.randn(4, 3)).square().sum().backward()
        before = [p.detach().clone() for p in net.parameters()]
        opt.step()
        for taken, old, new in zip(last_step(opt), before, net.parameters()):
            assert torch.allclose(taken, old - new, atol=1e-6)


def test_clipped_weights_lie_at_their_bound():
    D, m = Line(), Method(project=clip(0.01))
    D.more = nn.Linear(8, 8)
    m.project(D)
    assert look(points(N, 5), points(500, 1), points(300, 2), m, D)["D/bound"] > 0.8
    assert "D/bound" not in look(points(N, 5), points(500, 1), points(300, 2))


def test_a_deaf_generator_is_not_moved_by_its_condition():
    class Obedient(Draws):
        def forward(self, z, c=None):
            return super().forward(z) + z + c[:, None]

    held, c = points(300, 2), torch.arange(300) % 5
    s = State.begin(Obedient(points(N, 5)), Line())
    p = panel(s.G.prior.sample(N), [(points(500, 1), torch.arange(500) % 5)], [(held, c)])
    obedient = probe(Method(), s, p)["condition/sample"]
    deaf = look(points(N, 5), points(500, 1), held, c=torch.arange(500)[: len(held)] % 5)
    assert deaf["condition/sample"] == 0 == deaf["condition/score"]
    assert obedient > 0.3


@pytest.mark.parametrize(("heard", "within"), [(1.0, 1.0), (0.0, 0.0), (0.3, 0.3)])
def test_a_generator_that_hears_its_noise_varies_within_a_class_as_the_data_do(heard, within):
    kinds, centers, spread = torch.arange(300) % 5, 10 * torch.randn(5, 2), 0.1
    near = lambda c, z: centers[c] + spread * z

    class Follows(Draws):
        def forward(self, z, c=None):
            return near(c, heard * z) * self.scale

    held, train = near(kinds, torch.randn(300, 2)), near(kinds, torch.randn(300, 2))
    s = State.begin(Follows(held), Line())
    found = probe(Method(), s, panel(s.G.prior.sample(N), [(train, kinds)], [(held, kinds)]))
    assert found["condition/within"] == pytest.approx(within, abs=0.15)
    assert found["spread"] == pytest.approx(1, abs=0.2)


def asked_for(k, of, labelled=True):
    """A look at a G that draws class of(c) where it is asked for c, of k classes that lie apart."""
    kinds, centers = torch.arange(300) % k, 10 * torch.randn(k, 2)
    near = lambda c: centers[c] + 0.01 * torch.randn(len(c), 2)

    class Follows(Draws):
        def forward(self, z, c=None):
            return (centers[of(c)] + 0.01 * z) * self.scale

    s = State.begin(Follows(near(kinds)), Line())
    examples = [(near(kinds), kinds)], [(near(kinds), kinds)]
    return probe(Method(), s, panel(s.G.prior.sample(N), *examples, labels=kinds if labelled else None))


def test_fakes_that_lie_among_another_class_do_not_obey():
    for of, low, high in ((lambda c: c, 0.99, 1.0), (lambda c: (c + 1) % 5, -0.3, 0.0), (lambda c: 0 * c, -0.1, 0.1)):
        assert low <= asked_for(5, of)["condition/obeyed"] <= high
        assert "condition/obeyed" not in asked_for(5, of, labelled=False)


def test_of_twenty_classes_each_fake_is_still_held_to_its_own():
    """More than there are parts of the data to be missed: the parts are found then, the classes are asked for."""
    assert asked_for(20, lambda c: c)["condition/obeyed"] > 0.95
    assert abs(asked_for(20, lambda c: (c + 1) % 20)["condition/obeyed"]) < 0.1


@pytest.mark.parametrize("n", [N, 1])
@pytest.mark.parametrize("c", [None, torch.zeros(300, dtype=torch.long)], ids=["free", "of one class"])
def test_real_examples_that_lie_together_say_nothing_of_spread_and_end_no_run(n, c):
    x, alike, cut = points(N, 5), points(1, 2).expand(300, 2), lambda t: None if t is None else t[:n]
    s = State.begin(Draws(x), Line())
    train, held = (points(300, 1), c), (alike[:n], cut(c))
    found = probe(Method(), s, panel(s.G.prior.sample(N), [train], [held], cut(c)))
    assert all(map(math.isfinite, found.values())), found
    assert not {"spread", "swing", "condition/within", "condition/obeyed"} & found.keys()
    assert {"coverage", "accuracy/heldout", "missing"} <= found.keys()


def test_a_look_changes_nothing():
    class Noisy(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 1))

        def forward(self, x, c=None):
            return self.net(x).squeeze(1)

    m = Method(lr_G=constant(1e-3), lr_D=constant(1e-3))
    s = State.begin(Draws(points(N, 5)), Noisy())
    step(m, s, points(N, 1))
    before = copy.deepcopy(s.save())
    p = panel(s.G.prior.sample(N), [(points(500, 1), None)], [(points(300, 2), None)])
    random = torch.get_rng_state()
    first, second = probe(m, s, p), probe(m, s, p)
    assert first == second
    assert torch.equal(torch.get_rng_state(), random)
    assert s.D.training and s.G.training
    for k, v in s.save().items():
        assert str(v) == str(before[k])


def test_how_often_one_is_above_another():
    a, b = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([2.0, 0.0])
    assert above(a, b).item() == pytest.approx((3 + 1 + 0.5) / 6)
    assert above(a, a).item() == pytest.approx(0.5)
