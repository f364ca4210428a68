"""Two processes are one."""

import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn

from sparring import parallel
from sparring.folder import RunFolder
from sparring.losses import LOSSES, top_k
from sparring.nets import vector
from sparring.nets.blocks import spectral
from sparring.penalties import historical, mismatch, mismatch_original, r1, r2
from sparring.priors import Normal
from sparring.routes import unrolled
from sparring.schedules import constant
from sparring.spaces import Spec, Tokens, Vector
from sparring.terms import feature_matching
from sparring.train import Method, State, step

from .test_terms import Reader
from .test_train import Maker, data, everything

EXACT = ((r1, constant(0.1)), (r2, constant(0.1)))


CURES = {
    "unrolled": dict(generator_loss=unrolled(2)),
    "feature matching": dict(terms=((feature_matching, constant(3.0)),)),
    "both": dict(generator_loss=unrolled(1), terms=((feature_matching, constant(3.0)),)),
    "historical averaging": dict(pulls=((historical, constant(0.1)),)),
    "lazy": dict(lazy=2),
    "top-k": dict(vary=top_k(constant(0.5))),
    "virtual batch norm": dict(),
    "packing": dict(),
    "minibatch standard deviation": dict(),
    "spectral norm": dict(),
    "captions": dict(
        penalties=(*EXACT, (mismatch, constant(1.0)), (mismatch_original, constant(0.5))),
    ),
}
BUILT = {  # into the players
    "virtual batch norm": dict(norm="virtual"),
    "packing": dict(pack=2),
    "minibatch standard deviation": dict(group=4),
    "spectral norm": dict(),
    "captions": dict(),
}


def told(n):
    """Captions of three words, each about the sample beside it."""
    return Tokens(3, 5).encode(torch.arange(3 * n).view(n, 3) % 5).double()


def play(loss, micro, rounds, share, cure=""):
    torch.manual_seed(parallel.rank())  # ranks begin unequal: the first one's players are taken
    G, D = Maker(), Reader()
    if cure in BUILT:
        spec = Spec(Vector(2), Tokens(3, 5) if cure == "captions" else None)
        G, D = vector.plain(spec, Normal(3), 8, **BUILT[cure])
        D = spectral(D) if cure == "spectral norm" else D
    s = State.begin(G.double(), D.double())
    m = Method(loss=LOSSES[loss], penalties=EXACT, lr_G=constant(1e-3), lr_D=constant(1e-3), micro=micro)
    m = replace(m, **CURES.get(cure, {}))
    for i in range(rounds):
        step(m, s, share(data(8, torch.float64, seed=i)), share(told(8)) if cure == "captions" else None)
    return everything(s.G), everything(s.D), everything(s.ema)


class Painter(Maker):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(3, 128), nn.Unflatten(1, (8, 4, 4)), nn.Upsample(scale_factor=2), nn.Conv2d(8, 3, 3, padding=1)
        )


class Looker(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(8, 1, 3))

    def forward(self, x, c=None):
        return self.net(x).mean((1, 2, 3))


def play_pictures(rounds, share):
    """By convolutions whose weights lie as a run lays them."""
    torch.manual_seed(parallel.rank())
    laid = dict(dtype=torch.float64, memory_format=torch.channels_last)
    s = State.begin(*(net.to(**laid) for net in (Painter(), Looker())))
    m = Method(penalties=EXACT, lr_G=constant(1e-3), lr_D=constant(1e-3))
    for i in range(rounds):
        x = torch.rand(8, 3, 8, 8, generator=torch.Generator().manual_seed(i)) * 2 - 1
        step(m, s, share(x.to(**laid)))
    return everything(s.G), everything(s.D), everything(s.ema)


def half(x):
    n = len(x) // parallel.size()
    return x[parallel.rank() * n : (parallel.rank() + 1) * n]


def one_of_two(rank, rendezvous, out):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=2)
    ends = {(loss, micro): play(loss, micro, 3, half) for loss in LOSSES for micro in (None, 3)}
    ends |= {cure: play("relativistic", None, 3, half, cure) for cure in CURES}
    ends["pictures"] = play_pictures(3, half)
    ends["long"] = play("relativistic", None, 100, half)
    torch.save(ends, f"{out}{rank}")
    dist.barrier()
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    place = tmp_path_factory.mktemp("two")
    mp.spawn(one_of_two, args=(place / "rendezvous", f"{place}/end"), nprocs=2)
    return [torch.load(f"{place}/end{rank}") for rank in (0, 1)]


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("micro", [None, 3])
def test_two_processes_are_one(two, loss, micro):
    one = play(loss, None, 3, lambda x: x)
    for net, whole in zip(two[0][loss, micro], one):
        for k, v in whole.items():
            torch.testing.assert_close(net[k], v, rtol=0, atol=1e-6)


@pytest.mark.parametrize("cure", CURES)
def test_with_a_cure_two_processes_are_one(two, cure):
    one = play("relativistic", None, 3, lambda x: x, cure)
    for net, whole in zip(two[0][cure], one):
        for k, v in whole.items():
            torch.testing.assert_close(net[k], v, rtol=0, atol=1e-6)
    for a, b in zip(two[0][cure], two[1][cure]):
        assert all(torch.equal(a[k], b[k]) for k in a)


def test_on_pictures_two_processes_are_one(two):
    for net, whole in zip(two[0]["pictures"], play_pictures(3, lambda x: x)):
        for k, v in whole.items():
            torch.testing.assert_close(net[k], v, rtol=0, atol=1e-6)


def test_ranks_stay_equal(two):
    for a, b in zip(two[0]["long"], two[1]["long"]):
        assert all(torch.equal(a[k], b[k]) for k in a)


def test_alone_nothing_is_sent():
    t = torch.ones(2)
    assert parallel.mean(t) is t
    assert parallel.agree(True)
    assert not parallel.agree(False)


def test_torchrun_trains_one_run(tmp_path):
    """One log, one folder, as by one process on the whole batch."""
    common = ["train", "ring", "--samples", "640", "--batch", "64", "--threads", "1", "--evaluate_n", "100"]
    common += ["--optimizer", "adam"]  # SOAP turns directions in which nothing lies by what was rounded
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
    for n in (1, 2):
        command = [*torchrun, str(n), "-m", "--", "sparring", *common, "--run", str(tmp_path / str(n))]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count('"run"') == 1

    one, two = (RunFolder(tmp_path / str(n)).load() for n in (1, 2))
    assert [p.name for p in (tmp_path / "2" / "checkpoints").iterdir()] == [
        p.name for p in (tmp_path / "1" / "checkpoints").iterdir()
    ]
    for k, v in one["state"]["G"].items():
        assert (two["state"]["G"][k] - v).abs().mean() < 1e-5  # Adam divides rounding by rounding


def test_processes_agree_how_much_fits_the_time(tmp_path):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "--"]
    command += "sparring train ring --minutes 0.01 --batch 64 --threads 1 --evaluate_n 50 --evaluate_final 50".split()
    done = subprocess.run([*command, "--run", str(tmp_path / "run")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_processes_that_are_told_to_end_save_at_once(tmp_path):
    """torchrun gives them 30 seconds, however far apart the lines of the log are; and one of them alone speaks."""
    run, said = tmp_path / "run", tmp_path / "said"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "--"]
    command += "sparring train ring --samples 100000000 --log_every 90000000 --batch 64 --threads 1 --width 16".split()
    with said.open("w") as file:
        process = subprocess.Popen([*command, "--run", str(run)], stderr=file, stdout=subprocess.DEVNULL)
    while "training:" not in said.read_text() and process.poll() is None:
        time.sleep(0.1)
    time.sleep(1)
    process.send_signal(signal.SIGTERM)
    process.wait(60)
    assert said.read_text().count("stopped and saved at") == said.read_text().count("training:") == 1
    assert RunFolder(run).load() is not None


def test_a_dead_rank_ends_the_others(tmp_path):
    """The message says what happened and how to go on."""
    code = Path(tmp_path / "dying.py")
    code.write_text(
        "import os, sys, sparring.run as run\n"
        "from sparring.cli import main\n"
        "if os.environ['RANK'] == '1':\n"
        "    tally = run.Tally.add\n"
        "    run.Tally.add = lambda self, stats, at: os._exit(7) if self.samples > 300 else tally(self, stats, at)\n"
        "raise SystemExit(main(sys.argv[1:]))\n"
    )
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--", str(code)]
    common = ["train", "ring", "--samples", "200000", "--batch", "64", "--threads", "1", "--run", str(tmp_path / "run")]
    done = subprocess.run([*torchrun, *common], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode != 0
    assert "another process of this run ended" in done.stderr
    assert "sparring resume" in done.stderr
