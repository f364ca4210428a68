"""What the longer proofs say of themselves."""

import importlib
import json
from pathlib import Path

import pytest
import torch

from sparring.worlds.maze import Maze, Moment
from sparring.worlds.maze_judge import past_of

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture
def check(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("check")


def runs(*held):
    return [{"seed": i, "held": h} for i, h in enumerate(held)]


def test_a_proof_holds_by_all_the_seeds_that_it_asks_for(check):
    proof = check.Proof(("ring",), 3, {})
    told = lambda *held: check.verdict(proof, runs(*held))["held"]
    assert told(True, True, True) and told(True, True, True, True)
    assert not told(True, True) and not told()
    assert not told(True, False, True) and not told(True, True, True, False)
    assert not check.verdict(proof, [{"seed": i, "held": True} for i in (0, 1, 5)])["held"]
    words = lambda *held: check.in_words(check.verdict(proof, runs(*held)), runs(*held))
    assert words(True, True) == "NOT SHOWN (2 of 2 seeds reached every bar, 3 asked)"
    assert words(True, False) == "MISSED (1 of 2 seeds reached every bar, 3 asked)"
    assert words(True, True, True).startswith("held (3 of 3")


def test_results_say_what_their_seeds_show(check):
    known = {name: BENCHMARKS / "results" / f"{name}.json" for name in check.PROOFS}
    found = {name: json.loads(path.read_text()) for name, path in known.items() if path.exists()}
    assert found
    for name, document in found.items():
        assert document | check.verdict(check.PROOFS[name], document["seeds"]) == document, name


def test_what_is_told_of_the_maze(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    proof, world = importlib.import_module("maze"), Maze(32)
    x, c = world.draw(300, seed=1, heldout=True)
    assert set(proof.company(world, x, c).values()) == {1.0}

    pasts, draws = 30, 200
    past, chance = past_of(world, c[:pasts]), torch.Generator().manual_seed(0)
    each = lambda t: t.repeat_interleave(draws, 0)
    now = Moment(each(past.layout), each(past.cells), each(past.before), each(past.dots > 0))
    shown = lambda coins: world.move(now, coins).cells.unflatten(0, (pasts, draws))
    sure = torch.ones(pasts, draws, world.figures, dtype=torch.bool)
    own = torch.rand(pasts * draws, world.figures, generator=chance)
    one = own[:, :1].expand(-1, world.figures)
    told = lambda coins: proof.together(world, c[:pasts], shown(coins), sure)
    assert told(own) == pytest.approx(1, abs=0.03)
    assert 0.4 < told(one) < 0.9  # each figure turns as often as it should, and all at once
    assert told(0 * own) == 0
