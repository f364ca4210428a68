"""Laws of the maze: what follows is a coin of known odds, and the judge tells one future from a mean of several."""

from functools import lru_cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import conv2d, pad

from sparring import data, worlds
from sparring.worlds.maze import BLOCK, LAYOUTS, SIDE, STEPS, Maze, corridors
from sparring.worlds.maze_paint import FIGURE, paint

SIZES = (16, 32, 64)
N = 400


@lru_cache
def real(size, ghosts=2):
    """Frames, their past, and other futures of the same past."""
    world, n = Maze(size, ghosts=ghosts), N if size < 64 else N // 3
    *_, before, now = world.moments(n, 2, seed=1, heldout=True)
    chance = lambda seed: torch.rand(n, world.figures, generator=torch.Generator().manual_seed(seed))
    draw = lambda seed: paint(world.move(now, chance(seed)).scene, size)
    return draw(0), torch.stack([paint(before.scene, size), paint(now.scene, size)], 1), [draw(k) for k in range(1, 32)]


def blurred(x):
    sigma = max(0.9 * x.shape[-1] / 32, 0.8)
    reach = int(4 * sigma + 1)
    tap = (-(torch.arange(-reach, reach + 1.0) ** 2) / (2 * sigma**2)).exp()
    z = pad(x.float(), (reach,) * 4, mode="replicate").flatten(0, 1)[:, None]
    tap = tap / tap.sum()
    return conv2d(conv2d(z, tap.view(1, 1, 1, -1)), tap.view(1, 1, -1, 1)).view(x.shape).round().byte()


def noisy(x, std):
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    return (x + 255 * std * noise).clamp(0, 255).byte()


def test_every_layout_is_connected_and_has_no_dead_end():
    for free in corridors().view(-1, SIDE, SIDE).tolist():
        cells = {(r, c) for r in range(SIDE) for c in range(SIDE) if free[r][c]}
        around = lambda cell, cells=cells: {(cell[0] + r, cell[1] + c) for r, c in STEPS} & cells
        assert all(len(around(cell)) >= 2 for cell in cells)
        reached = {next(iter(cells))}
        while more := set().union(*map(around, reached)) - reached:
            reached |= more
        assert reached == cells
    assert len(set(LAYOUTS)) == len(LAYOUTS) >= 4


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("wear", [0, 0.03])
def test_real_frames_are_legal_even_if_a_little_worn(size, wear):
    x, c, _ = real(size)
    found = Maze(size).judge(noisy(x, wear) if wear else x, c)
    assert min(found[k] for k in ("legal", "junctions", "corridors", "walls", "dots", "figures")) >= 0.99
    assert max(found[k] for k in ("vanished", "doubled", "ghosts", "blurred")) <= 0.01
    assert found["branch_kl"] < 0.05


@pytest.mark.parametrize("size", SIZES)
def test_a_mean_of_futures_hedges_and_is_seen_to(size):
    x, c, others = real(size)
    mean = torch.stack([x, *others]).float().mean(0).round().byte()
    found = Maze(size).judge(mean, c)
    assert found["junctions"] <= 0.05
    assert found["corridors"] >= 0.8  # where there is one way, there is nothing to hedge
    assert found["ghosts"] >= 0.4 and found["vanished"] >= 0.15
    assert found["walls"] > 0.99


@pytest.mark.parametrize("size", SIZES)
def test_what_cannot_follow_is_refused(size):
    world, (x, c) = Maze(size), (t[:100] for t in real(size)[:2])
    for bad in (c[:, -1], x.roll(1, 0), blurred(x), x.flip(3), torch.randint_like(x, 256), torch.zeros_like(x)):
        found = world.judge(bad, c)
        assert found["legal"] <= 0.05 and found["junctions"] <= 0.25
    assert world.judge(x, c.roll(1, 0))["legal"] <= 0.05
    assert world.judge(x, c.flip(1))["junctions"] <= 0.6  # a past that runs backwards


def test_each_fault_has_its_number():
    world, c = Maze(32), real(32)[1]
    now = world.moments(N, 3, seed=1, heldout=True)[2]
    assert torch.equal(world.moments(N, 2, seed=1, heldout=True)[1].cells, now.before)
    true, scene = paint(now.scene, 32), now.scene
    clean = world.judge(true, c)
    assert clean["legal"] == 1

    empty = (scene == 1).float()
    twice = scene.scatter(1, empty.argmax(1, keepdim=True), FIGURE + 1)
    assert world.judge(paint(twice, 32), c)["doubled"] == pytest.approx(1 / 3)
    gone = torch.where(scene == FIGURE + 1, 1, scene)
    assert world.judge(paint(gone, 32), c)["vanished"] == pytest.approx(1 / 3)
    walled = scene.scatter(1, (scene == 0).float().argmax(1, keepdim=True), 1)
    assert world.judge(paint(walled, 32), c) == pytest.approx(clean | {"legal": 0, "walls": 0.935}, abs=0.03)
    dotless = torch.where(scene == 2, 1, scene)
    found = world.judge(paint(dotless, 32), c)
    assert found["dots"] < 0.7 and found["junctions"] == 1 and found["walls"] == 1
    half = ((true.int() + paint(gone, 32).int()) // 2).byte()
    assert world.judge(half, c)["ghosts"] == 1


def test_turns_have_the_odds_that_are_asked_for():
    world = Maze(16, ghosts=0, turns=(3.0, 1.0, 1.0))
    x, c = world.draw(4000, 0)
    assert world.judge(x, c)["branch_kl"] < 0.01
    assert Maze(16, ghosts=0).judge(x, c)["branch_kl"] > 0.05  # judged by other odds
    r = world.read(x, c)
    assert r.ways[r.choices == 3].unique().tolist() == pytest.approx([0, 0.2, 0.6])


@settings(max_examples=10, deadline=None)
@given(ghosts=st.integers(0, 4), seed=st.integers(0, 10**6), heldout=st.booleans(), in_turn=st.booleans())
def test_figures_never_meet_leap_or_turn_back(ghosts, seed, heldout, in_turn):
    world = Maze(16, ghosts=ghosts, in_turn=in_turn)
    told = world.moments(64, 12, seed, heldout)
    for one, two in zip(told, told[1:]):
        assert all(len(set(cells)) == 1 + ghosts for cells in two.cells.tolist())
        r, c = (two.cells // SIDE - one.cells // SIDE).abs(), (two.cells % SIDE - one.cells % SIDE).abs()
        assert (r + c <= 1).all() and world.free[two.layout].gather(1, two.cells).all()
        assert not (two.dots & ~one.dots).any()
        if ghosts == 0:
            assert ((two.cells != one.before) | (one.cells == one.before)).all()
    assert world.legal(world.clips(64, 12, seed, heldout)).all()


@pytest.mark.parametrize("in_turn", [False, True])
def test_only_where_figures_move_in_turn_do_ways_hang_on_what_others_throw(in_turn):
    world, (one, c, others) = Maze(32, in_turn=in_turn), real(32)
    ways = [world.read(x, c).ways for x in (one, *others[:4])]
    assert all(torch.equal(ways[0], w) for w in ways) != in_turn


def test_the_maze_in_turn_is_opened_by_name():
    world = worlds.open("maze-in-turn", size=16, past=3)
    x, c = world.draw(200, 0)
    assert world.name == "maze-in-turn" and world.judge(x, c)["legal"] == 1
    assert Maze(16, past=3).judge(x, c)["legal"] < 1  # a leader was followed


def test_a_clip_depends_on_seed_split_and_place_alone():
    world = Maze(32)
    clips = world.clips(BLOCK + 6, 5, seed=3)
    assert torch.equal(world.clips(10, 5, seed=3), clips[:10])
    assert torch.equal(world.clips(10, 3, seed=3), clips[:10, :3])
    assert world.clips(0, 3, seed=3).shape == (0, 3, 3, 32, 32)
    x, c = world.draw(10, seed=3)
    assert torch.equal(torch.cat([c, x[:, None]], 1), clips[:10, :3])


def test_training_and_heldout_are_disjoint():
    world = Maze(16)
    several = [world.clips(500, 3, seed, heldout).flatten(1) for seed in (0, 1) for heldout in (False, True)]
    rows = {bytes(row.numpy().tobytes()) for part in several for row in part}
    assert len(rows) == 2000


def test_any_size_past_and_number_of_ghosts():
    for size, past, ghosts in ((17, 2, 0), (45, 3, 4), (96, 4, 3)):
        world = Maze(size, past=past, ghosts=ghosts)
        x, c = world.draw(40, 2)
        assert x.shape == (40, 3, size, size) and c.shape == (40, past, 3, size, size)
        assert world.judge(x, c)["legal"] == 1
    alone = Maze(32).judge(real(32)[0])
    assert alone["figures"] == 1 and "legal" not in alone


def test_it_is_opened_as_data_from_frames_to_a_frame(tmp_path):
    world = Maze(16)
    world.examples = (100, 20)
    opened = data.open(world, cache=tmp_path)
    x, c = next(data.batches(opened.train, 8, seed=0))
    assert x.shape == (8, 3, 16, 16) and c.shape == (8, 2, 3, 16, 16)
    assert world.judge(x, c)["legal"] == 1


def test_wrong_mazes_are_refused():
    with pytest.raises(ValueError, match="maze of size 8: too small"):
        Maze(8)
    with pytest.raises(ValueError, match="a past of 1"):
        Maze(32, past=1)
    with pytest.raises(ValueError, match="7 ghosts"):
        Maze(32, ghosts=7)
    with pytest.raises(ValueError, match="turns"):
        Maze(32, turns=(0.0, 1.0, 1.0))
    with pytest.raises(ValueError, match="a past for each"):
        Maze(16).judge(real(16)[0][:3], real(16)[1])
