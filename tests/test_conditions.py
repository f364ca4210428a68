"""Laws of conditions: what is asked for is what the players are told, in words or classes, and by no other way."""

import json
from dataclasses import replace
from random import Random

import numpy as np
import pytest
import torch
from PIL import Image as Picture

from sparring import asked, data, generators, recipe, worlds
from sparring.chance import generator
from sparring.cli import main
from sparring.data.words import Captions, Vocabulary, words
from sparring.folder import RunFolder
from sparring.losses import LOSSES
from sparring.nets import sizes
from sparring.nets.conditions import Caption, Class, Join, Projection, between
from sparring.penalties import PENALTIES
from sparring.priors import Normal
from sparring.schedules import constant
from sparring.settings import Recipe
from sparring.spaces import Image, Label, Spec, Tokens, Vector
from sparring.train import Method, State, step
from sparring.turns import Turn, partner
from sparring.worlds.faces import Faces
from sparring.worlds.faces_captions import ATTRIBUTES, UNSEEN, _some, in_chinese, in_english, understood

from .test_run import equal, state

COLOURS = {"red": (220, 30, 30), "blue": (30, 30, 220), "green": (30, 200, 30)}
LITTLE = ["--batch", 8, "--threads", 1, "--width", 4, "--evaluate_n", 16, "--evaluate_final", 16, "--precision", "fp32"]


def tokens(*captions):
    v = Vocabulary.learn(captions)
    return v, v.space.encode(torch.from_numpy(np.stack([v.encode(c) for c in captions])))


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


# -- words ------------------------------------------------------------------------------------------------------------


def test_words_have_no_case_or_punctuation_and_chinese_signs_stand_alone():
    assert words("Red eyes, short-haired; DON'T!") == ["red", "eyes", "short", "haired", "don't"]
    assert words("红色的眼睛。Long hair") == [*"红色的眼睛", "long", "hair"]
    assert words("") == words("…, !") == []


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


def test_one_of_several_captions_falls_by_chance_and_none_says_nothing():
    v = Vocabulary.learn(["one", "two", "three"])
    c = Captions.of([["one", "two"], [], ["three"], []], v)
    take = lambda i, chance: [
        v.decode(row) for row in c.take(np.array(i), None if chance is None else np.array(chance))
    ]
    assert take([0, 0, 1, 2, 3], [0.1, 0.9, 0.5, 0.99, 0.99]) == ["one", "two", "", "three", ""]
    assert take([0, 1, 2], None) == ["one", "", "three"]


# -- the encoder and the joins ----------------------------------------------------------------------------------------


def test_an_encoder_hears_the_order_of_words_but_not_the_room_after_them():
    v, c = tokens("red eyes and blue hair", "blue eyes and red hair", "red eyes")
    net = Caption(v.space.vocab, 8)
    a, b, short = net(c)
    assert (a - b).abs().max() > 1e-3
    torch.testing.assert_close(net(c[2:, :2])[0], short)
    assert net(torch.zeros_like(c)).isfinite().all()


@pytest.mark.parametrize("t", [0.0, 0.3, 1.0])
def test_between_two_conditions_lies_the_mean_of_what_they_say(t):
    v, c = tokens("red eyes", "long blue hair")
    for net, (a, b) in ((Caption(v.space.vocab, 8), c.split(1)), (Class(2, 8), torch.eye(2).split(1))):
        torch.testing.assert_close(net(between(a, b, t)), torch.lerp(net(a), net(b), t), rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="one_hot"):
        between(torch.tensor([0]), torch.tensor([1]), t)


def test_classes_as_numbers_and_as_weights_are_the_same():
    net = Class(3, 5)
    torch.testing.assert_close(net(torch.tensor([2, 0])), net(torch.eye(3)[[2, 0]]))


def test_packs_of_captions_are_judged_by_their_own():
    v, c = tokens("red eyes", "long blue hair", "red hair", "eyes")
    P, h = Projection(6, v.space, 4, pack=2), torch.randn(2, 6)
    told = P.embed(c).view(2, 8)
    torch.testing.assert_close(P(h, c.view(2, 2, *c.shape[1:])), (P.phi(h) * told).sum(1))


def test_to_project_is_linear_in_the_noise_and_in_what_is_told():
    J, c = Join(6, Label(2), "project"), torch.tensor([0, 1])
    z, y = torch.randn(2, 2, 6)
    torch.testing.assert_close(J((z + y) / 2, c), (J(z, c) + J(y, c)) / 2)
    torch.testing.assert_close(J(torch.zeros(2, 6), c), J.embed(c))
    with pytest.raises(ValueError, match="--net quick"):
        sizes.build("vector", Spec(Vector(2), Label(2)), Normal(2), 8, "modulate")


def test_modulation_leaves_the_first_layer_to_the_noise():
    G, _ = sizes.build("quick", Spec(Image(3, 8), Label(3)), Normal(5), 4, "modulate")
    assert G.first.in_features == 5
    z = torch.randn(4, 5)
    assert not torch.allclose(G(z, torch.tensor([0, 1, 2, 0])), G(z, torch.tensor([1, 1, 2, 0])))


@pytest.mark.parametrize("join", ["concat", "add", "project", "modulate"])
@pytest.mark.parametrize("c", [Label(3), Tokens(4, 9)])
def test_every_join_takes_a_step_with_every_loss(join, c):
    torch.manual_seed(0)
    G, D = sizes.build("quick", Spec(Image(3, 8), c), Normal(4), 2, join)
    x = torch.rand(4, 3, 8, 8) * 2 - 1
    told = torch.tensor([0, 1, 2, 0]) if isinstance(c, Label) else c.encode(torch.randint(9, (4, 4)))
    for name, loss in LOSSES.items():
        s = State.begin(G, D)
        embed = next(p for n, p in G.named_parameters() if "embed" in n)
        before = embed.detach().clone()
        m = Method(loss=loss, penalties=((PENALTIES["mismatch"], constant(1.0)),), seed=1)
        stats = step(m, s, x, told)
        assert all(v.isfinite().all() for v in stats.values()), name
        assert not torch.equal(before, embed), name


# -- pairs ------------------------------------------------------------------------------------------------------------


def turn_of(c, wrong_ok=False):
    """A critic that gives 1 to what is told truly: x is the number of its caption."""
    n = len(c)
    truth = {tuple(row.flatten().tolist()): i for i, row in enumerate(c)}
    asked_for = []

    def D(x, told):
        asked_for.append([truth[tuple(row.flatten().tolist())] for row in told])
        return torch.tensor([float(a == b) for a, b in zip(asked_for[-1], x.flatten().tolist())], dtype=torch.float64)

    x = torch.arange(float(n), dtype=torch.float64)[:, None]
    return Turn(D, c, x, x, D(x, c), torch.zeros(n, dtype=torch.float64), {}), asked_for


def test_a_hard_mismatch_is_the_caption_most_alike():
    _, c = tokens("red eyes and black hair", "green wall", "red eyes and blue hair", "a green wall")
    t, asked_for = turn_of(c)
    PENALTIES["mismatch_hard"](t)
    assert asked_for[-1] == [2, 3, 0, 1]


def test_the_original_third_kind_of_pair_is_a_fake_by_cross_entropy():
    _, c = tokens("red", "blue", "green", "a wall", "eyes")
    t, asked_for = turn_of(c)
    wrong = LOSSES["nonsaturating"].critic(torch.full((5,), 1e3, dtype=torch.float64), t.D(t.real, partner(c)))
    torch.testing.assert_close(PENALTIES["mismatch_original"](t), wrong)
    assert asked_for[-1] == [1, 0, 3, 2, 0]

    same = t._replace(D=lambda x, c: x[:, 0], c=torch.tensor([0, 1, 2, 2, 0]))
    assert PENALTIES["mismatch_original"](same).gt(0).tolist() == [True, True, False, False, False]


def test_matching_aware_weighs_the_three_pairs_as_reed_et_al_do(tmp_path):
    """-log D(x, c) - (log(1 - D(x, c')) + log(1 - D(G(z, c), c))) / 2."""
    r, told = Recipe(loss="matching_aware", condition="caption", samples=64), torch.eye(4)
    spec = Spec(Vector(2), Vector(4))
    r, _ = recipe.plan(r, data.Dataset(spec, data.Split(np.zeros((99, 2))), None, {}), torch.device("cpu"))
    m = replace(recipe.method(replace(r, samples=64, r1=0.0, r2=0.0)), bf16=False)
    torch.manual_seed(0)
    G, D = sizes.build("vector", spec, Normal(2), 8)
    s, x = State.begin(G, D), torch.randn(4, 2)
    z = Normal(2).sample(4, generator("noise", 0, 0, "D"))
    P = lambda x, c: torch.sigmoid(D(x, c)).detach()
    three = -P(x, told).log() - ((1 - P(x, told[[1, 0, 3, 2]])).log() + (1 - P(G(z, told), told)).log()) / 2
    loss, _ = m.critic_loss(m, s, x, told, z)
    torch.testing.assert_close(loss, three)
    assert not recipe.warnings(r)
    assert "takes the other half" in recipe.warnings(replace(r, condition="none", mismatch=0.0))[0]


@pytest.mark.parametrize("n", [4, 6, 7])
def test_neighbours_of_a_batch_are_those_of_its_even_pieces(n):
    whole = partner(torch.arange(n))
    assert (whole != torch.arange(n)).all()
    for even in range(2, n, 2):
        assert torch.equal(whole[:even], partner(torch.arange(n)[:even]))


# -- the captions of faces --------------------------------------------------------------------------------------------


def test_what_a_caption_of_a_face_says_is_known_exactly():
    chance = Random(0)
    for _ in range(300):
        said = _some({k: chance.randrange(len(v)) for k, v in ATTRIBUTES.items()}, chance)
        for caption in (in_english(said, chance), in_chinese(said, chance)):
            assert understood(caption) == understood(" ".join(words(caption))) == said, caption
    assert understood("a girl with red eyes and long black hair, smiling") == dict(hair=0, eyes=3, style=2, mouth=0)
    assert understood("a bicycle") == {}


def test_captions_of_faces_are_true_varied_and_repeat():
    world = Faces()
    told, truth = world.captions(200, 5), world.attributes(200, 5)
    assert told == world.captions(200, 5)
    assert len({c for some in told for c in some}) > 780
    for i, some in enumerate(told):
        assert len(some) == 4
        for caption in some:
            assert all(truth[k][i] == v for k, v in understood(caption).items())
    assert {frozenset(understood(some[0])) for some in told}.__len__() > 30


def test_the_judge_of_captions_knows_true_from_shuffled():
    world = Faces()
    x, told = world.draw(256, 2, heldout=True)[0], [some[0] for some in world.captions(256, 2, heldout=True)]
    truth = world.judge(x, told)
    assert truth["obeyed"] > 0.98
    assert truth["obeyed_unseen"] > 0.95
    assert all(v > 0.98 for k, v in truth.items() if k.endswith("_obeyed"))
    shuffled = world.judge(x, told[1:] + told[:1])
    assert shuffled["obeyed"] < 0.1
    assert shuffled["hair_obeyed"] < 0.3


def test_variety_within_a_caption_is_that_of_real_faces():
    world = Faces()
    told = "a girl with blue hair, wearing glasses"
    attributes, jitter = world.parameters(48, 9, heldout=True)
    from sparring.worlds.faces_paint import paint

    fit = attributes | {k: torch.full((48,), v) for k, v in understood(told).items()}
    x = paint(fit, jitter, 32)
    assert world.variety(x, told) == pytest.approx(1, abs=0.1)
    assert world.variety(x[:1].repeat(48, 1, 1, 1), told) < 0.01


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
    root = folder(tmp_path / "told", n=240)
    rows = [json.loads(line) for line in (root / "metadata.jsonl").read_text().splitlines()]
    texts = [row["text"] for row in rows]
    Random(1).shuffle(texts)
    (root / "metadata.jsonl").write_text("\n".join(json.dumps(r | {"text": t}) for r, t in zip(rows, texts)) + "\n")
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


def test_what_is_wrong_with_captions_is_said_a_line_each(tmp_path):
    root = folder(tmp_path / "told")
    lines = (root / "metadata.jsonl").read_text().splitlines()
    lines[0] = json.dumps({"file_name": "000.png", "text": "  "})
    lines[1] = json.dumps({"file_name": "001.png", "text": ["same", "same"]})
    lines[2] = json.dumps({"file_name": "gone.png", "text": "nobody"})
    (root / "metadata.jsonl").write_text("\n".join(lines) + "\n")
    d = data.open(root, size=16, condition="caption", cache=tmp_path)
    assert d.card["caption_problems"] == [
        "000.png: no caption",
        "002.png: no caption",
        "metadata.jsonl line 1: an empty caption",
        "metadata.jsonl line 2: the same caption again",
    ]
    assert d.card["problems"] == ["metadata.jsonl line 3: there is no file gone.png"]
    said = "\n".join(data.summary(d))
    assert "captions to look at: 000.png: no caption" in said
    assert sum(not (c > 0).any() for s in (d.train, d.heldout) for c in s.take(range(len(s)))[1]) == 2


def test_data_without_captions_is_refused_with_the_way_out(tmp_path):
    root = folder(tmp_path / "told")
    (root / "metadata.jsonl").unlink()
    with pytest.raises(data.DataError, match=r"no captions.*metadata\.jsonl"):
        data.open(root, size=16, condition="caption", cache=tmp_path)


# -- as a user runs it ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def told_run(tmp_path_factory):
    root = tmp_path_factory.mktemp("told")
    folder(root / "pictures")
    options = ["--size", 16, "--condition", "caption", "--samples", 96, "--checkpoint_every", 32, *LITTLE]
    assert main([str(a) for a in ("train", root / "pictures", *options, "--run", root / "run")]) == 0
    return root / "run"


def test_a_run_of_captions_resumes_as_if_never_stopped(told_run):
    before = state(told_run)
    for checkpoint in RunFolder(told_run).checkpoints()[1:]:
        (checkpoint / "tree.json").unlink()
    assert main(["resume", str(told_run)]) == 0
    assert equal(state(told_run), before)
    assert "penalty/mismatch" in RunFolder(told_run).rows("stats.jsonl")[0]


def test_ones_own_words_are_drawn_and_unknown_ones_named(told_run, tmp_path, capsys):
    sample = lambda *argv: main([str(a) for a in ("sample", told_run, *argv)])
    assert sample("--caption", "a bleu picture", "-n", 4, "--out", tmp_path / "a.npy") == 0
    assert "unknown word 'bleu' is passed over; near to it: blue" in capsys.readouterr().out
    assert np.load(tmp_path / "a.npy").shape == (4, 3, 16, 16)
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
    assert sample("--truncation", -1) == 2
    assert sample("--label", "red") == 2


def test_an_exported_generator_draws_from_a_string(told_run):
    G, spec, card = generators.load_generator(told_run / "generator")
    x = generators.draw(G, spec, 3, c=asked.conditions(spec, card, ["a red picture"] * 3))
    assert x.shape == (3, 3, 16, 16)
    assert set(card["words"]) == {"a", "picture", "bright", *COLOURS}


def test_classes_walk_and_make_rows(tmp_path, capsys):
    run = tmp_path / "run"
    options = ["--condition", "class", "--join", "modulate", "--auxiliary", 1, "--interpolate", 0.5, "--samples", 64]
    options += LITTLE
    assert main([str(a) for a in ("train", "digits", *options, "--run", run)]) == 0
    row = RunFolder(run).rows("stats.jsonl")[-1]
    assert row.keys() >= {"penalty/classified", "term/classified", "term/interpolated", "condition/score"}
    with Picture.open(next(run.glob("samples/*.png"))) as sheet:
        assert sheet.height > sheet.width  # ten classes, eight columns
    assert main(["sample", str(run), "--grid", "-n", "2", "--out", str(tmp_path / "g.npy")]) == 0
    assert len(np.load(tmp_path / "g.npy")) == 20
    assert main(["sample", str(run), "--walk", "--label", "1", "--label", "7", "--out", str(tmp_path / "w.png")]) == 0
    assert "from the left, '1'" in capsys.readouterr().out


def test_what_compares_conditions_needs_some(capsys):
    for options in (["--mismatch", "1"], ["--penalties", "mismatch_hard=1"]):
        assert main(["train", "digits", *options]) == 2
        assert "--condition class or caption" in capsys.readouterr().err
