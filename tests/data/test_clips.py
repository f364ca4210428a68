"""Laws of clips as data: no window reaches across clips, whole clips are held out, each fault has a line of its own."""

import json
import shutil
from itertools import permutations

import numpy as np
import pytest
import torch
from PIL import Image as Picture

from sparring import data
from sparring.cli import main
from sparring.data import DataError, clips, films
from sparring.data.films import Kept
from sparring.folder import RunFolder
from sparring.spaces import Frames, Image, Spec

from ..oddities import zipped
from .conftest import same

SIZE, LONG = 16, 9
LEFT_OUT = {"broken": 2, "duplicate": 1, "film": 1, "no clip": 1, "at rest": 1, "too short": 4, "uneven": 1}


def pages(seed, n=LONG, size=(SIZE, SIZE)):
    """n frames, no two alike: the lower half says by its colour which clip it is, the upper one which frame."""
    frames = []
    for i in range(n):
        x = np.full((size[1], size[0], 3), (20 + 12 * seed, 200 - 9 * seed, 90), np.uint8)
        x[: size[1] // 2] = (250, 250, 40 + 5 * i)
        frames.append(Picture.fromarray(x))
    return frames


def save(path, frames, **options):
    if path.suffix:
        frames[0].save(path, save_all=True, append_images=frames[1:], **options)
        return path
    path.mkdir(parents=True)
    for i, frame in enumerate(frames):
        frame.save(path / f"frame{i}.png")  # frame10 comes after frame9
    return path


@pytest.fixture
def odd(tmp_path):
    """Good clips in each form, one of another size, and whatever else lies in such folders."""
    folder = tmp_path / "clips"
    folder.mkdir()
    for k, name in enumerate(["a.gif", "b.gif", "c.webp", "d.webp", "e.png", "f.png"]):
        save(folder / name, pages(k), **({"lossless": True} if name.endswith("webp") else {}))
    save(folder / "walks/long", pages(6, 12))
    save(folder / "walks/other", pages(7))
    save(folder / "wide.gif", pages(8, size=(2 * SIZE, SIZE)))

    whole = (folder / "a.gif").read_bytes()
    (folder / "half.gif").write_bytes(whole[:60])
    (folder / "page.webp").write_text("<html>404 Not Found</html>")
    save(folder / "hole", pages(9))
    (folder / "hole/frame4.png").write_bytes(b"not a picture")
    save(folder / "again.webp", pages(2), lossless=True)
    (folder / "film.mp4").write_bytes(bytes(range(256)))
    (folder / "notes.txt").write_text("my clips")
    save(folder / "still", pages(10, 1) * 4)
    pages(11)[0].save(folder / "cover.jpg")
    save(folder / "one.gif", pages(12, 1))
    save(folder / "two.gif", pages(13, 2))
    save(folder / "uneven", pages(14))
    pages(14, size=(20, 20))[0].save(folder / "uneven/frame3.png")
    return folder


def test_every_fault_has_a_line(odd, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "av", None)  # as where PyAV is not installed
    d = data.open(odd, condition="past")
    assert d.spec == Spec(Image(3, SIZE), Frames(2, 3, SIZE))
    assert (d.card["usable"], d.card["left_out"]) == (9, LEFT_OUT), d.card["problems"]
    lines = data.summary(d)
    for name, words in {
        "half.gif": "1 frame",
        "page.webp": "damaged",
        "hole": "its frame frame4.png is broken",
        "film.mp4": "pip install 'sparring[film]'",
        "notes.txt": "neither",
        "still": "nothing moves in its 4 frames",
        "cover.jpg": "1 frame",
        "one.gif": "1 frame",
        "two.gif": "2 frames; 2 of the past and the next are needed",
        "uneven": "frames of 2 sizes, such as 16 × 16 and 20 × 20",
    }.items():
        assert [words in line for line in lines if line.startswith(f"left out: {name}: ")] == [True], name
    assert any(line.startswith("another size: wide.gif: 32 × 16, most are 16 × 16") for line in lines)
    assert any("the same clip as" in line for line in lines)
    for kind, line in {"film": "film.mp4: ", "uneven": "uneven: ", "at rest": "still: "}.items():
        assert d.card["for_example"][kind].startswith(line)
    assert json.loads(json.dumps(d.card)) == d.card


def test_windows_are_of_one_clip_and_in_order(odd):
    d = data.open(odd, condition="past", past=3)
    for split in (d.train, d.heldout):
        x, c = split.take(range(len(split)))
        assert c.shape == (len(x), 3, 3, SIZE, SIZE) and x.dtype == c.dtype == torch.uint8
        whole = torch.cat([c, x[:, None]], 1).int()
        kind, number = whole[:, :, 0, -1, 0], whole[:, :, 2, 0, 0]
        assert (kind == kind[:, :1]).all()  # never across clips
        assert (number.diff(dim=1) == 5).all()
        assert len({(int(k[0]), int(i[-1])) for k, i in zip(kind, number)}) == len(split)
    assert d.card["train"] == len(d.train) and d.card["heldout"] == len(d.heldout)
    assert len(d.train) + len(d.heldout) == d.card["clips"]["frames"] - 3 * d.card["usable"]


def test_whole_clips_are_held_out(odd):
    d = data.open(odd, condition="past")
    names = [{n.split(" frame")[0] for n in s.names(range(len(s)))} for s in (d.train, d.heldout)]
    assert names[1] == set(d.card["clips"]["heldout"]) and not names[0] & names[1]
    assert len(names[0] | names[1]) == d.card["usable"]


def test_the_same_from_zip_and_cache_and_another_past_is_another_data_set(odd, tmp_path):
    d = data.open(odd, condition="past")
    same(d, data.open(odd, condition="past"))
    same(d, data.open(zipped(odd, tmp_path / "clips.zip"), condition="past"))
    assert d.card["fingerprint"] != data.open(odd, condition="past", past=4).card["fingerprint"]


def test_clips_are_known_by_themselves(tmp_path, photos):
    for k in range(4):
        save(tmp_path / f"{k}.gif", pages(k))
    (tmp_path / "photos").rename(tmp_path.parent / "photos")
    d = data.open(tmp_path)
    assert isinstance(d.spec.c, Frames) and data.open(tmp_path, condition="past").spec == d.spec
    assert "4 clips of 9 frames, 1 of them held out" in data.summary(d)
    with pytest.raises(DataError, match="4 usable pictures"):
        data.open(tmp_path, condition="none")
    assert data.open(tmp_path.parent / "photos").spec.c is None
    with pytest.raises(DataError, match="do not move; add --condition past"):
        data.open(tmp_path.parent / "photos", past=2)


def test_one_clip_alone_holds_out_its_end(tmp_path):
    d = data.open(save(tmp_path / "walk.gif", pages(0, 40)))
    assert any("one clip alone, so its last 4 frames are held out" in line for line in data.summary(d))
    assert (len(d.train), len(d.heldout)) == (34, 2)


@pytest.mark.parametrize(
    ("lengths", "held"),
    [
        ([1000, 20, 20], [20, 20]),
        ([1000, 90, 20], [90, 20]),
        ([300, 300, 300, 300], [300]),
        ([1000, 900], [190]),
        ([1000, 3], [100]),
        ([40], [4]),
    ],
)
def test_about_a_tenth_is_held_out_however_long_the_clips(lengths, held):
    for order in permutations(range(len(lengths))):
        kept = [Kept(f"{k}", 1000 * k, lengths[k], k) for k in order]
        out, notes = films._hold_out(kept, 2), []
        if not out:
            kept, out, why = films._parted(kept, 2)
            notes.append(why)
        assert sorted(k.frames for k in out) == sorted(held)
        assert sum(k.frames for k in kept) == sum(lengths) and set(out) < set(kept)
        places = [set(range(k.start, k.start + k.frames)) for k in kept]
        assert len(set().union(*places)) == sum(lengths)  # no frame on both sides
        assert bool(notes) == (held[0] not in lengths)


def test_gray_and_dark_clips(tmp_path):
    for k in range(4):
        dark = [Picture.new("RGB", (24, 24))] + [p.convert("L") for p in pages(k, size=(24, 24))]
        save(tmp_path / f"clip{k}", dark)
    d = data.open(tmp_path, condition="past")
    assert d.spec == Spec(Image(1, 24), Frames(2, 1, 24)) and d.card["usable"] == 4


def test_too_little_is_refused(tmp_path, photos):
    save(tmp_path / "few.gif", pages(0, 5))
    for options, words in [
        (dict(source=tmp_path / "few.gif"), "at least 16 and 2 are needed"),
        (dict(source=photos / "none.gif"), "does not exist"),
        (dict(source=tmp_path / "few.gif", past=100), "past 100 is no number of frames"),
        (dict(source=tmp_path / "few.gif", past=4), "1 usable clips"),
    ]:
        with pytest.raises(DataError, match=words):
            data.open(**options)
    np.save(tmp_path / "x.npy", np.zeros((40, 2), np.float32))
    with pytest.raises(DataError, match="holds no clips"):
        data.open(tmp_path / "x.npy", condition="past")


def test_films_need_pyav(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    (tmp_path / "films").mkdir()
    (tmp_path / "films/a.mp4").write_bytes(bytes(99))
    with pytest.raises(DataError, match=r"pip install 'sparring\[film\]'"):
        data.open(tmp_path / "films")


def test_films_are_clips(tmp_path):
    av = pytest.importorskip("av")
    for k in range(3):
        with av.open(tmp_path / f"{k}.mp4", "w") as film:
            stream = film.add_stream("mpeg4", rate=10)
            stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
            for page in pages(k, 20, (32, 32)):
                film.mux(stream.encode(av.VideoFrame.from_image(page)))
            film.mux(stream.encode())
    d = data.open(tmp_path)
    assert d.spec == Spec(Image(3, 32), Frames(2, 3, 32)) and d.card["clips"]["frames"] == 60
    assert clips.past_of(tmp_path / "0.mp4", d.spec.c).shape == (2, 3, 32, 32)


def test_a_folder_of_clips_is_not_one_to_go_on_from(odd):
    with pytest.raises(DataError, match="holds clips, not frames of one; give one of them, such as .*a.gif"):
        clips.past_of(odd, Frames(2, 3, SIZE))
    assert clips.past_of(odd / "walks/long", Frames(2, 3, SIZE)).shape == (2, 3, SIZE, SIZE)


def test_a_run_on_clips_resumes_exactly(odd, tmp_path, capsys):
    run, again = tmp_path / "run", tmp_path / "again"
    options = ["--past", 3, "--condition", "past", "--width", 4, "--batch", 16, "--samples", 128, "--threads", 1]
    options += ["--checkpoint_every", 64, "--sample_every", 1000, "--evaluate_final", 20]
    sparring = lambda *argv: main([str(a) for a in argv])
    assert sparring("train", odd, *options, "--run", run) == 0
    assert "left out: two.gif" in capsys.readouterr().err
    assert json.loads((run / "card.json").read_text())["data"]["left_out"]["too short"] == 4
    asked = RunFolder(run).recipe()
    assert (asked["condition"], asked["past"], asked["net"]) == ("past", 3, "frame")

    shutil.copytree(run, again)
    (sorted((again / "checkpoints").iterdir())[-1] / "tree.json").unlink()  # as if it had been killed before
    assert sparring("resume", again) == 0
    a, b = (RunFolder(path).load()["state"] for path in (run, again))
    assert all(torch.equal(a[p][k], b[p][k]) for p in ("G", "D", "ema") for k in a[p])
    assert sparring("sample", run, "--from", odd / "walks/long", "--frames", 3, "--futures", 2) == 0
