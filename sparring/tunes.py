"""Notes in words -> a score to look at and a MIDI file to listen to.

Words are notes of ABC notation: C is middle C and c an octave above, each ' an octave higher and each , one lower; a
number after it is how long it lasts, in eighths; z is a rest.
"""

import re
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image as Picture
from PIL import ImageDraw

from .folder import RunFolder

NOTE = re.compile(r"([A-Ga-gz])([',]*)(\d*)")
SEMITONES = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
TICKS = 240  # of an eighth, in MIDI files


class Note(NamedTuple):
    """A note, or a rest if it has no step."""

    step: int | None  # steps of the white keys above middle C
    key: int  # as MIDI numbers keys; 60 is middle C
    lasts: int  # eighths


def read(words: str) -> list[Note]:
    """The notes of a tune; ValueError at a word that is none."""
    return [_note(word) for word in words.split()]


def _note(word: str) -> Note:
    found = NOTE.fullmatch(word)
    if not found:
        raise ValueError(f"{word!r} is no note; notes are as in ABC notation, such as C, c2 or z")
    letter, marks, lasts = found.groups()
    if letter == "z":
        return Note(None, 0, int(lasts or 1))
    octave = letter.islower() + marks.count("'") - marks.count(",")
    key = 60 + 12 * octave + SEMITONES[letter.upper()]
    if not 0 <= key < 128:
        raise ValueError(f"{word!r} is outside of what MIDI can play")
    return Note("CDEFGAB".index(letter.upper()) + 7 * octave, key, int(lasts or 1))


def are_notes(words: Sequence[str]) -> bool:
    """Whether all words of a vocabulary are notes, so that its texts are tunes."""
    return any(words) and all(NOTE.fullmatch(word.strip()) for word in words if word)


# -- to listen to -----------------------------------------------------------------------------------------------------


def midi(tunes: Sequence[Sequence[Note]], tempo: int = 120, rest: int = 4) -> bytes:
    """Tunes one after the other as a MIDI file of one track; `rest` eighths between them, `tempo` quarters a minute."""
    track = bytearray(b"\0\xff\x51\x03" + (60_000_000 // tempo).to_bytes(3, "big"))
    wait = 0
    for tune in tunes:
        for note in tune:
            if note.step is None:
                wait += note.lasts * TICKS
                continue
            track += _later(wait) + bytes((0x90, note.key, 80))
            track += _later(note.lasts * TICKS) + bytes((0x80, note.key, 0))
            wait = 0
        wait += rest * TICKS
    track += b"\0\xff\x2f\0"
    head = b"MThd" + struct.pack(">IHHH", 6, 0, 1, 2 * TICKS)
    return head + b"MTrk" + struct.pack(">I", len(track)) + bytes(track)


def _later(ticks: int) -> bytes:
    """A time as MIDI files have it: seven bits a byte, the last with its high bit clear."""
    found = [ticks & 127]
    while ticks := ticks >> 7:
        found.append(128 | (ticks & 127))
    return bytes(reversed(found))


def write_midi(tunes: Sequence[str], path: str | Path) -> Path:
    """Tunes in words as a file (.mid), one after the other; those without a note are left out."""
    read_ = [read(tune) for tune in tunes if tune.strip()]
    return _write(path, ".mid", lambda aside: aside.write_bytes(midi(read_)))


# -- to look at -------------------------------------------------------------------------------------------------------

INK, LINE, BARLINE = "#1d1d1f", "#b9b5ac", "#8b877f"
GAP = 8  # pixels between two lines of a staff
WIDE = 15  # pixels of an eighth


def score(tunes: Sequence[Sequence[Note]], bar: int = 8) -> Picture.Image:
    """Each tune on a staff of its own, G clef understood; notes stand where they sound, bars of `bar` eighths."""
    longest = max((sum(n.lasts for n in tune) for tune in tunes), default=0)
    width, height = 40 + WIDE * max(longest, bar), 14 * GAP
    page = Picture.new("RGB", (2 * width, 2 * height * max(len(tunes), 1)), "#ffffff")
    pen = ImageDraw.Draw(page)
    for row, tune in enumerate(tunes):
        _staff(pen, tune, 2 * height * row + 2 * 9 * GAP, 2 * width, bar)
    return page.resize((width, page.height // 2), Picture.Resampling.LANCZOS)


def _staff(pen: ImageDraw.ImageDraw, tune: Sequence[Note], low: int, width: int, bar: int) -> None:
    """Draws at twice the size, for smooth edges; `low` is the height of the lowest line, that of E (step 2)."""
    gap, wide = 2 * GAP, 2 * WIDE
    left, end = 20, max(sum(n.lasts for n in tune), bar)
    for line in range(5):
        pen.line([(left, low - line * gap), (min(width - left, 40 + wide * end), low - line * gap)], LINE, 2)
    for at in range(0, end + 1, bar):
        pen.line([(30 + wide * at, low), (30 + wide * at, low - 4 * gap)], BARLINE, 2)

    time = 0
    for note in tune:
        x = 30 + wide * time + wide // 2 + 4
        time += note.lasts
        if note.step is None:
            pen.rectangle([x - 8, low - 2 * gap - 6, x + 8, low - 2 * gap + 6], INK)
            continue
        y = low - (note.step - 2) * gap / 2
        for ledger in [s for s in range(0, note.step - 1, -2) if s < 2] + list(range(12, note.step + 1, 2)):
            height = low - (ledger - 2) * gap / 2
            pen.line([(x - 15, height), (x + 15, height)], LINE, 2)
        pen.ellipse([x - 10, y - 7, x + 10, y + 7], INK if note.lasts < 4 else "#ffffff", INK, 3)
        if note.lasts in (3, 6):
            pen.ellipse([x + 15, y - 3, x + 21, y + 3], INK)
        if note.lasts < 8:
            up = 1 if note.step < 6 else -1
            stem, top = x + 9 * up, y - up * 3.2 * gap
            pen.line([(stem, y), (stem, top)], INK, 3)
            if note.lasts == 1:
                pen.line([(stem, top), (stem + 12, top + up * 16)], INK, 5)


def write_score(tunes: Sequence[str], path: str | Path) -> Path:
    """Tunes in words as a picture (.png), one a row."""
    return _write(path, ".png", score([read(tune) for tune in tunes]).save)


def _write(path: str | Path, suffix: str, write) -> Path:
    place = Path(path).with_suffix(suffix)
    return RunFolder(place.parent).write(place.name, write)
