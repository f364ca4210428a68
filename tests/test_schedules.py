"""Schedules are functions of samples seen, and of nothing else."""

import math
from math import cos, pi

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparring.schedules import constant, cosine, every, geometric, linear, piecewise, rise_and_fall

numbers = st.floats(-1e3, 1e3)
counts = st.integers(0, 10**9)


@given(numbers, counts)
def test_constant(value, seen):
    assert constant(value)(seen) == value


@pytest.mark.parametrize("schedule", [linear, cosine])
@given(start=numbers, end=numbers, over=st.integers(1, 10**8), seen=counts)
def test_from_start_to_end_and_then_for_ever(schedule, start, end, over, seen):
    f = schedule(start, end, over)
    assert f(0) == pytest.approx(start, abs=1e-9)
    assert f(over) == f(over + seen) == pytest.approx(end, abs=1e-9)
    assert min(start, end) - 1e-9 <= f(seen) <= max(start, end) + 1e-9
    assert (f(seen + 1) - f(seen)) * (end - start) >= -1e-9  # never turns back


@pytest.mark.parametrize("schedule", [linear, cosine])
def test_half_way_is_half_way(schedule):
    assert schedule(3.0, 1.0, 100)(50) == pytest.approx(2.0)
    assert schedule(3.0, 1.0, 0)(0) == 1.0


def test_cosine_is_huangs_formula():
    b, e, N = 2e-4, 5e-5, 2_000_000
    for n in (0, 1, 777_777, 1_999_999):
        assert cosine(b, e, N)(n) == pytest.approx(b + (1 - (1 + cos(pi * n / N)) / 2) * (e - b), rel=1e-12)


def test_piecewise_goes_through_its_points():
    f = piecewise((100, 1.0), (200, 3.0), (200, 5.0), (400, 5.0), (500, 0.0))
    assert [f(n) for n in (0, 100, 150, 199, 200, 300, 450, 500, 10**9)] == [1, 1, 2, 2.98, 5, 5, 2.5, 0, 0]
    for points in ((), ((2, 1.0), (1, 1.0))):
        with pytest.raises(ValueError, match="in the order of seen"):
            piecewise(*points)


@given(k=st.integers(1, 40), batch=st.integers(1, 500), first=st.integers(0, 1000))
def test_lazy_and_eager_weights_agree_over_k_batches(k, batch, first):
    weights = [every(k, batch, constant(0.5))((first + i) * batch) for i in range(k)]
    assert sum(weights) == pytest.approx(0.5 * k)
    assert sum(w > 0 for w in weights) == 1


def test_lazy_schedules_refuse_nothing():
    with pytest.raises(ValueError, match="k=0"):
        every(0, 64, constant(1.0))


def test_geometric_falls_by_the_same_factor():
    at = geometric(1.0, 1e-4, 800)
    assert at(0) == 1.0
    assert math.isclose(at(200) / at(0), at(600) / at(400))
    assert math.isclose(at(800), 1e-4)
    assert at(10**9) == at(800)
    assert geometric(0.0, 0.0, 800)(400) == 0.0


def test_a_rate_rises_and_falls():
    at = rise_and_fall(1e-3, 1e-5, 1000)
    assert at(0) == 0
    assert math.isclose(at(10), at(20) / 2, rel_tol=0.01)
    assert max(map(at, range(1001))) < 1e-3
    assert math.isclose(at(1000), 1e-5)
    assert all(at(i) > at(i + 1) for i in range(20, 1000))
