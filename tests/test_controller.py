"""The controller of adaptive augmentation: how sure the critic is decides how much is transformed."""

import pytest
import torch

from sparring import augment, parallel
from sparring.augment import adapt
from sparring.penalties import Turn


def turn(real, fake, memory):
    return Turn(None, None, None, None, torch.tensor(real), torch.tensor(fake), memory)  # type: ignore[arg-type]


def test_p_rises_with_a_sure_critic_and_falls_with_a_doubtful_one():
    memory, watch = {}, adapt(speed=6400)
    for k in range(8):
        watch(turn([1.0, 2.0], [-1.0, -1.0], memory), 64 * k, 64)
        assert memory["ada/p"].item() == pytest.approx((k + 1) // 4 * 0.04), "each fourth look"
    assert memory["ada/rt"] == 1
    for k in range(4):
        watch(turn([1.0, -2.0], [-1.0, -1.0], memory), 64 * k, 64)
    assert memory["ada/rt"] == 0
    assert memory["ada/p"].item() == pytest.approx(0.04)


def test_p_stays_within_its_bounds():
    memory, watch = {}, adapt(speed=100, every=1)
    watch(turn([-1.0], [1.0], memory), 0, 64)
    assert memory["ada/p"] == 0
    for k in range(5):
        watch(turn([1.0], [-1.0], memory), k, 64)
    assert memory["ada/p"].item() == pytest.approx(augment.HIGHEST)


def test_scores_need_no_zero_of_their_own():
    for shift in (-100.0, 0.0, 100.0):
        memory, watch = {}, adapt(every=1)
        watch(turn([shift + 1, shift + 3.0], [shift - 1, shift - 3.0], memory), 0, 64)
        assert memory["ada/rt"] == 1
        watch(turn([shift + 1, shift - 1.0], [shift - 1, shift + 1.0], memory), 0, 64)
        assert memory["ada/rt"] == 0


def test_the_controller_hears_all_ranks(monkeypatch):
    monkeypatch.setattr(parallel, "mean", lambda t: t * 0)
    memory = {}
    adapt(every=1)(turn([1.0], [0.0], memory), 0, 64)
    assert memory["ada/rt"] == 0


def test_a_saved_controller_goes_on_where_it_stood():
    watch, one = adapt(speed=1000), {}
    for k in range(3):
        watch(turn([1.0], [0.0], one), k, 10)
    other = {key: value.clone() for key, value in one.items()}
    for memory in (one, other):
        watch(turn([1.0], [0.0], memory), 3, 10)
    assert one == other
    assert one["ada/p"].item() == pytest.approx(0.04)
