"""What a user brings of their own plays, and what fails is refused in words before anything is written."""

import sys

import pytest

from .test_run import SHORT, sparring


def test_a_pair_of_ones_own(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(
        "from tests.test_train import Maker, Judge\ndef pair(spec, prior, width): return Maker(), Judge()\n"
    )
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    assert sparring("train", "ring", "--net", "mine:pair", "--samples", 640, *SHORT, "--run", tmp_path / "run") == 0


OWN = """
import torch
scores = lambda real, fake: fake - real
def total(G, D, x, c, fake, memory): return fake.abs().sum()
def features(x): return x.mean()
def lost(*given): raise KeyError("nobody knows")
def nothing(): return None
weight = 3.0
"""


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("--loss mine:scores", "--loss mine:scores is a function; make it a Loss"),
        ("--terms mine:total=1", "--terms mine:total=1 failed when tried: "),
        ("--terms mine:weight=1", "cannot be called: give a function"),
        ("--extractor mine:features", "gives () for (8, 2) and should give (8, d)"),
        (
            "--extractor mine:lost",
            "--extractor mine:lost failed when tried: KeyError: 'nobody",
        ),
        ("--terms mine:lost=1 --critic_steps 5", "--terms mine:lost=1 failed when tried: KeyError"),
        ("--penalties mine:lost=1 --lazy 8 --minutes 1", "--penalties mine:lost=1 failed when tried: KeyError"),
        ("--net mine:lost", "--net mine:lost failed when tried: KeyError: 'nobody knows' (mine.py, line 6)"),
        ("--net mine:nothing", "--net mine:nothing failed when tried: TypeError: nothing() takes 0"),
        ("--prior mine:lost", "--prior mine:lost failed when tried: KeyError"),
    ],
)
def test_what_is_ones_own_is_tried_before_anything_is_written(asked, words, tmp_path, monkeypatch, capsys):
    (tmp_path / "mine.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    length = () if "--minutes" in asked else ("--samples", 640)
    assert sparring("train", "ring", *asked.split(), *length, *SHORT, "--run", tmp_path / "run") == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("data", "words"),
    [("mine:lost", "DATA mine:lost failed when tried: KeyError"), ("mine:nothing", "NoneType is no data: give a path")],
)
def test_data_of_ones_own_that_fail_are_refused_in_words(data, words, tmp_path, monkeypatch, capsys):
    (tmp_path / "mine.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    assert sparring("train", data, "--run", tmp_path / "run") == 2
    assert words in capsys.readouterr().err
