"""The command looks for copies: it finds a generator that mirrors its training pictures, and shows the pairs."""

import json

import pytest
import torch
from PIL import Image as Picture

from sparring import data as data_room
from sparring.cli import main


@pytest.fixture
def mirrored(tmp_path, monkeypatch):
    """A file of the digits that are trained on, mirrored."""
    import numpy as np

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


def test_a_measure_that_there_is_not_is_a_wrong_request(mirrored, capsys):
    assert main(["evaluate", str(mirrored), "--against", "digits", "--measures", "fdi"]) == 2
    assert "--measures: 'fdi' is none of all, fid, kid" in capsys.readouterr().err
