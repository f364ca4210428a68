"""Penalties against closed forms, and the laws that all of them keep."""

from math import hypot

import pytest
import torch
from torch import nn
from torch.autograd import gradcheck, gradgradcheck
from torch.testing import assert_close

from sparring.losses import LOSSES, least_squares_to
from sparring.penalties import (
    LIPSCHITZ,
    PENALTIES,
    Turn,
    clip,
    consistency,
    drift,
    lecam,
    lecam_relu,
    pairing,
)

from sparring.penalties import dragan, r1, r1_approx, r2, r2_approx, slope2, wgan_gp, zero_centred  # isort: skip
from sparring.schedules import constant, every
from sparring.turns import each

DOUBLE = torch.float64
ALL = {**PENALTIES, "consistency": consistency(lambda x, memory, seen: lambda x: 0.9 * x + 0.1)}


def turn(D, n=6, shape=(3,), dtype=DOUBLE, c=None, one_pass=False, seed=0):
    g = torch.Generator().manual_seed(seed)
    D.every = lambda x, c: torch.stack([each(D(x, one.expand(len(x)))) for one in c], 1)
    real, fake = (torch.randn(n, *shape, generator=g, dtype=DOUBLE).to(dtype).requires_grad_() for _ in range(2))
    if one_pass:
        d_real, d_fake = D(torch.cat([real, fake]), None if c is None else torch.cat([c, c])).chunk(2)
    else:
        d_real, d_fake = D(real, c), D(fake, c)
    return Turn(D, c, real, fake, d_real, d_fake, {})


def linear(w):
    return lambda x, c=None: x.flatten(1) @ w


def smooth(dtype=DOUBLE, out=None):
    """A critic with a second derivative, by label where there is one; (B,), or (B, out)."""
    torch.manual_seed(1)
    first, last = nn.Linear(3, 16, dtype=dtype), nn.Linear(16, out or 1, dtype=dtype)

    def D(x, c=None):
        h = first(x).tanh()
        h = h if c is None else h * (1 + c.to(h)[:, None])
        return last(h) if out else last(h).squeeze(1)

    D.parameters = lambda: [*first.parameters(), *last.parameters()]
    return D


# -- closed forms -----------------------------------------------------------------------------------------------------

W = torch.tensor([3.0, -2.0, 6.0], dtype=DOUBLE)  # |W| = 7


@pytest.mark.parametrize(
    ("penalty", "value"),
    [(r1, 24.5), (r2, 24.5), (zero_centred, 49.0), (wgan_gp, 36.0), (dragan, 36.0)],
)
def test_a_linear_critic_has_one_slope_everywhere(penalty, value):
    assert_close(penalty(turn(linear(W))), torch.full((6,), value, dtype=DOUBLE))


def test_a_quadratic_critic_has_its_slope_at_the_place():
    A = torch.randn(3, 3, dtype=DOUBLE)
    A = A + A.T
    t = turn(lambda x, c=None: (x @ A * x).sum(1) / 2)
    assert_close(r1(t), (t.real @ A).square().sum(1) / 2)
    assert_close(r2(t), (t.fake @ A).square().sum(1) / 2)


def test_zero_centred_and_wgan_gp_look_between_real_and_fake():
    places = []

    def D(x, c=None):
        places.append(x.detach())
        return x.square().sum(1) / 2  # the slope at x is x

    for penalty, of in ((zero_centred, lambda s: s.square()), (wgan_gp, lambda s: (s - 1).square())):
        t = turn(D)
        places.clear()
        value = penalty(t)
        (x,) = places
        share = (x - t.real) / (t.fake - t.real)
        assert_close(share, share[:, :1].expand_as(share))  # on the line
        assert ((0 <= share) & (share <= 1)).all()
        assert share[:, 0].unique().numel() == 6  # each elsewhere
        assert_close(value, of(x.norm(dim=1)))


def test_dragan_looks_near_the_data():
    places = []

    def D(x, c=None):
        places.append(x.detach())
        return x.square().sum(1) / 2

    t = turn(D, n=2000)
    places.clear()
    value = dragan(t)
    moved = ((places[0] - t.real) / t.real.std(correction=0)).detach()
    assert (moved >= 0).all()
    assert moved.max() <= 0.5
    assert moved.mean() == pytest.approx(0.5 / 4, rel=0.05)
    assert_close(value, (places[0].norm(dim=1) - 1).square())


def test_a_flat_critic_can_still_be_taught_a_slope():
    w = torch.zeros(3, dtype=DOUBLE, requires_grad=True)
    value = wgan_gp(turn(linear(w)))
    assert_close(value, torch.ones(6, dtype=DOUBLE), rtol=1e-5, atol=1e-5)
    (grad,) = torch.autograd.grad(value.sum(), w)
    assert grad.isfinite().all()


# -- derivatives ------------------------------------------------------------------------------------------------------


def test_slope2_has_first_and_second_derivatives():
    def f(w, x):
        x = x.detach().requires_grad_()
        return slope2((x @ w).tanh().sum(1), x)

    w, x = torch.randn(3, 4, dtype=DOUBLE, requires_grad=True), torch.randn(2, 3, dtype=DOUBLE)
    assert gradcheck(lambda w: f(w, x), w)
    assert gradgradcheck(lambda w: f(w, x), w)


@pytest.mark.parametrize("name", ALL)
def test_every_penalty_teaches_the_critic_its_true_gradient(name):
    still = {"decay": 1.0} if "lecam" in name else {}  # means that D's step does not move
    memory = {f"lecam/{side}": torch.tensor(value, dtype=DOUBLE) for side, value in (("real", 0.3), ("fake", -0.2))}

    def f(w):
        torch.manual_seed(5)
        D = lambda x, c=None: ((x @ w).tanh() * (1 + c[:, None])).sum(1)
        t = turn(D, n=4, c=torch.tensor([0.0, 1, 2, 0], dtype=DOUBLE))
        return ALL[name](t._replace(memory=memory), **still)

    w = torch.randn(3, 3, dtype=DOUBLE, requires_grad=True)
    assert gradcheck(f, w, eps=1e-5, atol=1e-3 if "approx" in name else 1e-5)


@pytest.mark.parametrize("name", ALL)
def test_one_derivative_of_the_input_at_most(name, monkeypatch):
    calls, grad = [], torch.autograd.grad
    monkeypatch.setattr(torch.autograd, "grad", lambda *a, **k: calls.append(a) or grad(*a, **k))
    ALL[name](turn(smooth(), c=torch.arange(6)))
    assert len(calls) == (name in ("r1", "r2", "wgan_gp", "zero_centred", "dragan"))


@pytest.mark.parametrize("penalty", [r1, r2])
def test_one_pass_of_the_critic_is_as_good_as_two(penalty):
    D = smooth()
    taught = []
    for one_pass in (False, True):
        value = penalty(turn(D, one_pass=one_pass))
        taught.append((value, *torch.autograd.grad(value.sum(), D.parameters()[:3])))
    for two, one in zip(*taught):
        assert_close(two, one)


# -- laws of all ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL)
def test_one_number_a_sample_for_pictures_labels_and_words(name):
    assert ALL[name].__name__ == name
    for shape in ((3,), (2, 4, 4), (5, 7)):
        D = lambda x, c=None: x.flatten(1).sin().mean(1) * (1 + c)
        assert ALL[name](turn(D, shape=shape, dtype=torch.float32, c=torch.arange(6))).shape == (6,)
    value = ALL[name](turn(smooth(out=5), c=torch.arange(6)))
    assert value.shape == (6,)
    assert (value >= 0).all()


@pytest.mark.parametrize("name", ALL)
def test_a_critic_that_says_it_five_times_pays_once(name):
    D = smooth()
    values = []
    for critic in (D, lambda x, c=None: D(x, c)[:, None].expand(-1, 5)):
        t = turn(critic, c=torch.arange(6))
        torch.manual_seed(3)
        values.append(ALL[name](t))
    assert_close(*values)


@pytest.mark.parametrize("name", ALL)
def test_under_bf16_autocast_penalties_stay_in_float32(name):
    c = torch.arange(64) % 4
    net = nn.Sequential(nn.Linear(3, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1))

    def D(x, c=None):
        return (net(x).squeeze(1) * (1 + c)).float()

    values = []
    for lower in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=lower):
            t = turn(D, n=64, dtype=torch.float32, c=c)
            torch.manual_seed(3)
            values.append(ALL[name](t))
        assert values[-1].dtype == torch.float32
        values[-1].mean().backward()
        assert all(p.grad.isfinite().all() for p in net.parameters() if p.grad is not None)
    if "approx" not in name:
        assert_close(values[0].mean(), values[1].mean(), rtol=0.05, atol=0.005)


def test_what_compares_conditions_is_known_by_its_name():
    turned = turn(smooth())
    for name in PENALTIES:  # those that refuse a task without conditions, and no other
        if pairing(name):
            with pytest.raises(ValueError, match="c is None"):
                PENALTIES[name](turned)
        else:
            assert PENALTIES[name](turned).shape == (6,)
    assert pairing("mine:mismatch_by_hand") and not pairing("mine:slope")


def test_names_that_tame_wasserstein_are_penalties():
    assert set(PENALTIES) > LIPSCHITZ


# -- without a second derivative --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("near", "exact"), [(r1_approx, r1), (r2_approx, r2)])
def test_the_approximate_slope_tends_to_the_exact_in_the_mean(near, exact):
    D, n = smooth(), 200_000
    x = torch.randn(1, 3, dtype=DOUBLE)

    def at(sigma):
        real, fake = ((x * k).repeat(n, 1).requires_grad_() for k in (1, -1))
        t = Turn(D, None, real, fake, D(real), D(fake), {})
        value = near(sigma)(t).detach()
        return (value.mean() - exact(t)[0]).abs().item(), (value.std() / n**0.5).item(), exact(t)[0].item()

    bias, error, true = at(1e-4)
    assert bias < 4 * error
    assert error < 0.01 * true
    assert error == pytest.approx(2**0.5 * true / n**0.5, rel=0.05)  # the spread that the docstring promises
    assert at(1.0)[0] > 10 * error  # and only as sigma falls


def test_the_approximate_slope_looks_through_the_same_glass():
    glass = torch.randn(3, dtype=DOUBLE)
    t = turn(lambda x, c=None: (x + glass) @ W)
    e = r1_approx(0.01)(t)
    assert e.mean() < 24.5 * 5  # the glass itself would weigh 1 / sigma squared


@pytest.mark.parametrize("sigma", [0, -1, float("nan")])
def test_a_second_look_at_the_same_place_is_refused(sigma):
    for approx in (r1_approx, r2_approx):
        with pytest.raises(ValueError, match="sigma = "):
            approx(sigma)


# -- scores -----------------------------------------------------------------------------------------------------------


def scores(real, fake, memory):
    real, fake = torch.tensor(real), torch.tensor(fake)
    return Turn(lambda x, c: x, None, real, fake, real, fake, memory)


def test_lecam_remembers():
    memory = {}
    assert_close(lecam(scores([2.0, 4.0], [0.0, 2.0], memory)), torch.tensor([1.0 + 9, 9.0 + 1]))  # a: 3 and 1
    assert {k: v.item() for k, v in memory.items()} == {"lecam/real": 3.0, "lecam/fake": 1.0}

    lecam(scores([5.0, 5.0], [0.0, 0.0], memory), decay=0.75)
    assert {k: v.item() for k, v in memory.items()} == {"lecam/real": 3.5, "lecam/fake": 0.75}
    for _ in range(2000):
        lecam(scores([7.0], [-7.0], memory))
    assert {k: round(v.item(), 3) for k, v in memory.items()} == {"lecam/real": 7.0, "lecam/fake": -7.0}
    assert all(v.shape == () for v in memory.values())


def test_lecam_resumes_where_its_memory_was_kept():
    kept = {}
    lecam(scores([2.0], [1.0], kept))
    saved = {k: v.clone() for k, v in kept.items()}
    assert_close(lecam(scores([4.0], [3.0], kept)), lecam(scores([4.0], [3.0], saved)))


def test_lecam_relu_forgives_a_critic_that_is_wrong():
    memory = {"lecam/real": torch.tensor(1.0), "lecam/fake": torch.tensor(-1.0)}
    still = dict(decay=1.0)
    assert_close(lecam_relu(scores([1.0, -3.0], [-1.0, 5.0], memory), **still), torch.tensor([8.0, 0.0]))
    assert_close(lecam(scores([1.0, -3.0], [-1.0, 5.0], memory), **still), torch.tensor([8.0, 4.0 + 16]))


def test_drift_asks_for_the_level_of_scores_and_not_for_their_gap():
    assert_close(drift(scores([2.0, 4.0, 9.0], [0.0, 2.0, -9.0], {})), torch.tensor([1.0, 9.0, 0.0]))
    assert_close(drift(scores([[1.0, 5.0]], [[3.0, 5.0]], {})), torch.tensor([(4.0 + 25) / 2]))


def test_consistency_measures_how_the_glass_changes_the_mind():
    assert not consistency(lambda x, memory, seen: lambda x: x)(turn(smooth())).any()
    t = turn(linear(W))
    moved = consistency(lambda x, memory, seen: lambda x: x + 1)
    assert_close(moved(t), torch.full((6,), 2 * 49.0, dtype=DOUBLE))  # W . 1 = 7, for real and for fake


def test_consistency_gives_its_augment_the_memory():
    def augment(x, memory, seen):
        memory["asked"] = torch.ones(())
        return lambda x: x

    t = turn(smooth())
    consistency(augment)(t)
    assert "asked" in t.memory


# -- weights ----------------------------------------------------------------------------------------------------------


def test_clip_projects_every_weight_and_moves_no_other():
    net = nn.Sequential(nn.Linear(5, 5), nn.Linear(5, 5))
    before = [p.detach().clone() for p in net.parameters()]
    project = clip(0.1)
    project(net)
    for p, old in zip(net.parameters(), before):
        assert_close(p.detach(), old.clip(-0.1, 0.1))
        assert p.requires_grad
        assert p.grad is None
    once = [p.detach().clone() for p in net.parameters()]
    project(net)
    assert all(torch.equal(a, b) for a, b in zip(once, net.parameters()))
    with pytest.raises(ValueError, match="clip\\(0\\)"):
        clip(0)


# -- Mescheder et al. 2018: data at 0, G = theta, D(x) = psi x, both from 1; D moves, then G --------------------------

GAMES = {name: LOSSES[name] for name in ("minimax", "nonsaturating", "wasserstein", "hinge", "relativistic")}
GAMES["least_squares"] = least_squares_to(fake=-1, real=1, goal=1)


def play(loss, penalties, steps=1000, lr=0.1):
    """How far the players are from the end, after 0, 1, …, steps."""
    theta, psi = (torch.ones(1, dtype=DOUBLE, requires_grad=True) for _ in range(2))
    D = lambda x, c=None: x[:, 0] * psi
    distance = []
    for i in range(steps):
        distance.append(hypot(theta.item(), psi.item()))
        real, fake = torch.zeros(1, 1, dtype=DOUBLE, requires_grad=True), theta.detach()[None].requires_grad_()
        t = Turn(D, None, real, fake, D(real), D(fake), {})
        value = loss.critic(t.d_real, t.d_fake) + sum(weight(i) * p(t) for p, weight in penalties if weight(i))
        (step,) = torch.autograd.grad(value.sum(), psi)
        psi = (psi - lr * step).detach().requires_grad_()
        (step,) = torch.autograd.grad(loss.generator(D(real), D(theta[None])).sum(), theta)
        theta = (theta - lr * step).detach().requires_grad_()
    return [*distance, hypot(theta.item(), psi.item())]


@pytest.mark.parametrize("name", GAMES)
def test_with_a_slope_penalty_the_players_meet_and_without_they_do_not(name):
    assert play(GAMES[name], [])[-1] > 0.05
    for penalty in (r1, r2):
        d = play(GAMES[name], [(penalty, constant(1.0))], 600)
        assert d[600] < 1e-5
        assert d[400] < 0.05 * d[200]  # a constant factor each 200 steps: linear
        assert d[600] < 0.05 * d[400] or d[600] < 1e-12


@pytest.mark.parametrize(("k", "meet"), [(1, True), (4, True), (8, True), (16, False)])
def test_lazy_penalties_meet_while_lr_k_gamma_is_below_two(k, meet):
    weight = every(k, 1, constant(1.0))
    assert (0.1 * k * 2 < 2) == meet
    d = play(LOSSES["relativistic"], [(r1, weight), (r2, weight)], 1000)
    assert (d[1000] < 0.05) == meet
    assert (d[1000] > 0.5) != meet
