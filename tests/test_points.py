"""The judge of the point worlds: at its best on real draws, near its worst on each kind of bad ones."""

from math import log

import pytest
import torch

from sparring import worlds
from sparring.metrics.modes import PERFECT, TRUNCATED
from sparring.worlds.points import grid, ring

N = 10_000


@pytest.fixture(params=[ring, grid], ids=["ring", "grid"])
def world(request):
    return request.param()


def test_opened_by_name(world):
    assert torch.equal(worlds.open(world.name).centers, world.centers)
    assert next(row for row in worlds.about() if row["name"] == world.name)["about"] == world.about


def test_constants_are_those_of_a_truncated_gaussian():
    x = torch.randn(1_000_000, 2)
    inside = x.norm(dim=1) < 3
    assert abs(inside.float().mean() - PERFECT) < 1e-3
    assert abs(x[inside].std() - TRUNCATED) < 2e-3


def test_centers():
    assert torch.allclose(ring().centers.norm(dim=1), torch.ones(8))
    assert len(ring().centers.unique(dim=0)) == 8
    assert {tuple(c) for c in grid().centers.tolist()} == {(a, b) for a in (-4, -2, 0, 2, 4) for b in (-4, -2, 0, 2, 4)}


def test_draws_are_repeatable_and_disjoint(world):
    x, c = world.draw(500, seed=3)
    assert c is None
    assert x.shape == (500, 2)
    assert x.dtype == torch.float32
    assert torch.equal(x, world.draw(500, seed=3)[0])
    for other in (world.draw(500, seed=4)[0], world.draw(500, seed=3, heldout=True)[0]):
        assert not (x[:, None] == other).all(2).any()


def test_played_at_unit_scale(world):
    x = world.spec.x.encode(world.draw(100_000, seed=0)[0])
    assert x.mean(0).abs().max() < 0.02
    assert abs(x.std(0).square().mean().sqrt() - 1) < 0.01
    assert torch.allclose(world.spec.x.decode(x), world.draw(100_000, seed=0)[0], atol=1e-5)


@pytest.mark.parametrize("heldout", [False, True])
def test_real_draws_are_near_the_best(world, heldout):
    truth = world.judge(world.draw(N, seed=1, heldout=heldout)[0])
    assert truth["modes"] == len(world.centers)
    assert abs(truth["quality"] - PERFECT) < 0.005
    assert truth["kl"] < 0.005
    assert abs(truth["spread"] - 1) < 0.02
    assert 0.8 < truth["spread_min"] < 1 < truth["spread_max"] < 1.2


def test_one_mode_alone(world):
    truth = world.judge(world.centers[0] + world.std * torch.randn(N, 2))
    assert truth["modes"] == 1
    assert truth["kl"] == pytest.approx(log(len(world.centers)))
    assert truth["quality"] > 0.98


def test_half_the_modes(world):
    half = world.centers[: len(world.centers) // 2]
    truth = world.judge(half.repeat(1000, 1) + world.std * torch.randn(1000 * len(half), 2))
    assert truth["modes"] == len(half)
    assert truth["kl"] == pytest.approx(log(len(world.centers) / len(half)), abs=0.01)


def test_averages_of_pairs_are_of_low_quality(world):
    x, y = world.draw(N, seed=1)[0], world.draw(N, seed=2)[0]
    assert world.judge((x + y) / 2)["quality"] < 0.4  # on the grid, half of the averages are modes again
    assert ring().judge((ring().draw(N, seed=1)[0] + ring().draw(N, seed=2)[0]) / 2)["quality"] < 0.2


def test_noise_is_of_low_quality(world):
    reach = world.centers.abs().max()
    assert world.judge((torch.rand(N, 2) * 2 - 1) * reach)["quality"] < 0.05


def test_one_point_far_off(world):
    truth = world.judge(torch.full((N, 2), 100.0))
    assert truth == {
        "modes": 0, "quality": 0, "kl": log(len(world.centers)), "spread": 0, "spread_min": 0, "spread_max": 0
    }  # fmt: skip


@pytest.mark.parametrize("factor", [0.1, 0.5, 0.8])
def test_shrunken_modes(world, factor):
    centers = world.centers.repeat(400, 1)
    truth = world.judge(centers + factor * world.std * torch.randn(len(centers), 2))
    assert truth["quality"] > 0.99
    assert truth["spread"] == pytest.approx(factor / TRUNCATED, rel=0.03)


def test_modes_as_lines(world):
    """A mode flat along a slanting axis has a full spread in x and in y, but not in its narrowest axis."""
    centers = world.centers.repeat(400, 1)
    truth = world.judge(centers + world.std * torch.randn(len(centers), 1))
    assert truth["spread_min"] < 0.05
    assert truth["spread_max"] > 1.2


def test_duplicates_have_no_spread(world):
    one_each = world.centers + 0.7 * world.std
    truth = world.judge(one_each.repeat(400, 1))
    assert truth["modes"] == len(world.centers)
    assert truth["kl"] < 1e-6
    assert truth["spread"] < 1e-3


def test_by_hand():
    """Two samples near one center and one nowhere: variances 0 and 2 · .01², pooled to .01²."""
    w = ring()
    x = torch.tensor([[1.0, 0.01], [1.0, -0.01], [0.5, 0.5]])
    truth = w.judge(x)
    assert truth["modes"] == 1
    assert truth["quality"] == pytest.approx(2 / 3)
    assert truth["spread"] == pytest.approx(1 / TRUNCATED, rel=1e-4)
    assert truth["spread_min"] == 0


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_points_that_are_not_finite(world, bad):
    x = world.draw(N, seed=0)[0]
    x[: N // 2] = bad
    truth = world.judge(x)
    assert abs(truth["quality"] - PERFECT / 2) < 0.01
    assert truth["modes"] == len(world.centers)
    assert abs(truth["spread"] - 1) < 0.03


def test_no_samples(world):
    assert world.judge(torch.zeros(0, 2))["modes"] == 0
