"""The doctor reads runs and foreign logs, and says what cannot be told."""

import json
import math
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sparring import diagnose, logs
from sparring.cli import main
from sparring.folder import RunFolder
from sparring.names import RequestError


def sparring(*argv):
    return main([str(a) for a in argv])


STYLEGAN = [  # lines as its stats.jsonl has them
    {
        "Loss/scores/real": {"num": 64, "mean": 5.0 + i / 10, "std": 1.0},
        "Loss/scores/fake": {"num": 64, "mean": -5.0 - i / 10, "std": 1.0},
        "Loss/D/loss": {"num": 64, "mean": 0.01, "std": 0.1},
        "Loss/G/loss": {"num": 64, "mean": 6.0, "std": 0.1},
        "Progress/kimg": {"num": 1, "mean": 4.0 * i, "std": 0.0},
        "timestamp": 1e9,
    }
    for i in range(40)
]
PRINTED = "".join(
    f"[{i // 10}/5][{i % 10}/10]\tLoss_D: 0.0{i % 5 + 1}\tLoss_G: {9 + i / 10:.4f}\t"
    f"D(x): 0.99{i % 9}\tD(G(z)): 0.0{i % 3}1 / 0.002\n"
    for i in range(50)
)
D_LOSS = ("Loss_D", "d_loss", "D loss", "errD", "lossD", "train/d_loss", "critic_loss", "D/loss")


def table(**columns):
    rows = list(zip(*columns.values()))
    return "\n".join([",".join(columns), *(",".join(map(str, row)) for row in rows)])


def test_the_log_of_another_trainer_is_read(tmp_path, capsys):
    log = tmp_path / "stats.jsonl"
    log.write_text("\n".join(map(json.dumps, STYLEGAN)))
    assert sparring("diagnose", log, "--json") == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found["name"] == "critic wins"
    assert found.keys() >= {"name", "since", "evidence", "advice"}

    assert sparring("diagnose", log) == 0
    said = capsys.readouterr().out
    assert "Loss/scores/real is read as score/real" in said
    assert "Progress/kimg counts thousands of images" in said
    assert "cannot be told: collapse (needs spread or duplicates)" in said


def test_printed_lines_with_probabilities_are_read(tmp_path, capsys):
    log = tmp_path / "out.txt"
    log.write_text("starting\n" + PRINTED)
    assert sparring("diagnose", log) == 0
    said = capsys.readouterr().out
    assert "problem: critic wins" in said
    assert "read as probabilities" in said
    assert "D(G(z)) is read as score/fake" in said


def test_losses_alone_say_a_little(tmp_path, capsys):
    log = tmp_path / "log.csv"
    log.write_text(table(step=range(60), d_loss=[0.001] * 60, g_loss=[12.0] * 60, lr=[1e-4] * 60))
    assert sparring("diagnose", log) == 0
    said = capsys.readouterr().out
    assert "D's loss is 0.001" in said
    assert "is an option of `sparring train`" in said
    assert "not read: lr" in said
    log.write_text(table(step=range(60), d_loss=[1.3] * 59 + [math.nan], g_loss=[0.8] * 60))
    assert sparring("diagnose", log, "--json") == 0
    assert [f["name"] for f in json.loads(capsys.readouterr().out)] == ["not finite"]
    log.write_text(table(step=range(60), d_loss=[1.3] * 60, g_loss=[0.8] * 60))
    assert sparring("diagnose", log) == 0
    said = capsys.readouterr().out
    assert "none was found" in said
    assert "option of" not in said


@pytest.mark.parametrize(
    ("name", "meaning"),
    [
        *((n, "D/loss") for n in D_LOSS),
        *((n, "G/loss") for n in ("loss_g", "G_loss", "errG", "generator/loss", "Loss/G/loss")),
        *((n, "score/real") for n in ("D(x)", "real_score", "d_real", "logits_real", "score/real")),
        *((n, "score/fake") for n in ("D(G(z))", "fake_score", "D_fake", "Loss/scores/fake")),
    ],
)
def test_columns_have_many_names(name, meaning):
    assert logs.meanings([name]) == {meaning: name}


def read(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    return logs.read(tmp_path / name)


@pytest.mark.parametrize(
    ("columns", "seen"),
    [
        (dict(epoch=[i // 20 for i in range(60)], step=range(0, 600, 10)), list(range(0, 600, 10))),
        (dict(batch=[64] * 60, step=range(60)), list(range(60))),
        (dict(step=[0] * 60, epoch=range(60)), list(range(60))),
        (dict(epoch=[0] * 60), list(range(60))),
    ],
    ids=["steps before epochs", "steps before batches", "what moves", "nothing moves"],
)
def test_a_clock_is_the_column_that_moves(tmp_path, columns, seen):
    log = read(tmp_path, "log.csv", table(**columns, d_loss=[1.3] * 60, g_loss=[0.8] * 60))
    assert [row["seen"] for row in log.rows] == seen


@pytest.mark.parametrize(
    ("line", "losses"),
    [
        ("[Epoch {e}/200] [Batch {b}/20] [D loss: 0.69] [G loss: 0.70]", (0.69, 0.70)),
        ("{i} [D loss: 0.61, acc.: 60%] [G loss: 0.8]", (0.61, 0.8)),
        ("Discriminator loss: 0.5", (0.5, None)),
        ("Epoch [{e}/200], Step[{b}/20], Loss D: 0.5, Loss G: 1.5", (0.5, 1.5)),
        ("(epoch: {e}, iters: {i}00, time: 0.1) G_GAN: 0.7 G_L1: 9 D_real: 0.4 D_fake: 0.6", (0.5, 0.7)),
    ],
)
def test_lines_as_others_print_them_are_read(tmp_path, line, losses):
    log = read(tmp_path, "out.txt", "\n".join(line.format(i=i, e=i // 20, b=i % 20) for i in range(60)))
    assert len(log.rows) == 60
    for row in log.rows:
        assert (row["D/loss"], row.get("G/loss")) == pytest.approx(losses) and "score/real" not in row
    seen = [row["seen"] for row in log.rows]
    assert seen == sorted(set(seen))
    assert not any("probabilities" in line for line in log.said)


def test_a_counter_on_a_line_of_its_own_holds_for_those_after_it(tmp_path):
    lines = "\n".join(f"Epoch {e}/50\n20/20 - 3s - d_loss: 0.5 - g_loss: 0.7" for e in range(1, 51))
    log = read(tmp_path, "out.txt", lines)
    assert [row["seen"] for row in log.rows] == list(range(1, 51))
    assert log.unit == "Epoch"


def test_tables_of_other_lands_are_read(tmp_path):
    rows = "\n".join(f"{i};0,5;0,75" for i in range(60))
    for encoding in ("utf-8-sig", "utf-16"):
        (tmp_path / "log.csv").write_bytes(f"step;D_loss;G_loss\n{rows}".encode(encoding))
        log = logs.read(tmp_path / "log.csv")
        assert log.rows[7] == {"seen": 7, "D/loss": 0.5, "G/loss": 0.75}


def test_one_lost_number_hides_no_probabilities(tmp_path):
    columns = dict(d_x=[0.99] * 59 + [math.nan], d_g_z=[0.01] * 60)
    log = read(tmp_path, "log.csv", table(kimg=range(60), d_loss=[1.3] * 60, **columns))
    assert any("probabilities" in line for line in log.said)
    assert math.isnan(log.rows[-1]["score/real"]) and log.rows[0]["score/real"] > 4
    assert (log.rows[-1]["seen"], log.unit) == (59_000, "images")


def test_a_table_with_an_open_quote_is_refused_in_words(tmp_path):
    with pytest.raises(RequestError, match=r"line \d+ on .*quote is left open"):
        read(tmp_path, "log.csv", 'step,d_loss,g_loss\n0,1,"2\n' + "1,1.3,0.8\n" * 20_000)


def test_other_columns_have_no_meaning():
    assert logs.meanings(["learning_rate", "D_lr", "fid", "time", "loss", "epoch"]) == {}


def test_an_unreadable_log_is_refused_in_one_line(tmp_path, capsys):
    log = tmp_path / "poem.txt"
    log.write_text("a rose\nis a rose\n")
    assert sparring("diagnose", log) == 2
    assert "nothing that a doctor can read" in capsys.readouterr().err
    assert sparring("diagnose", tmp_path / "nowhere") == 2
    assert "does not exist" in capsys.readouterr().err
    log.write_text(PRINTED)
    assert sparring("diagnose", log, "--deep") == 2
    assert "needs the players" in capsys.readouterr().err
    with pytest.raises(RequestError):
        logs.read(tmp_path)


def written(run, rows, findings=()):
    """A folder of a run with these rows and findings."""
    RunFolder(run).create({"data": "ring"})
    for name, lines in (("stats.jsonl", rows), ("findings.jsonl", findings)):
        RunFolder(run).write_rows(name, list(lines))
    return run


def test_with_few_rows_nothing_is_looked_for(tmp_path, capsys):
    rows = [{"seen": 64 * i, "score/real": 0.5, "score/fake": 0.4} for i in range(1, 6)]
    for n in (0, 4, 5):
        assert sparring("diagnose", written(tmp_path / str(n), rows[:n])) == 0
        said = capsys.readouterr().out
        assert (f"too few rows yet ({n} of 5)" in said) == (n < 5)
        assert ("none was found" in said) == (n == 5)


@pytest.mark.parametrize("saved", [True, False])
def test_what_an_act_has_saved_is_not_lost(tmp_path, capsys, saved):
    rows = [{"seen": 64 * i, "score/real": 0.5, "score/fake": 0.4} for i in range(1, 9)]
    lost = {"seen": 300, "name": "not finite", "since": 256, "evidence": "D/loss", "advice": "half", "level": "problem"}
    act = lost | {"name": "act: slower", "since": 256, "level": "note", "act": {}}
    findings = [lost, act] if saved else [lost, act, lost]
    assert sparring("diagnose", written(tmp_path / "run", rows, findings), "--json") == 0
    assert [f["name"] for f in json.loads(capsys.readouterr().out)] == ([] if saved else ["not finite"])


def test_three_lines_in_any_loop():
    history = []
    for i in range(100):
        history.append({"seen": 64 * i, "score/real": 0.01 * i**2, "score/fake": -0.01 * i**2})
    assert [f.name for f in diagnose(history)] == ["critic unbounded", "critic wins"]
    assert [f.name for f in diagnose([{k: v for k, v in row.items() if k != "seen"} for row in history])]


def test_to_import_the_doctor_is_light():
    code = "from sparring import diagnose; import sys; raise SystemExit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_symptom_of_the_docs_speaks_of_a_run_that_slowed_down():
    text = (Path(__file__).parent.parent / "docs" / "doctor.md").read_text()
    code = text.split("## A symptom of your own")[1].split("```python")[1].split("```")[0]
    assert len(code.split("def slow")[1].split("\n\n\n")[0].splitlines()) < 10
    for speeds, names in (([100] * 200, []), ([100] * 100 + [20] * 100, ["slow"])):
        scope = {"history": [{"seen": 100 * i, "images_per_second": float(v)} for i, v in enumerate(speeds)]}
        exec(re.sub("^history =.*$", "", code, flags=re.M), scope)
        assert [f.name for f in scope["found"]] == names
