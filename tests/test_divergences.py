"""Divergences of what can be written down, against closed forms, laws and scipy."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import entropy, wasserstein_distance

from sparring.metrics.divergences import earth, js, kl


@st.composite
def pairs(draw):
    """Two distributions over a few places, with zeros and tiny masses among them."""
    n = draw(st.integers(1, 6))
    mass = st.one_of(st.just(0.0), st.just(5e-324), st.floats(1e-6, 1))
    rows = [draw(st.lists(mass, min_size=n, max_size=n).filter(lambda v: sum(v) > 1e-6)) for _ in range(2)]
    return [torch.tensor(r, dtype=torch.float64) / math.fsum(r) for r in rows]


@settings(deadline=None)
@given(pairs())
def test_kl_is_that_of_scipy_and_never_negative(pq):
    p, q = pq
    assert kl(p, q).item() == pytest.approx(float(entropy(p, q)), abs=1e-9)
    assert kl(p, q) >= -1e-12
    assert kl(p, p).abs() < 1e-12


@settings(deadline=None)
@given(pairs())
def test_js_is_symmetric_and_between_0_and_log_2(pq):
    p, q = pq
    assert js(p, q).item() == pytest.approx(js(q, p).item(), abs=1e-12)
    assert -1e-12 <= js(p, q) <= math.log(2) + 1e-12
    assert js(p, p).abs() < 1e-12


@settings(deadline=None)
@given(pairs())
def test_earth_is_that_of_scipy(pq):
    p, q = pq
    at = torch.arange(len(p)).double() ** 1.5
    assert earth(p, q, at).item() == pytest.approx(wasserstein_distance(at, at, p, q), abs=1e-9)
    assert earth(p, q).item() == pytest.approx(earth(q, p).item())


def test_what_does_not_overlap_is_log_2_and_infinity_apart():
    p, q = torch.eye(2, dtype=torch.float64)
    assert js(p, q) == pytest.approx(math.log(2))
    assert kl(p, q) == math.inf


def test_batches_of_distributions_are_taken_row_by_row():
    p, q = torch.rand(2, 5, 4).softmax(-1)
    for f in (kl, js, earth):
        assert torch.allclose(f(p, q), torch.stack([f(a, b) for a, b in zip(p, q)]))


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ValueError, match="moved, not made"):
        earth(torch.tensor([1.0, 1]), torch.tensor([1.0, 2]))
