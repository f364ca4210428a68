"""Laws of further ways to tell what is wanted: a critic that names classes, conditions between those of the data."""

import json
import math
import sys
from functools import partial

import numpy as np
import pytest
import torch
from torch.nn.functional import one_hot
from torch.testing import assert_close

from sparring.cli import main
from sparring.data import frozen
from sparring.folder import RunFolder
from sparring.losses import LOSSES
from sparring.names import RequestError
from sparring.nets import sizes
from sparring.nets.conditions import Auxiliary, Caption, Named, between, mixed
from sparring.penalties import classified, named
from sparring.players import check_players
from sparring.priors import Normal
from sparring.recipe import filled, method, paired
from sparring.schedules import constant
from sparring.settings import Recipe
from sparring.spaces import Image, Label, Spec, Tokens, Vector
from sparring.terms import classified as obedient
from sparring.terms import interpolated
from sparring.terms import named as shown_words
from sparring.train import Method, State, step
from sparring.turns import Look, Move, Turn, partner

from .test_captions import LITTLE, folder
from .test_run import equal, state

PICTURES, POINTS = Spec(Image(1, 8), Label(3)), Spec(Vector(2), Label(3))
CPU = torch.device("cpu")
NETS = {"quick": PICTURES, "dcgan": PICTURES, "r3gan": PICTURES, "vector": POINTS, "plain": POINTS}


def told(name, width=8, **chosen):
    """The players of AC-GAN."""
    spec = NETS[name]
    torch.manual_seed(0)
    G, _ = sizes.build(name, spec, Normal(4), width, **chosen)
    return G, Auxiliary(sizes.build(name, Spec(spec.x), Normal(4), width)[1], spec), spec


def some(spec, n=4):
    x = torch.randn(n, 2) if isinstance(spec.x, Vector) else torch.rand(n, 1, 8, 8) * 2 - 1
    return x, torch.arange(n) % 3


# -- the auxiliary classifier -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NETS)
def test_a_critic_that_names_classes_is_not_told_them(name):
    G, D, spec = told(name)
    x, c = some(spec)
    D.eval()
    assert torch.equal(D(x, c), D(x, (c + 1) % 3))
    assert D.classify(x).shape == (4, 3)
    assert not [k for k, _ in D.named_parameters() if "embed" in k]
    check_players(G, D.train(), spec)


def test_what_it_pays_is_the_cross_entropy_at_real_and_at_fake():
    c = torch.tensor([0, 1, 2, 1])
    x = torch.zeros(4, 3)

    class Knows(torch.nn.Module):
        def forward(self, x, c=None):
            return x[:, 0]

        def classify(self, x):
            return x

    def paid(real, fake):
        D = Look(Knows(), lambda x: x)
        turn = Turn(D, c, real, fake, D(real), D(fake), {})
        move = Move(None, D, None, c, c, real, fake, D(real), D(fake), {})
        return classified(turn), obedient(move)

    by_chance, of_G = paid(x, x)
    torch.testing.assert_close(by_chance, torch.full((4,), 2 * math.log(3)))
    torch.testing.assert_close(of_G, torch.full((4,), math.log(3)))
    right = 50 * torch.eye(3)[c]
    assert paid(right, right)[0].abs().max() < 1e-6
    wrong, of_G = paid(right, right.roll(1, 1))
    torch.testing.assert_close(wrong, torch.full((4,), 50.0))
    torch.testing.assert_close(of_G, wrong)
    with pytest.raises(AttributeError, match="classify"):
        Look(lambda x, c: x, lambda x: x).classify(x)


def test_from_classes_alone_a_generator_learns_to_obey():
    """With D held still, G's term is all that tells it the class."""
    G, _, spec = told("vector", width=16)

    class Sectors(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.w = torch.nn.Parameter(torch.zeros(()))
            turn = torch.arange(3) * 2 * math.pi / 3
            self.register_buffer("axes", torch.stack([turn.cos(), turn.sin()]))

        def forward(self, x, c=None):
            return 0 * self.w * x[:, 0]

        def classify(self, x):
            return 5 * x @ self.axes + 0 * self.w

    s = State.begin(G, Sectors())
    m = Method(penalties=(), terms=((obedient, constant(1.0)),), adversarial=constant(0.0), lr_G=constant(3e-3))
    x, c = some(spec, 48)
    for _ in range(60):
        step(m, s, x, c)
    assert (s.D.classify(G(Normal(4).sample(48), c)).argmax(1) == c).float().mean() > 0.95


@pytest.mark.parametrize("name", NETS)
def test_it_plays_with_every_loss(name):
    G, D, spec = told(name)
    x, c = some(spec)
    charges = dict(penalties=((classified, constant(1.0)),), terms=((obedient, constant(1.0)),))
    for known, loss in list(LOSSES.items()) if name == "vector" else [("relativistic", LOSSES["relativistic"])]:
        s, before = State.begin(G, D), D.classes.weight.detach().clone()
        stats = step(Method(loss=loss, seed=1, lr_D=constant(1e-2), **charges), s, x, c)
        assert all(v.isfinite().all() for v in stats.values()), known
        assert {"penalty/classified", "term/classified"} <= stats.keys()
        assert not torch.equal(before, D.classes.weight), known


def test_what_cannot_be_told_is_refused(capsys):
    for options, why in (
        (["--auxiliary", "1"], "--condition class"),
        (["--auxiliary", "1", "--condition", "caption"], "--condition class"),
        (["--auxiliary", "1", "--condition", "class", "--mismatch", "1"], "drop one"),
        (["--auxiliary", "1", "--condition", "class", "--pack", "2"], "drop one"),
        (["--auxiliary", "-1", "--condition", "class"], "0 or more"),
        (["--naming", "1", "--condition", "class"], "--condition caption"),
        (["--naming", "1", "--condition", "caption", "--pack", "2"], "drop one"),
        (["--interpolate", "1"], "--condition class or caption"),
    ):
        assert main(["train", "digits", *options]) == 2
        assert why in capsys.readouterr().err
    with pytest.raises(ValueError, match="tells classes"):
        Auxiliary(sizes.build("vector", Spec(Vector(2)), Normal(2), 4)[1], Spec(Vector(2), Tokens(2, 3)))


# -- words that D names -----------------------------------------------------------------------------------------------


def test_words_are_paid_for_by_their_own_probability():
    told = torch.tensor([[2, 1, 0], [3, 3, 0]])
    c, x = one_hot(told, 4).float(), torch.zeros(2, 1)
    logits = torch.tensor([[0.3, -1.0, 2.0], [0.0, 0.5, -0.7]])

    class D:
        def naming(self, x):
            return logits

    p = logits.double().sigmoid()
    a, b = 1 - p, p
    due = torch.stack([-(b[0, 0] * b[0, 1] * a[0, 2]).log(), -(a[1, 0] * a[1, 1] * b[1, 2]).log()])
    look = Look(D(), lambda x: x)  # type: ignore[arg-type]
    assert_close(named(Turn(look, c, x, x, x, x, {})), due.float())
    shown = torch.stack([-(b[0, 0] * b[0, 1]).log(), -b[1, 2].log()])
    assert_close(shown_words(Move(None, look, x, c, c, x, x, None, None, {})), shown.float())  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["quick", "dcgan", "r3gan"])
def test_a_critic_that_names_words_scores_as_it_did(name):
    spec = Spec(Image(1, 8), Tokens(4, 5))
    torch.manual_seed(0)
    G, plain = sizes.build(name, spec, Normal(4), 8)
    D = Named(plain, spec)
    x, c = some(spec)[0], one_hot(torch.randint(5, (4, 4)), 5).float()
    assert all(part.training for part in D.modules())  # as a resumed run finds it
    D.eval()
    assert torch.equal(D(x, c), plain(x, c)) and torch.equal(D.every(x, c), plain.every(x, c))
    assert D.naming(x).shape == (4, 4)
    check_players(G, D.train(), spec)
    with pytest.raises(ValueError, match="words or pieces"):
        Named(plain, Spec(spec.x, Label(3)))


@pytest.mark.parametrize(
    ("asked", "weight"),
    [({}, 1), (dict(naming=0.2), 0.2), (dict(mismatch=1.0), 0), (dict(contrast=0.0), 0), (dict(encoder="a:b"), 0)],
)
def test_words_of_captions_are_named_where_d_finds_captions_among_others(asked, weight):
    r = paired(Recipe("faces", condition="caption", **asked))
    assert r.naming == weight
    assert paired(Recipe("faces", condition="class")).naming == 0


def test_the_naming_of_words_falls_to_a_tenth_in_four_fifths_of_a_run():
    spec = Spec(Image(1, 8), Tokens(4, 5))
    r = filled(paired(Recipe("faces", condition="caption", net="quick", width=8, samples=1000)), spec, CPU)
    m = method(r)
    (own,) = (weight for charge, weight in m.penalties if charge is named)
    (of_G,) = (weight for charge, weight in m.terms if charge is shown_words)
    assert [own(seen) for seen in (0, 400, 800, 1000)] == pytest.approx([1, 0.55, 0.1, 0.1])
    assert [of_G(seen) for seen in (0, 400, 800, 1000)] == pytest.approx([0.2, 0.11, 0.02, 0.02])


# -- between conditions -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("c", [Label(3), Tokens(4, 9), Vector(5)])
def test_half_way_between_conditions_g_is_paid_for_what_it_was_asked(c):
    torch.manual_seed(0)
    G, D = sizes.build("vector", Spec(Vector(2), c), Normal(4), 8)
    played = {
        Label: torch.arange(6) % 3,
        Tokens: c.encode(torch.arange(24).view(6, 4) % 9) if isinstance(c, Tokens) else 0,
    }
    given = played.get(type(c), torch.randn(6, 5))
    z, x = Normal(4).sample(6), torch.randn(6, 2)
    loss = LOSSES["relativistic"].generator
    term = interpolated(loss, partial(mixed, c))
    move = Move(G, Look(D, lambda x: x), z, given, given, x, G(z, given), D(x, given), D(G(z, given), given), {})
    half = mixed(c, given, partner(given))
    torch.testing.assert_close(term(move), loss(D(x, given), D(G(z, half), half)))
    same = given[:1].expand_as(given)
    alike = move._replace(c=same, d_real=D(x, same))
    torch.testing.assert_close(term(alike), loss(D(x, same), D(G(z, same), same)), rtol=1e-4, atol=1e-5)


def test_a_projection_half_way_is_the_mean_of_two():
    torch.manual_seed(0)
    _, D = sizes.build("vector", POINTS, Normal(4), 8)
    x, c = some(POINTS, 6)
    half = D(x, mixed(Label(3), c, partner(c)))
    torch.testing.assert_close(half, (D(x, c) + D(x, partner(c))) / 2)


@pytest.mark.parametrize("c", [Label(3), Tokens(4, 9)])
def test_interpolation_plays_with_every_loss_and_with_a_reference(c):
    torch.manual_seed(0)
    x, given = torch.randn(6, 2), torch.arange(6) % 3 if isinstance(c, Label) else c.encode(torch.randint(9, (6, 4)))
    begin = lambda norm: State.begin(*sizes.build("plain", Spec(Vector(2), c), Normal(4), 4, norm=norm))
    alone, referred = begin("none"), begin("virtual")
    for name, loss in LOSSES.items():
        term = interpolated(loss.generator, partial(mixed, c))
        s = referred if name == "relativistic" else alone
        stats = step(Method(loss=loss, terms=((term, constant(0.5)),)), s, x, given)
        assert stats["term/interpolated"].shape == (6,)
        assert all(v.isfinite().all() for v in stats.values()), name


def test_captions_meet_half_way_as_they_are_read():
    a, b = Tokens(3, 5).encode(torch.tensor([[1, 2, 0], [3, 4, 1]])).split(1)
    assert torch.equal(mixed(Tokens(3, 5), a, b), between(a, b, 0.5))


# -- an encoder of one's own ------------------------------------------------------------------------------------------


def colours(texts):
    """A point for each text: which of three words it has, and its length."""
    return [[float(word in text) for word in ("red", "green", "blue")] + [len(text) / 10] for text in texts]


def restless(texts):
    return torch.randn(len(texts), 3)


def flat(texts):
    return torch.ones(len(texts))


OWN = f"{__name__}:colours"


def test_captions_in_the_numbers_of_an_encoder_round_trip(tmp_path):
    v = frozen.learn(OWN, ["a red one", "a blue one", "a red one", " "], tmp_path, lambda done, total: None)
    rows = v.rows(["a blue one", "", "green", "a red one"])
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows[[0, 2, 3]], colours(["a blue one", "green", "a red one"]))
    assert not rows[1].any()
    assert [v.decode(row) for row in torch.from_numpy(rows).tolist()] == ["a blue one", "", "green", "a red one"]
    known = torch.from_numpy(v.rows(["a red one", "a blue one"]))
    assert v.space.encode(known).std() == pytest.approx(1, rel=0.2)
    assert v.unknown("anything") == {}


def test_each_caption_is_asked_once_and_kept(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(sys.modules[__name__], "colours", lambda texts, f=colours: asked.extend(texts) or f(texts))
    texts = [f"{i} red" for i in range(99)]
    for count in (99 + 2 * 4, 2 * 4):
        asked.clear()
        v = frozen.learn(OWN, texts * 3, tmp_path, lambda done, total: None)
        v.rows(texts[::-1])
        assert len(asked) == count


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("nowhere:no", "cannot be imported"),
        ("no-such-folder", "is no folder here"),
        (f"{__name__}:flat", "must give"),
        (f"{__name__}:restless", "another thing each time"),
    ],
)
def test_what_is_no_frozen_encoder_is_refused(name, why, tmp_path):
    with pytest.raises(RequestError, match=why):
        frozen.learn(name, ["a", "b"], tmp_path, lambda done, total: None)


def test_a_text_model_without_its_package_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(RequestError, match=r"sparring\[encoder\].*module:name"):
        frozen.named(str(tmp_path))


def test_a_text_model_on_disk_is_read_without_a_network(tmp_path):
    transformers = pytest.importorskip("transformers")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "red", "blue", "hair"]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    transformers.BertTokenizer(str(tmp_path / "vocab.txt")).save_pretrained(tmp_path)
    sizes = dict(hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)
    torch.manual_seed(0)
    model = transformers.BertModel(transformers.BertConfig(vocab_size=len(words), **sizes))
    model.save_pretrained(tmp_path, safe_serialization=True)
    encode = frozen.named(str(tmp_path))
    both = encode(["red hair", "blue"])
    assert both.shape == (2, 8)
    torch.testing.assert_close(encode(["blue"])[0], both[1], rtol=1e-4, atol=1e-5)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(RequestError, match=r"model\.safetensors"):
        frozen.named(str(tmp_path))


def test_a_run_by_an_encoder_of_ones_own_resumes_and_draws_from_any_words(tmp_path, capsys):
    folder(tmp_path / "pictures")
    run, options = tmp_path / "run", ["--size", 16, "--condition", "caption", "--encoder", OWN, "--samples", 96]
    argv = ["train", tmp_path / "pictures", *options, "--checkpoint_every", 32, *LITTLE, "--run", run]
    assert main([str(a) for a in argv]) == 0
    before = state(run)
    for checkpoint in RunFolder(run).checkpoints()[1:]:
        (checkpoint / "tree.json").unlink()
    assert main(["resume", str(run)]) == 0
    assert equal(state(run), before)
    capsys.readouterr()
    sample = lambda *argv: main([str(a) for a in ("sample", run, *argv)])
    assert sample("--caption", "something never heard, red", "-n", 4, "--out", tmp_path / "a.npy") == 0
    assert sample("--grid", "--caption", "red", "--caption", "blue", "-n", 2, "--out", tmp_path / "b.npy") == 0
    assert sample("--walk", "--caption", "red", "--caption", "blue", "-n", 1, "--out", tmp_path / "w.npy") == 0
    assert sample("-n", 4, "--out", tmp_path / "h.npy") == 0
    grid, walk = np.load(tmp_path / "b.npy"), np.load(tmp_path / "w.npy")
    assert np.array_equal(walk[0], grid[0])
    assert np.array_equal(walk[-1], grid[2])
    assert json.loads((run / "generator" / "generator.json").read_text())["encoder"] == OWN
    assert main(["train", str(tmp_path / "pictures"), "--encoder", OWN]) == 2
    assert "--condition caption" in capsys.readouterr().err


def test_what_captions_say_adds_up():
    """Apart, so that neither hears the other, two captions say together what each says; from nothing said on."""
    torch.manual_seed(0)
    read = Caption(9, 5).double()
    told = lambda *row: read(torch.nn.functional.one_hot(torch.tensor([row]), 9).double())
    one, other, nothing = told(1, 2, 0, 0, 0), told(0, 0, 0, 3, 4), told(0, 0, 0, 0, 0)
    torch.testing.assert_close(told(1, 2, 0, 3, 4) - nothing, one - nothing + other - nothing)
    assert not torch.allclose(told(1, 2, 3, 4, 0) + nothing, one + other)  # neighbours hear each other
