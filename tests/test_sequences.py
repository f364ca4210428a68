"""Texts by the command: trained, drawn, resumed, shared among processes; and learned, where D has something to say."""

import json
import subprocess

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn

from sparring import generators, worlds
from sparring.cli import main
from sparring.data.spelling import Spelling
from sparring.folder import RunFolder
from sparring.losses import nonsaturating
from sparring.nets import sizes
from sparring.players import PlayerError, check_players
from sparring.policy import Returns, proximal, score_function
from sparring.schedules import constant
from sparring.spaces import Spec, Tokens
from sparring.train import Method, State, step

from .test_run import equal, state
from .test_texts import SAID

SHORT = ["--threads", 1, "--evaluate_n", 100, "--evaluate_final", 100]
SPACE = Tokens(6, 4)


def sparring(*argv):
    return main([str(a) for a in argv])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run on a file of texts, of 24 steps."""
    place = tmp_path_factory.mktemp("texts")
    (place / "said.txt").write_text("\n".join(SAID))
    options = ["--batch", 32, "--width", 16, "--samples", 768, "--checkpoint_every", 256, "--z", 2, *SHORT]
    assert sparring("train", place / "said.txt", *options, "--run", place / "run") == 0
    return place / "run"


def test_a_run_on_a_file_leaves_texts_and_all_it_takes_to_write_more(run, tmp_path):
    sheets = sorted(run.glob("samples/*.txt"))
    assert len(sheets) > 1 and len(sheets[-1].read_text().splitlines()) == 64
    card = json.loads((run / "card.json").read_text())["data"]
    assert card["kind"] == "texts, a line each" and card["cut"].startswith("into words")
    assert (run / "report.html").exists()
    rows = RunFolder(run).rows("stats.jsonl")
    assert rows[-1].keys() >= {"G/reward", "G/surprise", "G/tokens", "baseline", "score/heldout"}

    G, spec, card = generators.load_generator(run / "generator")
    x = spec.x.decode(G(G.prior.sample(5)))
    spelling, letters = Spelling.of(card["spelling"]), set("".join(SAID))
    told = [spelling.read(row) for row in x.tolist()]
    assert len(told) == 5 and all(set(text) <= letters for text in told)


def test_lines_are_printed_written_and_repeated(run, tmp_path, capsys):
    capsys.readouterr()
    assert sparring("sample", run, "-n", 7) == 0
    printed = capsys.readouterr().out
    assert len(printed.splitlines()) == 7
    assert sparring("sample", run, "-n", 7, "--out", tmp_path / "x.txt") == 0
    assert (tmp_path / "x.txt").read_text() == printed
    assert sparring("sample", run, "-n", 7, "--seed", 1, "--json") == 0
    assert json.loads(capsys.readouterr().out.split("x.txt\n")[-1])["texts"] != printed.splitlines()
    assert sparring("sample", run, "-n", 200, "--temperature", 0.01) == 0
    sure = capsys.readouterr().out.splitlines()
    assert len(set(sure)) < 40  # what is left is the latent's
    assert sparring("sample", run, "--out", tmp_path / "x.npy") == 0


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ("sample {run} --temperature 0", "must be above 0"),
        ("sample {run} --grid", "leave out"),
        ("sample {run} --out x.png", "as .txt"),
        ("train {said} --route pathwise", "no gradient passes"),
        ("train {said} --terms l1=1", "--terms"),
        ("train {said} --loss relativistic_average", "take nonsaturating"),
        ("train {said} --reward sigmiod", "did you mean 'sigmoid'"),
        ("train {said} --discount 1.5", "must be in [0, 1]"),
        ("train {said} --generator_steps 2 --micro 8", "leave out --micro"),
        ("train ring --route reinforce", "is for texts"),
        ("train ring --z 0", "leaves nothing"),
        ("train ring --size 32", "--size 32 is for pictures, and 'ring' has none"),
        ("train ring --augment ada", "is for pictures"),
        ("train {said} --fit pad", "is for pictures"),
        ("train ring --spelling words", "is for texts and captions"),
        ("train digits --reward log", "is for texts"),
        ("train {said} --length 1", "too long"),
    ],
)
def test_what_texts_cannot_have_is_refused_in_one_line(argv, words, run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    argv = argv.format(run=run, said=run.parent / "said.txt").split()
    assert sparring(*argv, *(["--threads", 1] if argv[0] == "train" else [])) == 2
    assert words in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_evaluate_and_diagnose_know_texts(run, capsys):
    capsys.readouterr()
    assert sparring("evaluate", run, "-n", 60, "--json") == 0
    assert json.loads(capsys.readouterr().out)["n_fake"] > 0
    assert sparring("diagnose", run, "--json") == 0


def test_a_sweep_is_a_curve_over_the_temperature(run, tmp_path, capsys):
    capsys.readouterr()
    curve = tmp_path / "curve.png"
    assert sparring("evaluate", run, "-n", 60, "--measures", "unique", "--sweep", curve, "--json") == 0
    *rows, real = json.loads(capsys.readouterr().out)["sweep"]
    heat = [row["temperature"] for row in rows]
    assert heat == sorted(heat) and 1.0 in heat and real["temperature"] is None
    assert rows[0]["unique"]["value"] <= rows[-1]["unique"]["value"]
    assert curve.stat().st_size > 1000


def test_what_is_measured_is_in_the_same_tokens(run, tmp_path, capsys):
    """Another file is read in the run's words, texts of anybody in those of the data."""
    (tmp_path / "others.txt").write_text("\n".join([*SAID[:60], "a zebra"]))
    capsys.readouterr()
    few = ["--measures", "unique,length", "-n", 60, "--json"]
    assert sparring("evaluate", run, "--against", tmp_path / "others.txt", *few) == 0
    assert json.loads(capsys.readouterr().out)["metrics"].keys() >= {"unique", "length"}
    assert sparring("evaluate", tmp_path / "others.txt", "--against", run.parent / "said.txt", *few) == 2
    assert "a zebra" in capsys.readouterr().err


def test_resumed_is_never_stopped(run, tmp_path):
    """As if killed before the last checkpoint; with dropout in D, a latent, and a baseline in memory."""
    copy = tmp_path / "run"
    subprocess.run(["cp", "-r", run, copy], check=True)
    for checkpoint in RunFolder(copy).checkpoints()[-1:]:
        (checkpoint / "tree.json").unlink()
    assert sparring("resume", copy) == 0
    assert equal(state(copy), state(run))
    assert (copy / "generator" / "weights.safetensors").read_bytes() == (
        run / "generator" / "weights.safetensors"
    ).read_bytes()


def test_scratchgan_is_a_preset_and_options_win(run, monkeypatch):
    asked = []
    monkeypatch.setattr("sparring.run.start", lambda r, path: asked.append(r) or {})
    said = run.parent / "said.txt"
    assert sparring("train", said, "--preset", "scratchgan", "--batch", 64) == 0
    assert sparring("train", said, "--preset=scratchgan") == 0
    assert [r.batch for r in asked] == [64, 512]
    assert (asked[0].net, asked[0].discount, asked[0].lr_D, asked[0].average) == ("scratchgan", 0.23, 0.00938, 0.0)
    for nothing in (["--preset="], ["--preset", ""], ["--preset"]):
        assert sparring("train", said, *nothing) == 2
    assert sparring("train", said, "--preset", "scrathgan") == 2


# -- several processes -------------------------------------------------------------------------------------------------

WAYS = {
    "score function": dict(generator_loss=score_function()),
    "a baseline a step": dict(generator_loss=score_function(Returns(baseline="step", discount=0.9))),
    "several steps": dict(generator_loss=proximal(3), generator_steps=3),
}


def played(way, share):
    torch.manual_seed(0)
    G, D = sizes.build("recurrent", Spec(SPACE), None, 8, forget=0.0)
    s = State.begin(G.double(), D.double())
    m = Method(nonsaturating, penalties=(), lr_G=constant(1e-2), lr_D=constant(1e-2), **WAYS[way])
    for i in range(4):
        x = torch.randint(4, (8, 6), generator=torch.Generator().manual_seed(i))
        step(m, s, share(SPACE.encode(x).double()))
    return s.G.state_dict(), s.D.state_dict(), s.memory


def one_of_two(rank, rendezvous, out):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=2)
    torch.save({way: played(way, lambda x: x.chunk(2)[rank]) for way in WAYS}, f"{out}{rank}")
    dist.barrier()
    dist.destroy_process_group()


def test_two_processes_write_what_one_does(tmp_path):
    mp.spawn(one_of_two, args=(tmp_path / "rendezvous", f"{tmp_path}/end"), nprocs=2)
    for rank in (0, 1):
        two = torch.load(f"{tmp_path}/end{rank}")
        for way in WAYS:
            for one, other in zip(played(way, lambda x: x), two[way]):
                assert one.keys() == other.keys()
                for k, v in one.items():
                    torch.testing.assert_close(other[k], v, rtol=0, atol=1e-7)


# -- anybody's own writer ----------------------------------------------------------------------------------------------


class Wrong(nn.Module):
    """A writer with a fault."""

    def __init__(self, G, fault):
        super().__init__()
        self.G, self.prior, self.fault = G, G.prior, fault

    def sample(self, z, c=None):
        x, logp = self.G.sample(z, c)
        return self.fault(x, logp)

    def forward(self, z, c=None):
        return self.sample(z, c)[0]


FAULTS = {
    "not one-hot": lambda x, logp: (x / 2 + 0.125, logp),
    "detached": lambda x, logp: (x, logp.detach()),
    "wants": lambda x, logp: (x, logp.sum(1)),
    "a pair": lambda x, logp: x,
    "after the first end": lambda x, logp: (x, logp - 1),
}


def test_a_writer_of_ones_own_is_checked():
    G, D = sizes.build("recurrent", Spec(SPACE), None, 8)
    check_players(G, D, Spec(SPACE), batch=32)
    for words, fault in FAULTS.items():
        with pytest.raises(PlayerError, match=words):
            check_players(Wrong(G, fault), D, Spec(SPACE), batch=32)


# -- and it learns -----------------------------------------------------------------------------------------------------


def valid(samples, *options, place):
    once = ["--evaluate_every", samples, "--sample_every", samples]
    assert sparring("train", "grammar", "--samples", samples, *once, *options, *SHORT, "--run", place) == 0
    G, spec, _ = generators.load_generator(place / "generator")
    return worlds.open("grammar").judge(generators.draw(G, spec, 1000))["valid"]


def test_from_scratch_a_grammar_is_learned_and_from_a_deaf_critic_it_is_not(tmp_path):
    learned = valid(38_400, place=tmp_path / "learned")
    deaf = valid(12_800, "--lr_D", 1e-12, place=tmp_path / "deaf")
    assert learned > 0.3
    assert learned > 2 * deaf
