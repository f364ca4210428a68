"""Laws of tunes: each rule has its own number, and what is written can be looked at and played."""

import struct

import numpy as np
import pytest
import torch

from sparring import tunes, worlds
from sparring.worlds.melodies import WORDS


@pytest.fixture(scope="module")
def world():
    return worlds.open("melodies")


def written(*texts):
    rows = [[WORDS.index(w) for w in text.split()] for text in texts]
    return torch.tensor([row + [0] * (24 - len(row)) for row in rows])


GOOD = "C2 D2 E2 F2 A2 G2 F2 E2 D2 E2 G2 F2 E2 D2 C4"


def test_each_rule_has_its_number(world):
    best = world.judge(written(GOOD))
    assert [best[k] for k in ("valid", "in_time", "smooth", "home", "harmony")] == [1] * 5
    broken = {
        "in_time": "C2 D2 E2 F2 A2 G2 F2 E2 D2 E2 G2 F2 E3 D2 C4",
        "smooth": "C2 D2 E2 F2 A2 G2 F2 E2 D2 E2 c2 F2 E2 D2 C4",
        "home": "C2 D2 E2 F2 A2 G2 F2 E2 D2 E2 G2 F2 E2 D2 E4",
        "harmony": "D2 D2 E2 F2 A2 G2 F2 E2 D2 E2 G2 F2 E2 D2 C4",
    }
    for rule, text in broken.items():
        found = world.judge(written(text))
        assert found["valid"] == 0 and found[rule] < 1
        assert all(found[other] == 1 for other in broken if other not in (rule, "harmony"))


def test_notes_are_heard_as_they_are_written(world):
    text = world.spell(written("C D2 c4 z a3".replace(" z", "")))[0]
    assert text == "C D2 c4 a3"
    assert [(n.key, n.lasts) for n in tunes.read("C D2 c4 z a3 c' B,")] == [
        (60, 1), (62, 2), (72, 4), (0, 1), (81, 3), (84, 1), (59, 1)
    ]  # fmt: skip
    assert tunes.are_notes(world.words) and not tunes.are_notes(("", "the")) and not tunes.are_notes(("",))
    with pytest.raises(ValueError, match="'H2' is no note"):
        tunes.read("C H2")


def events(file):
    """(time in ticks, on, key) of a MIDI file of one track, read byte by byte."""
    assert file[:4] == b"MThd" and struct.unpack(">IHHH", file[4:14]) == (6, 0, 1, 480)
    assert file[14:18] == b"MTrk" and struct.unpack(">I", file[18:22])[0] == len(file) - 22
    i, now, found = 22, 0, []
    while i < len(file):
        wait = 0
        while True:
            wait, more, i = wait << 7 | file[i] & 127, file[i] & 128, i + 1
            if not more:
                break
        now += wait
        if file[i] == 0xFF:
            i += 3 + file[i + 2]
        else:
            found.append((now, file[i] == 0x90, file[i + 1]))
            i += 3
    return found


def test_a_midi_file_has_every_note_when_it_sounds(tmp_path):
    path = tunes.write_midi(["C2 E z G4", "", "c8"], tmp_path / "tune.mid")
    eighth = tunes.TICKS
    assert events(path.read_bytes()) == [
        (0, True, 60), (2 * eighth, False, 60), (2 * eighth, True, 64), (3 * eighth, False, 64),
        (4 * eighth, True, 67), (8 * eighth, False, 67), (12 * eighth, True, 72), (20 * eighth, False, 72),
    ]  # fmt: skip


def test_a_score_has_a_row_for_each_tune(world, tmp_path):
    path = tunes.write_score(world.spell(world.draw(3, 0)[0]), tmp_path / "score.png")
    page = tunes.score([tunes.read(GOOD)] * 3)
    assert path.exists() and page.height == 3 * tunes.score([tunes.read(GOOD)]).height
    dark = (torch.tensor(np.array(page.convert("L"))) < 60).double().mean()
    assert 0.005 < dark < 0.1
    tunes.write_score([""], tmp_path / "silence.png")
