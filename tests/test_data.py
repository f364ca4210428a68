"""Data: the same content gives the same data set, whatever happens to the files and to the process."""

import errno
import json
import multiprocessing
import os
import shutil
import sys
import time
import zipfile
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from sparring import data, worlds
from sparring.data import DataError, Split, cache, pictures, sources
from sparring.data.split import hold_out
from sparring.spaces import Image as Pictures
from sparring.spaces import Label, Spec, Vector

from .oddities import CLASSES, build, captioned, drawing, zipped

MNIST = Path(__file__).parents[2] / "shared" / "data" / "mnist-train.npz"


@pytest.fixture(scope="module")
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


# -- what is found ----------------------------------------------------------------------------------------------------


def test_every_oddity_comes_out_or_is_reported(odd):
    _, expected, d = odd
    assert d.card["found"] == expected.found
    assert d.card["left_out"] == expected.left_out
    assert len(d.card["problems"]) == sum(expected.left_out.values())
    assert len(d.train) + len(d.heldout) == expected.usable
    assert d.spec == Spec(Pictures(3, 32))
    assert d.train.x.shape == (len(d.train), 3, 32, 32)
    assert d.train.x.dtype == np.uint8
    assert d.classes == list(CLASSES)
    assert json.loads(json.dumps(d.card)) == d.card
    text = "\n".join(data.summary(d))
    for word in ("32 × 32, colour", "median short side", "left out: 4 blank, 6 broken, 4 duplicate", "laid on white"):
        assert word in text


def test_problems_have_a_line_each(odd):
    problems = odd[2].card["problems"]
    for name in ("circles/half.jpg", "circles/half.png", "stripes/half.webp", "stripes/empty.jpg", "README.txt"):
        assert sum(p.startswith(f"{name}: ") for p in problems) == 1
    assert "circles/one colour.png: a single colour (10, 20, 30)" in problems
    assert any("in another class" in p for p in problems)
    assert not any("hidden" in p or "MACOSX" in p or "Thumbs" in p for p in problems)


def test_a_long_list_of_problems_is_cut(photos):
    for i in range(130):
        (photos / f"{i}.txt").write_text("no picture")
    problems = data.open(photos).card["problems"]
    assert len(problems) == 101
    assert problems[-1] == "and 30 more"


def test_a_zip_is_its_folder(odd, tmp_path):
    same(odd[2], data.open(zipped(odd[0], tmp_path / "odd.zip")))


def test_the_folder_is_never_touched(photos):
    before = sorted((p.name, p.stat().st_mtime_ns, p.read_bytes()) for p in photos.iterdir())
    data.open(photos)
    assert before == sorted((p.name, p.stat().st_mtime_ns, p.read_bytes()) for p in photos.iterdir())


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("size", [16, 24])
def test_any_size_and_fit(photos, fit, size):
    d = data.open(photos, size=size, fit=fit)
    assert d.spec.x == Pictures(3, size)
    assert d.train.x.shape[1:] == (3, size, size)
    corner = d.train.x[:, :, 0, :].min()
    assert (corner == 255) == (fit == "pad")  # 40 × 36 leaves white above


def test_gray_pictures_have_one_channel_even_if_kept_in_three(photos):
    for path in photos.iterdir():
        gray = Image.open(path).convert("L")
        (gray if path.stem < "20" else gray.convert("RGB")).save(path)
    d = data.open(photos)
    assert d.spec.x == Pictures(1, 32)
    assert "gray" in data.summary(d)[2]


@pytest.mark.parametrize(
    ("sides", "size"),
    [
        ([(28, 28)] * 3, 28),  # all alike, and networks fit it
        ([(30, 30)] * 3, 32),
        ([(28, 28), (20, 28)], 32),
        ([(64, 80)] * 3, 64),
        ([(100, 70), (300, 129), (500, 4000)], 128),
        ([(5000, 4000)], 256),
        ([(0, 0)], 32),
    ],
)
def test_the_size_chosen(sides, size):
    assert sources.chosen_size(sides)[0] == size


# -- classes and captions ---------------------------------------------------------------------------------------------


def test_metadata(tmp_path):
    folder = captioned(tmp_path / "captioned")
    with (folder / "metadata.jsonl").open("a") as file:
        file.write('not json\n{"text": "of nothing"}\n{"file_name": "gone.png", "text": "gone"}\n')
    d = data.open(folder)
    assert d.spec.c is None
    assert d.classes == sorted(CLASSES)
    assert d.card["left_out"] == {"metadata": 3}
    assert d.card["problems"][-1] == "metadata.jsonl line 43: there is no file gone.png"
    assert len(d.train.captions) == len(d.train)

    told = [words for s in (d.train, d.heldout) for words in s.captions]
    assert sorted(map(len, told)) == sorted(i % 3 for i in range(40))
    labels = np.concatenate([d.train.labels, d.heldout.labels])
    for words, label in zip(told, labels):
        if len(words) == 2:
            assert words[1].startswith(d.classes[label])


def test_classes_as_condition(odd):
    folder, _, plain = odd
    d = data.open(folder, cache=folder.parent / "cache", condition="class")
    assert d.spec == Spec(Pictures(3, 32), Label(2))
    x, c = d.train.take([5, 3, 3])
    assert c.dtype == torch.int64
    assert c.tolist() == plain.train.labels[[5, 3, 3]].tolist()
    assert torch.equal(x[1], x[2])
    assert d.card["fingerprint"] == plain.card["fingerprint"]


def test_a_class_is_a_subfolder_below_all_common_ones():
    files = lambda *names: SimpleNamespace(names=sorted(names), problems=[])
    labels = lambda *names: [item.label for item in sources.files.items(files(*names))[0]]
    assert labels("a.png", "b.png") == [None, None]
    assert labels("top/cat/a.png", "top/dog/b.png") == ["cat", "dog"]
    assert labels("train/cat/a.png", "train/dog/deep/b.png") == ["cat", "dog"]
    assert labels("test/cat/a.png", "train/cat/c.png", "train/dog/b.png") == ["cat", "cat", "dog"]
    assert labels("a.png", "dog/b.png") == [None, "dog"]


def test_numbers_are_classes_in_their_order(tmp_path):
    y = np.array([10, 2, 33] * 10)
    np.savez(tmp_path / "x.npz", x=np.random.default_rng(0).integers(0, 256, (30, 8, 8), np.uint8), y=y)
    assert data.open(tmp_path / "x.npz").classes == ["2", "10", "33"]


# -- pixel for pixel --------------------------------------------------------------------------------------------------


def kept(path, fit="crop"):
    with path.open("rb") as file:
        return pictures.read(file, path.name, 32, fit).x


@pytest.fixture
def x():
    return drawing(np.random.default_rng(3), "stripes", 32, 32)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif(tmp_path, x, orientation):
    """The tag says where row 0 and column 0 of the file are seen (EXIF 2.3, Orientation)."""
    undo = {
        1: x, 2: x[:, ::-1], 3: x[::-1, ::-1], 4: x[::-1], 5: x.swapaxes(0, 1), 6: np.rot90(x, 1),
        7: x[::-1, ::-1].swapaxes(0, 1), 8: np.rot90(x, -1)
    }  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(undo[orientation])).save(tmp_path / "x.png", exif=exif)
    assert np.array_equal(kept(tmp_path / "x.png"), x)


def test_sixteen_bits_are_scaled(tmp_path):
    v = np.random.default_rng(0).integers(0, 65536, (32, 32)).astype(np.uint16)
    for name in ("x.png", "x.tif"):
        Image.fromarray(v).save(tmp_path / name)
        assert np.array_equal(kept(tmp_path / name)[..., 0], np.round(v / 257).astype(np.uint8))


def test_transparent_is_laid_on_white(tmp_path, x):
    a = np.random.default_rng(0).integers(0, 256, (32, 32, 1))
    Image.fromarray(np.concatenate([x, a.astype(np.uint8)], 2)).save(tmp_path / "x.png")
    exact = (x * a + 255.0 * (255 - a)) / 255
    assert np.abs(kept(tmp_path / "x.png") - exact).max() <= 0.51


def test_palette_with_a_transparent_colour(tmp_path):
    places = (np.arange(1024) % 3).astype(np.uint8).reshape(32, 32)
    image = Image.fromarray(places).convert("P")
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    image.save(tmp_path / "x.png", transparency=1)
    colours = np.array([[255, 0, 0], [255, 255, 255], [0, 0, 255]], np.uint8)
    assert np.array_equal(kept(tmp_path / "x.png"), colours[places])


def test_the_first_frame_counts(tmp_path, x):
    image = Image.fromarray(x).quantize(256)
    image.save(tmp_path / "x.gif", save_all=True, append_images=[image.rotate(180)])
    assert np.array_equal(kept(tmp_path / "x.gif"), np.asarray(image.convert("RGB")))


def test_crop_is_the_middle_and_pad_is_centred(tmp_path):
    wide = drawing(np.random.default_rng(3), "stripes", 64, 32)
    Image.fromarray(wide).save(tmp_path / "x.png")
    assert np.array_equal(kept(tmp_path / "x.png"), wide[:, 16:48])
    padded = kept(tmp_path / "x.png", "pad")
    assert (padded[:8] == 255).all() and (padded[24:] == 255).all() and (padded[8:24] != 255).any()


def test_large_jpegs_decoded_small_are_nearly_the_same(tmp_path):
    big = Image.fromarray(drawing(np.random.default_rng(3), "circles", 900, 700))
    big.save(tmp_path / "x.jpg", quality=95)
    big.save(tmp_path / "x.png")
    assert np.abs(kept(tmp_path / "x.jpg").astype(int) - kept(tmp_path / "x.png")).mean() < 2


# -- arrays and points ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["nhw", "nhwc", "nchw", "npy", "stored", "fortran"])
def test_arrays_of_pictures(tmp_path, kind):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (300, 3, 12, 12), np.uint8)
    if kind == "nhw":
        x = x[:, :1]
    laid = {"nhw": x[:, 0], "nhwc": x.transpose(0, 2, 3, 1), "fortran": np.asfortranarray(x)}.get(kind, x)
    path = tmp_path / ("x.npy" if kind in ("npy", "fortran") else "x.npz")
    if path.suffix == ".npy":
        np.save(path, laid)
    else:
        (np.savez if kind == "stored" else np.savez_compressed)(path, images=laid)
    d = data.open(path)
    assert d.spec.x == Pictures(x.shape[1], 12)
    found = np.concatenate([d.train.x, d.heldout.x])
    assert sorted(map(bytes, found)) == sorted(map(bytes, x))


def test_points_are_played_at_unit_scale(tmp_path):
    points = np.random.default_rng(0).normal([5, 7], [1, 3], (2000, 2))
    np.savez(tmp_path / "p.npz", x=points, y=np.arange(2000) % 4)
    d = data.open(tmp_path / "p.npz")
    x = d.train.take(range(len(d.train)))[0]
    assert isinstance(d.spec.x, Vector)
    assert len(d.train) == 1800 and d.train.x.dtype == np.float32 and len(d.classes) == 4
    assert d.spec.x.center == pytest.approx(x.double().mean().item())
    assert d.spec.x.scale == pytest.approx(x.double().var(0, correction=0).mean().sqrt().item())
    played = d.spec.x.encode(x)
    assert torch.allclose(d.spec.x.decode(played), x, atol=1e-4)
    assert "mean and std" in data.summary(d)[2]


def test_equal_points_are_kept_but_never_parted(tmp_path):
    np.save(tmp_path / "p.npy", np.random.default_rng(0).integers(0, 40, (1000, 1)).astype(float))
    d = data.open(tmp_path / "p.npy")
    assert len(d.train) + len(d.heldout) == 1000
    assert not set(d.train.x.ravel()) & set(d.heldout.x.ravel())
    assert 0 < len(d.heldout) < 200


@pytest.mark.skipif(not MNIST.exists(), reason="the data of the benchmarks is not here")
def test_mnist():
    d = data.open(MNIST, condition="class")
    assert d.spec == Spec(Pictures(1, 28), Label(10))
    assert (len(d.train), len(d.heldout)) == (54_000, 6_000)
    assert d.classes == list("0123456789")
    share = np.bincount(d.heldout.labels) / np.bincount(d.train.labels)
    assert np.allclose(share, 1 / 9, atol=1e-3)


# -- worlds -----------------------------------------------------------------------------------------------------------


def test_a_world_is_drawn():
    world = worlds.open("ring")
    d = data.open(world, seed=3)
    assert d.world is world
    assert d.spec == world.spec
    assert (len(d.train), len(d.heldout)) == world.examples
    assert torch.equal(d.train.take(range(9))[0], world.draw(world.examples[0], 3)[0][:9])
    assert torch.equal(d.heldout.take(range(9))[0], world.draw(world.examples[1], 3, heldout=True)[0][:9])
    assert data.open(world, seed=3).card["fingerprint"] == d.card["fingerprint"] != data.open(world).card["fingerprint"]
    assert data.summary(d)[1] == "100,000 to train on, 10,000 held out"


def test_the_classes_of_a_world():
    d = data.open(worlds.open("digits"), condition="class")
    assert d.spec.c == Label(10)
    assert torch.equal(d.heldout.take([0, 1])[1], d.world.labels(len(d.heldout), 0, True)[:2])


class Noise:
    """A world large enough to be kept."""

    name, about, examples = "noise", "noise of one pixel", (6000, 600)
    spec = Spec(Pictures(3, 32), Label(5))

    def __init__(self, most=256):
        self.most, self.drawn = most, 0

    def draw(self, n, seed, heldout=False):
        self.drawn += n
        g = torch.Generator().manual_seed(2 * seed + heldout)
        x = torch.randint(self.most, (n, 3, 1, 1), generator=g).byte().expand(n, 3, 32, 32)
        return x, torch.arange(n) % 5


def test_a_large_world_is_drawn_once(tmp_path):
    first, again, other = Noise(), Noise(), Noise(most=100)
    d = data.open(first)
    same(d, data.open(again))
    assert torch.equal(d.train.take(range(50))[0], first.draw(6000, 0)[0][:50])
    assert torch.equal(d.heldout.take([7, 6])[1], torch.tensor([2, 1]))
    assert again.drawn == 16
    assert d.spec == Noise.spec and d.world is first
    assert data.open(other).card["fingerprint"] != d.card["fingerprint"]

    (tmp_path / "file").write_text("in the way")
    alone = data.open(first, cache=tmp_path / "file" / "cache")
    same(d, alone)
    assert "SPARRING_CACHE" in data.summary(alone)[-1]


# -- the split --------------------------------------------------------------------------------------------------------


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


# -- the order --------------------------------------------------------------------------------------------------------


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


# -- the cache --------------------------------------------------------------------------------------------------------


def test_prepared_once(photos, tmp_path, monkeypatch):
    first = data.open(photos)
    monkeypatch.setattr(sources, "store", lambda *_: pytest.fail("prepared again"))
    same(first, data.open(photos))
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_a_changed_folder_is_prepared_again(photos):
    before = data.open(photos)
    (photos / "00.png").unlink()
    assert len(data.open(photos).train) + len(data.open(photos).heldout) == 39
    assert before.train.take([0])[0].any()


def test_a_crash_while_building_leaves_nothing(photos, tmp_path):
    def crash(done, total):
        if done == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        data.open(photos, progress=crash)
    assert not list((tmp_path / "cache").iterdir())


@pytest.mark.parametrize("damage", ["train.npy", "heldout.npy", "card.json"])
def test_a_damaged_entry_is_made_anew(photos, tmp_path, damage):
    first = data.open(photos)
    (entry,) = (tmp_path / "cache").iterdir()
    whole = np.array(first.train.x)
    (entry / damage).write_bytes((entry / damage).read_bytes()[:150])
    assert np.array_equal(data.open(photos).train.x, whole)


def test_what_dead_builders_left_is_swept_after_a_day(photos, tmp_path):
    old, new = (tmp_path / "cache" / f".building-{name}" for name in ("old", "new"))
    for folder in (old, new):
        folder.mkdir(parents=True)
        (folder / "decoded").write_bytes(b"x")
    for path in (old / "decoded", old):
        os.utime(path, (time.time() - 90_000,) * 2)
    data.open(photos)
    assert not old.exists() and new.exists()


def _open_and_tell(path, folder, pipe):
    pipe.send("ready")
    pipe.recv()
    d = data.open(path, cache=folder)
    pipe.send((d.card["fingerprint"], d.train.x.sum()))


def test_two_builders_at_once_agree(photos, tmp_path):
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_open_and_tell, args=(photos, tmp_path / "shared", theirs))
    process.start()
    assert ours.recv() == "ready"
    ours.send("go")
    d = data.open(photos, cache=tmp_path / "shared")
    assert ours.recv() == (d.card["fingerprint"], d.train.x.sum())
    process.join()
    process.close()
    assert len(list((tmp_path / "shared").iterdir())) == 1


def test_the_second_of_two_builders_uses_the_first(tmp_path):
    def build(aside):
        (aside / "x").write_text("second")
        (tmp_path / "entry").mkdir()
        (tmp_path / "entry" / "x").write_text("first")

    assert cache.kept(tmp_path, "entry", build, lambda place: (place / "x").read_text()) == "first"
    assert not leftovers(tmp_path)


def test_an_unwritable_cache_falls_back(photos, tmp_path):
    (tmp_path / "file").write_text("in the way")
    d = data.open(photos, cache=tmp_path / "file" / "cache")
    assert "cannot be written" in d.card["notes"][0]
    assert "SPARRING_CACHE" in data.summary(d)[-1]
    same(d, data.open(photos))
    folder = Path(d.kept.name)
    train = d.train
    d.kept.cleanup()
    assert not folder.exists()
    assert train.take([0])[0].any()


def test_a_disk_without_room_is_refused_first(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(DataError, match=r"needs 245.8 kB \(245,760 bytes\) in .*cache, but 1.0 kB are free"):
        data.open(photos)
    assert not list((tmp_path / "cache").iterdir())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_disk_that_fills_up(photos, tmp_path, monkeypatch):
    begin = cache.refuse_without_room
    monkeypatch.setattr(
        sources, "refuse_without_room", lambda aside, n: begin(aside, n) or (aside / "decoded").symlink_to("/dev/full")
    )
    with pytest.raises(DataError, match=r"245,760 bytes\) in .*cache, but the disk is full") as error:
        data.open(photos)
    assert error.value.__cause__.errno == errno.ENOSPC
    assert not list((tmp_path / "cache").iterdir())


def test_progress_is_told(photos):
    told = []
    data.open(photos, progress=lambda done, total: told.append((done, total)))
    assert told[0] == (0, 40) and told[-1] == (40, 40)
    assert told == sorted(told)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_is_flat_in_the_number_of_pictures(tmp_path):
    """Four times the pictures, 75 MB more of them, in the memory of any other."""

    def rise(n):
        x = np.lib.format.open_memmap(tmp_path / f"{n}.npy", "w+", np.uint8, (n, 64, 64, 3))
        for i in range(0, n, 100):
            x[i : i + 100] = np.random.default_rng(i).integers(0, 256, (100, 64, 64, 3), np.uint8)
        del x
        anonymous = lambda: int(Path("/proc/self/status").read_text().split("RssAnon:")[1].split()[0])
        before, most = anonymous(), [0]

        def watch(done, total):
            if done % 250 == 0:
                most[0] = max(most[0], anonymous())

        data.open(tmp_path / f"{n}.npy", progress=watch)
        return max(most[0], anonymous()) - before

    rise(500)
    assert rise(8000) < rise(2000) + 20_000  # kB


# -- refused ----------------------------------------------------------------------------------------------------------


def refused(path, *words, **options):
    with pytest.raises(DataError) as error:
        data.open(path, **options)
    message = str(error.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def test_missing(photos):
    refused(photos.with_name("photo"), "photo does not exist; did you mean 'photos'?", "an .npz or an .npy")
    refused(photos.parent / "phots" / "deep" / "er", "did you mean 'photos'?")


def test_not_data(tmp_path):
    (tmp_path / "x.tar").write_text("")
    refused(tmp_path / "x.tar", "x.tar is no data", ".zip")


def test_empty(tmp_path):
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / ".hidden.png").write_text("")
    refused(tmp_path / "none", "is an empty folder", ".png")
    zipfile.ZipFile(tmp_path / "none.zip", "w").close()
    refused(tmp_path / "none.zip", "is an empty zip")


def test_unreadable_zip(odd, tmp_path):
    whole = zipped(odd[0], tmp_path / "x.zip").read_bytes()
    (tmp_path / "x.zip").write_bytes(whole[: len(whole) // 2])
    refused(tmp_path / "x.zip", "cannot be read as a zip", "copy it again")


def test_damage_inside_a_zip_costs_only_the_damaged(photos, tmp_path):
    path = zipped(photos, tmp_path / "x.zip")
    whole = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        start = archive.infolist()[5].header_offset + 200
    whole[start : start + 50] = bytes(50)
    path.write_bytes(whole)
    d = data.open(path)
    assert d.card["left_out"] == {"broken": 1}
    assert len(d.train) + len(d.heldout) == 39


def test_too_few(photos):
    for path in sorted(photos.iterdir())[10:]:
        path.write_bytes(b"")
    refused(photos, "10 usable pictures of 40 (30 broken; e.g. 10.png: ", "at least 16")


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (np.zeros((20, 2, 2, 2, 2)), ["(20, 2, 2, 2, 2)", "(N, H, W)"]),
        (np.zeros((20, 5, 5, 2), np.uint8), ["(20, 5, 5, 2)", "C of 1, 3 or 4"]),
        (np.zeros(20), ["(20,)", "points (N, d)"]),
        (np.zeros((0, 8, 8), np.uint8), ["(0, 8, 8)", "holds nothing"]),
        (np.zeros((20, 8, 8)), ["float64", "(255 * x).round()"]),
        (np.zeros((20, 8, 8), np.int32), ["int32", "x.astype('uint8')"]),
        (np.array([["a"]] * 20, object), ["Python objects, which are never loaded"]),
        (np.ones((20, 2)), ["1 different points of 20", "at least 16"]),
        (np.zeros((20, 8, 8), np.uint8), ["0 usable pictures of 20 (20 blank; e.g. arr_0[0]: a single colour"]),
    ],
)
def test_wrong_arrays(tmp_path, x, words):
    np.save(tmp_path / "x.npy", x)
    refused(tmp_path / "x.npy", *words)


@pytest.mark.parametrize(
    ("value", "name"), [(np.nan, "NaN"), (np.inf, "infinity"), (-np.inf, "infinity"), (1e300, "1e+300, beyond 32-bit")]
)
def test_points_that_are_not_finite(tmp_path, value, name):
    x = np.random.default_rng(0).normal(size=(1000, 3))
    x[700, 2] = x[800, 0] = value
    np.save(tmp_path / "x.npy", x)
    refused(tmp_path / "x.npy", f"has {name}", "at index (700, 2)", "np.isfinite")


def test_wrong_files_of_arrays(tmp_path):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "x.npz", imags=rng.random((20, 2)), other=rng.random((20, 2)))
    refused(tmp_path / "x.npz", "arrays imags, other", "images or x", "did you mean 'imags'?")
    np.savez(tmp_path / "x.npz", x=rng.random((20, 2)), y=np.zeros(19))
    refused(tmp_path / "x.npz", "labels (19,) for 20 examples")
    (tmp_path / "x.npz").write_bytes(b"nothing of the kind")
    refused(tmp_path / "x.npz", "cannot be read as npz")
    np.save(tmp_path / "x.npy", rng.random((2000, 2)))
    (tmp_path / "x.npy").write_bytes((tmp_path / "x.npy").read_bytes()[:20_000])
    refused(tmp_path / "x.npy", "ends after row", "of 2000")


def test_wrong_options(photos):
    refused(photos, "size 0", "4 to 1024", size=0)
    refused(photos, "fit 'squash' is none of crop, pad, stretch", fit="squash")
    refused(photos, "condition 'label' is none of none, class", condition="label")
    refused(photos, "cannot be made by class: no classes were found", "subfolder", condition="class")
    (photos / "dogs").mkdir()
    (photos / "00.png").rename(photos / "dogs" / "00.png")
    refused(photos, "39 of 40 have no class, so classes are not used", condition="class")
