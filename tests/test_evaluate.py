"""Laws of the extractors and of the report: the same everywhere, faults in order, numbers beside their ceiling."""

import json

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import avg_pool2d, pad

from sparring.evaluate import evaluate
from sparring.extractors import cheap, features, played, taken
from sparring.extractors.own import own
from sparring.extractors.untrained import Identity, RandomConv
from sparring.metrics import EVERY, MEASURES, Bank, Measure, chosen, measure, prdc
from sparring.spaces import Frames, Image, Label, Spec, Tokens, Vector, any_samples
from sparring.tables import of_measures

SPACES = [Vector(3), Image(1, 8), Image(3, 17), Image(3, 64), Image(1, 1), Frames(3, 1, 16), Tokens(12, 20)]


def blobs(n, seed=0, size=16):
    """n pictures of a bright disc of random place, size and colour, as bytes (n, 3, size, size)."""
    g = torch.Generator().manual_seed(seed)
    at, r, color = torch.rand(n, 2, 1, 1, generator=g), torch.rand(n, 1, 1, generator=g), torch.rand(n, 3, generator=g)
    y, x = torch.meshgrid(*2 * [torch.linspace(0, 1, size)], indexing="ij")
    inside = ((x - at[:, 0]) ** 2 + (y - at[:, 1]) ** 2 < (0.1 + 0.3 * r) ** 2)[:, None]
    return (inside * color[:, :, None, None] * 255).byte()


def blurred(x):
    return avg_pool2d(pad(x.float(), (1, 1, 1, 1), mode="replicate"), 3, 1).round().byte()


SPEC = Spec(Image(3, 16))


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_features_are_rows_of_finite_numbers_and_no_sample_sees_another(space):
    E, x = cheap(space), any_samples(space, 6)
    f = features(E, x.split(2))
    assert f.shape[0] == 6
    assert f.ndim == 2
    assert f.dtype == torch.float32
    assert f.isfinite().all()
    torch.testing.assert_close(f, features(E, [x]), rtol=1e-4, atol=1e-5)
    assert isinstance(E.name, str)


def test_the_random_network_is_the_same_wherever_it_is_made():
    state = torch.get_rng_state()
    E = RandomConv(3, 32)
    assert torch.equal(torch.get_rng_state(), state)
    assert E.name == "random-conv-3x32x32-b3eb982e"
    ramp = torch.linspace(-1, 1, 3 * 32 * 32).reshape(1, 3, 32, 32)
    assert float(E(ramp).square().mean()) == pytest.approx(3.29324, rel=1e-4)

    assert RandomConv(3, 32, seed=1).name != E.name
    assert not list(E.parameters())


def test_an_image_of_another_size_is_refused():
    with pytest.raises(ValueError, match=r"takes \(3, 32, 32\) a sample, not \(3, 16, 16\)"):
        RandomConv(3, 32)(torch.zeros(2, 3, 16, 16))


def test_a_space_without_an_extractor_says_the_way_out():
    with pytest.raises(TypeError, match="give a module"):
        cheap(Label(3))


def test_the_random_network_puts_faults_in_order():
    E, real, fresh = RandomConv(3, 16), blobs(600), blobs(600, 1)
    noise = torch.randint(256, fresh.shape, generator=torch.Generator().manual_seed(2)).byte()
    turned = torch.cat([fresh[:, :, :8], fresh.roll(1, 0)[:, :, 8:]], 2)  # upper and lower halves of different pictures
    of = lambda x: measure(*(features(E, played(z, SPEC.x)) for z in (real, x)), MEASURES)
    good, soft, noisy, torn = map(of, (fresh, blurred(fresh), noise, turned))

    for name in ("fid", "kid"):
        assert good[name].value + 5 * good[name].se < soft[name].value < noisy[name].value
    assert torn["fid"].value > good["fid"].value + 5 * good["fid"].se
    assert torn["precision"].value < good["precision"].value - 5 * good["precision"].se
    assert noisy["coverage"].value == 0


def test_the_random_network_sees_dropped_modes():
    E, real, fresh = RandomConv(3, 16), blobs(600), blobs(2400, 1)
    some = fresh[fresh.amax((2, 3))[:, 0] < 128][:600]  # only those with little red
    of = lambda x: measure(*(features(E, played(z, SPEC.x)) for z in (real, x)), MEASURES)
    full, dropped = of(fresh[:600]), of(some)

    assert dropped["precision"].value > full["precision"].value - 2 * full["precision"].se
    for name in ("recall", "coverage"):
        assert dropped[name].value < full[name].value - 4 * full[name].se
    assert dropped["fid"].value > full["fid"].value + 4 * full["fid"].se


class Known:
    """A world that knows how bright its samples are."""

    def judge(self, x, c=None):
        return {"bright": float(x.float().mean()), "asked": float("nan") if c is None else float(c.float().mean())}


def test_a_report_is_json_with_every_measure_beside_its_ceiling():
    found = evaluate(blobs(200), blobs(150, 1), SPEC, Known(), data="blobs")
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert set(found) >= {"data", "split", "n_real", "n_fake", "metrics", "truth", "extractor"}
    assert (found["data"], found["split"], found["n_real"], found["n_fake"]) == ("blobs", "heldout", 200, 150)
    assert found["extractor"].startswith("random-conv-3x16x16-")
    assert found["metrics"].keys() == MEASURES.keys()
    assert all(set(m) == {"value", "se", "better"} for m in found["metrics"].values())
    assert found["ceiling"].keys() == MEASURES.keys() | {"bright", "asked"}
    assert found["truth"]["asked"] is None
    assert any("mostly bias" in note for note in found["notes"])
    told = "real against real: 100 samples against 100 of the rest; of fewer, so fid, which is biased, is higher there"
    assert told in found["notes"]


def test_the_ceiling_is_what_other_real_samples_get_in_place_of_the_made_ones():
    real, others, fake = blobs(200), blobs(120, 1), blobs(120, 2)
    found = evaluate(real, blurred(fake), SPEC, others=others)
    for name, m in evaluate(real, others, SPEC)["metrics"].items():
        assert found["ceiling"][name]["value"] == pytest.approx(m["value"], abs=1e-6)
    assert found["ceiling"]["kid"]["value"] < found["metrics"]["kid"]["value"]
    assert evaluate(real, fake, SPEC, ceiling=False)["ceiling"] == {}


def test_a_report_is_the_same_by_seed_and_whatever_the_global_generator():
    x, y = blobs(60), blobs(60, 1)
    one = evaluate(x, y, SPEC, seed=3)
    torch.rand(5)
    assert evaluate(x, y, SPEC, seed=3) == one
    assert evaluate(x, y, SPEC, seed=4)["ceiling"] != one["ceiling"]


def test_too_few_samples_lose_measures_and_not_the_report():
    found = evaluate(blobs(5), blobs(3, 1), SPEC)
    assert "coverage" not in found["metrics"]
    assert "fid" in found["metrics"]
    assert any(note.startswith("coverage is left out: 5 samples") for note in found["notes"])

    spoilt = torch.randn(50, 2).index_fill(0, torch.tensor(7), torch.nan)
    found = evaluate(torch.randn(50, 2), spoilt, Spec(Vector(2)))
    assert not found["metrics"]
    assert any("first number 7" in note for note in found["notes"])


def test_points_are_measured_as_they_are_stored():
    x, y = torch.randn(300, 2), torch.randn(300, 2)
    found = evaluate(x, y, Spec(Vector(2, center=5.0, scale=9.0)))
    assert found["extractor"] == "raw"
    assert found["metrics"]["fid"]["value"] == MEASURES["fid"](x, y).value


def test_any_module_is_an_extractor():
    class Mean(nn.Module):
        def forward(self, x):
            return x.mean((2, 3))

    found = evaluate(blobs(50), blobs(50, 1), SPEC, extractor=Mean(), measures={"fid": MEASURES["fid"]})
    assert found["extractor"] == "Mean"
    assert list(found["metrics"]) == ["fid"]
    assert Identity()(torch.zeros(2, 3, 4)).shape == (2, 12)


def test_no_samples_are_refused():
    with pytest.raises(ValueError, match="no samples"):
        features(Identity(), [])


def test_known_features_are_taken_only_from_the_same_extractor():
    x, y = blobs(60), blobs(60, 1)
    E, other = RandomConv(3, 16), RandomConv(3, 16, seed=1)
    known = {"real": taken(E, x, SPEC.x), "fake": taken(E, y, SPEC.x)}
    assert evaluate(x, y, SPEC, extractor=E, known=known) == evaluate(x, y, SPEC, extractor=E)
    with pytest.raises(ValueError, match=f"real: features by {E.name} beside others by {other.name}; use one for all"):
        evaluate(x, y, SPEC, extractor=other, known=known)
    with pytest.raises(ValueError, match="fake: 60 features of 50 samples; give one of each"):
        evaluate(x, y[:50], SPEC, extractor=E, known=known)


def test_pictures_that_are_not_bytes_are_refused():
    with pytest.raises(ValueError, match=r"uint8 from 0 to 255, and these are torch.float32; use space.decode"):
        evaluate(blobs(60), blobs(60, 1) / 127.5 - 1, SPEC)


def test_measures_are_chosen_by_name_and_each_gets_what_it_asks_for():
    wanted = chosen("kid, vendi,spectrum")
    found = evaluate(blobs(60), blurred(blobs(60, 1)), SPEC, measures=wanted)
    assert list(found["metrics"]) == ["kid", "vendi", "spectrum"]
    assert found["ceiling"]["spectrum"]["value"] < found["metrics"]["spectrum"]["value"]
    assert list(chosen("all")) == list(EVERY)

    points = evaluate(torch.randn(60, 2), torch.randn(60, 2), Spec(Vector(2)), measures=wanted)
    assert list(points["metrics"]) == ["kid", "vendi"]
    assert any("spectrum is left out: it asks for pictures" in note for note in points["notes"])

    words = torch.randint(9, (60, 6))
    assert list(evaluate(words, words, Spec(Tokens(6, 9)), measures=chosen("bleu"))["metrics"]) == ["bleu"]


def coloured(n, seed=0):
    """Blobs and their classes: whether there is more red in them than green."""
    x = blobs(n, seed)
    level = x.amax((2, 3)).int()
    return x, np.where(level[:, 0] > level[:, 1], "red", "green")


def test_measures_of_classes_by_a_classifier_that_is_learned():
    (x, y), (other, its), (fake, wanted) = coloured(120), coloured(160, 1), coloured(100, 2)
    names = chosen("is,kid,am,mode_score,cas,fid_by_class")
    told = {"real": y, "others": its, "fake": wanted}
    good = evaluate(x, fake, SPEC, measures=names, others=other, labels=told)
    classes = ["fid_by_class", "fid_by_class/green", "fid_by_class/red"]
    assert list(good["metrics"]) == ["is", "kid", "am", "mode_score", "cas", *classes]
    assert list(good["ceiling"]) == ["kid", "is", "am", "mode_score", "cas", *classes]
    assert good["metrics"]["cas"]["value"] > 0.8
    assert 1 < good["ceiling"]["is"]["value"] <= 2
    assert any("learned from 160 real samples, right about" in note for note in good["notes"])

    swapped = evaluate(x, fake, SPEC, measures=names, others=other, labels=told | {"fake": np.roll(wanted, 1)})
    assert swapped["metrics"]["cas"]["value"] < 0.7
    assert swapped["metrics"]["fid_by_class"]["value"] > good["metrics"]["fid_by_class"]["value"]
    assert swapped["metrics"]["is"] == good["metrics"]["is"]

    red = wanted == "red"
    one = evaluate(x, fake[red], SPEC, measures=names, labels=told | {"fake": wanted[red]})  # nothing but red
    assert one["metrics"]["am"]["value"] > one["ceiling"]["am"]["value"] + 3 * one["ceiling"]["am"]["se"]
    assert "cas" not in one["metrics"]
    assert any("cas is left out: all" in note for note in one["notes"])


def test_without_classes_the_measures_of_classes_are_left_out_with_a_reason():
    x, y = coloured(60)
    notes = " ".join(evaluate(x, blobs(60, 1), SPEC, measures=chosen("is,cas"))["notes"])
    assert "is is left out: it asks for a classifier" in notes
    notes = " ".join(evaluate(x, blobs(60, 1), SPEC, measures=chosen("is,cas"), labels={"real": y})["notes"])
    assert "is is left out" not in notes
    assert "cas is left out: it asks for the classes of the made samples" in notes


def test_an_extractor_that_tells_classes_is_the_classifier():
    class Halves(nn.Module):
        def forward(self, x):
            return x.mean((2, 3))

        def logits(self, features):
            return 50 * features[:, :2]

    found = evaluate(blobs(50), blobs(50, 1), SPEC, extractor=own(Halves(), "halves"), measures=chosen("is"))
    assert found["metrics"]["is"]["value"] > 1.2
    assert found["notes"][0].startswith("classes: as halves-")
    assert found["resize"] == "none"


def test_a_classifier_is_asked_where_its_weights_are():
    """The features are on the CPU, and it is on the one other device that every machine has."""

    class Elsewhere(nn.Module):
        name = "elsewhere"

        def __init__(self):
            super().__init__()
            self.last = nn.Linear(3, 2, device="meta")

        def logits(self, features):
            assert features.device.type == "meta"
            assert not torch.is_grad_enabled()
            return torch.eye(2)[torch.arange(len(features)) % 2]

    known = {side: Bank(3, "elsewhere").update(torch.randn(50, 3)) for side in ("real", "fake")}
    x, y = blobs(50), blobs(50, 1)
    found = evaluate(x, y, SPEC, extractor=Elsewhere(), measures=chosen("is"), known=known)
    assert found["metrics"]["is"]["value"] > 1.1
    assert found["ceiling"]["is"]["value"] > 1.1


def test_what_one_measure_finds_under_other_names_is_not_lost():
    found = evaluate(blobs(60), blobs(60, 1), SPEC, measures={"prdc": prdc, "kid": MEASURES["kid"]})
    assert list(found["metrics"]) == ["kid", "precision", "recall", "density", "coverage"]
    assert set(found["ceiling"]) == set(found["metrics"])


def test_what_is_infinite_is_told_from_what_is_not_known():
    far, x = torch.full((60, 2), 1e3), torch.randn(60, 2)
    found = evaluate(x, far, Spec(Vector(2)), measures=chosen("rarity"), ceiling=False)
    (unknown,) = (line for line in of_measures([found]) if "rarity" in line)
    assert "not known" in unknown and "infinite" not in unknown

    endless = lambda real, fake: Measure(float("inf"), float("inf"), "lower")
    found = evaluate(x, x, Spec(Vector(2)), measures={"realism": endless}, ceiling=False)
    assert found["metrics"]["realism"]["infinite"] and found["metrics"]["realism"]["value"] is None
    (known,) = (line for line in of_measures([found]) if "realism" in line)
    assert "infinite" in known


def test_a_measure_that_there_is_not_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match="'kld' is none of all, fid, kid.*; did you mean 'kid'"):
        chosen("fid,kld")
    with pytest.raises(ValueError, match="no measure is named"):
        chosen(",")
