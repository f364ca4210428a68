"""Laws of the further measures: closed forms, bounds, what other libraries compute, what moves them."""

import re
from math import exp, log
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import wasserstein_distance
from torchmetrics.image.inception import InceptionScore

from sparring import landscape, metrics, worlds
from sparring.extractors import EXTRACTORS
from sparring.metrics import (
    EVERY,
    ON_FEATURES,
    Labels,
    Reader,
    am,
    borji_mode_score,
    c2st,
    cas,
    fid,
    fid_by_class,
    fid_inf,
    inception_score,
    js,
    measure,
    mode_score,
    modes,
    ndb,
    one_nn,
    rarity_of_each,
    realism_of_each,
    sliced,
    spectrum,
    support,
    vendi,
    wasserstein,
)
from sparring.metrics import copies as of_copies
from sparring.metrics import frames as of_frames
from sparring.metrics import likelihood as of_likelihood
from sparring.metrics.distances import Cloud, first_level, nearest, within
from sparring.metrics.transport import prices
from sparring.probes import probe

MORE = [name for name in ON_FEATURES if name not in ("fid", "kid", "precision", "recall", "density", "coverage")]
each = pytest.mark.parametrize("name", MORE)


def normal(n, d, seed=0, scale=1.0, shift=0.0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed)) * scale + shift


# Distances


@pytest.mark.parametrize("d", [3, 300])  # fine and coarse products
def test_neighbours_and_pairs_are_those_of_fp64(d, monkeypatch):
    monkeypatch.setattr("sparring.metrics.distances.SIDE", 64)
    x = torch.cat([normal(100, d, shift=5), normal(40, d, 1, 1e-4, 5), torch.full((10, d), 5.0)])  # far, near, the same
    y = normal(90, d, 2, shift=5)
    X, Y = (Cloud.of(z, x.mean(0)) for z in (x, y))
    D = lambda a, b: (a[:, None].double() - b[None].double()).square().sum(-1)
    assert first_level(d) == (d < 256)

    torch.testing.assert_close(nearest(X, X, 7).r2, D(x, x).fill_diagonal_(torch.inf).sort(1).values[:, :7])
    torch.testing.assert_close(nearest(Y, X, 7).r2, D(y, x).sort(1).values[:, :7])

    a, b = D(x, y).sort(1).values[:, :1].T, D(y, x).sort(1).values[:, 1:3].T.contiguous()
    found = torch.zeros(3, 150, 90, dtype=torch.bool)
    for i, j, r2 in within(X, Y, a, b):
        found[:, i, j] = torch.stack([r2 <= a[0, i], r2 < b[0, j], r2 <= b[1, j]])
    assert torch.equal(found, torch.stack([D(x, y) <= a.T, D(x, y) < b[0], D(x, y) <= b[1]]))


# FID, corrected and by class


def test_fid_without_bias_is_near_the_truth_where_fid_is_not():
    truth, d = 20 * 0.25 + 20 * 0.01, 20
    runs = [(normal(200, d, 2 * i), normal(200, d, 2 * i + 1, 1.1, 0.5)) for i in range(30)]
    plain = sum(fid(*r, se=False).value for r in runs) / 30 - truth
    corrected = [fid_inf(*r) for r in runs]
    assert plain > 0.6
    assert abs(sum(m.value for m in corrected) / 30 - truth) < 0.15


def test_fid_without_bias_does_not_see_the_order_of_samples():
    """Classes in turn, of which every second sample would make halves of one class each."""
    classes = lambda seed: normal(2000, 4, seed) + 10 * (torch.arange(2000) % 2)[:, None]
    found = fid_inf(classes(0), classes(1))
    assert abs(found.value) < 1
    mixed = fid_inf(classes(0)[torch.randperm(2000, generator=torch.Generator().manual_seed(5))], classes(1))
    assert mixed.value == pytest.approx(found.value, abs=1)


def test_fid_by_class_is_fid_of_each_class():
    x, y, a, b = normal(90, 3), normal(80, 3, 1), torch.arange(90) % 3, torch.arange(80) % 2
    found = fid_by_class(x, y, a, b)
    assert list(found) == [0, 1]
    assert found[1] == fid(x[a == 1], y[b == 1])
    with pytest.raises(ValueError, match="fake has the class 7"):
        fid_by_class(x, y, a, b + 6 * (b == 1))
    with pytest.raises(ValueError, match="real has 90 samples and 80 labels"):
        fid_by_class(x, y, b, b)


# One by one


def test_realism_and_rarity_are_their_definitions():
    x, y = normal(80, 3), normal(70, 3, 1, 1.3)
    D = torch.cdist(x.double(), y.double())
    r = torch.cdist(x.double(), x.double()).fill_diagonal_(torch.inf).sort(1).values[:, 2]
    small = r <= r.median()
    torch.testing.assert_close(realism_of_each(x, y), (r[small, None] / D[small]).amax(0).float(), rtol=1e-4, atol=0)

    rare = torch.where(D <= r[:, None], r[:, None], torch.inf).amin(0)
    found = rarity_of_each(x, y)
    assert torch.equal(found.isnan(), rare.isinf())
    torch.testing.assert_close(found.nan_to_num(0), torch.where(rare.isinf(), 0, rare).float())


def test_copies_among_the_real_ones_are_no_measure_of_realism():
    x = normal(20, 3)
    with pytest.raises(ValueError, match="real samples are mostly copies: half of them or more have 3 others"):
        realism_of_each(x.repeat(4, 1), x)
    refused = {}
    assert not measure(x.repeat(4, 1), x, {"realism": ON_FEATURES["realism"]}, refused)
    assert "realism" in refused


# Diversity


def test_vendi_counts_things_that_have_nothing_in_common():
    assert vendi(normal(9, 7), torch.eye(7)).value == pytest.approx(7)
    assert vendi(normal(9, 4), torch.ones(30, 4)).value == pytest.approx(1)
    x = normal(40, 30, 1)
    unit = torch.nn.functional.normalize(x.double())
    lam = torch.linalg.eigvalsh(unit @ unit.T / 40)
    direct = exp(-float(torch.special.xlogy(lam.clamp_min(0), lam.clamp_min(0)).sum()))
    assert vendi(normal(9, 30), x).value == pytest.approx(direct)  # by features
    assert vendi(x, x[:20]).se > 0  # by samples


@pytest.mark.parametrize(("m", "d"), [(60, 64), (100, 64), (400, 64), (100, 128)])
def test_vendis_error_is_its_spread_also_where_samples_are_few(m, d):
    found = [vendi(normal(2, d), normal(m, d, seed)) for seed in range(40)]
    spread = torch.tensor([f.value for f in found]).std()
    assert 0.7 < torch.tensor([f.se for f in found]).mean() / spread < 1.7


def test_support_is_the_number_of_things_that_are_drawn():
    x, things = normal(500, 8), normal(60, 8, 1)
    drawn = things[torch.randint(60, (400,), generator=torch.Generator().manual_seed(2))]
    few = support(x, drawn + normal(400, 8, 3, 1e-3))
    assert few.value == pytest.approx(60, rel=0.25)
    assert support(x, normal(400, 8, 4)).value > 2000


@pytest.mark.parametrize("copies", [5, 100])
def test_support_sees_collapse_beside_real_samples_of_which_some_are_copies(copies):
    x = normal(500, 8)
    x[:copies] = x[copies : 2 * copies].clone()
    one = normal(1, 8, 1).expand(400, 8)
    assert support(x, one).value == pytest.approx(1, abs=0.01)
    assert support(x, one + normal(400, 8, 2, 1e-3)).value == pytest.approx(1, abs=0.01)
    assert support(x, normal(400, 8, 4)).value > 2000
    with pytest.raises(ValueError, match="each of the real samples has an exact copy"):
        support(x[:200].repeat(2, 1), one)


# Two samples


def test_tests_of_two_samples_know_one_source_from_two():
    X, same, other = normal(300, 6), normal(300, 6, 1), normal(300, 6, 2, 1.0, 1.0)
    for f, level in ((c2st, 0.5), (one_nn, 0.5), (ndb, 0.05)):
        assert f(X, same).value == pytest.approx(level, abs=3.5 * f(X, same).se), f
        assert f(X, other).value > level + 4 * f(X, other).se, f
    assert js(X, other).value > js(X, same).value + 3 * js(X, other).se


def test_one_nn_falls_below_a_half_for_copies():
    X = normal(200, 6)
    assert one_nn(X, X + normal(200, 6, 1, 1e-3)).value < 0.05


def test_js_is_at_most_log_2_and_cells_that_are_apart_all_differ():
    X = torch.cat([normal(100, 2, shift=9), normal(100, 2, 1, shift=-9)])
    Y = torch.cat([X[:100], normal(100, 2, 2, shift=-9)[:0]])
    far = measure(X, normal(200, 2, 3, shift=-60) * 0 - 60, {"js": js})["js"].value
    assert 0 < js(X, Y).value < far <= log(2)


# Transport


def test_wasserstein_in_closed_form():
    x = normal(150, 4)
    assert wasserstein(x, x).value == pytest.approx(0, abs=1e-12)
    assert wasserstein(x, x.flip(0) + 2.0).value == pytest.approx(4.0, rel=1e-6)  # a shift of 2 in each of 4
    line, other = normal(90, 1), normal(90, 1, 1, 2.0)
    assert wasserstein(line, other).value == pytest.approx(wasserstein_distance(line[:, 0], other[:, 0]), rel=1e-9)


def test_prices_are_a_dual_solution():
    cost = torch.cdist(normal(60, 3).double(), normal(60, 3, 1).double())
    from scipy.optimize import linear_sum_assignment

    cost = cost[:, linear_sum_assignment(cost.numpy())[1]]
    u = prices(cost)
    v = cost.diagonal() - u
    assert bool((u[:, None] + v <= cost + 1e-9).all())


@pytest.mark.parametrize("m", [120, 90])
def test_sliced_wasserstein_in_closed_form(m):
    x = normal(120, 5)
    assert sliced(x, x).value == pytest.approx(0, abs=1e-12)
    shift = torch.tensor([3.0, 0, 0, 0, 0])
    assert sliced(x, x + shift, lines=4000).value == pytest.approx(9 / 5, rel=0.05)

    line, other = normal(120, 1), normal(m, 1, 1, 2.0)
    a, b = (np.repeat(np.sort(z[:, 0].double().numpy()), k) for z, k in ((line, m), (other, 120)))
    assert sliced(line, other).value == pytest.approx(np.square(a - b).mean(), rel=1e-6)


# What a classifier says


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_inception_score_is_that_of_torchmetrics_and_bounded():
    logits = normal(200, 10) * 3
    theirs = InceptionScore(feature=torch.nn.Identity(), splits=1)
    theirs.update(logits)
    assert inception_score(logits).value == pytest.approx(float(theirs.compute()[0]), rel=1e-5)

    sure = torch.eye(10).repeat(5, 1) * 1000
    assert inception_score(sure).value == pytest.approx(10)
    assert inception_score(sure[:1].repeat(9, 1)).value == pytest.approx(1)


def test_the_mode_score_of_borji_is_the_inception_score():
    real, fake = normal(100, 5) * 2, normal(90, 5, 1) * 3
    assert borji_mode_score(real, fake) == pytest.approx(inception_score(fake).value, rel=1e-12)
    assert mode_score(real, fake).value < inception_score(fake).value
    assert mode_score(fake, fake).value == pytest.approx(inception_score(fake).value, rel=1e-9)


def test_am_score_is_least_for_sure_samples_in_true_proportion():
    sure = lambda counts: torch.eye(3).repeat_interleave(torch.tensor(counts), 0) * 1000
    real = sure([10, 20, 30])
    assert am(real, sure([5, 10, 15])).value == pytest.approx(0, abs=1e-9)
    assert am(real, sure([10, 10, 10])).value == pytest.approx(sum(p * log(3 * p) for p in (1 / 6, 1 / 3, 1 / 2)))
    uneven = sum(p * log(3 * p) for p in (1 / 6, 1 / 3, 1 / 2))
    assert am(real, torch.zeros(9, 3)).value == pytest.approx(log(3) + uneven)


@pytest.mark.parametrize("f", [lambda x, y: inception_score(y), am, mode_score])
def test_errors_of_scores_are_their_spread(f):
    runs = [f(normal(200, 4, 2 * i) * 2, normal(150, 4, 2 * i + 1) * 2 + torch.arange(4) / 2) for i in range(60)]
    v, se = torch.tensor([[m.value, m.se] for m in runs]).T
    assert 0.75 < v.std() / se.mean() < 1.3


def test_what_is_learned_from_bad_samples_reads_real_ones_badly():
    centers, y = 4 * normal(3, 5), torch.arange(300) % 3
    x = normal(300, 5, 1) + centers[y]
    good, bad = normal(300, 5, 2) + centers[y], normal(300, 5, 3) + centers[(y + (torch.arange(300) % 2)) % 3]
    assert cas(x, y, good, y).value > 0.97
    assert cas(x, y, bad, y).value < 0.9
    assert inception_score(Reader(x, y).logits(good)).value > 2.5

    with pytest.raises(ValueError, match="class 7, which no real"):
        cas(x, y, good, torch.where(y == 2, 7, y))
    with pytest.raises(ValueError, match=r"labels of shape \(3,\) for 300 samples"):
        cas(x, y[:3], good, y)
    with pytest.raises(ValueError, match="all 300 labels are 0"):
        cas(x, y, good, y * 0)
    with pytest.raises(ValueError, match="labels of float32; give whole numbers"):
        cas(x, y, good, y / torch.tensor(2.0))


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: am(torch.zeros(9, 3), torch.zeros(9, 4)), "real has 3 classes and fake 4"),
        (lambda: inception_score(torch.zeros(1, 4)), "fake has 1 samples and this measure needs 2"),
        (lambda: inception_score(torch.full((4, 4), torch.nan)), "fake has 4 samples with NaN"),
        (lambda: inception_score(Labels(3)), "fake has 0 samples"),
        (lambda: spectrum(torch.zeros(4, 3, 8, 8), torch.zeros(4, 3, 9, 9)), "use one resize"),
        (lambda: spectrum(torch.zeros(4, 3, 8, 8).byte(), torch.zeros(4, 3, 8, 8)), "real is torch.uint8 and fake"),
        (lambda: spectrum(torch.zeros(4, 7), torch.zeros(4, 7)), r"real has shape \(4, 7\); pictures are"),
        (lambda: spectrum(torch.zeros(1, 8, 8), torch.zeros(4, 8, 8)), "real has 1 samples"),
        (lambda: spectrum(torch.zeros(4, 8, 8), torch.zeros(4, 8, 8).log() * 0), "fake has NaN or infinite pixels"),
    ],
)
def test_what_cannot_be_measured_is_refused(call, told):
    with pytest.raises(ValueError, match=told):
        call()


# Pictures and points


def test_the_spectrum_tells_blur_from_noise_and_is_blind_to_places():
    x = torch.rand(200, 1, 16, 16, generator=torch.Generator().manual_seed(0)).cumsum(2).cumsum(3)
    fresh = torch.rand(200, 1, 16, 16, generator=torch.Generator().manual_seed(1)).cumsum(2).cumsum(3)
    good = spectrum(x, fresh)
    assert good.value < 1
    assert spectrum(x, torch.nn.functional.avg_pool2d(fresh, 3, 1, 1)).value > good.value + 10 * good.se
    assert spectrum(x, fresh + 20 * torch.randn(fresh.shape)).value > good.value + 10 * good.se
    assert spectrum(x, x.roll((3, 5), (2, 3))).value == pytest.approx(0, abs=1e-3)
    assert spectrum(x, 2 * x).value == pytest.approx(20 * log(2) / log(10), rel=1e-3)  # twice the contrast: 6 dB


def test_modes_are_counted():
    centers = torch.tensor([[0.0, 0.0], [5.0, 0.0], [0.0, 5.0]])
    x = centers[torch.arange(300) % 2] + normal(300, 2, 0, 0.1)
    found = modes(x, centers, 0.1)
    assert found["modes"] == 2
    assert found["kl"] == pytest.approx(log(1.5), abs=0.01)
    assert found["spread"] == pytest.approx(1, abs=0.1)


# All of them


@each
def test_order_within_a_set_moves_little(name):
    X, Y = normal(150, 6), normal(120, 6, 1, 0.8, 0.3)
    a, b = ON_FEATURES[name](X, Y), ON_FEATURES[name](X.flip(0), Y.roll(7, 0))
    draws_by_order = name in ("c2st", "one_nn", "wasserstein", "fid_inf", "ndb", "js")
    assert b.value == pytest.approx(a.value, abs=4 * a.se if draws_by_order else 1e-5, rel=1e-6)
    assert ON_FEATURES[name](X, Y) == a  # and the same again, bit for bit


@each
def test_a_measure_names_itself_and_its_samples(name):
    m = ON_FEATURES[name](normal(60, 4), normal(50, 4, 1))
    assert (m.n_real, m.n_fake) == (60, 50)
    assert m.provenance["measure"] in (name, "binned")
    assert m.se > 0
    assert np.isfinite(m.value)


@each
def test_samples_that_are_too_few_or_not_finite_are_refused(name):
    with pytest.raises(ValueError, match="samples"):
        ON_FEATURES[name](normal(60, 4), normal(1, 4))
    with pytest.raises(ValueError, match="NaN or infinite"):
        ON_FEATURES[name](normal(60, 4), normal(60, 4).log())


@each
def test_samples_that_are_all_one_have_a_value(name):
    m = ON_FEATURES[name](normal(60, 4), torch.ones(60, 4))
    assert m.se >= 0 or name == "rarity"  # nothing inside any ball has no rarity


@pytest.mark.parametrize("name", ["fid_inf", "vendi", "one_nn", "c2st", "js", "sliced", "wasserstein", "realism"])
def test_two_standard_errors_hold_about_95_in_100_fresh_draws(name):
    runs = [ON_FEATURES[name](normal(160, 6, 2 * i), normal(120, 6, 2 * i + 1, 0.9, 0.3)) for i in range(40)]
    v, se = torch.tensor([[m.value, m.se] for m in runs], dtype=torch.float64).T
    assert float(((v - v.mean()).abs() <= 2 * se).double().mean()) >= 0.8
    assert 0.45 < v.std() / se.mean() < 1.35


def test_the_names_in_the_list_of_borjis_measures_are_those_of_the_code():
    """Words in code quotes: a measure, a function of a room of measures, an extractor, a world, or in `probe`."""
    text = (Path(__file__).parents[1] / "docs" / "measures.md").read_text().partition("## Borji's lists")[2]
    rooms = (metrics, of_copies, of_frames, of_likelihood, landscape)
    known = {*EVERY, *EXTRACTORS, *worlds.WORLDS, *(name for room in rooms for name in vars(room))}
    known |= set(re.findall(r"^    (\w+):", probe.__doc__ or "", re.M))
    named = set(re.findall(r"`([a-z][a-z0-9_]*)`", text))
    assert len(named) > 30
    assert named <= known, named - known
    options = set(re.findall(r"--[a-z]+", text))
    told = (Path(__file__).parents[1] / "sparring" / "cli.py").read_text()
    assert all(f'"{option}"' in told for option in options)
