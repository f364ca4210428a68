"""Every loss against its formula written a second way, and the laws that all of them keep."""

from math import log

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import expit, rel_entr, xlogy
from torch.testing import assert_close

from sparring.losses import DIVERGENCES, LOSSES, Loss, exp, f_gan, least_squares_to, smoothed

PAIRED = [name for name in LOSSES if name.startswith("relativistic")]


def some_scores(n=200, width=3.0):
    rng = np.random.default_rng(0)
    return rng.normal(0, width, n), rng.normal(0, width, n)


def critic(loss, r, f):
    return loss.critic(torch.as_tensor(r), torch.as_tensor(f)).numpy()


def generator(loss, r, f):
    return loss.generator(torch.as_tensor(r), torch.as_tensor(f)).numpy()


# -- formulas, a second time ------------------------------------------------------------------------------------------

S, TANH = expit, np.tanh
FORMULAS = {  # name: (D's loss, G's loss) of numpy arrays
    "minimax": (lambda r, f: -np.log(S(r)) - np.log(1 - S(f)), lambda r, f: np.log(1 - S(f))),
    "nonsaturating": (lambda r, f: -np.log(S(r)) - np.log(1 - S(f)), lambda r, f: -np.log(S(f))),
    "least_squares": (lambda r, f: 0.5 * (r - 1) ** 2 + 0.5 * f**2, lambda r, f: 0.5 * (f - 1) ** 2),
    "matching_aware": (lambda r, f: -np.log(S(r)) - 0.5 * np.log(1 - S(f)), lambda r, f: -np.log(S(f))),
    "hinge": (lambda r, f: np.maximum(0, 1 - r) + np.maximum(0, 1 + f), lambda r, f: -f),
    "wasserstein": (lambda r, f: f - r, lambda r, f: -f),
    "smoothed": (
        lambda r, f: -0.9 * np.log(S(r)) - 0.1 * np.log(1 - S(r)) - np.log(1 - S(f)),
        lambda r, f: -np.log(S(f)),
    ),
    "relativistic": (lambda r, f: -np.log(S(r - f)), lambda r, f: -np.log(S(f - r))),
    "relativistic_least_squares": (lambda r, f: (r - f - 1) ** 2, lambda r, f: (f - r - 1) ** 2),
    "relativistic_hinge": (lambda r, f: np.maximum(0, 1 - (r - f)), lambda r, f: np.maximum(0, 1 - (f - r))),
    "relativistic_average": (
        lambda r, f: -np.log(S(r - f.mean())) - np.log(1 - S(f - r.mean())),
        lambda r, f: -np.log(S(f - r.mean())) - np.log(1 - S(r - f.mean())),
    ),
    "relativistic_average_least_squares": (
        lambda r, f: (r - f.mean() - 1) ** 2 + (f - r.mean() + 1) ** 2,
        lambda r, f: (f - r.mean() - 1) ** 2 + (r - f.mean() + 1) ** 2,
    ),
    "relativistic_average_hinge": (
        lambda r, f: np.maximum(0, 1 - (r - f.mean())) + np.maximum(0, 1 + (f - r.mean())),
        lambda r, f: np.maximum(0, 1 - (f - r.mean())) + np.maximum(0, 1 + (r - f.mean())),
    ),
}

FUNCTIONS = {  # name: (f(u), g_f(v), the interval of v where g_f is not yet continued by a tangent)
    "kl": (lambda u: xlogy(u, u), lambda v: v, (-10, 10)),
    "reverse_kl": (lambda u: -np.log(u), lambda v: -np.exp(-v), (-10, 10)),
    "pearson": (lambda u: (u - 1) ** 2, lambda v: v, (-10, 10)),
    "squared_hellinger": (lambda u: (np.sqrt(u) - 1) ** 2, lambda v: 1 - np.exp(-v), (-10, 10)),
    "jensen_shannon": (
        lambda u: xlogy(u, u) - (u + 1) * np.log((u + 1) / 2),
        lambda v: log(2) - np.logaddexp(0, -v),
        (-10, 10),
    ),
    "gan": (lambda u: xlogy(u, u) - (u + 1) * np.log(u + 1), lambda v: -np.logaddexp(0, -v), (-10, 10)),
    "total_variation": (lambda u: abs(u - 1) / 2, lambda v: TANH(v) / 2, (-10, 10)),
}


def test_every_loss_has_its_second_formula():
    assert set(FORMULAS) | set(FUNCTIONS) == set(LOSSES)
    assert set(FUNCTIONS) == set(DIVERGENCES)


@pytest.mark.parametrize("name", FORMULAS)
def test_formula(name):
    r, f = some_scores()
    for ours, theirs in zip((critic, generator), FORMULAS[name]):
        np.testing.assert_allclose(ours(LOSSES[name], r, f), theirs(r, f), rtol=1e-7, atol=1e-8)


def conjugate(f, t):
    """sup over u >= 0 of u t - f(u), by looking: u = e^s."""
    grid = np.linspace(-45, 45, 4001)
    best = grid[np.argmax(np.exp(grid) * t - f(np.exp(grid)))]
    found = minimize_scalar(
        lambda s: f(np.exp(s)) - np.exp(s) * t,
        bounds=(best - 0.03, best + 0.03),
        method="bounded",
        options={"xatol": 1e-9},
    )
    return -found.fun


@pytest.mark.parametrize("name", FUNCTIONS)
def test_f_gan_by_numeric_conjugation(name):
    f, g, (low, high) = FUNCTIONS[name]
    v = np.linspace(low, high, 41)
    np.testing.assert_allclose(DIVERGENCES[name][0](torch.tensor(v)), g(v), rtol=1e-7, atol=1e-9)
    by_looking = np.array([conjugate(f, t) for t in g(v)])
    np.testing.assert_allclose(DIVERGENCES[name][1](torch.tensor(v)), by_looking, rtol=1e-6, atol=1e-7)

    r, fake = some_scores()
    np.testing.assert_allclose(
        critic(LOSSES[name], r, np.zeros_like(r)) - critic(LOSSES[name], 0 * r, 0 * r), g(0.0) - g(r)
    )
    np.testing.assert_array_equal(generator(LOSSES[name], r, fake), -DIVERGENCES[name][1](torch.tensor(fake)))
    lasting = f_gan(*DIVERGENCES[name], saturating=False)
    np.testing.assert_array_equal(generator(lasting, r, fake), -DIVERGENCES[name][0](torch.tensor(fake)))


# -- what the best critic finds ---------------------------------------------------------------------------------------

P = np.array([0.5, 0.3, 0.15, 0.05])
Q = np.array([0.1, 0.3, 0.2, 0.4])
M = (P + Q) / 2
JS = (rel_entr(P, M) + rel_entr(Q, M)).sum() / 2
TV = abs(P - Q).sum() / 2

BEST = {  # the lowest mean loss of any critic between P and Q
    "minimax": 2 * log(2) - 2 * JS,
    "nonsaturating": 2 * log(2) - 2 * JS,
    "matching_aware": -(P * np.log(P / (P + Q / 2)) + Q / 2 * np.log(Q / 2 / (P + Q / 2))).sum(),
    "least_squares": (P * Q / (P + Q)).sum() / 2,
    "hinge": 2 - 2 * TV,
    "kl": -rel_entr(P, Q).sum(),
    "reverse_kl": -rel_entr(Q, P).sum(),
    "pearson": -((P - Q) ** 2 / Q).sum(),
    "squared_hellinger": -((np.sqrt(P) - np.sqrt(Q)) ** 2).sum(),
    "jensen_shannon": -2 * JS,
    "gan": 2 * log(2) - 2 * JS,
    "total_variation": -TV,
}


@pytest.mark.parametrize("name", BEST)
def test_the_best_critic_measures_the_divergence(name):
    """Each atom on its own: the score that lowers p * (part of reals) + q * (part of fakes)."""
    zero = critic(LOSSES[name], np.zeros(1), np.zeros(1))

    def paid(v, p, q):
        v, o = np.array([v]), np.zeros(1)
        parts = critic(LOSSES[name], v, o), critic(LOSSES[name], o, v)
        return (p * parts[0] + q * parts[1]).item()

    lowest = sum(minimize_scalar(paid, args=(p, q), bounds=(-15, 15), method="bounded").fun for p, q in zip(P, Q))
    assert lowest - zero.item() == pytest.approx(BEST[name], abs=1e-5)


def test_least_squares_with_targets_one_apart_from_their_middle_measures_pearson():
    loss = least_squares_to(fake=-1, real=1, goal=0)
    best = (P - Q) / (P + Q)
    value = sum(p * 0.5 * (b - 1) ** 2 + q * 0.5 * (b + 1) ** 2 for p, q, b in zip(P, Q, best))
    ours = (P * critic(loss, best, 0 * best) + Q * critic(loss, 0 * best, best)).sum() - critic(loss, *np.zeros((2, 1)))
    assert ours.item() == pytest.approx(value)
    at_best = (P * best**2 + Q * best**2).sum() / 2  # what real and fake together lie away from G's goal
    assert at_best == pytest.approx(((P + Q - 2 * Q) ** 2 / (P + Q)).sum() / 2)


@pytest.mark.filterwarnings("ignore:Converting a tensor")  # of LBFGS in torch 2.8
def test_the_best_smoothed_critic_believes_reals_with_alpha():
    score = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    opt = torch.optim.LBFGS([score], max_iter=100, tolerance_grad=1e-12, tolerance_change=1e-14)
    p, q = torch.tensor(P), torch.tensor(Q)

    def closure():
        opt.zero_grad()
        none = torch.zeros_like(score)
        loss = (p * smoothed(0.8).critic(score, none) + q * smoothed(0.8).critic(none, score)).sum()
        loss.backward()
        return loss

    opt.step(closure)
    # the constants of the zeros pull nowhere: only the atom's own scores move
    assert_close(score.detach().sigmoid(), 0.8 * p / (p + q), rtol=1e-5, atol=1e-5)


def test_smoothing_with_one_is_none_and_with_less_than_half_is_refused():
    r, f = some_scores()
    np.testing.assert_allclose(critic(smoothed(1.0), r, f), critic(LOSSES["nonsaturating"], r, f))
    for alpha in (0.5, 1.1, -1):
        with pytest.raises(ValueError, match=f"alpha = {alpha}"):
            smoothed(alpha)


# -- laws of all ------------------------------------------------------------------------------------------------------


def slopes(f, r, fake):
    r, fake = (torch.tensor(t, dtype=torch.float32, requires_grad=True) for t in (r, fake))
    value = f(r, fake)
    got = torch.autograd.grad(value.sum(), (r, fake), allow_unused=True)
    return value.detach(), *(torch.zeros_like(r) if g is None else g for g in got)


@pytest.mark.parametrize("name", LOSSES)
@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.floats(-1e4, 1e4, width=32), st.floats(-1e4, 1e4, width=32)), min_size=1, max_size=8))
def test_finite_for_every_score(name, pairs):
    r, f = zip(*pairs)
    for player in LOSSES[name][:2]:
        for t in slopes(player, r, f):
            assert torch.isfinite(t).all()
            assert t.shape == (len(r),)


@pytest.mark.parametrize("name", LOSSES)
def test_descent_parts_the_scores_for_d_and_raises_the_fakes_for_g(name):
    r, f = (t.clip(-2, 2) / 5 for t in some_scores())
    f = abs(f) + 0.01  # short of every goal: gaps below 1, reals below 1, fakes above 0
    _, up, down = slopes(LOSSES[name].critic, r, f)
    assert (up < 0).all()
    assert (down > 0).all()
    assert (slopes(LOSSES[name].generator, r, f)[2] < 0).all()


@pytest.mark.parametrize("name", [name for name in LOSSES if "least_squares" not in name])
def test_g_is_never_pushed_away_from_real(name):
    """Squares alone pull back what is beyond their goal."""
    f = np.linspace(-100, 100, 401)
    assert (slopes(LOSSES[name].generator, np.zeros_like(f), f)[2] <= 0).all()


@pytest.mark.parametrize("name", LOSSES)
def test_one_number_a_score_and_means_only_where_said(name):
    loss = LOSSES[name]
    r, f = torch.randn(2, 6, 5)
    for player in loss[:2]:
        assert player(r, f).shape == (6, 5)
        alone = torch.cat([player(r[i : i + 1], f[i : i + 1]) for i in range(6)])
        assert torch.allclose(alone, player(r, f)) != loss.coupled
        assert player(r.bfloat16(), f.bfloat16()).isfinite().all()


@pytest.mark.parametrize("name", LOSSES)
def test_only_relativistic_losses_are_blind_to_a_shift_of_all_scores(name):
    r, f = map(torch.tensor, some_scores())
    same = all(torch.allclose(player(r, f), player(r + 5, f + 5), rtol=1e-7) for player in LOSSES[name][:2])
    assert same == (name in PAIRED)


@pytest.mark.parametrize("name", PAIRED)
def test_relativistic_players_are_mirror_images(name):
    r, f = map(torch.tensor, some_scores())
    assert_close(LOSSES[name].generator(r, f), LOSSES[name].critic(f, r))


def test_minimax_saturates_where_d_wins_and_nonsaturating_does_not():
    lost = np.array([-20.0])
    assert abs(slopes(LOSSES["minimax"].generator, lost, lost)[2].item()) < 1e-8
    assert slopes(LOSSES["nonsaturating"].generator, lost, lost)[2].item() == pytest.approx(-1)
    assert slopes(LOSSES["relativistic"].generator, -lost, lost)[2].item() == pytest.approx(-1)


def test_exp_is_continued_by_its_tangent():
    v = torch.tensor([-3.0, 0.0, 9.9, 10.0, 11.0, 100.0], dtype=torch.float64, requires_grad=True)
    y = exp(v)
    (slope,) = torch.autograd.grad(y.sum(), v)
    top = torch.tensor(10.0, dtype=torch.float64).exp()
    assert_close(y[:4], v[:4].exp())
    assert_close(y[4:], top * (v[4:] - 9))
    assert_close(slope, v.detach().clamp(max=10).exp())


def test_a_loss_of_ones_own_is_two_functions():
    mine = Loss(lambda real, fake: fake - real, lambda real, fake: -fake)
    assert not mine.coupled
