"""Pictures come out pixel for pixel, arrays and points number for number."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sparring import data
from sparring.data import pictures
from sparring.spaces import Image as Pictures
from sparring.spaces import Label, Spec, Vector

from ..oddities import drawing

MNIST = Path(__file__).parents[3] / "shared" / "data" / "mnist-train.npz"


# -- pixel for pixel ---------------------------------------------------------------------------------------------------


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


# -- arrays and points -------------------------------------------------------------------------------------------------


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
