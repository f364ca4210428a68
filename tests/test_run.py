"""Runs as a user runs them: trained, killed, resumed, sampled, measured, refused."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml

from sparring import cli, recipe
from sparring.cli import main
from sparring.folder import RunFolder
from sparring.settings import INTERVALS, Recipe, with_intervals

SHORT = ["--batch", "64", "--threads", "1", "--evaluate_n", "100", "--evaluate_final", "200"]
STEPS = 64


def sparring(*argv):
    return main([str(a) for a in argv])


def command(*argv):
    return [sys.executable, "-m", "sparring", *map(str, argv)]


def state(run):
    saved = RunFolder(run).load()
    assert saved is not None
    return saved["state"]


def equal(a, b):
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(equal, a, b))
    return a == b


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """A run of 120 steps that nobody disturbed, and the last line it printed."""
    run = tmp_path_factory.mktemp("straight") / "run"
    done = subprocess.run(
        command("train", "ring", "--samples", 120 * STEPS, "--checkpoint_every", 10 * STEPS, *SHORT, "--run", run),
        capture_output=True,
        text=True,
        check=True,
    )
    return run, done


def test_the_folder_holds_what_the_plan_says(straight):
    run, done = straight
    for name in (
        "recipe.yaml",
        "card.json",
        "stats.jsonl",
        "evaluations.jsonl",
        "report.html",
        "generator/generator.json",
    ):
        assert (run / name).exists(), name
    assert list(run.glob("samples/*.png"))
    last = json.loads(done.stdout.splitlines()[-1])
    assert last.keys() >= {"run", "seen", "seconds", "findings", "metrics"}
    assert last["seen"] == 120 * STEPS
    written = yaml.safe_load((run / "recipe.yaml").read_text())
    unset = {k for k, v in written.items() if v is None}
    assert unset <= {"size", "past", "length", "minutes", "micro", "clip", "patience", "target", "extractor", "tau_end"}
    rows = RunFolder(run).rows("stats.jsonl")
    assert rows[-1].keys() >= {
        "seen",
        "seconds",
        "score/real",
        "score/fake",
        "score/heldout",
        "G/loss",
        "D/loss",
        "spread",
    }
    assert not list(run.rglob(".aside*"))


def test_what_is_happening_is_said(straight):
    assert "preparing data" in straight[1].stderr or "data:" in straight[1].stderr


def test_the_same_seed_is_the_same_run(straight, tmp_path):
    assert sparring("train", "ring", "--samples", 120 * STEPS, *SHORT, "--run", tmp_path / "run") == 0
    assert equal(state(tmp_path / "run"), state(straight[0]))


def test_killed_and_resumed_is_never_stopped(straight, tmp_path):
    """kill -9 at random moments, some of them while a checkpoint is written."""
    run, moments = tmp_path / "run", random.Random(0)
    begin = ["train", "ring", "--samples", 120 * STEPS, "--checkpoint_every", 10 * STEPS, *SHORT, "--run", run]
    process = subprocess.Popen(command(*begin), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    for _ in range(3):
        while process.poll() is None and not list(run.glob("checkpoints/0*")):
            time.sleep(0.01)
        time.sleep(moments.uniform(0, 0.4))
        process.send_signal(signal.SIGKILL)
        process.wait()
        process = subprocess.Popen(command("resume", run), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    assert process.wait() == 0
    assert equal(state(run), state(straight[0]))
    seen = [row["seen"] for row in RunFolder(run).rows("stats.jsonl")]
    assert seen == sorted(set(seen))


def test_a_run_that_is_over_goes_on_for_longer_and_is_the_same_run_if_that_is_killed(straight, tmp_path, capsys):
    once, again = tmp_path / "once", tmp_path / "again"
    for run in (once, again):
        subprocess.run(["cp", "-r", straight[0], run], check=True)
    assert sparring("resume", once, "--samples", 200 * STEPS) == 0
    assert "12,800 samples in the place of 7,680, asked for at 7,680" in capsys.readouterr().err
    saved = RunFolder(once).load()
    assert saved is not None
    assert saved["state"]["seen"] == 200 * STEPS
    assert saved["recipe"]["samples"] == yaml.safe_load((once / "recipe.yaml").read_text())["samples"] == 200 * STEPS
    assert any("in the place of" in line for line in json.loads((once / "card.json").read_text())["reasons"])

    argv = command("resume", again, "--samples", 200 * STEPS)
    process = subprocess.Popen(argv, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    while process.poll() is None and int(RunFolder(again).checkpoints()[-1].name) == 120 * STEPS:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert sparring("resume", again) == 0
    assert equal(state(again), state(once))


def test_intervals_that_went_by_the_length_go_by_the_new_one_and_those_asked_for_stay():
    r = with_intervals(Recipe(batch=32, samples=100_000, log_every=7_000, stop="plateau", minutes=3.0))
    longer = recipe.lengthened(r, 400_000)
    assert longer == with_intervals(replace(r, samples=400_000, minutes=None, **dict.fromkeys(INTERVALS[1:])))
    assert (longer.log_every, longer.patience) == (7_000, 50_000)
    assert recipe.lengthened(longer, 100_000) == replace(r, minutes=None)


def test_a_run_may_go_on_for_so_many_minutes(straight, tmp_path):
    run = tmp_path / "run"
    subprocess.run(["cp", "-r", straight[0], run], check=True)
    assert sparring("resume", run, "--minutes", 0.01) == 0
    assert state(run)["seen"] > 120 * STEPS


def test_a_length_that_was_passed_is_refused_and_nothing_is_written(straight, capsys):
    before = (straight[0] / "recipe.yaml").read_text()
    assert sparring("resume", straight[0], "--samples", 100 * STEPS) == 2
    assert "has seen 7,680: give more" in capsys.readouterr().err
    assert sparring("resume", straight[0], "--samples", 0) == 2
    assert sparring("resume", straight[0], "--samples", 9000, "--minutes", 1) == 2
    assert "give one" in capsys.readouterr().err
    assert (straight[0] / "recipe.yaml").read_text() == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_asked_to_stop_it_saves_and_says_so(straight, tmp_path, number):
    run = tmp_path / "run"
    begin = ["train", "ring", "--samples", 120 * STEPS, "--checkpoint_every", 10 * STEPS, *SHORT, "--run", run]
    process = subprocess.Popen(command(*begin), stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    while process.poll() is None and not list(run.glob("checkpoints/0*")):
        time.sleep(0.01)
    process.send_signal(number)
    _, said = process.communicate()
    assert process.returncode == 128 + number
    assert "stopped and saved at" in said
    assert f"sparring resume {run}" in said
    assert sparring("resume", run) == 0
    assert equal(state(run), state(straight[0]))


@pytest.mark.parametrize(("name", "kept"), [("train", True), ("resume", True), ("lab", False), ("evaluate", False)])
def test_stopped_at_once_it_speaks_of_checkpoints_where_there_are_some(name, kept, monkeypatch, capsys):
    def interrupted(argv):
        raise KeyboardInterrupt

    monkeypatch.setitem(cli.COMMANDS, name, interrupted)
    assert sparring(name) == 130
    said = capsys.readouterr().err
    assert said.startswith("sparring: stopped at once") and ("checkpoint" in said) == kept


def test_a_damaged_checkpoint_is_named_and_the_one_before_is_taken(straight, tmp_path, capsys):
    run = tmp_path / "run"
    subprocess.run(["cp", "-r", straight[0], run], check=True)
    newest = RunFolder(run).checkpoints()[-1] / "tensors.safetensors"
    bytes_ = bytearray(newest.read_bytes())
    bytes_[-3] ^= 4
    newest.write_bytes(bytes_)
    assert sparring("resume", run) == 0
    said = capsys.readouterr().err
    assert f"{newest} is damaged" in said
    assert "checkpoint before it" in said
    assert equal(state(run), state(straight[0]))


def test_sample_writes_sheets_arrays_and_files(straight, tmp_path):
    run = straight[0]
    assert sparring("sample", run, "-n", 9, "--out", tmp_path / "sheet.png") == 0
    assert sparring("sample", run, "-n", 9, "--out", tmp_path / "x.npy") == 0
    assert sparring("sample", run, "-n", 9, "--seed", 1, "--out", tmp_path / "y.npy") == 0
    x, y = np.load(tmp_path / "x.npy"), np.load(tmp_path / "y.npy")
    assert x.shape == (9, 2)
    assert not np.allclose(x, y)
    assert (tmp_path / "sheet.png").stat().st_size > 1000


def test_points_are_not_drawn_one_by_one(straight, tmp_path, capsys):
    assert sparring("sample", straight[0], "--out", tmp_path / "files") == 2
    assert "in one picture, .png, or written as an array, .npy" in capsys.readouterr().err


def test_evaluate_prints_one_json_document(straight, capsys):
    assert sparring("evaluate", straight[0], "-n", 500, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found.keys() >= {"data", "split", "n_real", "n_fake", "metrics", "truth", "extractor"}
    assert {"value", "se", "better"} == found["metrics"]["kid"].keys()
    assert "modes" in found["truth"]


def test_a_sheet_of_another_kind_is_refused_before_it_is_drawn(straight, tmp_path, capsys):
    assert sparring("sample", straight[0], "--out", tmp_path / "new" / "a.jpg") == 2
    assert "a.jpg: points are drawn in one picture, .png" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_evaluate_measures_samples_of_anybody(straight, tmp_path, capsys):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(400, 2)).astype("float32"))
    assert sparring("evaluate", tmp_path / "x.npy", "--against", "ring", "--json") == 0
    assert json.loads(capsys.readouterr().out)["truth"]["quality"] < 0.2


def test_a_sweep_of_what_does_not_write_is_refused_before_anything_is_measured(straight, tmp_path, capsys):
    rows = RunFolder(straight[0]).rows("evaluations.jsonl")
    for what, options in ((straight[0], []), (tmp_path, ["--against", "ring"])):
        assert sparring("evaluate", what, *options, "--sweep", tmp_path / "curve.png") == 2
        assert "--sweep" in capsys.readouterr().err
    assert RunFolder(straight[0]).rows("evaluations.jsonl") == rows
    assert not list(tmp_path.iterdir())


def test_compare_and_report(straight, tmp_path, capsys):
    assert sparring("compare", straight[0], straight[0], "--out", tmp_path / "both.html", "--json") == 0
    assert len(json.loads(capsys.readouterr().out)["rows"]) == 2
    assert sparring("report", straight[0]) == 0
    assert (tmp_path / "both.html").read_text().startswith("<!")


def test_compare_prints_a_column_a_run(straight, tmp_path, capsys):
    ask = ["--samples", 2 * STEPS, "--lr", 0.004, *SHORT]
    assert sparring("train", "ring", *ask, "--run", tmp_path / "other") == 0
    capsys.readouterr()
    runs, out = [straight[0], tmp_path / "other"], tmp_path / "both.html"
    assert sparring("compare", *runs, "--out", out, "--json") == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert sparring("compare", *runs, "--out", out) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].split() == ["run", "other"]
    assert said[-1] == f"page: {out}"
    cells = {name: values for name, *values in (re.split(r"\s{2,}", line.strip()) for line in said)}
    assert cells["samples seen"] == ["7,680", "128"]
    assert cells["lr"] == [f"{row['settings']['lr']:.4g}" for row in rows] and cells["lr"][1] == "0.004"
    assert cells["modes"] == [f"{row['truth']['modes']:.4g}" for row in rows]
    assert all(" ± " in cell for cell in cells["fid ↓"]) and len(cells["fid ↓"]) == 2
    assert not [line for line in said if "{" in line]

    file = tmp_path / "other" / "evaluations.jsonl"
    last = json.loads(file.read_text().splitlines()[-1])
    told = lambda: (
        sparring("compare", *runs, "--out", out)
        or "not measured alike, by number of samples" in capsys.readouterr().out
    )
    assert told() is False
    file.write_text(json.dumps(last | {"n_fake": 70_000}) + "\n")
    assert told() is True
    with file.open("a") as f:
        f.write(json.dumps(last) + "\n")  # though it is not the fullest, both have been measured so
    assert told() is False


def test_one_run_is_compared_with_nothing(straight, tmp_path, capsys):
    assert sparring("compare", straight[0], "--out", tmp_path / "one.html") == 2
    assert f"give two or more; of one, sparring report {straight[0]}" in capsys.readouterr().err
    assert not (tmp_path / "one.html").exists()


def test_worlds_are_listed(capsys):
    assert sparring("worlds", "--json") == 0
    assert {"ring", "grid", "digits", "stacked-digits", "faces"} <= {
        w["name"] for w in json.loads(capsys.readouterr().out)
    }


def test_the_second_decay_may_be_nothing(tmp_path):
    """As gradients by their sign: Adam without a memory of their squares."""
    assert sparring("train", "ring", "--beta2", 0, "--samples", 640, *SHORT, "--run", tmp_path / "run") == 0
    assert RunFolder(tmp_path / "run").recipe()["beta2"] == 0


def test_resume_refuses_threads_that_are_none(straight, capsys):
    assert sparring("resume", straight[0], "--threads", -1) == 2
    assert "--threads -1 must be above 0" in capsys.readouterr().err


def test_resume_refuses_processes_that_cannot_share_a_batch(straight, capsys, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "3")
    assert sparring("resume", straight[0]) == 2
    assert "cannot be shared equally by 3 processes" in capsys.readouterr().err


def test_a_config_file_and_an_option_over_it(tmp_path, capsys):
    (tmp_path / "c.yaml").write_text("samples: 640\nlr: 0.002\nseed: 5\n")
    run = tmp_path / "run"
    assert sparring("train", "ring", "--config", tmp_path / "c.yaml", "--seed", 6, *SHORT, "--run", run) == 0
    written = RunFolder(run).recipe()
    assert (written["lr"], written["seed"]) == (0.002, 6)
    other = tmp_path / "other"  # whichever stands first
    assert sparring("train", "ring", "--seed", 6, *SHORT, "--run", other, "--config", tmp_path / "c.yaml") == 0
    assert RunFolder(other).recipe() == written


def test_the_recipe_of_a_run_is_a_config(straight, tmp_path):
    again = tmp_path / "again"
    assert sparring("train", "--seed", 9, "--run", again, "--config", straight[0] / "recipe.yaml") == 0
    first, second = (RunFolder(run).recipe() for run in (straight[0], again))
    assert second == first | {"seed": 9, "minutes": None}


def test_another_length_wins_over_that_of_a_file(straight, tmp_path):
    own, short, longer = straight[0] / "recipe.yaml", tmp_path / "short", tmp_path / "longer"
    assert sparring("train", "--config", own, "--minutes", 0.01, "--run", short) == 0
    assert sparring("train", "--config", own, "--samples", 30_000, "--run", longer) == 0
    first, second = RunFolder(straight[0]).recipe(), RunFolder(longer).recipe()
    assert (second["samples"], second["log_every"]) == (30_000, 640)
    assert second["evaluate_every"] > first["evaluate_every"]
    assert second["checkpoint_every"] > first["checkpoint_every"] == 640  # 640 is what its own length gives, too


# -- what may change, and what may not ---------------------------------------------------------------------------------


def test_changes_to_a_run_are_named(straight, tmp_path, capsys):
    run = tmp_path / "run"
    subprocess.run(["cp", "-r", straight[0], run], check=True)
    text = (run / "recipe.yaml").read_text()
    (run / "recipe.yaml").write_text(text.replace("width: 64", "width: 32"))
    assert sparring("resume", run) == 2
    assert "width was 64 when the run began and is 32 now" in capsys.readouterr().err
    (run / "recipe.yaml").write_text(text.replace("format: 1", "format: 9"))
    assert sparring("resume", run) == 2
    assert "newer sparring" in capsys.readouterr().err


def test_changed_data_is_named(tmp_path, capsys):
    data, run = tmp_path / "points.npy", tmp_path / "run"
    points = np.random.default_rng(0).normal(size=(500, 2)).astype("float32")
    np.save(data, points)
    assert sparring("train", data, "--samples", 640, *SHORT, "--run", run) == 0
    np.save(data, points + 1)
    assert sparring("resume", run) == 2
    assert "when the run began" in capsys.readouterr().err


def test_a_live_run_is_not_joined(straight, capsys):
    with RunFolder(straight[0]).lock():
        assert sparring("resume", straight[0]) == 2
    assert "in use by a live process" in capsys.readouterr().err


def test_an_unbounded_critic_is_warned_of(tmp_path, capsys):
    options = ["--loss", "wasserstein", "--r1", 0, "--r2", 0, "--samples", 640]
    assert sparring("train", "ring", *options, *SHORT, "--run", tmp_path / "run") == 0
    assert "no bound without a Lipschitz penalty" in capsys.readouterr().err


def test_penalties_that_are_too_lazy_for_adam_are_warned_of(tmp_path, capsys):
    options = [
        "--optimizer",
        "adam",
        "--lazy",
        16,
        "--samples",
        640,
        *SHORT,
        "--log_every",
        64,
    ]  # so that some lines know no penalty
    assert sparring("train", "ring", *options, "--run", tmp_path / "run") == 0
    assert "give --lazy 2 or 4, or --optimizer soap" in capsys.readouterr().err
    rows = [json.loads(line) for line in (tmp_path / "run" / "stats.jsonl").read_text().splitlines()]
    assert [[k for k in row if k.startswith("penalty/r")] for row in rows[:2]] == [["penalty/r1"], []]
    assert (tmp_path / "run" / "report.html").exists()


def test_a_run_that_blows_up_says_so_and_keeps_what_it_had(tmp_path, capsys):
    options = ["--lr", "1e18", "--samples", 64000, "--log_every", 64]
    assert sparring("train", "ring", *options, *SHORT, "--run", tmp_path / "run") == 1
    assert "NaN or infinite" in capsys.readouterr().err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_an_unwritable_place_is_refused(tmp_path, capsys):
    tmp_path.chmod(0o500)
    assert sparring("train", "ring", "--samples", 640, "--run", tmp_path / "run") == 2
    assert "cannot be written" in capsys.readouterr().err


def test_evaluations_look_through_the_extractor_that_was_asked_for(tmp_path, capsys):
    run, options = tmp_path / "run", ["--samples", 4 * STEPS, "--evaluate_every", 2 * STEPS, *SHORT]
    assert sparring("train", "ring", *options, "--extractor", "pca", "--run", run) == 0
    rows = [json.loads(line) for line in (run / "evaluations.jsonl").read_text().splitlines()]
    assert {row["extractor"][:4] for row in rows} == {"pca-"}
    assert yaml.safe_load((run / "recipe.yaml").read_text())["extractor"] == "pca"

    assert sparring("train", "ring", *options, "--extractor", "random", "--run", tmp_path / "other") == 2
    assert "take raw" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()
