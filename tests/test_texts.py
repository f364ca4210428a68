"""Files of texts: what is read, what is cut, what is left out, and in which words."""

import json
import random

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sparring import data
from sparring.data import DataError, summary
from sparring.data.spelling import Spelling, chosen, cut, learn, plain
from sparring.data.texts import ALWAYS
from sparring.sequences import END

R = random.Random(0)
NAMES = ["".join(R.choice("abcdefgh") for _ in range(R.randint(3, 8))) for _ in range(200)]
SAID = [f"{R.choice('ABC')}, the {R.choice(NAMES[:9])} isn't {R.choice(NAMES[:9])}!" for _ in range(300)]
MANY = [" ".join(R.choice(NAMES) + R.choice(NAMES) for _ in range(30)) for _ in range(2000)]


@pytest.fixture
def opened(tmp_path):
    def opened(content, name="x.txt", **how):
        raw = content if isinstance(content, bytes) else "\n".join(content).encode()
        (tmp_path / name).write_bytes(raw)
        return data.open(tmp_path / name, cache=tmp_path / "cache", **how)

    return opened


def texts(found):
    """All texts of a data set, read back."""
    x = torch.cat([split.take(range(len(split)))[0] for split in (found.train, found.heldout)])
    return sorted(map(found.spelling.read, x.tolist()))


@pytest.mark.parametrize("how", ["characters", "words", "pieces"])
@pytest.mark.parametrize(
    "said", [NAMES, SAID, MANY[:50], ["né e\u0301 — 你好"] * 3], ids=["names", "said", "many", "odd"]
)
def test_what_is_written_reads_as_it_was(how, said):
    spelling = learn(said, how)
    assert spelling.known[END] == ""
    for text in said:
        row = spelling.write(text)
        assert row is not None and END not in row
        assert spelling.read([*row, END, 1]) == plain(text).strip()
    again = Spelling.of(json.loads(json.dumps(spelling.asdict())))
    assert [again.write(text) for text in said] == [spelling.write(text) for text in said]


@pytest.mark.parametrize("text", ["हिन्दी में लिखा है", "كَتَبَ الوَلَدُ", "שָׁלוֹם עוֹלָם", "it isn't, 你好 — é!"])
def test_a_word_is_not_cut_at_its_vowels(text):
    parts = cut(text, "words")
    assert "".join(parts) == plain(text)
    assert len(parts) == len(text.split()) + 2 * ("," in text)
    assert learn([text] * 3, "pieces").read(learn([text] * 3, "pieces").write(text)) == plain(text).strip()


def test_a_word_never_heard_cannot_be_written():
    assert learn(SAID, "words").write("the zebra") is None
    assert learn(NAMES, "characters").write("zebra") is None
    assert learn(NAMES, "pieces").write("abbaé") is None
    assert learn(NAMES, "pieces").write("abba") is not None


def test_how_to_cut_is_chosen_from_the_texts():
    assert [chosen(said)[0] for said in (NAMES, SAID, MANY)] == ["characters", "words", "pieces"]
    rare = [f"{a}{i} is {b}{i} here" for i, (a, b) in enumerate(zip(NAMES, NAMES[1:]))]
    assert chosen(rare)[0] == "characters"  # too few to learn pieces from
    assert all("1 word" in chosen(said)[1] for said in (NAMES,))


def test_a_file_becomes_a_split_by_content(opened):
    found = opened(SAID)
    assert texts(found) == sorted(map(str.strip, map(plain, SAID)))
    sides = [{tuple(row) for row in split.x.tolist()} for split in (found.train, found.heldout)]
    assert sides[0] and sides[1] and not sides[0] & sides[1]
    assert found.spec.x.vocab == len(found.spelling.known)
    assert found.spec.x.length == 1 + found.card["tokens"]["longest"]
    assert (found.train.x[:, -1] == END).all()  # room for every end
    again = opened(list(reversed(SAID)), name="other.txt")
    assert again.card["fingerprint"] == found.card["fingerprint"]
    assert any("say again" in line for line in summary(found))


def test_the_same_file_is_prepared_once(opened, tmp_path):
    found = opened(SAID)
    before = [(p, p.stat().st_mtime_ns) for p in (tmp_path / "cache").rglob("*.npy")]
    again = opened(SAID)
    assert np.array_equal(again.train.x, found.train.x) and again.spelling == found.spelling
    assert len(before) == 2
    assert opened(SAID, spelling="characters").spec != found.spec


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_marked_encodings_and_any_ends_of_lines_are_read(opened, encoding, end):
    assert texts(opened(end.join(["één", *NAMES]).encode(encoding))) == sorted(["één", *NAMES])


LEFT_OUT = {
    "a line in Latin-1": (b"caf\xe9 au lait", "line 201: byte 0xe9 at 3 is not UTF-8", "iconv"),
    "a NUL byte": (b"ab\0cd", "line 201: has the control character U+0000 at 2", "damaged"),
    "a line of a megabyte": (b"x" * 2**20, "line 201: 1,048,576 bytes", "--length"),
    "a long line": (b"a" * 999, "line 201: 999 tokens, more than", "--length"),
}


@pytest.mark.parametrize("fault", LEFT_OUT)
def test_a_line_that_cannot_be_used_is_named_and_the_others_are_used(opened, fault):
    bad, words, way_out = LEFT_OUT[fault]
    found = opened("\n".join(NAMES).encode() + b"\n" + bad + b"\n")
    assert texts(found) == sorted(NAMES)
    said = "\n".join(summary(found))
    assert words in said and way_out in said
    assert found.card["left_out"] and found.card["found"] == 201


REFUSED = {
    "nothing": (b"", {}, "is empty"),
    "blank lines": (b"\n \n\t\n", {}, "is empty"),
    "one line": (b"only one", {}, "at least 16"),
    "one line again and again": (b"same\n" * 99, {}, "at least 16"),
    "lines of a megabyte": ((b"x" * 2**20 + b"\n") * 3, {}, "3 too long"),
    "all in Latin-1": ("\n".join(n + "é" for n in NAMES).encode("latin-1"), {}, "iconv -f latin1"),
    "UTF-16 without a mark": ("\n".join(NAMES).encode("utf-16-le"), {}, "iconv -f utf-16le"),
    "one letter": ("\n".join("a" * i for i in range(1, 40)).encode(), {}, "one token, 'a'"),
    "all too long": ("\n".join(NAMES).encode(), {"length": 1}, "too long"),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_what_nothing_can_be_learned_from_is_refused_in_a_line(opened, fault):
    content, how, words = REFUSED[fault]
    with pytest.raises(DataError, match=words) as error:
        opened(content, **how)
    assert "x.txt" in str(error.value) and "\n" not in str(error.value)


def test_lines_of_one_token_are_noted(opened):
    assert "--spelling characters" in "\n".join(summary(opened(NAMES, spelling="words")))


def test_texts_may_be_said_in_the_tokens_of_others(opened):
    ours, theirs = opened(SAID), opened(SAID[:100] + ["a zebra"] * 3, name="theirs.txt")
    assert theirs.spec != ours.spec
    again = data.respelled(theirs, ours.spelling, ours.spec.x)
    assert again.spec == ours.spec
    assert texts(again) == sorted(plain(text).strip() for text in SAID[:100])
    assert "3 texts" in again.card["notes"][-1]
    with pytest.raises(DataError, match="a zebra"):
        data.respelled(theirs, ours.spelling, ours.spec.x, whole=True)


def test_no_line_is_longer_than_any_text(opened):
    with pytest.raises(DataError, match="too long"):
        opened([c * (4 * ALWAYS + 1) for c in "abcdefghijklmnopq"])


@given(st.lists(st.integers(1, 7), min_size=1, max_size=12))
def test_whatever_a_player_writes_in_words_is_a_text_that_reads_the_same(tokens):
    own = Spelling(("", " and", " don't", ".", "and", "'", " the", " ("), "words")
    row = own.write(own.read(tokens))
    assert row is not None
    assert own.read(row) == own.read(tokens)
    assert len(row) <= len(tokens)
    assert own.write("and so on") is None
