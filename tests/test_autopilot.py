"""A run that acts on what it finds, stops by itself, and names what spoiled it; resumed = never stopped, acts too."""

import json
import random
import shutil
import signal
import subprocess
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from sparring import autopilot, keeping, recipe, remedies, stopping
from sparring import run as trainer
from sparring.cli import main
from sparring.folder import RunFolder
from sparring.generators import load_generator
from sparring.remedies import Act
from sparring.settings import Recipe
from sparring.spaces import Spec, Vector

from .test_run import command, equal, state

SHORT = ["--width", "16", "--batch", "64", "--threads", "1", "--evaluate_n", "100", "--evaluate_final", "100"]
SICK = ["--loss", "minimax", "--critic_steps", "5", "--lr_D", "5e-3", "--r1", "0", "--r2", "0"]
SICK += ["--optimizer", "adam"]
EVERY = ["--log_every", "128", "--checkpoint_every", "640", "--sample_every", "100000", "--evaluate_every", "3000"]


def sparring(*argv):
    return main([str(a) for a in argv])


def rows(run, name):
    kept = RunFolder(run).rows(name)
    return [{k: v for k, v in row.items() if k not in ("seconds", "images_per_second")} for row in kept]


def findings(run):
    return [json.loads(line) for line in (run / "findings.jsonl").read_text().splitlines()]


ACTING = ["train", "ring", "--samples", 7680, *SICK, *SHORT, *EVERY, "--autopilot", "act"]


@pytest.fixture(scope="module")
def acted(tmp_path_factory):
    run = tmp_path_factory.mktemp("acted") / "run"
    assert sparring(*ACTING, "--run", run) == 0
    return run


def test_an_act_is_on_record_with_before_and_after(acted):
    acts = [row["act"] for row in findings(acted) if "act" in row]
    assert 1 <= len(acts) <= remedies.MOST
    first = acts[0]
    assert first["finding"] == "vanishing gradient"
    assert first["before"]["loss"] == "minimax"
    assert first["after"]["loss"] == "relativistic"
    assert first["to"] < first["at"]
    assert len({(act["to"], json.dumps(act["after"])) for act in acts}) == len(acts)
    seen = [row["seen"] for row in rows(acted, "stats.jsonl")]
    assert seen == sorted(set(seen))
    assert rows(acted, "abandoned.jsonl")
    assert "penalty/r2" in rows(acted, "stats.jsonl")[-1]  # the remedy is at work
    assert "relativistic" in (acted / "report.html").read_text()


def test_a_run_that_acts_resumes_as_if_never_stopped(acted, tmp_path):
    """kill -9 at random moments, before an act and after it."""
    run, moments = tmp_path / "run", random.Random(1)
    process = subprocess.Popen(command(*ACTING, "--run", run), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    for _ in range(2):
        while process.poll() is None and not list(run.glob("checkpoints/0*")):
            time.sleep(0.01)
        time.sleep(moments.uniform(0, 0.5))
        process.send_signal(signal.SIGKILL)
        process.wait()
        process = subprocess.Popen(command("resume", run), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    assert process.wait() == 0
    assert equal(state(run), state(acted))
    assert findings(run) == findings(acted)
    assert rows(run, "stats.jsonl") == rows(acted, "stats.jsonl")


def test_a_line_half_filled_at_a_stop_is_filled_after_it(tmp_path):
    straight, run = tmp_path / "straight", tmp_path / "run"
    begin = ["train", "ring", "--samples", 7680, *SHORT, "--log_every", "1920", "--checkpoint_every", "3840"]
    assert sparring(*begin, "--run", straight) == 0
    process = subprocess.Popen(command(*begin, "--run", run), stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not list(run.glob("checkpoints/0*")):
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate()
    assert "stopped and saved at" in said
    assert sparring("resume", run) == 0
    assert rows(run, "stats.jsonl") == rows(straight, "stats.jsonl")


@pytest.mark.parametrize("autopilot", ["off", "advise"])
def test_without_leave_nothing_is_changed(tmp_path, autopilot, capsys):
    run = tmp_path / "run"
    begin = ["train", "ring", "--samples", 2560, *SICK, *SHORT, *EVERY, "--autopilot", autopilot]
    assert sparring(*begin, "--run", run) == 0
    said = capsys.readouterr().err
    assert ("problem: vanishing gradient" in said) == (autopilot == "advise")
    assert "act:" not in said
    assert sparring("diagnose", run, "--json") == 0
    assert json.loads(capsys.readouterr().out)[0]["name"] == "vanishing gradient"


@pytest.fixture
def moved(monkeypatch):
    """As if something of the data were covered, from where a rate of 1e-9 leads nowhere."""
    monkeypatch.setattr(autopilot, "begun", lambda run: True)


def test_a_plateau_ends_a_run_and_the_best_checkpoint_stays(tmp_path, capsys, moved):
    run = tmp_path / "run"
    options = ["--stop", "plateau", "--patience", 1000, "--lr", 1e-9, "--evaluate_every", 640, "--log_every", 640]
    assert sparring("train", "ring", "--samples", 200_000, *SHORT, *options, "--run", run) == 0
    said = capsys.readouterr().err
    assert "no better than" in said
    card = json.loads((run / "card.json").read_text())
    assert "no better than" in card["stopped"]["why"]
    assert "% of held-out examples above fakes" in card["stopped"]["why"]
    assert card["stopped"]["seen"] < 10_000
    assert f"{card['stopped']['best']:012d}" in [p.name for p in RunFolder(run).checkpoints()]
    assert "no better than" in (run / "report.html").read_text()
    resumed = tmp_path / "resumed"
    shutil.copytree(run, resumed)
    shutil.rmtree(RunFolder(resumed).checkpoints()[-1])
    assert sparring("resume", resumed) == 0
    assert equal(state(resumed), state(run))
    assert sparring("resume", resumed, "--samples", 300_000) == 0
    again = state(resumed)["seen"]
    assert card["stopped"]["seen"] + 6 * 640 < again < 300_000  # measures from before are of no plateau
    assert [row["name"] for row in findings(resumed)].count("longer") == 1
    assert sparring("diagnose", resumed) == 0
    assert "what ended it, its plateau, does so no more: another length was asked for" in capsys.readouterr().out
    ends = [row["seen"] for row in rows(resumed, "evaluations.jsonl") if row.get("last")]
    assert ends == [card["stopped"]["seen"], again]


def test_what_is_far_off_is_on_no_plateau(tmp_path):
    run = tmp_path / "run"
    options = ["--stop", "plateau", "--patience", 1000, "--lr", 1e-9, "--evaluate_every", 640, "--log_every", 640]
    assert sparring("train", "ring", "--samples", 12_800, *SHORT, *options, "--run", run) == 0
    assert json.loads((run / "card.json").read_text())["stopped"]["why"] == "the budget is spent"


def test_a_line_of_the_last_measures_is_not_among_those_a_run_is_judged_by():
    few = {"n_real": 100, "n_fake": 100, "metrics": {"fid": {"value": 1.0, "se": 0.1, "better": "lower"}}}
    lines = [{"seen": 640, **few}, {"seen": 1280, **few, "last": True}, {"seen": 1920, **few, "by": "hand"}]
    run = SimpleNamespace(
        folder=SimpleNamespace(rows=lambda name: lines),
        recipe=SimpleNamespace(target="fid"),
    )
    assert [m.seen for m in autopilot.judged(run)] == [640]


def test_what_is_measured_by_hand_between_stop_and_resume_decides_nothing(tmp_path, monkeypatch, moved):
    straight, run = tmp_path / "straight", tmp_path / "run"
    often = ["--evaluate_every", 640, "--log_every", 640, "--sample_every", 640, "--checkpoint_every", 640]
    begin = ["train", "ring", "--samples", 200_000, *SHORT, "--stop", "plateau", "--patience", 1000, "--lr", 1e-9]
    assert sparring(*begin, *often, "--run", straight) == 0

    sheet = trainer.draw_sheet

    def interrupted(of):
        sheet(of)
        if of.state.seen == 1920:
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(trainer, "draw_sheet", interrupted)
    assert sparring(*begin, *often, "--run", run) == 128 + signal.SIGTERM
    monkeypatch.setattr(trainer, "draw_sheet", sheet)
    for seed in range(4):
        assert sparring("evaluate", run, "--against", "grid", "-n", 100, "--seed", seed) == 0
    assert sparring("resume", run) == 0
    assert sparring("evaluate", run, "-n", 100) == 0
    assert sparring("resume", run) == 0  # of a run that is over: only its last measure is made anew

    by_hand = [row for row in rows(run, "evaluations.jsonl") if "by" in row]
    assert [row["data"] for row in by_hand] == ["grid"] * 4 + ["ring"]
    assert sparring("report", run) == 0
    assert "grid · heldout" in (run / "report.html").read_text()
    own = lambda of: [row for row in rows(of, "evaluations.jsonl") if "by" not in row]
    assert own(run) == own(straight)
    assert findings(run) == findings(straight)
    assert equal(state(run), state(straight))
    stopped = [json.loads((of / "card.json").read_text())["stopped"] for of in (run, straight)]
    assert stopped[0] == stopped[1]


@pytest.mark.parametrize(("anew", "kept"), [(0.5, 640), (0.39, None)])
def test_after_a_plateau_the_best_is_kept_if_it_is_better_when_measured_anew(tmp_path, monkeypatch, anew, kept):
    run, found, during, after = tmp_path / "run", keeping.evaluate, iter([0.9]), iter([0.4, anew])

    def evaluate(*given, ceiling, **options):  # lucky at first; then of the last one, and of the best
        value = next(during, None) or (next(after) if ceiling else 0.1)
        coverage = {"value": value, "se": 0.02, "better": "higher"}
        return found(*given, ceiling=ceiling, **options) | {"metrics": {"coverage": coverage}}

    monkeypatch.setattr(keeping, "evaluate", evaluate)
    options = ["--stop", "plateau", "--patience", 1000, "--evaluate_every", 640, "--log_every", 640]
    assert sparring("train", "ring", "--samples", 200_000, *SHORT, *options, "--run", run) == 0
    stopped = json.loads((run / "card.json").read_text())["stopped"]
    assert stopped["best"] == 640
    assert stopped["kept"] == (kept or stopped["seen"])
    measured = rows(run, "evaluations.jsonl")[-1]
    assert measured["metrics"]["coverage"]["value"] == (anew if kept else 0.4)
    assert json.loads((run / "generator" / "generator.json").read_text())["seen"] == stopped["kept"]
    G, _, _ = load_generator(run / "generator")
    saved = RunFolder(run).load_at(stopped["kept"])
    assert all(equal(v, saved["state"]["ema"][k]) for k, v in G.state_dict().items())
    assert ("the generator kept is that of 640 samples" in (run / "report.html").read_text()) == bool(kept)


def test_a_target_ends_a_run(tmp_path, capsys):
    run = tmp_path / "run"
    options = ["--stop", "target", "--target", "kid=1e9", "--evaluate_every", 640]
    assert sparring("train", "ring", "--samples", 64_000, *SHORT, *options, "--run", run) == 0
    assert "which was to be 1e+09" in capsys.readouterr().err
    assert RunFolder(run).rows("stats.jsonl")[-1]["seen"] < 1400

    ended = rows(run, "stats.jsonl"), rows(run, "evaluations.jsonl")
    assert sparring("resume", run) == 0
    assert (rows(run, "stats.jsonl"), rows(run, "evaluations.jsonl")) == ended
    assert "which was to be 1e+09" in capsys.readouterr().err
    assert sparring("resume", run, "--samples", 64_000) == 0
    assert len(rows(run, "stats.jsonl")) > len(ended[0])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--stop target", "NAME=VALUE"),
        ("--stop target --target fdi=2", "did you mean 'fid'"),
        ("--stop target --target fid=low", "no number"),
        ("--stop plateau --route gumbel --tau_end 0.5", "may end it sooner: drop one"),
        ("--autopilot on", "autopilot"),
        ("--patience 0", "above 0"),
    ],
)
def test_a_wrong_wish_is_refused(options, words, tmp_path, capsys):
    assert sparring("train", "ring", *options.split(), "--run", tmp_path / "run") == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_what_spoiled_a_run_is_named(tmp_path, capsys):
    pictures, run = tmp_path / "pictures", tmp_path / "run"
    pictures.mkdir()
    random_pixels = np.random.default_rng(0)
    for i in range(40):
        Image.fromarray(random_pixels.integers(0, 255, (8, 8, 3), dtype=np.uint8)).save(pictures / f"cat{i}.png")
    Image.new("RGB", (8, 8), "white").save(pictures / "blank.png")
    options = [
        "--width",
        "4",
        "--batch",
        "8",
        "--threads",
        "1",
        "--lr",
        "1e18",
        "--log_every",
        "80",
        "--samples",
        "8000",
    ]
    assert sparring("train", pictures, "--size", 8, *options, "--run", run) == 1
    said = capsys.readouterr().err
    assert "NaN or infinite in the step after" in said
    assert "cat" in said and ".png" in said
    names = [row["name"] for row in findings(run)]
    assert names == ["data: blank", "not finite"]
    assert sparring("diagnose", run, "--json") == 0
    assert [f["name"] for f in json.loads(capsys.readouterr().out)] == ["not finite", "data: blank"]


@pytest.mark.parametrize(
    ("classes", "lost"),
    [(["1", "2", "3"], []), (["0", "1", "3"], ["2"]), (["2", "5"], []), (["a", "b"], []), (["1", "3"], ["2"])],
)
def test_a_class_without_examples_is_a_gap_between_the_first_and_the_last(classes, lost):
    train = SimpleNamespace(x=np.zeros((9, 2), np.float32), labels=np.arange(9) % len(classes))
    sizes = autopilot.census(SimpleNamespace(train=train, classes=classes, card={}))["class_sizes"]
    assert [name for name, n in sizes.items() if n == 0] == lost


@pytest.mark.parametrize(("to", "stays"), [(30_000, False), (50_000, True), (60_000, True)])
def test_a_run_that_goes_back_before_its_plateau_has_not_settled(monkeypatch, to, stays):
    spec, device, samples = Spec(Vector(2)), torch.device("cpu"), 100_000
    r = recipe.filled(Recipe(data="ring", samples=samples), spec, device)
    first = recipe.method(replace(r, samples=samples), spec)
    plateau = Act(50_000, 50_000, "plateau", "settled", {}, {})
    state = SimpleNamespace(seen=62_000)
    run = SimpleNamespace(recipe=replace(r, samples=samples), data=SimpleNamespace(spec=spec), begun_on="cpu", why="")
    run.state, run.acts, run.findings = state, [plateau], []
    run.method = autopilot.replayed(run, run.acts)
    act = Act(62_000, to, "critic wins", "slower_critic", {}, {})
    monkeypatch.setattr(autopilot, "choose", lambda run, found: (act, remedies.slower_critic(run.method, act.at)))
    monkeypatch.setattr(autopilot, "go_back", lambda *_: None)
    monkeypatch.setattr(autopilot, "record", lambda *_: None)

    autopilot.act_on(run, [], None)
    assert (plateau in run.acts) == stays and run.acts[-1].to == to
    assert (autopilot.end(run) < samples) == stays
    assert (run.method.lr_G(samples - 1) == first.lr_G(samples)) == stays
    again = autopilot.replayed(run, run.acts)
    assert [again.lr_D(at) for at in (to, 70_000, samples)] == [run.method.lr_D(at) for at in (to, 70_000, samples)]
    assert stays or run.acts[-1].after["lr_D"] == pytest.approx(0.25 * first.lr_D(62_000), rel=1e-4)


# -- when it is enough ------------------------------------------------------------------------------------------------


def evaluations(values, se=0.1, better="lower"):
    return [
        {"seen": 100 * (i + 1), "metrics": {"fid": {"value": v, "se": se, "better": better}}}
        for i, v in enumerate(values)
    ]


def test_a_gain_below_its_error_is_no_gain():
    falling = [5 - i for i in range(5)]
    flat = [1 - 0.001 * i for i in range(8)]
    measured = stopping.series(evaluations(falling + flat), "fid")
    assert stopping.plateau(measured[:8], 300) == ""
    assert stopping.plateau(measured, 400) != ""
    assert "0.9985 ± 0.05 then" in stopping.plateau(measured, 400)
    assert stopping.plateau(measured, 700) == ""  # too few to compare them with
    assert "300 samples before" in stopping.plateau(measured, 1)
    assert stopping.plateau([], 1) == ""
    mirrored = stopping.series(evaluations([-v for v in falling + flat], better="higher"), "fid")
    assert stopping.plateau(mirrored, 400) != "" == stopping.plateau(mirrored[:8], 300)


def test_a_swing_and_one_lucky_measure_are_no_plateau():
    falling = [v + 3 * (i % 2) for i, v in enumerate(range(20, 0, -1))]
    measured = stopping.series(evaluations([20, 1, *falling]), "fid")
    assert all(stopping.plateau(measured[:n], 600) == "" for n in range(len(measured)))
    assert "no better than 600 samples before" in stopping.plateau(stopping.series(evaluations([3, 1] * 6), "fid"), 600)


def test_the_best_is_the_earlier_of_equals_and_targets_are_met_by_value():
    measured = stopping.series(evaluations([3, 1, 2, 1]), "fid")
    assert stopping.best(measured).seen == 200
    assert stopping.best([]) is None
    assert stopping.reached(measured, 1.0) and not stopping.reached(measured, 0.9)
    rows = [{"seen": 1, "truth": {"modes": 7.0, "kl": 0.3}}]
    assert stopping.reached(stopping.series(rows, "modes"), 7) and not stopping.reached(
        stopping.series(rows, "kl"), 0.2
    )
    assert stopping.series(rows, "fid") == []
