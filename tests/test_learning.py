"""Each kind of task really learns something small; and the failing case fails."""

import json

import pytest

from sparring.cli import main
from sparring.folder import RunFolder
from sparring.worlds.maze import Maze

from .oddities import build


def reached(run, name):
    """The truth of the average generator at each evaluation."""
    return [row["truth"][name] for row in RunFolder(run).rows("evaluations.jsonl")]


def train(*argv):
    assert main([str(a) for a in ("train", *argv, "--threads", 1)]) == 0


def test_points_find_their_modes(tmp_path):
    train("ring", "--samples", 400_000, "--run", tmp_path / "run")
    assert reached(tmp_path / "run", "modes")[-1] == 8
    assert reached(tmp_path / "run", "quality")[-1] > 0.5


def test_a_critic_that_sees_nothing_teaches_nothing(tmp_path):
    """The failing case: with its weights clipped to almost nothing, D gives no slope to follow."""
    options = ["--loss", "wasserstein", "--r1", 0, "--r2", 0, "--clip", 1e-4, "--samples", 100_000]
    train("ring", *options, "--run", tmp_path / "run")
    assert reached(tmp_path / "run", "quality")[-1] < 0.2


def test_pictures_come_to_look_like_digits(tmp_path):
    options = ["--width", 8, "--samples", 40_000, "--evaluate_n", 300, "--evaluate_final", 600]
    train("digits", *options, "--run", tmp_path / "run")
    last = RunFolder(tmp_path / "run").rows("evaluations.jsonl")[-1]
    assert last["truth"]["modes"] == 10
    assert last["metrics"]["coverage"]["value"] > 0.3 * last["ceiling"]["coverage"]["value"]


def test_classes_are_obeyed(tmp_path):
    pytest.importorskip("sklearn")
    options = ["--condition", "class", "--width", 8, "--samples", 40_000, "--evaluate_n", 300, "--evaluate_final", 600]
    train("digits", *options, "--run", tmp_path / "run")
    assert reached(tmp_path / "run", "obeyed")[-1] > 0.6


def lonely_maze():
    """A maze in which nobody but the player moves."""
    return Maze(32, ghosts=0)


def test_the_next_frame_is_foreseen(tmp_path):
    options = ["--width", 12, "--samples", 8000, "--evaluate_every", 2000, "--sample_every", 8000]
    options += ["--evaluate_n", 200, "--evaluate_final", 400, "--prior", "bernoulli"]
    train("tests.test_learning:lonely_maze", *options, "--run", tmp_path / "run")
    begun, *_, legal = reached(tmp_path / "run", "legal")
    assert legal > 0.6 and begun < 0.3
    assert reached(tmp_path / "run", "walls")[-1] > 0.99


def test_a_folder_with_every_oddity_trains_samples_and_resumes(tmp_path, capsys):
    expected = build(tmp_path / "odd", n=480)
    run = tmp_path / "run"
    options = ["--size", 32, "--width", 4, "--samples", 640, "--evaluate_n", 64, "--evaluate_final", 64]
    train(tmp_path / "odd", *options, "--checkpoint_every", 128, "--run", run)
    assert "left out" in capsys.readouterr().err
    card = json.loads((run / "card.json").read_text())["data"]
    assert card["usable"] == expected.usable
    assert card["train"] + card["heldout"] == expected.usable
    for checkpoint in RunFolder(run).checkpoints()[1:]:
        (checkpoint / "tree.json").unlink()  # as if the run had been killed earlier
    assert main(["resume", str(run)]) == 0
    assert main(["sample", str(run), "-n", "5", "--out", str(tmp_path / "drawn")]) == 0
    assert len(list((tmp_path / "drawn").glob("*.png"))) == 5
