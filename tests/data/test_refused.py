"""Data that cannot be used is refused in one line that names the way out."""

import zipfile

import numpy as np
import pytest

from sparring import data
from sparring.data import DataError

from ..oddities import zipped


def refused(path, *words, **options):
    with pytest.raises(DataError) as error:
        data.open(path, **options)
    message = str(error.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def test_missing(photos):
    refused(photos.with_name("photo"), "photo does not exist; did you mean 'photos'?", "an .npz, an .npy or a .txt")
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
    refused(tmp_path / "x.npz", "arrays imags, other", "call one of them images or x")
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
    refused(photos, "no classes were found", "two or more", condition="class")
    assert any("dogs: holds no file" in line for line in data.summary(data.open(photos)))
    (photos / "00.png").rename(photos / "dogs" / "00.png")
    refused(photos, "39 of 40 have no class, so classes are not used", condition="class")
