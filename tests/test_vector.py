"""Laws of the vector players: shapes, slopes of slopes, frozen means frozen, counted parameters."""

import pytest
import torch

from sparring.nets.vector import Critic, Generator, Waves, perceptron, sizes
from sparring.players import check_players
from sparring.spaces import Image, Label, Spec, Vector


class Noise:
    def __init__(self, dim):
        self.dim = dim

    def sample(self, n, generator=None):
        return torch.randn(n, self.dim, generator=generator)


SPECS = [Spec(Vector(2)), Spec(Vector(2), Label(5)), Spec(Vector(7), Label(3)), Spec(Vector(3), Vector(4))]
JOINS = ["concat", "add"]


def count(net):
    return sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize("spec", SPECS, ids=str)
@pytest.mark.parametrize("join", JOINS)
def test_a_pair_can_play(spec, join):
    check_players(Generator(spec, Noise(3), width=16, depth=3, join=join), Critic(spec, width=16, depth=2), spec)


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_shapes(spec):
    z = torch.randn(6, 3)
    c = {None: None, Label: torch.zeros(6, dtype=torch.long), Vector: torch.randn(6, 4)}[spec.c and type(spec.c)]
    x = Generator(spec, Noise(3))(z, c)
    assert x.shape == (6, spec.x.dim)
    assert Critic(spec)(x, c).shape == (6,)


def test_slope_of_the_slope_by_differences():
    """d/dw |grad_x D|², the exact second derivative, against central differences."""
    D = Critic(Spec(Vector(2)), width=8, depth=2, waves=4).double()
    x = torch.randn(5, 2, dtype=torch.double, requires_grad=True)

    def slope2():
        (g,) = torch.autograd.grad(D(x).sum(), x, create_graph=True)
        return g.square().sum()

    w, h = D.score.phi.weight, 1e-6
    (exact,) = torch.autograd.grad(slope2(), w)
    for i in range(8):
        with torch.no_grad():
            w[0, i] += h
        above = slope2().item()
        with torch.no_grad():
            w[0, i] -= 2 * h
        below = slope2().item()
        with torch.no_grad():
            w[0, i] += h
        assert exact[0, i].item() == pytest.approx((above - below) / (2 * h), rel=1e-4, abs=1e-6)


def test_frozen_players_get_no_gradient():
    spec = Spec(Vector(2))
    G, D = Generator(spec, Noise(2)), Critic(spec).requires_grad_(False)
    D(G(torch.randn(4, 2))).sum().backward()
    assert all(p.grad is None for p in D.parameters())
    assert all(p.grad is not None and p.grad.any() for p in G.parameters())


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_parameter_counts(depth):
    w, z, k = 32, 3, 5
    hidden = (depth - 1) * (w * w + w)
    free, classes = Spec(Vector(2)), Spec(Vector(2), Label(k))
    assert count(Generator(free, Noise(z), w, depth)) == (z * w + w) + hidden + (2 * w + 2)
    assert count(Generator(classes, Noise(z), w, depth)) == (2 * z * w + w) + hidden + (2 * w + 2) + k * z
    assert count(Generator(classes, Noise(z), w, depth, "add")) == (z * w + w) + hidden + (2 * w + 2) + k * z
    assert count(Critic(free, w, depth, waves=8)) == (18 * w + w) + hidden + w
    assert count(Critic(classes, w, depth, waves=8)) == (18 * w + w) + hidden + w * w + k * w


def test_conditions_matter():
    spec = Spec(Vector(2), Label(2))
    G, D = Generator(spec, Noise(2)), Critic(spec)
    z, a = torch.randn(4, 2), torch.zeros(4, dtype=torch.long)
    assert not torch.allclose(G(z, a), G(z, 1 - a))
    assert not torch.allclose(D(z, a), D(z, 1 - a))


def test_waves_are_sines_of_projections_from_slow_to_fast():
    waves = Waves(3, 10, slowest=2.0, fastest=50.0)
    speed = waves.f.norm(dim=0)
    assert torch.allclose(speed[[0, -1]], torch.tensor([2.0, 50.0]))
    ratio = speed[1:] / speed[:-1]
    assert torch.allclose(ratio, ratio[0].expand(9))

    x = torch.randn(4, 3)
    assert torch.equal(waves(x)[:, :3], x)
    assert torch.allclose(waves(x)[:, 3:13].square() + waves(x)[:, 13:].square(), torch.ones(4, 10), atol=1e-5)
    assert waves(x).shape == (4, waves.dim)


def test_no_waves_leave_x_as_it_is():
    assert torch.equal(Waves(2, 0)(x := torch.randn(4, 2)), x)
    assert Critic(Spec(Vector(2)), waves=0)(x).shape == (4,)


def test_saved_waves_return():
    D, E = Critic(Spec(Vector(2))), Critic(Spec(Vector(2)))
    E.load_state_dict(D.state_dict())
    x = torch.randn(4, 2)
    assert torch.equal(D(x), E(x))


@pytest.mark.parametrize("bend", [torch.nn.ReLU, torch.nn.Tanh])
def test_a_perceptron_bends_after_each_layer(bend):
    net = perceptron(2, 16, 3, bend)
    assert [type(f) for f in net] == [torch.nn.Linear, bend] * 3
    assert net(torch.randn(5, 2)).shape == (5, 16)


def test_default_sizes():
    assert sizes(Spec(Vector(2))).width < sizes(Spec(Vector(100))).width
    assert sizes(Spec(Vector(100))).noise <= 64


def test_other_spaces_are_refused():
    with pytest.raises(TypeError, match="Image"):
        Critic(Spec(Image(1, 8)))
    with pytest.raises(ValueError, match="concat, add"):
        Generator(Spec(Vector(2), Label(2)), Noise(2), join="both")  # type: ignore[arg-type]
