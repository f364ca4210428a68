"""What is held out, and in what order the rest comes: by content and place, not by names or processes."""

import shutil
import time
from itertools import islice

import numpy as np
import pytest
import torch
from PIL import Image

from sparring import data
from sparring.data import Split
from sparring.data.split import hold_out

from .conftest import same

# -- the split ---------------------------------------------------------------------------------------------------------


def test_content_decides_not_names(photos, tmp_path):
    files = sorted(photos.iterdir())
    (tmp_path / "other").mkdir()
    for i, path in enumerate(reversed(files)):
        shutil.copy(path, tmp_path / "other" / f"{i * 37 % 41}.png")
    same(data.open(photos), data.open(tmp_path / "other"))


def test_another_seed_is_another_split_of_the_same(photos):
    a, b = data.open(photos), data.open(photos, seed=1)
    rows = lambda d, parts: sorted(bytes(x) for part in parts for x in getattr(d, part).x)
    assert rows(a, ["train", "heldout"]) == rows(b, ["train", "heldout"])
    assert rows(a, ["heldout"]) != rows(b, ["heldout"])
    assert a.card["fingerprint"] != b.card["fingerprint"]


def test_one_pixel_is_another_fingerprint(photos):
    before = data.open(photos).card["fingerprint"]
    x = np.array(Image.open(photos / "00.png"))
    x[18, 20] ^= 255
    Image.fromarray(x).save(photos / "00.png")
    assert data.open(photos).card["fingerprint"] != before


@pytest.mark.parametrize("n", [16, 100, 4000, 200_000])
@pytest.mark.parametrize("classes", [None, 2, 300])
def test_a_tenth_is_held_out_of_each_class(n, classes):
    rng = np.random.default_rng(n)
    labels = None if classes is None else np.minimum(rng.geometric(2 / (classes + 1), n) - 1, classes - 1)
    heldout = hold_out(np.sort(rng.choice(2**40, n, replace=False)), labels)
    target = min(round(n / 10), 10_000)
    if labels is None:
        assert heldout.sum() == target
    else:
        all_of, out = np.bincount(labels), np.bincount(labels[heldout], minlength=labels.max() + 1)
        assert (out[all_of >= 5] > 0).all()
        assert (np.abs(out - all_of * target / n) <= 1).all()


def test_duplicates_are_dropped_before_the_split(photos):
    for path in sorted(photos.iterdir()):
        shutil.copy(path, path.with_name(f"copy of {path.name}"))
    d = data.open(photos)
    assert d.card["left_out"] == {"duplicate": 40}
    assert len({bytes(x) for s in (d.train, d.heldout) for x in s.x}) == len(d.train) + len(d.heldout) == 40


# -- the order ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def numbered():
    return Split(np.arange(100, dtype=np.float32)[:, None], np.arange(100))


def stream(split, count, *args, **kwargs):
    return [x.ravel().long() for x, _ in islice(data.batches(split, *args, **kwargs), count)]


@pytest.mark.parametrize("batch", [1, 7, 64, 100, 250])
def test_each_epoch_is_a_permutation(numbered, batch):
    found = torch.cat(stream(numbered, 1 + 300 // batch, batch, seed=5))[:300].view(3, 100)
    assert (found.sort(1).values == torch.arange(100)).all()
    assert not torch.equal(found[0], found[1])
    assert not torch.equal(found[0], stream(numbered, 1, 100, seed=6)[0])


@pytest.mark.parametrize("seen", [0, 64, 192, 99, 12_345])
def test_resumed_is_never_stopped(numbered, seen):
    whole = torch.cat(stream(numbered, 250, 64, seed=5))
    resumed = torch.cat(stream(numbered, 10, 64, seed=5, seen=seen))
    assert torch.equal(resumed, whole[seen : seen + 640])


@pytest.mark.parametrize(("batch", "ranks"), [(64, 2), (96, 3), (300, 4), (8, 8)])
def test_the_slices_of_all_ranks_are_the_batch_of_one(numbered, batch, ranks):
    alone = stream(numbered, 9, batch, seed=5, seen=32)
    shared = [stream(numbered, 9, batch, seed=5, seen=32, rank=r, ranks=ranks) for r in range(ranks)]
    for i, whole in enumerate(alone):
        assert torch.equal(torch.cat([part[i] for part in shared]), whole)


def test_c_goes_with_x(numbered):
    for x, c in islice(data.batches(numbered, 30, 0), 5):
        assert torch.equal(x.ravel().long(), c)


@pytest.mark.parametrize(("batch", "rank", "ranks"), [(7, 0, 2), (0, 0, 1), (8, 2, 2)])
def test_batches_that_cannot_be_shared(numbered, batch, rank, ranks):
    with pytest.raises(ValueError, match="rank"):
        next(data.batches(numbered, batch, 0, rank=rank, ranks=ranks))


def test_taken_examples_are_copies(photos):
    d = data.open(photos)
    d.train.take([0])[0].zero_()
    assert d.train.take(torch.tensor([0]))[0].any()


def test_a_batch_takes_well_under_a_millisecond(tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).integers(0, 256, (2000, 3, 64, 64), np.uint8))
    stream = data.batches(data.open(tmp_path / "x.npy", size=64).train, 64, seed=0)
    next(stream)
    times = []
    for _ in range(200):
        began = time.perf_counter()
        next(stream)
        times.append(time.perf_counter() - began)
    assert sorted(times)[100] < 1e-3
