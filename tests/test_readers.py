"""The command `evaluate`: by which extractors, beside what real samples get, and what it refuses."""

import json

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
    ],
)
def test_a_wrong_request_is_refused_in_one_line(options, words, capsys):
    assert ask(*options.split()) == 2
    said = capsys.readouterr()
    assert said.out == ""
    last = said.err.splitlines()[-1]
    assert last.startswith("sparring: ") and words in last


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
