"""The laws of the generator's turn: its terms, what pulls on parameters, losses that vary, and the look ahead."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from sparring.augment import chain, diffaugment, instance_noise
from sparring.folder import read_tree, write_tree
from sparring.losses import LOSSES, hinge, nonsaturating, top_k
from sparring.nets import sizes
from sparring.penalties import historical, r1, r2, slope2
from sparring.priors import Normal
from sparring.routes import Imagined, unrolled
from sparring.schedules import constant, linear
from sparring.spaces import Image, Spec, Tokens
from sparring.terms import TERMS, energy, feature_matching, mode_seeking
from sparring.train import Method, State, descend, pathwise, step
from sparring.turns import Look, Move

from .test_train import Judge, Maker, data, everything, pair, same

MOVING = dict(lr_G=constant(0.01), lr_D=constant(0.01))
EXACT = ((r1, constant(0.1)), (r2, constant(0.1)))


class Fixed:
    """A prior of these draws alone."""

    def __init__(self, z):
        self.dim, self.z = z.shape[1], z

    def sample(self, n, generator=None):
        return self.z


class Reader(Judge):
    """A critic whose features can be asked for."""

    def features(self, x, c=None):
        return self.net[:2](x)


def duo(dtype=torch.float32, optimizer=torch.optim.Adam):
    torch.manual_seed(0)
    return State.begin(Maker().to(dtype), Reader().to(dtype), optimizer)


def move(s, x, seed=1):
    z = s.G.prior.sample(len(x), torch.Generator().manual_seed(seed)).to(x)
    D, fake = Look(s.D, lambda x: x), s.G(z)
    return Move(s.G, D, z, None, None, x, fake, D(x), D(fake), {})


# -- terms -------------------------------------------------------------------------------------------------------------


def far(t):
    """A term by hand: how far the fakes lie from (3, 3)."""
    return (t.fake - 3).square().sum(1)


def test_feature_matching_is_the_distance_of_mean_features():
    s, x = duo(torch.double), data(8, torch.double)
    t = move(s, x)
    W, b = s.D.net[0].weight, s.D.net[0].bias
    real, fake = (torch.tanh(y @ W.T + b) for y in (x, t.fake))
    by_hand = sum((real[:, k].sum() / 8 - fake[:, k].sum() / 8) ** 2 for k in range(16))
    assert torch.allclose(feature_matching(t), by_hand.expand(8))


def test_a_critic_without_features_is_told_so():
    with pytest.raises(AttributeError, match=r"Judge has no `features`; give the critic a method features"):
        feature_matching(move(pair(), data()))


def test_mode_seeking_compares_two_samples_of_each_condition():
    """By hand for G(z, c) = a z + c: E|z - z'| / (a E|z - z'|), whatever c; and its descent makes z louder."""
    z, c = torch.randn(6, 3), torch.randn(6, 3)
    a = torch.tensor(0.25, requires_grad=True)
    G = lambda z, c: a * z + c
    t = Move(G, None, z, None, c, z, G(z, c), None, None, {})  # type: ignore[arg-type]
    torch.testing.assert_close(mode_seeking(t), torch.full((6,), 4.0))
    (slope,) = torch.autograd.grad(mode_seeking(t).mean(), a)
    assert slope < 0
    deaf = Move(lambda z, c: 0 * z + c, None, z, None, c, z, c, None, None, {})  # type: ignore[arg-type]
    assert mode_seeking(deaf).isfinite().all()


def test_the_energy_score_is_least_where_g_draws_what_follows():
    """Of x = ±1 by an even coin, whatever c: the coin pays less than the middle, a lean or one side for ever."""
    x, z = torch.randn(4000, 1).sign(), torch.randn(4000, 1)
    drawn = {
        "coin": lambda z, c: z.sign(),
        "middle": lambda z, c: 0 * z,
        "lean": lambda z, c: (z + 0.7).sign(),
        "one": lambda z, c: 0 * z + 1,
        "wide": lambda z, c: 2 * z.sign(),
    }
    paid = {k: energy(Move(G, None, z, x, x, x, G(z, x), None, None, {})).mean().item() for k, G in drawn.items()}  # type: ignore[arg-type]
    assert min(paid, key=paid.get) == "coin"
    assert paid["coin"] == pytest.approx(0.5, abs=0.05) and paid["middle"] == pytest.approx(1)
    z = z.requires_grad_()
    (slope,) = torch.autograd.grad(energy(Move(lambda z, c: 0 * z, None, z, x, x, x, 0 * z, None, None, {})).sum(), z)  # type: ignore[arg-type]
    assert slope.isfinite().all()


@pytest.mark.parametrize("micro", [None, 3])
def test_terms_are_added_with_their_weights(micro):
    """G's gradient is that of a g + sum w T, for the whole batch and in pieces."""
    m = Method(
        terms=((far, constant(0.5)),), adversarial=constant(2.0), micro=micro, loss=nonsaturating, lr_G=constant(0.0)
    )
    s = pair(torch.double)
    s.G.prior = Fixed(torch.randn(8, 3, dtype=torch.double))
    stats = descend(m.generator_loss, m, s, s.G, data(dtype=torch.double), None)
    got = [p.grad for p in s.G.parameters()]

    fake = s.G(s.G.prior.z)
    loss = 2 * nn.functional.softplus(-s.D(fake)) + 0.5 * (fake - 3).square().sum(1)
    for g, expected in zip(got, torch.autograd.grad(loss.mean(), list(s.G.parameters()))):
        torch.testing.assert_close(g, expected)
    torch.testing.assert_close(stats["term/far"], (fake - 3).square().sum(1).detach())


def test_terms_alone_need_no_critic():
    """A regression is a game whose adversarial weight is 0."""
    s = pair()
    m = Method(terms=((far, constant(1.0)),), adversarial=constant(0.0), lr_G=constant(0.05))
    for i in range(60):
        stats = step(m, s, data(64, seed=i))
    assert stats["term/far"].mean() < 0.1


def test_a_weight_may_come_and_go():
    s = pair()
    m = Method(terms=((far, lambda seen: 1.0 * (seen >= 8)),), **MOVING)
    assert ["term/far" in step(m, s, data()) for _ in range(3)] == [False, True, True]


def test_terms_never_mix_real_and_fake():
    """Each is asked of the critic alone: features of fakes do not change with the reals beside them."""
    asked = []

    class Spy(Reader):
        def features(self, x, c=None):
            asked.append(x.detach().clone())
            return super().features(x, c)

    s = State.begin(Maker(), Spy())
    t = move(s, x := data())
    TERMS["feature_matching"](t)
    assert [torch.equal(a, b) for a, b in zip(asked, (x, t.fake))] == [True, True]


# -- pulls -------------------------------------------------------------------------------------------------------------


def flat(net):
    return torch.cat([p.detach().flatten() for p in net.parameters()])


def test_historical_averaging_is_the_distance_to_the_mean_of_all_turns():
    net, memory, path = Maker().double(), {}, []
    for _ in range(5):
        with torch.no_grad():
            for p in net.parameters():
                p += torch.randn_like(p)
        path.append(flat(net))
        pull = historical(net, "G", memory)
        mean = torch.stack(path).mean(0)
        torch.testing.assert_close(pull, (path[-1] - mean).square().sum())
        slopes = torch.autograd.grad(pull, list(net.parameters()))
        torch.testing.assert_close(torch.cat([g.flatten() for g in slopes]), 2 * (path[-1] - mean))


@pytest.mark.parametrize("micro", [None, 3])
def test_historical_averaging_is_exact_over_resume(tmp_path, micro):
    m = Method(penalties=EXACT, pulls=((historical, constant(0.1)),), micro=micro, **MOVING)
    straight, first = pair(), pair()
    for i in range(12):
        step(m, straight, data(seed=i))
    for i in range(5):
        step(m, first, data(seed=i))
    write_tree(tmp_path, first.save())
    second = State.begin(Maker(), Judge())
    second.load(read_tree(tmp_path))
    for i in range(5, 12):
        step(m, second, data(seed=i))
    assert same(everything(straight.G), everything(second.G))
    assert same(straight.memory, second.memory)
    assert straight.memory["history/D/turns"] == 12  # once a turn, in however many pieces


def test_historical_averaging_stops_the_orbit():
    """min_x max_y xy by turns circles for ever; drawn to the mean of the past, it comes in."""

    def radius(weight):
        x, y, memory = nn.Linear(1, 1, bias=False).double(), nn.Linear(1, 1, bias=False).double(), {}
        for net in (x, y):
            nn.init.ones_(net.weight)
        for _ in range(500):
            for net, other, name, sign in ((y, x, "D", -1), (x, y, "G", 1)):
                net.zero_grad()
                (sign * net.weight * other.weight.detach() + weight * historical(net, name, memory)).sum().backward()
                net.weight.data -= 0.1 * net.weight.grad
        return (x.weight.square() + y.weight.square()).sqrt().item()

    assert radius(0.0) > 1
    assert radius(0.3) < 0.1


# -- losses that vary --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LOSSES)
def test_top_k_keeps_the_best_alone(name):
    real, fake = torch.randn(10, dtype=torch.double), torch.randn(10, dtype=torch.double, requires_grad=True)
    kept = top_k(constant(0.3))(LOSSES[name], 0)
    best = fake.detach().sort(descending=True).indices[:3]
    each = LOSSES[name].generator(real, fake)
    torch.testing.assert_close(kept.generator(real, fake).mean(), each[best].mean())
    if not LOSSES[name].coupled:
        (slope,) = torch.autograd.grad(kept.generator(real, fake).sum(), fake)
        assert (slope != 0).nonzero().flatten().tolist() == sorted(i for i in best.tolist() if slope[i])
        assert not slope[[i for i in range(10) if i not in best]].any()
    assert torch.equal(kept.critic(real, fake), LOSSES[name].critic(real, fake))
    assert top_k(constant(1.0))(LOSSES[name], 0) is LOSSES[name]


def test_top_k_of_words_goes_by_the_mean_of_a_line():
    fake = torch.tensor([[5.0, -9.0], [1.0, 1.0], [0.0, 0.0]])
    kept = top_k(constant(0.3))(hinge, 0).generator(fake, fake)
    assert kept.tolist() == [[0, 0], [-3, -3], [0, 0]]


@pytest.mark.parametrize("name", ["hinge", "relativistic_average"])
def test_top_k_of_pieces_is_that_of_the_whole(name):
    ends = []
    for micro in (None, 3):
        s = pair(torch.double)
        m = Method(loss=LOSSES[name], vary=top_k(linear(1, 0.25, 24)), penalties=EXACT, micro=micro, **MOVING)
        for i in range(4):
            step(m, s, data(dtype=torch.double, seed=i))
        ends.append(flat(s.G))
    torch.testing.assert_close(*ends, rtol=1e-9, atol=1e-10)


# -- noise on all that D sees ------------------------------------------------------------------------------------------


def test_instance_noise_has_its_strength_and_fades():
    augment, x = instance_noise(linear(0.5, 0.0, 100)), torch.zeros(20000, 2)
    for seen, std in ((0, 0.5), (50, 0.25), (99, 0.005)):
        assert augment(x, {}, seen)(x).std().item() == pytest.approx(std, rel=0.03)
    assert augment(x, {}, 100)(x) is x


def test_instance_noise_is_one_glass_for_a_turn():
    x, y = data(), data(seed=1)
    glass = instance_noise(constant(0.5))(x, {}, 0)
    torch.testing.assert_close(glass(y) - y, glass(x) - x)
    assert not torch.equal((glass(x) - x)[0], (glass(x) - x)[1])


def test_one_glass_behind_the_other():
    twice = lambda x, memory, seen: lambda x: 2 * x
    more = lambda x, memory, seen: lambda x: x + seen
    assert torch.equal(chain(twice, more)(data(), {}, 5)(data()), 2 * data() + 5)
    pictures = torch.rand(4, 3, 8, 8)
    glass = chain(diffaugment(), instance_noise(constant(0.1)))(pictures, {}, 0)
    assert glass(pictures).shape == pictures.shape


# -- the look ahead ----------------------------------------------------------------------------------------------------


class Slope(nn.Module):
    """D(x) = w·x."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.tensor([0.3, -0.2], dtype=torch.double))

    def forward(self, x, c=None):
        return x @ self.w


@torch.enable_grad()
def ahead(s, m, x, z, steps, lr):
    """G's loss against D after `steps` of plain descent, by finite arithmetic: no graph through the steps."""
    fake, w = s.G(z).detach(), s.D.w.detach().clone()
    for _ in range(steps):
        w.requires_grad_()
        (g,) = torch.autograd.grad(m.loss.critic(x @ w, fake @ w).mean(), w)
        w = (w - lr * g).detach()
    return m.loss.generator(x @ w, fake @ w).mean().item()


@pytest.mark.parametrize("name", ["nonsaturating", "relativistic", "relativistic_average", "wasserstein"])
def test_unrolled_gradient_by_differences(name):
    """The total derivative, through the steps of D, against central differences of the loss after them."""
    torch.manual_seed(0)
    s = State.begin(Maker().double(), Slope(), torch.optim.SGD)
    m = Method(loss=LOSSES[name], penalties=(), lr_D=constant(0.7))
    x, z, h = data(dtype=torch.double), torch.randn(8, 3, dtype=torch.double), 1e-6
    loss, _ = unrolled(3)(m, s, x, None, z)
    assert loss.mean().item() == pytest.approx(ahead(s, m, x, z, 3, 0.7))
    loss.mean().backward()

    p = s.G.net[2].weight
    for i in range(4):
        with torch.no_grad():
            p[0, i] += h
            above = ahead(s, m, x, z, 3, 0.7)
            p[0, i] -= 2 * h
            below = ahead(s, m, x, z, 3, 0.7)
            p[0, i] += h
        assert p.grad[0, i].item() == pytest.approx((above - below) / (2 * h), rel=1e-5, abs=1e-9)


def test_unrolled_pays_the_slopes_that_the_critic_has_at_each_step():
    """A step's own: not those by way of the steps before, which hang on the same samples."""
    s, found = duo(torch.double), []

    def slopes(t):
        for x, penalty in ((t.real, r1), (t.fake, r2)):
            place = x.detach().requires_grad_()
            found.append((penalty(t), slope2(t.D(place), place) / 2))
        return r1(t) + r2(t)

    m = Method(penalties=((slopes, constant(1.0)),), lr_D=constant(0.05))
    loss, _ = unrolled(4)(m, s, data(dtype=torch.double), None, torch.randn(8, 3, dtype=torch.double))
    loss.mean().backward()
    assert len(found) == 8
    for paid, true in found:
        torch.testing.assert_close(paid, true)


def test_unrolled_asks_all_that_a_critic_tells():
    D = sizes.build("quick", Spec(Image(1, 8), Tokens(3, 5)), Normal(4), 4)[1].eval()
    ahead = Imagined(D, dict(D.named_parameters()))
    x, c = torch.randn(2, 1, 8, 8), Tokens(3, 5).encode(torch.randint(5, (3, 3)))
    torch.testing.assert_close(ahead.every(x, c), D.every(x, c))


@pytest.mark.parametrize("optimizer", [torch.optim.Adam, torch.optim.RMSprop, torch.optim.SGD])
def test_unrolled_leaves_the_critic_alone(optimizer):
    s = duo(optimizer=optimizer)
    m = Method(generator_loss=unrolled(2), penalties=EXACT, terms=((feature_matching, constant(1.0)),), **MOVING)
    step(m, s, data())
    before = copy.deepcopy((s.D.state_dict(), s.opt_D.state_dict(), s.memory))
    G = everything(s.G)
    descend(m.generator_loss, m, s, s.G, data(), None)
    after = s.D.state_dict(), s.opt_D.state_dict(), s.memory
    assert same(before[0], after[0])
    assert str(before[1:]) == str(after[1:])
    assert all(p.grad is None or not p.requires_grad for p in s.D.parameters())
    assert not same(G, everything(s.G))


@pytest.mark.parametrize("optimizer", [torch.optim.Adam, torch.optim.RMSprop, torch.optim.SGD])
def test_unrolled_goes_where_the_critic_goes(optimizer):
    """One step ahead by plain descent: the scores are those after D's next real step; else it is as long."""
    s = duo(torch.double, optimizer)
    s.G.prior, seen = Fixed(torch.randn(8, 3, dtype=torch.double)), []
    note = lambda t: seen.append(t.d_fake.detach()) or t.d_fake * 0
    m = Method(loss=nonsaturating, penalties=EXACT, terms=((note, constant(1.0)),), lr_D=constant(1e-4))
    for _ in range(50):  # until its running squares are steady
        step(m, s, x := data(dtype=torch.double))
    m = replace(m, lr_G=constant(0.0))
    descend(unrolled(1), m, s, s.G, x, None)
    descend(pathwise, m, s, s.G, x, None)
    descend(m.critic_loss, m, s, s.D, x, None)
    descend(pathwise, m, s, s.G, x, None)
    thought, before, after = seen[-3:]
    if optimizer is torch.optim.SGD:
        torch.testing.assert_close(thought, after)
    assert 0.5 < (thought - before).norm() / (after - before).norm() < 2


def test_unrolled_refuses_pieces():
    with pytest.raises(ValueError, match="leave out micro"):
        step(Method(generator_loss=unrolled(1), micro=4), pair(), data())
    with pytest.raises(ValueError, match="at least 1"):
        unrolled(0)


def test_the_plain_route_is_one_of_no_steps():
    s, m = pair(torch.double), Method(penalties=EXACT, lr_D=constant(0.0))
    x, z = data(dtype=torch.double), torch.randn(8, 3, dtype=torch.double)
    torch.testing.assert_close(unrolled(2)(m, s, x, None, z)[0], pathwise(m, s, x, None, z)[0])
