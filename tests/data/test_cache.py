"""What is prepared is kept whole, whatever happens to the files, the disk and the process."""

import errno
import multiprocessing
import os
import sys
import time
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from sparring import data, worlds
from sparring.data import DataError, cache, sources

from .conftest import leftovers, same


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
    for left in (150, 0):
        (entry / damage).write_bytes((entry / damage).read_bytes()[:left])
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
def test_progress_is_told_of_what_is_prepared_alone(photos, tmp_path, monkeypatch):
    told = []
    tell = lambda done, total: told.append((done, total))
    ring = worlds.open("ring")
    data.open(ring, cache=tmp_path, progress=tell)
    assert told == []  # in memory, in no time

    monkeypatch.setattr(import_module("sparring.data.drawn"), "MANY", 0)
    data.open(ring, cache=tmp_path, progress=tell)
    n, held = ring.examples
    assert told == [(0, n + held), (n, n + held), (n + held, n + held)]
    data.open(photos, cache=tmp_path)
    told.clear()
    for source in (ring, photos):
        data.open(source, cache=tmp_path, progress=tell)
    assert told == []


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
