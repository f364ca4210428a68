"""The command looks for copies: it finds a generator that mirrors its training pictures, and shows the pairs."""

import json

import numpy as np
import pytest
import torch
from PIL import Image as Picture

from sparring import data as data_room
from sparring.cli import main


@pytest.fixture
def mirrored(tmp_path, monkeypatch):
    """A file of the digits that are trained on, mirrored."""
    monkeypatch.setenv("SPARRING_CACHE", str(tmp_path / "cache"))
    from sparring import worlds

    train = data_room.open(worlds.open("digits")).train.take(torch.arange(120))[0]
    file = tmp_path / "made.npy"
    np.save(file, train.flip(-1).numpy()[:, 0])
    return file


def test_mirrored_copies_are_found_by_the_command(mirrored, tmp_path, capsys):
    sheet = tmp_path / "pairs.png"
    options = ["--measures", "kid,one_nn", "--extractor", "raw", "--copies", str(sheet), "--json"]
    assert main(["evaluate", str(mirrored), "--against", "digits", *options]) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found["metrics"]) == ["kid", "one_nn"]
    assert found["copies"]["copied"]
    assert found["copies"]["ways"]["mirrored"]["share"] > 0.9
    with Picture.open(sheet) as pairs:
        assert pairs.size[0] > 100

    assert main(["evaluate", str(mirrored), "--against", "digits", *options[:-1]]) == 0
    assert "copies: nearer to the training set than held-out samples are" in capsys.readouterr().out


def test_the_most_suspicious_points_and_texts_are_shown_as_such(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SPARRING_CACHE", str(tmp_path / "cache"))
    points = torch.randn(400, 2, generator=torch.Generator().manual_seed(0))
    np.save(tmp_path / "points.npy", points.numpy())
    said = [f"the {a} {b} {c}" for a in ("cat", "dog", "cow", "pig") for b in ("sat", "ate", "ran") for c in range(30)]
    (tmp_path / "said.txt").write_text("\n".join(said))
    for name, sheet in (("points.npy", "pairs.png"), ("said.txt", "pairs.txt")):
        asked = ["--extractor", "raw", "--measures", "kid", "--copies", str(tmp_path / "pairs")]
        assert main(["evaluate", str(tmp_path / name), "--against", str(tmp_path / name), *asked]) == 0
        assert f": {tmp_path / sheet}" in capsys.readouterr().out
        assert (tmp_path / sheet).exists()
    made, training, *_ = (tmp_path / "pairs.txt").read_text().splitlines()
    assert made == training and made in said


def test_a_measure_that_there_is_not_is_a_wrong_request(mirrored, capsys):
    assert main(["evaluate", str(mirrored), "--against", "digits", "--measures", "fdi"]) == 2
    assert "--measures: 'fdi' is none of all, fid, kid" in capsys.readouterr().err
