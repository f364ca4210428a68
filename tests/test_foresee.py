"""Laws of foreseeing: networks, terms, and the command from a maze to futures that move."""

import json

import numpy as np
import pytest
import torch
from PIL import Image as Picture
from torch import nn
from torch.nn.functional import l1_loss, mse_loss

from sparring import data, generators
from sparring.cli import main
from sparring.folder import RunFolder
from sparring.metrics.frames import psnr
from sparring.nets import sizes
from sparring.nets.patches import Patched, shares, windows
from sparring.players import check_players
from sparring.priors import Bernoulli, Normal
from sparring.routes import own_frames
from sparring.spaces import Frames, Image, Label, Spec, any_samples
from sparring.terms import gradients, l1, l2
from sparring.train import Method, State, step
from sparring.turns import Move
from sparring.worlds.maze import Maze

SPEC = Spec(Image(3, 16), Frames(2, 3, 16))
JOINS = ("modulate", "concat", "add")


def sparring(*argv):
    return main([str(a) for a in argv])


def clip(path, frames=12, size=16, seed=0, **options):
    """A square that wanders, as a file that moves."""
    g, pages = np.random.default_rng(seed), []
    at = g.integers(2, size - 6, 2)
    for _ in range(frames):
        x = np.full((size, size, 3), 20, np.uint8)
        x[at[0] : at[0] + 4, at[1] : at[1] + 4] = (250, 200, 0)
        at = np.clip(at + g.integers(-2, 3, 2), 0, size - 4)
        pages.append(Picture.fromarray(x))
    pages[0].save(path, save_all=True, append_images=pages[1:], **options)
    return path


# -- the pair ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("join", JOINS)
@pytest.mark.parametrize("norm", ["batch", "pixel", "none"])
@pytest.mark.parametrize("prior", [Normal(5), Bernoulli(5)])
def test_the_pair_can_play(join, norm, prior):
    torch.manual_seed(0)
    check_players(*sizes.build("frame", SPEC, prior, 8, join, norm=norm), SPEC)


@pytest.mark.parametrize("size", [16, 24, 32, 64, 104])
@pytest.mark.parametrize(("count", "channels"), [(1, 1), (4, 3)])
def test_shapes_at_every_size(size, count, channels):
    spec = Spec(Image(channels, size), Frames(count, channels, size))
    G, D = sizes.build("frame", spec, Normal(4), 8, "modulate")
    c = any_samples(spec.c, 2)
    x = G(torch.randn(2, 4), c)
    assert x.shape == (2, channels, size, size) and x.abs().max() <= 1
    assert D(x, c).shape == (2, size**2 // 64)


def test_the_critic_sees_the_past():
    _, D = sizes.build("frame", SPEC, Normal(4), 8, "modulate")
    x, c = any_samples(SPEC.x, 4), any_samples(SPEC.c, 4)
    assert not torch.allclose(D(x, c), D(x, c.roll(1, 0)))
    assert D.features(x, c).shape == (4, 32, 2, 2)


def test_what_cannot_be_built_is_refused():
    with pytest.raises(TypeError, match="from Frames"):
        sizes.build("frame", Spec(Image(3, 16), Label(2)), Normal(4), 8, "modulate")
    with pytest.raises(ValueError, match="cannot follow"):
        sizes.build("frame", Spec(Image(3, 16), Frames(2, 1, 16)), Normal(4), 8, "modulate")
    with pytest.raises(ValueError, match="nearest are 40 and 48"):
        sizes.build("frame", Spec(Image(3, 45), Frames(2, 3, 45)), Normal(4), 8, "modulate")
    with pytest.raises(ValueError, match="'mix' is none of modulate, concat, add"):
        sizes.build("frame", SPEC, Normal(4), 8, "mix")
    with pytest.raises(ValueError, match="norm 'virtual' is none of batch, pixel, none"):
        sizes.build("frame", SPEC, Normal(4), 8, "modulate", norm="virtual")
    assert sizes.choose(SPEC, 1000).name == "frame"


# -- in pieces, and from frames of its own ----------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "patches"), [(32, 2), (40, 3), (64, 4), (64, 2)])
def test_pieces_cover_a_frame_and_agree_where_they_overlap(size, patches):
    starts, long = windows(size, patches)
    share = shares(size, starts, long)
    torch.testing.assert_close(share.sum(0), torch.ones(size))
    inside = torch.stack([(torch.arange(size) >= s) & (torch.arange(size) < s + long) for s in starts])
    assert (share[~inside] == 0).all() and inside.sum(0).max() > 1

    class Local(nn.Module):  # what it draws at a place depends on that place alone
        prior = Normal(2)

        def forward(self, z, c):
            return (c.mean(1) * z[:, :1, None, None]).tanh()

    G = Patched(Local(), size, patches)
    z, c = torch.randn(3, 2), torch.randn(3, 2, 3, size, size)
    torch.testing.assert_close(G(z, c), Local()(z, c))  # no seam shows


def test_a_network_in_pieces_is_itself_away_from_the_cuts():
    torch.manual_seed(0)
    spec = Spec(Image(3, 96), Frames(2, 3, 96))
    G, _ = sizes.build("frame", spec, Normal(4), 4, "modulate", norm="none", patches=2)
    z, c = torch.randn(2, 4), any_samples(spec.c, 2)
    apart = (G(z, c) - G.whole(z, c)).abs().amax((0, 1))
    assert apart[:24, :24].max() < 1e-5  # drawn by one piece, 48 pixels from its cut: beyond what a place depends on
    assert apart.max() > 1e-4


def test_pieces_play_and_are_refused_where_one_is_the_whole():
    spec = Spec(Image(3, 32), Frames(2, 3, 32))
    check_players(*sizes.build("frame", spec, Bernoulli(4), 8, "modulate", patches=2), spec)
    with pytest.raises(ValueError, match="from 32 pixels on"):
        sizes.build("frame", SPEC, Normal(4), 8, "modulate", patches=2)


class Counting(nn.Module):
    """Makes a frame of 1 + the last one."""

    prior = Normal(2)

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, z, c):
        return c[:, -1] + 1 + 0 * self.weight


def test_forcing_feeds_own_frames():
    c = torch.arange(3.0).view(1, 3, 1, 1, 1).expand(500, 3, 1, 2, 2)
    torch.manual_seed(0)
    for chance in (0.0, 0.5, 1.0):
        fed = own_frames(lambda seen, chance=chance: chance)(Counting(), c, 0)
        first = fed[:, 0, 0, 0, 0]
        assert (fed[:, :, 0, 0, 0].diff(dim=1) == 1).all()  # each frame follows the one before
        expected = {0.0: 0.0, 0.5: 0.5 + 0.25 + 0.125, 1.0: 3.0}[chance]  # frames gone on, of three at most
        assert float(first.mean()) == pytest.approx(expected, abs=0.12)
        assert not fed.requires_grad
    assert float(c[0, 0].max()) == 0  # what the data gave is as it was


def test_the_game_is_played_on_what_was_fed():
    """D must judge a fake with the past that it was made from, and a real frame with its own."""
    seen = []

    class Noting(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(1))

        def forward(self, x, c=None):
            seen.append((x - c[:, -1]).mean().item())
            return x.mean((1, 2, 3)) * self.weight

    s = State.begin(Counting(), Noting())
    x, c = torch.full((4, 1, 2, 2), 9.0), torch.zeros(4, 2, 1, 2, 2)
    step(Method(feed=own_frames(lambda seen: 1.0), penalties=()), s, x, c)
    assert seen == [9.0, 1.0, 9.0, 1.0]  # of D's turn and of G's: a real frame, a fake


def test_a_generator_that_fed_itself_learns_in_bfloat16():
    """Its weights, cast without a gradient while it made its own frames, must not be taken for those of its turn."""

    class Paint(nn.Module):
        def __init__(self):
            super().__init__()
            self.prior, self.net = Normal(1), nn.Conv2d(1, 1, 3, padding=1)

        def forward(self, z, c=None):
            return self.net(c[:, -1]).float() + z[:, :, None, None]

    class Look(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = nn.Conv2d(1, 1, 3)

        def forward(self, x, c=None):
            return self.net(x).mean((1, 2, 3)).float()

    s = State.begin(Paint(), Look())
    before = s.G.net.weight.clone()
    x, c = torch.rand(4, 1, 4, 4), torch.rand(4, 2, 1, 4, 4)
    step(Method(feed=own_frames(lambda seen: 1.0), bf16=True), s, x, c)
    assert not torch.equal(s.G.net.weight, before)


# -- terms ------------------------------------------------------------------------------------------------------------


def move(fake, real):
    return Move(None, None, None, None, None, real, fake, None, None, {}, 0)  # type: ignore[arg-type]


def test_terms_are_their_formulas():
    real, fake = torch.randn(3, 2, 5, 6), torch.randn(3, 2, 5, 6)
    t = move(fake, real)
    for i in range(3):
        torch.testing.assert_close(l1(t)[i], l1_loss(fake[i], real[i]))
        torch.testing.assert_close(l2(t)[i], mse_loss(fake[i], real[i]))
    x, y = real[0].tolist(), fake[0].tolist()
    near = [((k, i, j), (k, i + 1, j)) for k in range(2) for i in range(4) for j in range(6)]
    near += [((k, i, j), (k, i, j + 1)) for k in range(2) for i in range(5) for j in range(5)]
    at = lambda x, place: x[place[0]][place[1]][place[2]]
    parts = [abs(abs(at(x, a) - at(x, b)) - abs(at(y, a) - at(y, b))) for a, b in near]
    assert gradients(t)[0].item() == pytest.approx(sum(parts) / len(parts), rel=1e-5)
    assert gradients(move(real + 1, real)).max() < 1e-6  # of edges alone
    assert gradients(move(real * 0, real)).min() > 0


# -- the command ------------------------------------------------------------------------------------------------------

SHORT = ["--size", 16, "--width", 8, "--batch", 16, "--threads", 1, "--evaluate_n", 40, "--evaluate_final", 60]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("maze") / "run"
    assert sparring("train", "maze", *SHORT, "--samples", 640, "--prior", "bernoulli", "--run", path) == 0
    return path


def test_a_run_on_the_maze(run):
    rows = RunFolder(run).rows("evaluations.jsonl")
    assert {"legal", "junctions", "walls", "ghosts"} <= rows[-1]["truth"].keys()
    asked = RunFolder(run).recipe()
    assert (asked["net"], asked["join"], asked["prior"]) == ("frame", "modulate", "bernoulli")
    assert asked["terms"] == "energy=1:0.1"
    looked = RunFolder(run).rows("stats.jsonl")[-1]
    assert looked["condition/futures"] > 0 and not looked.keys() & {"condition/score", "condition/within"}
    with Picture.open(sorted(run.glob("samples/*.png"))[-1]) as page:
        assert page.width > page.height
    with Picture.open(run / "samples/rolled.webp") as film:
        assert film.n_frames == 2 + 64
    page = (run / "report.html").read_text()
    assert "Rolled on" in page and "data:image/webp" in page


@pytest.mark.parametrize("name", ["strip.png", "film.webp", "film.gif", "x.npy"])
def test_futures_of_one_clip(run, tmp_path, name):
    source = clip(tmp_path / "clip.gif")
    ask = ["sample", run, "--from", source, "--frames", 7, "--futures", 3]
    assert sparring(*ask, "--out", tmp_path / name) == 0
    if name == "x.npy":
        x = np.load(tmp_path / name)
        assert x.shape == (1, 3, 7, 3, 16, 16) and x.dtype == np.uint8
        assert (x[0, 0] != x[0, 1]).any()
        assert sparring(*ask, "--out", tmp_path / "y.npy") == 0
        assert (np.load(tmp_path / "y.npy") == x).all()
    else:
        with Picture.open(tmp_path / name) as picture:
            assert getattr(picture, "n_frames", 1) >= (1 if name.endswith("png") else 7)


def test_futures_of_heldout_pasts(run, capsys):
    assert sparring("sample", run, "-n", 2, "--frames", 3, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["n"] == 8 and said["out"].endswith("drawn.webp")


def test_a_roll_out_goes_on_from_its_own_frames(run):
    G, spec, _ = generators.load_generator(run / "generator")
    c = spec.c.decode(any_samples(spec.c, 3))
    long, short = generators.roll(G, spec, c, 4, seed=1), generators.roll(G, spec, c, 2, seed=1)
    assert long.shape == (3, 4, 3, 16, 16) and torch.equal(long[:, :2], short)


def test_regression_is_the_same_command_and_stands_beside(run, tmp_path, capsys):
    ask = ["--terms", "l2=1,gradients=0.1", "--adversarial", 0, "--samples", 160]
    assert sparring("train", "maze", *SHORT, *ask, "--run", tmp_path / "mean") == 0
    assert "term/l2" in RunFolder(tmp_path / "mean").rows("stats.jsonl")[-1]
    capsys.readouterr()

    assert sparring("evaluate", run, "-n", 60, "--extractor", "raw", "--beside", tmp_path / "mean", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert {"psnr", "ssim", "sharpness", "moving_error", "fid"} <= found["metrics"].keys()
    last, mean = found["beside"]["copy-last"], found["beside"][str(tmp_path / "mean")]
    assert last["truth"]["legal"] == 0 and last["truth"]["walls"] == 1 and mean["metrics"]["psnr"]["value"] > 0
    assert found["ceiling"]["legal"] == 1  # what came can follow its past
    world = Maze(16)
    x, c = data.open(world).heldout.take(range(60))
    assert last["metrics"]["psnr"]["value"] == pytest.approx(psnr(x, c[:, -1]).value)
    assert sparring("evaluate", run, "-n", 60, "--extractor", "raw", "--beside", tmp_path / "mean") == 0
    assert "copy-last           mean" in capsys.readouterr().out


def test_pieces_and_own_frames_by_option(tmp_path):
    ask = ["--size", 32, "--patches", 2, "--forcing", 0.5, "--samples", 64, "--past", 3, "--sample_every", 1000]
    assert sparring("train", "maze", *SHORT, *ask, "--run", tmp_path / "run") == 0
    assert sparring("sample", tmp_path / "run", "--frames", 2, "--futures", 2) == 0
    G, spec, _ = generators.load_generator(tmp_path / "run/generator")
    assert isinstance(G, Patched) and spec.c == Frames(3, 3, 32)


def test_wrong_requests_are_refused(run, tmp_path, capsys):
    refused = [
        (["sample", run, "--from", tmp_path / "none.gif"], "does not exist"),
        (["sample", run, "--from", clip(tmp_path / "one.gif", frames=1)], "has 1 frames; 2 are needed"),
        (["sample", run, "--out", tmp_path / "x.mp4"], "written as .webp"),
        (["sample", run, "--futures", -1], "at least 1"),
        (["sample", run, "--frames", 0], "at least 1"),
        (["sample", run, "--walk"], "--walk is not for next frames"),
        (["sample", run, "--label", "red"], "--label is not for next frames"),
        (["train", "maze", "--size", 45, "--run", tmp_path / "run"], "nearest"),
        (["train", "maze", "--size", 8, "--run", tmp_path / "run"], "16 is the least"),
        (["train", "maze", "--patches", 2, "--size", 16, "--run", tmp_path / "run"], "from 32 pixels on"),
        (["train", "maze", "--forcing", 1.5, "--run", tmp_path / "run"], "a chance, from 0 to below 1"),
        (["train", "maze", "--forcing", 0.5, "--terms", "l2=1", "--run", tmp_path / "run"], "drop --forcing"),
        (["train", "ring", "--forcing", 0.5, "--run", tmp_path / "run"], "ring has none"),
        (["train", "ring", "--past", 2, "--run", tmp_path / "run"], "'ring' has none; leave it out"),
        (["train", "ring", "--condition", "past", "--run", tmp_path / "run"], "ring holds no clips"),
        (["train", "maze", "--past", 1, "--run", tmp_path / "run"], "give 2 or more"),
        (["evaluate", run, "--beside", tmp_path / "none"], "none"),
    ]
    (tmp_path / "broken.gif").write_bytes((tmp_path / "one.gif").read_bytes()[:40])
    refused.append((["sample", run, "--from", tmp_path / "broken.gif"], "cannot be read"))
    for argv, words in refused:
        assert sparring(*argv) == 2, argv
        said = capsys.readouterr().err
        assert words in said and "Traceback" not in said
