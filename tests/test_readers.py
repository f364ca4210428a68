"""The command `evaluate`: by which extractors, beside what real samples get, and what it refuses."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture

from sparring import worlds
from sparring.cli import main
from sparring.extractors import learned
from sparring.metrics import MEASURES


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    """A cache and a folder of one's own, no weights, learning that takes no time; noise.npy, digits spoilt by noise."""
    monkeypatch.setenv("SPARRING_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SPARRING_INCEPTION", raising=False)
    monkeypatch.setattr(learned, "STEPS", 2)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    x, rng = worlds.open("digits").draw(120, 0)[0].numpy()[:, 0], np.random.default_rng(0)
    np.save("noise.npy", (x + rng.normal(0, 40, x.shape)).clip(0, 255).astype(np.uint8))


def ask(*options):
    return main(["evaluate", "noise.npy", "--against", "digits", "-n", "100", *map(str, options)])


def test_a_run_by_class_is_measured_against_other_data_of_its_classes(tmp_path, capsys):
    draw, few = worlds.open("digits").draw, ["--samples", "64", "--batch", "16", "--threads", "1", "--width", "4"]
    for name, seed, labels in (("own", 0, range(10)), ("other", 1, range(10)), ("odd", 1, range(1, 11))):
        x = draw(200, seed)[0]
        np.savez(f"{name}.npz", x=x[:, 0].numpy(), labels=np.array(labels)[np.arange(200) % 10])
    assert main(["train", "own.npz", "--condition", "class", "--run", "run", *few, "--evaluate_final", "20"]) == 0
    capsys.readouterr()
    ask = lambda other: main(["evaluate", "run", "--against", other, "-n", "20", "--extractor", "raw", "--json"])
    assert ask(str(tmp_path / "own.npz")) == 0
    same = json.loads(capsys.readouterr().out)
    assert ask("other.npz") == 0
    assert json.loads(capsys.readouterr().out)["metrics"] != same["metrics"]
    assert ask("odd.npz") == 2
    assert "has classes that run does not make (10; it makes 0, 1, 2" in capsys.readouterr().err
    assert ask("ring") == 2
    assert "cannot be made by class" in capsys.readouterr().err


def test_what_is_made_counts_though_it_is_blank_or_there_again(capsys):
    real = worlds.open("digits").draw(200, 0)[0][:, 0].numpy()
    np.save("collapsed.npy", np.concatenate([real[:20], np.repeat(real[:1], 180, 0)]))
    np.save("black.npy", np.concatenate([real[:20], np.zeros_like(real[:180])]))
    np.save("same.npy", np.repeat(real[:1], 40, 0))
    for name, n in (("collapsed", 200), ("black", 200), ("same", 40)):
        ask = ["evaluate", f"{name}.npy", "--against", "digits", "--extractor", "raw", "--measures", "coverage,vendi"]
        assert main([*ask, "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["n_fake"] == n
        assert found["metrics"]["vendi"]["value"] < 4 and found["metrics"]["coverage"]["value"] < 0.2


def test_points_and_texts_that_are_all_one_are_measured_too(capsys):
    np.save("one.npy", np.full((60, 2), 0.5, np.float32))
    Path("one.txt").write_text("a b a b\n" * 30)
    Path("few.txt").write_text("a b a b\nb a\n")
    assert main(["evaluate", "one.npy", "--against", "ring", "-n", "60", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["truth"]["modes"] == 0
    rng = np.random.default_rng(0)
    Path("real.txt").write_text("".join(" ".join(rng.choice(list("abcd"), 5)) + "\n" for _ in range(200)))
    for name, share in (("one", 1 / 30), ("few", 1)):
        asked = ["evaluate", f"{name}.txt", "--against", "real.txt", "--measures", "unique,bleu", "--json"]
        assert main(asked) == 0
        assert json.loads(capsys.readouterr().out)["metrics"]["unique"]["value"] == pytest.approx(share)


def test_two_extractors_each_beside_its_own_floor(capsys):
    assert ask("--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["extractor"].startswith("random-conv-1x8x8-")
    (other,) = found["also"]
    assert other["extractor"].startswith("learned-1x8x8-")
    for report in (found, other):
        assert report["metrics"].keys() == MEASURES.keys()
        assert report["ceiling"].keys() >= MEASURES.keys()
        assert report["metrics"]["fid"]["value"] > report["ceiling"]["fid"]["value"]
    assert "valid" in found["truth"]

    assert ask() == 0
    told = capsys.readouterr().out
    for name in (found["extractor"], other["extractor"]):
        (line,) = [line for line in told.splitlines() if name in line]
        assert line.endswith("real against real")
    assert told.count("lower is better") == 2 * sum(m["better"] == "lower" for m in found["metrics"].values())


def test_reference_features_are_taken_once_and_give_the_same_numbers(capsys, tmp_path):
    assert ask("--extractor", "random", "--json") == 0
    first, kept = capsys.readouterr().out, sorted((tmp_path / "cache").glob("features-*"))
    assert len(kept) == 2  # of the real samples, and with the others
    assert ask("--extractor", "random", "--json") == 0
    assert capsys.readouterr().out == first
    assert sorted((tmp_path / "cache").glob("features-*")) == kept


def test_a_module_of_ones_own(capsys, tmp_path):
    (tmp_path / "rows_of_mine.py").write_text("def rows(x):\n    return x.mean(3).flatten(1)\n")
    assert ask("--extractor", "rows_of_mine:rows,pca", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["extractor"].startswith("rows_of_mine:rows-")
    assert [other["extractor"][:6] for other in found["also"]] == ["pca-64"]


def test_all_of_the_reference_counts_where_no_run_was_trained_on_it(capsys):
    assert ask("-n", "5000", "--extractor", "raw", "--measures", "kid,is", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["split"], found["n_real"], found["n_fake"]) == ("all", 1797, 120)
    assert found["metrics"].keys() == {"kid", "is"}
    assert found["resize"] == "none"
    assert "lines" not in found


def test_folders_with_classes_are_measured_by_class(capsys, tmp_path):
    digits = worlds.open("digits")
    for folder, held in (("real", False), ("made", True)):
        x, y = digits.draw(240, 0, held)[0][:, 0], digits.labels(240, 0, held)
        for i in (y < 3).nonzero()[:, 0].tolist():
            place = tmp_path / folder / f"class {int(y[i])}"
            place.mkdir(parents=True, exist_ok=True)
            Picture.fromarray(x[i].numpy()).save(place / f"{i}.png")
    names = "cas,fid_by_class"
    options = ["--extractor", "raw", "--measures", names, "--json"]
    assert main(["evaluate", "made", "--against", "real", *options]) == 0
    found = json.loads(capsys.readouterr().out)["metrics"]
    assert found.keys() == {"cas", "fid_by_class", *(f"fid_by_class/class {k}" for k in range(3))}
    assert found["cas"]["value"] > 0.9


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--measures cas", "asks for the classes of what is measured, and it has none"),
        ("--measures fid,bleu", "--measures bleu asks for words, and digits has none"),
        ("--extractor learnt", "extractor 'learnt' is none of raw, pca, random, learned"),
        ("--extractor learnt", "did you mean 'learned'"),
        ("--extractor inception", "pt_inception-2015-12-05-6726825d.pth"),
        ("--weights nowhere.pth", "--weights nowhere.pth does not exist"),
        ("--weights noise.npy", "--weights noise.npy has SHA-256"),
        ("--extractor nowhere:E", "cannot be imported"),
        ("--extractor random --resize tf1", "has nothing to do"),
        ("--resize bilinear", "resize 'bilinear' is none of clean, tf1, none"),
        ("--extractor learned --minutes 0", "--minutes 0 must be above 0"),
        ("--device tpu", "use cpu, cuda or auto"),
        ("--copies noise.npy/pairs.png", "noise.npy is a file, not a folder"),
        ("-n 1", "-n 1 must be at least 2"),
        (
            "-n 3 --extractor raw --measures kid",
            "kid cannot be measured by raw: real has 3 samples and this measure needs",
        ),
        ("--extractor spoilt_rows:rows", "nothing can be measured by spoilt_rows:rows-"),
        (
            "--extractor spoilt_rows:rows",
            "fid is left out: real has 1 samples with NaN or infinite features, first number 3",
        ),
        ("--extractor spoilt_rows:rows --measures kid", "kid cannot be measured by spoilt_rows:rows-"),
        ("--extractor spoilt_rows:whole", "and should give (100, d)"),
    ],
)
def test_a_wrong_request_is_refused_in_one_line(options, words, capsys, tmp_path):
    spoilt = "return x.flatten(1).index_fill(0, torch.tensor(3), torch.nan)"
    (tmp_path / "spoilt_rows.py").write_text(f"import torch\ndef rows(x):\n    {spoilt}\ndef whole(x):\n    return x\n")
    assert ask(*options.split()) == 2
    said = capsys.readouterr()
    assert said.out == ""
    last = said.err.splitlines()[-1]
    assert last.startswith("sparring: ") and words in last


def pictures(folder, n=20, mode="RGB", classes=("",)):
    """A folder of noise, by subfolders where there are classes."""
    for i in range(n):
        place = folder / classes[i % len(classes)] / f"{i}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Picture.fromarray(np.random.default_rng(i).integers(256, size=(8, 8, 3)).astype(np.uint8)).convert(mode).save(
            place
        )
    return folder


def test_pictures_that_cannot_be_read_are_counted(tmp_path, capsys):
    real, made = pictures(tmp_path / "real"), pictures(tmp_path / "made", 22)
    for name in ("0.png", "1.png"):
        (made / name).write_bytes((made / name).read_bytes()[:100])
    (real / "2.png").write_bytes(b"")
    assert main(["evaluate", "made", "--against", "real", "--extractor", "raw", "--measures", "kid", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["n_real"], found["n_fake"]) == (19, 19)
    assert [note for note in found["notes"] if note.startswith("real: left out: 1 broken, of 20; e.g. 2.png")]
    assert [note for note in found["notes"] if note.startswith("made: left out: 2 broken, of 22; e.g. 0.png")]
    assert not [note for note in found["notes"] if "fid" in note]  # which was not asked for


def test_unlike_is_not_measured_with_like(tmp_path, capsys):
    pictures(tmp_path / "real", classes=("a", "b"))
    pictures(tmp_path / "gray", mode="L")
    pictures(tmp_path / "other", classes=("a", "z"))
    x = np.random.default_rng(0).random((20, 8, 8, 3)).astype(np.float32)
    np.save("floats.npy", x)
    np.save("points.npy", x[:, 0, :, 0])
    np.savez("labels.npz", x=(255 * x).astype(np.uint8), y=np.arange(20) % 2 - 1)
    for what, words in (
        ("gray", "gray has samples of (1, 8, 8), and real of (3, 8, 8); make both gray, or both coloured"),
        ("points.npy", "points.npy has samples of (8,), and real of (3, 8, 8); measure like with like"),
        (
            "floats.npy",
            "of float32; give bytes 0 to 255: (255 * x).round().astype('uint8') if x is in [0, 1], with 127.5",
        ),
        ("other --measures cas", "what is measured has 'z', which is none of a, b; name them alike"),
        ("labels.npz --measures cas", "what is measured has '-1', which is none of a, b; name them alike"),
    ):
        name, *options = what.split()
        assert main(["evaluate", name, "--against", "real", "--extractor", "raw", *options]) == 2
        assert words in capsys.readouterr().err
    assert main(["evaluate", "other", "--against", "real", "--extractor", "raw", "--measures", "all", "--json"]) == 0
    notes = json.loads(capsys.readouterr().out)["notes"]
    assert "cas is left out: fake has the class 'z', which no real sample has" in notes
    assert [note for note in notes if note.startswith("bleu, self_bleu, ngrams_1") and note.endswith("are none")]


def test_a_file_that_is_no_picture_is_refused(capsys, tmp_path):
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "a.txt").write_text("no picture")
    assert main(["evaluate", "words", "--against", "digits"]) == 2
    assert "usable pictures of 1 (1 no picture" in capsys.readouterr().err


def test_help_names_the_extractors(capsys):
    from sparring.extractors import EXTRACTORS

    assert main(["evaluate", "--help"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert ", ".join(EXTRACTORS) in told
    assert "clean (default), tf1, none" in told
    assert "a folder of samples against all of the data" in told
    assert "runs that foresee, with commas between" in told


def test_a_reader_who_has_read_enough_is_no_fault(tmp_path):
    """As in `sparring worlds | head -1`."""
    command = [sys.executable, "-m", "sparring", "worlds"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 141
