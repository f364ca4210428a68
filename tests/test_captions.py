"""Laws of captions: the words that are read, the pictures they go with, and a run that draws from one's own."""

import json
from random import Random

import numpy as np
import pytest
import torch
from PIL import Image as Picture

from sparring import asked, data, generators, worlds
from sparring.cli import main
from sparring.data.words import LONGEST, Captions, Vocabulary, chosen, words
from sparring.folder import RunFolder
from sparring.spaces import Tokens
from sparring.worlds.faces import Faces
from sparring.worlds.faces_captions import UNSEEN

from .test_run import equal, state

COLOURS = {"red": (220, 30, 30), "blue": (30, 30, 220), "green": (30, 200, 30)}
LITTLE = ["--batch", 8, "--threads", 1, "--width", 4, "--evaluate_n", 16, "--evaluate_final", 16, "--precision", "fp32"]


def folder(root, n=60):
    """Pictures of one colour and noise, told in one caption or two."""
    root.mkdir()
    lines, chance = [], np.random.default_rng(0)
    for i in range(n):
        name = list(COLOURS)[i % 3]
        x = np.clip(np.array(COLOURS[name]) + chance.normal(0, 20, (16, 16, 3)), 0, 255).astype(np.uint8)
        Picture.fromarray(x).save(root / f"{i:03d}.png")
        text = [f"a {name} picture", f"{name}, bright"][: 1 + i % 2]
        lines.append(json.dumps({"file_name": f"{i:03d}.png", "text": text if i % 2 else text[0]}))
    (root / "metadata.jsonl").write_text("\n".join(lines) + "\n")
    return root


def shuffled(root):
    """The same, with the captions of other pictures."""
    rows = [json.loads(line) for line in (root / "metadata.jsonl").read_text().splitlines()]
    texts = [row["text"] for row in rows]
    Random(1).shuffle(texts)
    (root / "metadata.jsonl").write_text("\n".join(json.dumps(r | {"text": t}) for r, t in zip(rows, texts)) + "\n")
    return root


# -- words ------------------------------------------------------------------------------------------------------------


def test_words_have_no_case_or_punctuation_and_chinese_signs_stand_alone():
    assert words("Red eyes, short-haired; DON'T!") == ["red", "eyes", "short", "haired", "don't"]
    assert words("红色的眼睛。Long hair") == [*"红色的眼睛", "long", "hair"]
    assert words("") == words("…, !") == words("🙂") == []
    assert words("CAFE\u0301 naïve; красные глаза") == ["café", "naïve", "красные", "глаза"]
    assert words("हिन्दी लाल") == ["हिन्दी", "लाल"]  # vowels are signs of their own, and of the word


def test_a_vocabulary_round_trips_and_is_learned_by_frequency():
    v = Vocabulary.learn(["red eyes", "red hair", "red"])
    assert v.known == ("red", "eyes", "hair")
    assert v.space == Tokens(2, 4)
    assert v.decode(v.encode("Hair, red")) == "hair red"
    assert v.decode(v.encode("hair unheard red eyes")) == "hair red"
    assert v.unknown("ref eyes") == {"ref": ["red"]}
    captions = [c for some in Faces().captions(50, 0) for c in some]
    v = Vocabulary.learn(captions)
    assert all(v.decode(v.encode(c)).split() == words(c) for c in captions)


# -- pieces of words --------------------------------------------------------------------------------------------------


def test_pieces_spell_words_that_were_never_seen():
    told = ["the reddish hair and the red ears", "red ears", "红色 hair"] * 9
    v = Vocabulary.learn(told, "pieces")
    assert v == Vocabulary.learn(told, "pieces") == Vocabulary.of(json.loads(json.dumps(v.card())), v.length)
    assert all(v.decode(v.encode(caption)).split() == words(caption) for caption in told)
    assert (v.encode("red") > 0).sum() == 1 < (v.encode("redder") > 0).sum()
    assert v.decode(v.encode("Redder, 红!")) == "redder 红"
    assert v.unknown("redder") == {}
    assert v.unknown("жred") == {"ж": []}
    assert v.decode(v.encode("жred ж")) == "red"
    assert not v.encode("жук").any()


@pytest.mark.parametrize("how", ["words", "pieces"])
def test_the_end_of_a_caption_is_found_in_one_pass(how, monkeypatch):
    v = Vocabulary.learn(["red ears and red hair"] * 9, how)
    numbers, asked = Vocabulary._numbers, []
    monkeypatch.setattr(Vocabulary, "_numbers", lambda self, said: asked.extend(said) or numbers(self, said))
    assert v.unread("red ears and unheard hair " * 500).split()[-1] == "hair"
    assert len(asked) <= 2500


def test_half_a_character_is_no_caption(tmp_path):
    """As JSON may write it: no code that a file can hold."""
    root = folder(tmp_path / "told")
    lines = (root / "metadata.jsonl").read_text().splitlines()
    lines[0] = '{"file_name": "000.png", "text": ["red \\ud83d", "all red"]}'
    (root / "metadata.jsonl").write_text("\n".join(lines) + "\n")
    d = data.open(root, size=16, condition="caption", cache=tmp_path)
    assert d.card["caption_problems"] == ["metadata.jsonl line 1: half a character in red \\ud83d"]
    assert ["all red"] in d.train.captions + d.heldout.captions


@pytest.mark.parametrize("how", ["words", "pieces"])
def test_the_end_of_a_long_caption_is_named(how):
    v = Vocabulary.learn(["red ears and red hair"] * 9, how)
    assert v.unread("red ears and red hair") == ""
    assert v.unread("red ears and red hair and ears") == "and ears"
    longest = Vocabulary.learn(["red " * 200], how)
    assert longest.length == LONGEST[how]
    assert len(longest.unread("red " * 200).split()) == 200 - LONGEST[how]


def test_captions_are_cut_into_pieces_when_their_words_are_many(monkeypatch):
    told = ["red ears", "red hair", "红色的头发"]
    assert chosen(told) == ("words", "by words, of which there are 8")
    monkeypatch.setattr("sparring.data.words.MOST_WORDS", 3)
    assert chosen(told)[0] == "words"  # no sign can be cut
    monkeypatch.setattr("sparring.data.words.MOST_WORDS", 2)
    how, why = chosen(told)
    assert how == "pieces"
    assert "3 different words are more than 2" in why


def test_letters_beyond_the_most_frequent_are_not_read(monkeypatch):
    monkeypatch.setattr("sparring.data.words.MOST_LETTERS", 3)
    v = Vocabulary.learn(["aab abc abcd", "abc"], "pieces")
    assert set("".join(v.known)) == set(" abc")
    assert v.decode(v.encode("abcd")) == "abc"
    assert v.reads("abc")
    assert not v.reads("abcd")


@pytest.mark.parametrize("how", ["auto", "words", "pieces"])
def test_what_captions_are_read_by_is_said_first(how, tmp_path):
    d = data.open(folder(tmp_path / "told"), size=16, condition="caption", cache=tmp_path, spelling=how)
    assert {"auto": "read by words, of which there are 6"}.get(how, f"read by {how}, as asked") in data.summary(d)[2]
    _, c = d.train.take(range(len(d.train)))
    said = {d.vocabulary.decode(row) for row in c}
    assert said == {" ".join(words(some[0])) for some in d.train.captions}


def test_no_captions_are_read_by_characters(tmp_path):
    with pytest.raises(data.DataError, match="none of auto, words, pieces"):
        data.open(tmp_path, condition="caption", spelling="characters")
    assert main(["train", "faces", "--condition", "caption", "--encoder", "a:b", "--spelling", "pieces"]) == 2


# -- their pictures ---------------------------------------------------------------------------------------------------


def test_one_of_several_captions_falls_by_chance_and_none_says_nothing():
    v = Vocabulary.learn(["one", "two", "three"])
    c = Captions.of([["one", "two"], [], ["three"], []], v)
    take = lambda i, chance: [
        v.decode(row) for row in c.take(np.array(i), None if chance is None else np.array(chance))
    ]
    assert take([0, 0, 1, 2, 3], [0.1, 0.9, 0.5, 0.99, 0.99]) == ["one", "two", "", "three", ""]
    assert take([0, 1, 2], None) == ["one", "", "three"]


# -- data -------------------------------------------------------------------------------------------------------------


def test_kept_combinations_are_never_trained_on(monkeypatch, tmp_path):
    world = worlds.open("faces")
    monkeypatch.setattr(type(world), "examples", (400, 80))
    d = data.open(world, condition="caption", cache=tmp_path)
    a = world.attributes(400, 0)
    keep = [pair not in UNSEEN for pair in zip(a["hair"].tolist(), a["eyes"].tolist())]
    assert 300 < sum(keep) < 380
    assert len(d.train) == sum(keep) == d.card["train"]
    np.testing.assert_array_equal(d.train.x, world.draw(400, 0)[0][torch.tensor(keep)].numpy())
    x, c = d.heldout.take(range(80))
    truth = d.world.judge(x, c)
    assert truth["obeyed"] > 0.97
    assert "obeyed_unseen" in truth


def test_captions_go_with_their_pictures_in_every_batch_and_process(tmp_path):
    d = data.open(folder(tmp_path / "told"), size=16, condition="caption", cache=tmp_path)

    def told(stream, n=9):
        return [next(stream) for _ in range(n)]

    one = told(data.batches(d.train, 8, seed=3))
    first, second = (told(data.batches(d.train, 8, seed=3, rank=k, ranks=2)) for k in (0, 1))
    said = set()
    for (x, c), (xa, ca), (xb, cb) in zip(one, first, second):
        assert torch.equal(x, torch.cat([xa, xb]))
        assert torch.equal(c, torch.cat([ca, cb]))
        for picture, row in zip(x, c):
            text = d.vocabulary.decode(row)
            said.add(text)
            colour = ["red", "green", "blue"][picture.float().mean((1, 2)).argmax()]
            assert colour in text.split()
    assert len(said) == 6
    later = told(data.batches(d.train, 8, seed=3, seen=32), 5)
    assert all(torch.equal(a[1], b[1]) for a, b in zip(one[4:], later))


def test_a_caption_never_leaks_through_names_or_order(tmp_path):
    """With captions shuffled between files, what comes with a picture tells nothing of it."""
    root = shuffled(folder(tmp_path / "told", n=240))
    d = data.open(root, size=16, condition="caption", cache=tmp_path)
    right, n = 0, 0
    stream = data.batches(d.train, 16, seed=0)
    for _ in range(len(d.train) // 16):
        for picture, row in zip(*next(stream)):
            colour = ["red", "green", "blue"][picture.float().mean((1, 2)).argmax()]
            right, n = right + (colour in d.vocabulary.decode(row).split()), n + 1
    assert abs(right / n - 1 / 3) < 0.1


def test_neither_names_nor_the_order_of_lines_change_what_is_seen(tmp_path):
    one, other = folder(tmp_path / "told"), tmp_path / "renamed"
    other.mkdir()
    rows = [json.loads(line) for line in (one / "metadata.jsonl").read_text().splitlines()]
    Random(0).shuffle(rows)
    for i, row in enumerate(rows):
        name = row["file_name"]
        (other / f"{i:02d}-x.png").write_bytes((one / name).read_bytes())
        row["file_name"] = f"{i:02d}-x.png"
    (other / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    a, b = (data.open(root, size=16, condition="caption", cache=tmp_path) for root in (one, other))
    for _, (x, c), (y, e) in zip(range(9), data.batches(a.train, 8, seed=3), data.batches(b.train, 8, seed=3)):
        assert torch.equal(x, y)
        assert torch.equal(c, e)


# -- as a user runs it ------------------------------------------------------------------------------------------------


def trained(root, *options):
    folder(root / "pictures")
    options = ["--size", 16, "--condition", "caption", "--checkpoint_every", 32, *LITTLE, *options]
    assert main([str(a) for a in ("train", root / "pictures", *options, "--run", root / "run")]) == 0
    return root / "run"


@pytest.fixture(scope="module")
def told_run(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("told"), "--samples", 96)


def resumes_as_if_never_stopped(run):
    before = state(run)
    for checkpoint in RunFolder(run).checkpoints()[1:]:
        (checkpoint / "tree.json").unlink()
    assert main(["resume", str(run)]) == 0
    assert equal(state(run), before)


def test_a_run_of_captions_resumes_as_if_never_stopped(told_run):
    resumes_as_if_never_stopped(told_run)
    assert RunFolder(told_run).rows("stats.jsonl")[0].keys() >= {"penalty/contrast", "penalty/named", "term/named"}


def test_a_run_by_pieces_of_words_resumes_and_draws_from_any_words(tmp_path, capsys):
    run = trained(tmp_path, "--samples", 64, "--spelling", "pieces")
    assert "read by pieces, as asked" in capsys.readouterr().err
    resumes_as_if_never_stopped(run)
    capsys.readouterr()
    sample = lambda *argv: main([str(a) for a in ("sample", run, *argv)])
    assert sample("--caption", "a bleu picture", "-n", 2, "--out", tmp_path / "a.npy") == 0
    assert "passed over" not in capsys.readouterr().out
    assert sample("--caption", "a жlue one", "-n", 2, "--out", tmp_path / "b.npy") == 0
    assert "letters never seen in training are passed over: ж o" in capsys.readouterr().out
    assert sample("--caption", "жжж") == 2
    assert "words are spelled with a, b, c" in capsys.readouterr().err
    G, spec, card = generators.load_generator(run / "generator")
    x = generators.draw(G, spec, 2, c=asked.conditions(spec, card, ["a bleu picture"] * 2))
    np.testing.assert_array_equal(x, np.load(tmp_path / "a.npy"))

    told = tmp_path / "pictures" / "metadata.jsonl"
    told.write_text(told.read_text().replace("bright", "magnificently bright"))
    assert main(["resume", str(run)]) == 2
    assert "conditions of" in (said := capsys.readouterr().err)
    assert "when the run began and are Tokens(" in said


def test_a_run_is_measured_against_other_pictures_by_their_captions(told_run, tmp_path, capsys):
    other = folder(tmp_path / "other")
    told = other / "metadata.jsonl"
    told.write_text(told.read_text().replace("bright", "radiant and bright"))  # another vocabulary, other numbers
    assert main(["evaluate", str(told_run), "--against", str(other), "-n", "8", "--extractor", "raw", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["n_fake"] > 1
    for path in other.glob("*.jsonl"):
        path.unlink()
    assert main(["evaluate", str(told_run), "--against", str(other)]) == 2
    assert "has no captions" in capsys.readouterr().err


def test_ones_own_words_are_drawn_and_unknown_ones_named(told_run, tmp_path, capsys):
    sample = lambda *argv: main([str(a) for a in ("sample", told_run, *argv)])
    assert sample("--caption", "a bleu picture", "-n", 4, "--out", tmp_path / "a.npy") == 0
    assert "unknown word 'bleu' is passed over; near to it: blue" in capsys.readouterr().out
    assert np.load(tmp_path / "a.npy").shape == (4, 3, 16, 16)
    assert sample("--caption", "red, a bright blue picture", "-n", 1, "--out", tmp_path / "l.npy") == 0
    assert "longer than all captions of training: 'blue picture' is not read" in capsys.readouterr().out
    assert sample("--caption", "", "-n", 1, "--out", tmp_path / "e.npy") == 0
    assert "--caption '' has no word in it: drawn as what has no caption" in capsys.readouterr().out
    assert sample("--caption", "xyzzy") == 2
    assert "none of its words" in capsys.readouterr().err
    assert sample("--grid", "--caption", "red", "--caption", "blue", "-n", 3, "--out", tmp_path / "b.png") == 0
    out = capsys.readouterr().out
    assert "row 2: blue" in out
    assert "6 samples" in out
    assert sample("--walk", "--caption", "red") == 2
    assert sample("--walk", "--caption", "red", "--caption", "blue", "-n", 2, "--out", tmp_path / "w.npy") == 0
    assert len(np.load(tmp_path / "w.npy")) == 16
    assert sample("--truncation", 0.5, "--out", tmp_path / "t.npy") == 0
    capsys.readouterr()
    assert sample("--truncation", -1) == 2
    assert "--truncation -1 must be above 0" in capsys.readouterr().err
    assert sample("--label", "red") == 2


def test_a_generator_obeys_captions_and_with_shuffled_ones_by_chance(tmp_path):
    def obeyed(root, seed):
        run = tmp_path / f"{root.name}-{seed}"
        options = ["--size", 8, "--condition", "caption", "--samples", 320, *LITTLE, "--batch", 16, "--seed", seed]
        assert main([str(a) for a in ("train", root, *options, "--run", run)]) == 0
        G, spec, card = generators.load_generator(run / "generator")
        draw = lambda name: generators.draw(G, spec, 40, c=asked.conditions(spec, card, [f"a {name} picture"] * 40))
        right = [draw(name).float().mean((2, 3)).argmax(1) == i for i, name in enumerate(("red", "green", "blue"))]
        return torch.stack(right).float().mean()

    told, mixed = folder(tmp_path / "told", n=240), shuffled(folder(tmp_path / "shuffled", n=240))
    assert min(obeyed(told, seed) for seed in range(2)) > 0.9
    by_chance = [obeyed(mixed, seed) for seed in range(4)]  # each word gives its own colour, the right one or not
    assert sum(by_chance) / 4 < 0.6, by_chance


def test_an_exported_generator_draws_from_a_string(told_run):
    G, spec, card = generators.load_generator(told_run / "generator")
    x = generators.draw(G, spec, 3, c=asked.conditions(spec, card, ["a red picture"] * 3))
    assert x.shape == (3, 3, 16, 16)
    assert set(card["words"]) == {"a", "picture", "bright", *COLOURS}
