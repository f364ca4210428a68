"""What the tests of data share: folders of pictures, a cache of their own, and when two data sets are the same."""

import numpy as np
import pytest
from PIL import Image

from sparring import data

from ..oddities import CLASSES, build, drawing


@pytest.fixture(scope="session")
def odd(tmp_path_factory):
    """The odd folder, what should be found in it, and what is."""
    folder = tmp_path_factory.mktemp("odd")
    expected = build(folder / "odd", n=160)
    return folder / "odd", expected, data.open(folder / "odd", cache=folder / "cache")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SPARRING_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def photos(tmp_path):
    """40 plain pictures of 40 × 36 in one folder."""
    rng = np.random.default_rng(7)
    (tmp_path / "photos").mkdir()
    for i in range(40):
        Image.fromarray(drawing(rng, CLASSES[i % 2], 40, 36)).save(tmp_path / "photos" / f"{i:02d}.png")
    return tmp_path / "photos"


def same(a, b):
    assert a.card["fingerprint"] == b.card["fingerprint"]
    assert a.spec == b.spec
    for s, t in ((a.train, b.train), (a.heldout, b.heldout)):
        assert np.array_equal(s.x, t.x)
        assert (s.labels is None and t.labels is None) or np.array_equal(s.labels, t.labels)


def leftovers(folder):
    return [p.name for p in folder.glob(".building-*")]
