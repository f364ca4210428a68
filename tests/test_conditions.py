"""Laws of conditions: what is asked for is what the players are told, and by no other way."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image as Picture

from sparring import data, recipe, refusals
from sparring.chance import generator
from sparring.cli import main
from sparring.data.words import Vocabulary
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

from .test_captions import LITTLE


def tokens(*captions):
    v = Vocabulary.learn(captions)
    return v, v.space.encode(torch.from_numpy(np.stack([v.encode(c) for c in captions])))


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
    """Of points with each loss, of pictures with one; to modulate is for pictures alone."""
    torch.manual_seed(0)
    told = torch.tensor([0, 1, 2, 0]) if isinstance(c, Label) else c.encode(torch.randint(9, (4, 4)))
    pictures = sizes.build("quick", Spec(Image(1, 4), c), Normal(4), 2, join), torch.rand(4, 1, 4, 4) * 2 - 1
    if join == "modulate":
        games = [(pictures, LOSSES)]
    else:
        points = sizes.build("vector", Spec(Vector(2), c), Normal(4), 8, join), torch.randn(4, 2)
        games = [(points, LOSSES), (pictures, {"relativistic": LOSSES["relativistic"]})]
    for ((G, D), x), losses in games:
        s = State.begin(G, D)
        embed = next(p for n, p in G.named_parameters() if "embed" in n)
        for name, loss in losses.items():
            before = embed.detach().clone()
            m = Method(loss=loss, penalties=((PENALTIES["mismatch"], constant(1.0)),), seed=1)
            stats = step(m, s, x, told)
            assert all(v.isfinite().all() for v in stats.values()), name
            assert not torch.equal(before, embed), name


@pytest.mark.parametrize("net", ["vector", "quick", "r3gan", "dcgan"])
def test_a_critic_scores_each_sample_under_every_condition(net):
    vocabulary, told = tokens("red eyes", "a green wall", "blue hair")
    space, x = (Vector(2), torch.randn(3, 2)) if net == "vector" else (Image(3, 16), torch.randn(3, 3, 16, 16))
    _, D = sizes.build(net, Spec(space, vocabulary.space), Normal(4), 8)
    D.eval()
    each = torch.stack([D(x, one.expand(3, -1, -1)) for one in told], 1)
    torch.testing.assert_close(D.every(x, told), each)


# -- pairs ------------------------------------------------------------------------------------------------------------


def turn_of(c):
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
    assert not refusals.warnings(r)
    assert "takes the other half" in refusals.warnings(replace(r, condition="none", mismatch=0.0))[0]


@pytest.mark.parametrize("n", [4, 6, 7])
def test_neighbours_of_a_batch_are_those_of_its_even_pieces(n):
    whole = partner(torch.arange(n))
    assert (whole != torch.arange(n)).all()
    for even in range(2, n, 2):
        assert torch.equal(whole[:even], partner(torch.arange(n)[:even]))


@pytest.mark.parametrize(
    ("net", "c", "auxiliary", "times", "end"),
    [
        ("quick", None, 0.0, 1, 0.1),
        ("quick", Label(4), 0.0, 4, 1.0),
        ("quick", Label(300), 0.0, 10, 1.0),
        ("quick", Label(4), 1.0, 1, 0.1),
        ("r3gan", Label(4), 0.0, 1, 0.1),
    ],
)
def test_slopes_weigh_more_by_class_where_the_critic_is_told(net, c, auxiliary, times, end):
    r = recipe.filled(Recipe(net=net, auxiliary=auxiliary), Spec(Image(1, 16), c), torch.device("cpu"))
    assert r.r1 == r.r2 == times / 4 and r.gamma_end == end


# -- as a user runs it ------------------------------------------------------------------------------------------------


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
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder.png").mkdir()
    for asked, why in (
        (["--walk"], "give --label twice\n"),
        (["--label", "²"], "--label '²' is none of"),
        (["--walk", "--label", "1"], "give --label twice, not 1 times"),
        (["--walk", "--grid"], "give one"),
        (["--frames", "0"], "are for runs that foresee"),
        (["--out", tmp_path / "file"], "is a file already"),
        (["--out", tmp_path / "file" / "x.png"], "is a file, not a folder"),
        (["--out", tmp_path / "folder.png"], "is a folder already"),
        (["--out", run / "samples"], "holds files already, and samples would lie among them"),
    ):
        assert main([str(a) for a in ("sample", run, *asked)]) == 2
        assert why in capsys.readouterr().err
    assert (tmp_path / "file").read_text() == "mine"


def test_what_compares_conditions_needs_some(capsys):
    for options in (["--mismatch", "1"], ["--contrast", "1"], ["--penalties", "mismatch_hard=1"]):
        assert main(["train", "digits", *options]) == 2
        assert "--condition class or caption" in capsys.readouterr().err


def test_contrast_needs_scores_under_every_condition(tmp_path, monkeypatch, capsys):
    begin = ["train", "digits", "--condition", "class", "--run", str(tmp_path / "run"), "--samples", "64"]
    for asked in (["--contrast", "1"], ["--penalties", "contrast=1"]):
        assert main([*begin, *asked, "--pack", "2"]) == 2
        assert "--pack 2 shows D several" in capsys.readouterr().err
    (tmp_path / "without_every.py").write_text(
        "from torch import nn\n"
        "from sparring.nets import sizes\n"
        "class Plain(nn.Module):\n"
        "    def __init__(self, D):\n"
        "        super().__init__()\n"
        "        self.D = D\n"
        "    def forward(self, x, c=None):\n"
        "        return self.D(x, c)\n"
        "def pair(spec, prior, width):\n"
        "    G, D = sizes.build('dcgan', spec, prior, width=8)\n"
        "    return G, Plain(D)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert main([*begin, "--net", "without_every:pair", "--width", "8", "--contrast", "1"]) == 2
    assert "or give --mismatch 1" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
