"""What is found in a folder, a zip or a world, and what is said of it."""

import json
import os
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from sparring import autopilot, data, worlds
from sparring.data import sources
from sparring.progress import tell
from sparring.spaces import Image as Pictures
from sparring.spaces import Label, Spec

from ..oddities import CLASSES, captioned, drawing, zipped
from .conftest import same

# -- what is found -----------------------------------------------------------------------------------------------------


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
    for word in ("32 × 32, colour", "median short side", "laid on white"):
        assert word in text
    for kind, n in expected.left_out.items():
        (line,) = [line for line in text.splitlines() if line.startswith(f"left out: {n} {kind}, of {expected.found}")]
        assert line.endswith(f"e.g. {d.card['for_example'][kind]}")


def test_a_name_in_no_code_is_a_name(photos, capsys):
    """As on disks and in archives from elsewhere."""
    try:
        (photos / "00.png").rename(photos / os.fsdecode(b"caf\xe9.png"))
        (photos / os.fsdecode(b"na\xefve.txt")).write_text("no picture")
    except OSError:
        pytest.skip("this file system takes no such names")
    d = data.open(photos)
    assert len(d.train) + len(d.heldout) == 40
    names = d.train.names(range(len(d.train))) + d.heldout.names(range(len(d.heldout)))
    assert os.fsdecode(b"caf\xe9.png") in names
    for line in data.summary(d):
        tell(line)
    assert "na\\udcefve.txt: not a format" in capsys.readouterr().err


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


def test_metadata_that_is_damaged_in_a_zip_is_named(tmp_path):
    packed = zipped(captioned(tmp_path / "told"), tmp_path / "told.zip")
    with zipfile.ZipFile(packed) as archive:
        info = archive.getinfo("told/metadata.jsonl")
    content = bytearray(packed.read_bytes())
    at = info.header_offset + 30 + len(info.filename)
    content[at + info.compress_size // 2] ^= 1
    packed.write_bytes(content)
    d = data.open(packed)
    assert len(d.train) + len(d.heldout) == 40
    assert any(p.startswith("told/metadata.jsonl: cannot be read (") for p in d.card["problems"])


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


# -- classes and captions ----------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize(
    ("folders", "lost"),
    [
        (("train/cats", "train/dogs"), set()),  # and a broken file beside them
        (("00000", "00002"), set()),  # names, though of digits
        (("1999", "2024"), set()),
        (("cats", "dogs", "owls"), {"owls"}),  # in which nothing can be read
    ],
)
def test_a_class_is_lost_only_where_one_was_named(tmp_path, folders, lost):
    root, rng = tmp_path / "root", np.random.default_rng(0)
    for name in folders:
        (root / name).mkdir(parents=True)
        for i in range(12 if name not in lost else 0):
            Image.fromarray(drawing(rng, CLASSES[0], 40, 36)).save(root / name / f"{i}.png")
        (root / name / "broken.png").write_bytes(b"no picture")
    sizes = autopilot.census(data.open(root))["class_sizes"]
    assert {name for name, n in sizes.items() if not n} == lost


def test_a_gap_in_numbers_is_a_lost_class(tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (60, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "x.npz", x=x, labels=np.array([0, 1, 3])[np.arange(60) % 3])
    assert autopilot.census(data.open(tmp_path / "x.npz"))["class_sizes"]["2"] == 0


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


# -- worlds ------------------------------------------------------------------------------------------------------------


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


def test_the_arrays_of_keras_are_known(tmp_path):
    x, y = np.random.default_rng(0).integers(0, 256, (40, 8, 8), np.uint8), np.arange(40) % 2
    np.savez(tmp_path / "mnist.npz", x_train=x, y_train=y, x_test=x[:9], y_test=y[:9])
    d = data.open(tmp_path / "mnist.npz", condition="class")
    assert (len(d.train) + len(d.heldout), d.spec) == (40, Spec(Pictures(1, 8), Label(2)))
