"""Networks that learn from the training examples: what they learn, from what, for how long, and that once."""

import numpy as np
import pytest
import torch
from torch.nn.functional import pad

from sparring import data, worlds
from sparring.data import Split
from sparring.extractors import Making, features, learned, make
from sparring.extractors.learned import learn, vicreg
from sparring.extractors.untrained import Identity, RandomConv
from sparring.extractors.views import view
from sparring.metrics import fid
from sparring.spaces import Image

DIGITS, SPACE = data.open(worlds.open("digits")), Image(1, 8)
HELDOUT = DIGITS.heldout.take(range(len(DIGITS.heldout)))[0]


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SPARRING_CACHE", str(tmp_path / "cache"))


def moved(x, most=1):
    """Each picture up to `most` pixels aside, with its border repeated."""
    wide, rng = pad(x.float(), 4 * [most], mode="replicate").byte(), np.random.default_rng(0)
    at = rng.integers(0, 2 * most + 1, (len(x), 2))
    return torch.stack([w[:, r : r + 8, c : c + 8] for w, (r, c) in zip(wide, at)])


def read_rightly(E, x):
    """The share of held-out digits x of which most of the five nearest training digits are of their class."""
    of = lambda x: features(E, SPACE.encode(torch.as_tensor(x)).split(512))
    near = torch.cdist(of(x), of(DIGITS.train.x)).topk(5, largest=False).indices
    return float((DIGITS.train.labels[near.numpy()].T == DIGITS.heldout.labels).sum(0).__gt__(2).mean())


@pytest.fixture(scope="module")
def looked():
    return learn(DIGITS.train, SPACE, steps=150)


@pytest.fixture(scope="module")
def told():
    return learn(DIGITS.train, SPACE, classes=10, steps=80)


def test_learned_features_tell_classes_where_others_are_lost(looked, told):
    aside = moved(HELDOUT)
    by = {E.name: read_rightly(E, aside) for E in (Identity(), RandomConv(1, 8), looked.net, told.net)}
    pixels, random, learned, classifier = by.values()
    assert pixels < 0.75 and random < 0.75
    assert learned > 0.9 and classifier > 0.9
    assert read_rightly(looked.net, HELDOUT) > 0.96


def test_a_classifier_reads_held_out_examples_from_its_features(told):
    f = features(told.net, [SPACE.encode(HELDOUT)])
    assert told.net.logits(f).shape == (len(HELDOUT), 10)
    assert float((told.net.logits(f).argmax(1).numpy() == DIGITS.heldout.labels).mean()) > 0.9


def test_learned_features_are_centred_and_of_unit_spread(looked):
    f = features(looked.net, [SPACE.encode(torch.from_numpy(DIGITS.train.x))])
    torch.testing.assert_close(f.mean(0), torch.zeros(f.shape[1]), rtol=0, atol=1e-4)
    assert float(f.var(0).mean()) == pytest.approx(1, abs=1e-3)
    assert float(f.std(0).min()) > 0.05  # none is dead


def test_the_same_seed_learns_the_same():
    state = torch.get_rng_state()
    few = lambda seed: learn(DIGITS.train, SPACE, seed=seed, steps=3)
    assert few(0).net.name == few(0).net.name != few(1).net.name
    assert torch.equal(torch.get_rng_state(), state)


def test_a_limit_of_time_is_kept_and_told(monkeypatch):
    monkeypatch.setattr(learned, "FEWEST", 12)
    told = []
    found = learn(DIGITS.train, SPACE, minutes=1e-6, steps=500, progress=lambda *at: told.append(at))
    assert found.steps == 12
    assert told[-1] == (12, 12)
    assert "12 of 500 steps" in found.notes[0] and "--minutes" in found.notes[0]
    assert learn(DIGITS.train, SPACE, steps=2).notes == []


def test_what_was_learned_is_kept(monkeypatch, tmp_path):
    monkeypatch.setattr(learned, "STEPS", 2)
    bars = []
    m = Making(DIGITS, bar=lambda what: lambda done, total: bars.append(what))
    names = [E.name for E in make({"learned": None, "classifier": None}, m)]
    assert len(bars) == 4
    assert [E.name for E in make({"learned": None, "classifier": None}, m)] == names
    assert len(bars) == 4

    for file in (tmp_path / "cache").glob("*/weights.safetensors"):
        file.write_bytes(file.read_bytes()[:1000])
    assert [E.name for E in make({"learned": None, "classifier": None}, m)] == names
    assert len(bars) == 8
    monkeypatch.setattr(learned, "STEPS", 3)
    make({"learned": None}, m)
    assert len(bars) == 11


def test_few_examples_are_enough():
    few = Split(DIGITS.train.x[:16])
    assert features(learn(few, SPACE, steps=3).net, [SPACE.encode(HELDOUT[:4])]).isfinite().all()


def test_vicreg_by_hand():
    a, b = (torch.randn(9, 4, generator=torch.Generator().manual_seed(i)).double() * 0.5 for i in (0, 1))
    expected = 25 * ((a - b) ** 2).sum() / 36
    for z in (a.numpy(), b.numpy()):
        expected += 25 * np.maximum(0, 1 - np.sqrt(z.var(0, ddof=1) + 1e-4)).mean() / 2
        c = np.cov(z.T)
        expected += ((c**2).sum() - (np.diag(c) ** 2).sum()) / 4
    assert float(vicreg(a, b)) == pytest.approx(float(expected))
    assert float(vicreg(a * 0, b * 0)) == pytest.approx(25 * 0.99)  # all alike: every feature is dead


def test_views_stay_pictures_and_move_little():
    x = torch.rand(64, 3, 16, 16) * 2 - 1
    assert view(x).shape == x.shape
    assert not torch.equal(view(x), view(x))
    y, x = torch.meshgrid(*2 * [torch.linspace(-1, 1, 32)], indexing="ij")
    dot = ((x**2 + y**2) < 0.1).float().expand(256, 1, 32, 32)
    light = (view(dot) - view(dot).amin((1, 2, 3), keepdim=True)).clamp_min(0)
    assert light.isfinite().all()


def test_texts_are_looked_at_by_one_who_has_read_them(monkeypatch):
    """Signs in another order have the same counts: a network that learned to read on puts them far, and is kept."""
    monkeypatch.setattr(learned, "STEPS", 80)
    text, bars = data.open(worlds.open("grammar")), []

    def bar(what):
        bars.append(what)
        return lambda done, total: None

    made = lambda: make({"learned": None}, Making(text, bar=bar))[0]
    net = made()
    assert net.name.startswith("learned-16x11-") and made().name == net.name and len(bars) == 1
    x = text.spec.x.encode(text.heldout.take(range(1500))[0])
    assert net(x[:700]).shape == (700, 128) and torch.allclose(net(x[:1]), net(x[:3])[:1], atol=1e-5)
    lengths = (x.argmax(-1) != 0).sum(1).tolist()
    order = torch.stack([torch.cat([torch.randperm(k), torch.arange(k, 16)]) for k in lengths])
    mixed = x.gather(1, order[..., None].expand_as(x))
    floor, far = fid(net(x[:750]), net(x[750:])).value, fid(net(x[:750]), net(mixed[750:])).value
    assert far > 5 * floor
