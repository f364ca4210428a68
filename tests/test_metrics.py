"""Laws of the measures: closed forms, what other libraries compute, what moves them and how far they can be off."""

import contextlib
import io
from functools import reduce
from math import sqrt

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from prdc import compute_prdc
from scipy.linalg import sqrtm
from torchmetrics.image.kid import poly_mmd

from sparring.metrics import MEASURES, Part, fid, frechet, kid, measure, merge, moments, prdc
from sparring.metrics.distances import Cloud
from sparring.metrics.neighbours import Balls

each = pytest.mark.parametrize("name", MEASURES)


def normal(n, d, seed=0, scale=1.0, shift=0.0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed)) * scale + shift


def correlated(n, d, seed=0):
    """With a covariance whose eigenvalues fall as 1 / i²."""
    Q = torch.linalg.qr(normal(d, d, seed=100 + seed))[0]
    return normal(n, d, seed) / torch.arange(1, d + 1) @ Q


def scipy_fid(x, y):
    x, y = x.double(), y.double()
    root = torch.as_tensor(sqrtm((x.T.cov() @ y.T.cov()).numpy()).real)
    return float((x.mean(0) - y.mean(0)).square().sum() + (x.T.cov() + y.T.cov() - 2 * root).trace())


def brute(X, Y):
    """The four definitions word for word, in float64."""
    far = lambda a, b: (a[:, None].double() - b[None].double()).square().sum(-1)
    own = lambda a: far(a, a).fill_diagonal_(torch.inf).sort(1).values
    D, rx, ry = far(X, Y), own(X), own(Y)
    return {
        "precision": float((D <= rx[:, 2:3]).any(0).double().mean()),
        "recall": float((D <= ry[:, 2]).any(1).double().mean()),
        "density": float((D < rx[:, 4:5]).double().sum(0).mean() / 5),
        "coverage": float((D < rx[:, 4:5]).any(1).double().mean()),
    }


def values(X, Y):
    return {name: m.value for name, m in prdc(X, Y).items()}


# Moments and the Fréchet distance


def test_merged_parts_have_the_moments_of_the_whole():
    x = normal(1000, 7, shift=50)
    parts = reduce(merge, map(moments, x.split([1, 499, 300, 200])))

    torch.testing.assert_close(parts.mean, x.double().mean(0), rtol=0, atol=1e-12)
    torch.testing.assert_close(parts.cov, x.double().T.cov(), rtol=0, atol=1e-11)
    torch.testing.assert_close(moments(x, block=64).cov, parts.cov, rtol=0, atol=1e-11)


@pytest.mark.parametrize(("n", "m", "d"), [(600, 500, 40), (30, 500, 40), (30, 20, 40), (41, 41, 40)])
def test_fid_is_that_of_scipys_square_root(n, m, d):
    x, y = correlated(n, d), correlated(m, d, 1) + 0.3
    assert fid(x, y).value == pytest.approx(scipy_fid(x, y), abs=1e-6)
    assert frechet(moments(x), moments(y)) == pytest.approx(fid(x, y).value, abs=1e-9)


def test_fid_with_features_that_never_move_or_move_together():
    x, y = correlated(300, 20), correlated(300, 20, 1)
    dead = lambda z: torch.cat([z, torch.full((len(z), 3), 2.0), z[:, :4] * 2], 1)
    doubled = torch.cat([torch.eye(20), 2 * torch.eye(20)[:, :4]], 1)

    assert fid(dead(x), dead(y)).value == pytest.approx(fid(x @ doubled, y @ doubled).value, abs=1e-9)
    assert fid(dead(x), dead(x)).value == pytest.approx(0, abs=1e-9)


def test_fid_of_gaussians_that_commute_is_in_closed_form():
    s, t, step = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([2.0, 2.0, 1.0]), torch.tensor([0.5, 0.0, -1.0])
    x = normal(300_000, 3)
    truth = float(step.square().sum() + (s - t).square().sum())
    assert fid(x * s, normal(300_000, 3, 1) * t + step).value == pytest.approx(truth, abs=0.05)


def test_fid_of_a_shift_is_its_square_and_of_a_set_with_itself_nothing():
    for n in (20, 500):  # fewer and more than dimensions
        x = correlated(n, 30)
        assert fid(x, x + 0.5).value == pytest.approx(30 / 4, abs=1e-5)
        assert fid(x, x).value == pytest.approx(0, abs=1e-9)


def test_fid_falls_with_n_as_its_docstring_warns():
    few, many = fid(normal(100, 20), normal(100, 20, 1)), fid(normal(2000, 20), normal(2000, 20, 1))
    assert few.value > 5 * many.value


# KID


def test_kid_is_the_unbiased_statistic_of_torchmetrics_on_the_whole_set():
    x, y = normal(300, 12), normal(300, 12, 1, 1.1, 0.1)
    k = lambda a, b: (a.double() @ b.double().T / 12 + 1) ** 3
    reference = float(poly_mmd(x.double(), y.double()))
    n = 300
    by_hand = k(x, x).fill_diagonal_(0).sum() / (n * (n - 1)) + k(y, y).fill_diagonal_(0).sum() / (n * (n - 1))

    assert kid(x, y).value == pytest.approx(reference, rel=1e-5)
    assert kid(x, y).value == pytest.approx(float(by_hand - 2 * k(x, y).mean()), rel=1e-5)


def test_kid_is_the_same_in_tiles(monkeypatch):
    monkeypatch.setattr("sparring.metrics.kernels.SIDE", 128)
    x, y = normal(300, 4), normal(500, 4, 1, 1.2)
    k = lambda a, b: (a.double() @ b.double().T / 4 + 1) ** 3
    n, m = len(x), len(y)
    own = lambda a: (k(a, a).sum() - k(a, a).diagonal().sum()) / (len(a) * (len(a) - 1))
    assert kid(x, y).value == pytest.approx(float(own(x) + own(y) - 2 * k(x, y).sum() / (n * m)), rel=1e-5)


@pytest.mark.parametrize(("scale", "shift"), [(1e3, 0), (1e7, 0), (1, 1e4), (1e30, 0)])
def test_kid_of_points_of_any_spread_is_that_of_fp64(scale, shift):
    x, y = normal(300, 2, 0, scale, shift), normal(250, 2, 1, 1.1 * scale, shift)
    k = lambda a, b: (a.double() @ b.double().T / 2 + 1) ** 3
    own = lambda a: (k(a, a).sum() - k(a, a).diagonal().sum()) / (len(a) * (len(a) - 1))
    found = kid(x, y)
    assert found.value == pytest.approx(float(own(x) + own(y) - 2 * k(x, y).mean()), rel=1e-4)
    assert 0 < found.se < float("inf")
    wide = torch.cat([x, normal(300, 400, 2)], 1), torch.cat([y, normal(250, 400, 3)], 1)  # where fp32 is the rule
    assert 0 < kid(*wide).se < float("inf")


def test_kid_of_one_source_is_below_zero_about_half_the_time():
    found = [kid(normal(60, 5, 2 * i), normal(40, 5, 2 * i + 1)).value for i in range(200)]
    assert 80 < sum(v < 0 for v in found) < 160  # the statistic is skewed: a little more than half
    assert abs(sum(found) / 200) < 3 * torch.tensor(found).std() / sqrt(200)


# Precision, recall, density, coverage


@pytest.mark.parametrize(("n", "m", "scale"), [(300, 300, 1.0), (200, 350, 0.6), (400, 120, 1.4)])
def test_prdc_is_that_of_its_authors_package(n, m, scale):
    X, Y = normal(n, 10), normal(m, 10, 1, scale, 0.1)
    with contextlib.redirect_stdout(io.StringIO()):
        three, five = (compute_prdc(X.double().numpy(), Y.double().numpy(), k) for k in (3, 5))
    assert values(X, Y) == pytest.approx(
        {k: float((three if k in ("precision", "recall") else five)[k]) for k in prdc(X, Y)}, abs=1e-12
    )


@given(st.integers(0, 10**6), st.integers(8, 60), st.integers(8, 60), st.integers(1, 4), st.integers(1, 3))
@settings(max_examples=30, deadline=None)
def test_ties_and_duplicates_fall_as_the_definitions_say(seed, n, m, d, levels):
    g = torch.Generator().manual_seed(seed)
    X, Y = (torch.randint(0, levels + 1, (k, d), generator=g).float() + 1000 for k in (n, m))
    assert values(X, Y) == pytest.approx(brute(X, Y), abs=1e-12)


def test_points_closer_than_fp32_can_tell_are_told_apart():
    X = normal(200, 16, shift=30)
    Y = torch.cat([X[:50] + normal(50, 16, 1, 1e-4), X[0] + normal(50, 16, 2, 1e-5)])
    assert values(X, Y) == pytest.approx(brute(X, Y), abs=1e-12)

    near = X[0] + normal(100, 16, 3, 1e-5)
    cloud = torch.cat([near, X])
    exact = (cloud[:, None].double() - cloud[None].double()).square().sum(-1).fill_diagonal_(torch.inf).sort(1).values
    torch.testing.assert_close(
        Balls.of(Cloud.of(cloud, cloud.mean(0)), 5, radii=2)[0].r2, exact[:, 4:6].T, rtol=1e-12, atol=0
    )


def test_prdc_is_the_same_in_tiles(monkeypatch):
    X, Y = normal(300, 6), normal(250, 6, 1, 0.9)
    whole = prdc(X, Y)
    monkeypatch.setattr("sparring.metrics.distances.SIDE", 64)
    monkeypatch.setattr("sparring.metrics.distances.PART", 700)
    for name, m in prdc(X, Y).items():
        assert m.value == whole[name].value
        assert m.se == pytest.approx(whole[name].se, rel=1e-9)


def test_coverage_of_one_source_is_one_less_two_to_the_minus_k():
    found = torch.tensor([prdc(normal(400, 8, 2 * i), normal(400, 8, 2 * i + 1))["coverage"].value for i in range(10)])
    assert float(found.mean()) == pytest.approx(1 - 2**-5, abs=0.01)


def test_dropped_modes_lower_recall_and_coverage_but_not_precision():
    centers = 6 * normal(8, 2)
    mixture = lambda seed, modes: normal(600, 2, seed) * 0.3 + centers[torch.arange(600) % modes]
    full, dropped = prdc(mixture(0, 8), mixture(1, 8)), prdc(mixture(0, 8), mixture(2, 4))

    assert dropped["precision"].value > full["precision"].value - 2 * full["precision"].se
    for name in ("recall", "coverage"):
        assert dropped[name].value < full[name].value - 5 * full[name].se


# All of them


@each
def test_order_within_a_set_moves_nothing(name):
    X, Y = normal(150, 6), normal(120, 6, 1, 0.8, 0.3)
    again = MEASURES[name](X.flip(0), Y.roll(7, 0))
    assert again.value == pytest.approx(MEASURES[name](X, Y).value, abs=1e-5)


@each
def test_a_turn_of_the_space_moves_nothing(name):
    X, Y, Q = normal(150, 6), normal(120, 6, 1, 0.8, 0.3), torch.linalg.qr(normal(6, 6, 2))[0]
    assert MEASURES[name](X @ Q, Y @ Q).value == pytest.approx(MEASURES[name](X, Y).value, abs=1e-5)


@each
def test_worse_samples_measure_worse(name):
    X = normal(400, 6)
    one, other = (MEASURES[name](X, normal(400, 6, 1, 1.0, shift)) for shift in (0.0, 1.5))
    assert (other.value > one.value) == (one.better == "lower")


@pytest.mark.parametrize(
    ("scale", "shift", "n", "m"), [(1.0, 0.0, 200, 200), (0.8, 0.4, 200, 200), (0.8, 0.4, 300, 120)]
)
def test_two_standard_errors_hold_about_95_in_100_fresh_draws(scale, shift, n, m):
    """About the mean of its draws, as FID at this n has no other truth.  80 draws: binomial sd is .024."""
    runs = [measure(normal(n, 8, 2 * i), normal(m, 8, 2 * i + 1, scale, shift), MEASURES) for i in range(80)]
    for name in MEASURES:
        v, se = (torch.tensor([getattr(r[name], part) for r in runs]) for part in ("value", "se"))
        held = ((v - v.mean()).abs() <= 2 * se).double().mean()
        assert held >= 0.88, name
        assert 0.4 < v.std() / se.mean() < 1.4, name


def test_parts_of_one_pass_are_measured_in_one_pass():
    passes = []

    def pair(real, fake):
        passes.append(1)
        return prdc(real, fake)

    x = normal(20, 2)
    found = measure(x, x + 0.1, {"a": Part(pair, "recall"), "b": Part(pair, "density")})
    assert list(found) == ["a", "b"]
    assert len(passes) == 1


@each
def test_training_settings_do_not_reach_the_measures(name):
    X, Y = normal(200, 64), normal(200, 64, 1, 0.9, 0.1).requires_grad_()
    plain = MEASURES[name](X, Y)
    torch.set_float32_matmul_precision("medium")
    try:
        with torch.autocast("cpu", torch.bfloat16):
            assert MEASURES[name](X, Y) == plain
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")


@each
@pytest.mark.parametrize(
    ("real", "fake", "told"),
    [
        (torch.zeros(30, 2, 3), torch.zeros(30, 6), r"real has shape \(30, 2, 3\)"),
        (torch.zeros(30, 6), torch.zeros(1, 6), "fake has 1 samples|1 samples have no"),
        (torch.zeros(30, 6), torch.zeros(30, 5), "real has 6 features and fake 5"),
        (torch.zeros(30, 6), torch.zeros(30, 6).log() * 0, "fake has 30 samples with NaN or infinite"),
    ],
)
def test_what_cannot_be_measured_is_refused_by_name(name, real, fake, told):
    with pytest.raises(ValueError, match=told):
        MEASURES[name](real, fake)


@pytest.mark.parametrize("name", ["precision", "density", "coverage"])
def test_what_cannot_be_squared_is_refused_in_words(name):
    with pytest.raises(ValueError, match="cannot be compared; divide by their spread"):
        MEASURES[name](normal(50, 4), normal(50, 4) * 1e25)


@each
def test_samples_that_are_all_one_have_a_value(name):
    m = MEASURES[name](normal(50, 4), torch.zeros(50, 4))
    assert m.value == m.value
    assert m.se >= 0
