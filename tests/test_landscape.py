"""The game as a field, against games whose answers are known."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from sparring.augment import instance_noise
from sparring.cli import main
from sparring.folder import RunFolder
from sparring.landscape import duality_gap, eigenvalues, field, flat, offset_free, path, pour, quiet
from sparring.losses import LOSSES, nonsaturating, relativistic, top_k, wasserstein
from sparring.penalties import decay, historical, r1, r2, wgan_gp
from sparring.priors import Normal
from sparring.schedules import constant
from sparring.terms import TERMS
from sparring.train import Method, State, descend

from .test_run import SHORT


class Point(nn.Module):
    """G of the Dirac game: one number, whatever z is."""

    def __init__(self, at):
        super().__init__()
        self.prior, self.at = Normal(1), nn.Parameter(torch.tensor([float(at)]))

    def forward(self, z, c=None):
        return self.at.expand(len(z), 1)


class Slope(nn.Module):
    """Its critic: D(x) = psi x."""

    def __init__(self, psi):
        super().__init__()
        self.psi = nn.Parameter(torch.tensor([float(psi)]))

    def forward(self, x, c=None):
        return self.psi * x[:, 0]


class Wave(nn.Module):
    def __init__(self):
        super().__init__()
        self.prior, self.net = Normal(2), nn.Sequential(nn.Linear(2, 5), nn.Tanh(), nn.Linear(5, 2))

    def forward(self, z, c=None):
        return self.net(z)


class Judge(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2, 5), nn.Tanh(), nn.Linear(5, 1))

    def forward(self, x, c=None):
        return self.net(x)[:, 0]


def dirac(theta=0.0, psi=0.0):
    return State.begin(Point(theta), Slope(psi)), torch.zeros(4, 1), torch.zeros(4, 1)


def test_the_plain_dirac_game_only_turns():
    """v = (-psi, theta): eigenvalues ± i."""
    s, x, z = dirac(0.3, -0.2)
    m = Method(loss=wasserstein, penalties=())
    assert field(m, s, x, None, z).tolist() == pytest.approx([0.2, 0.3])
    found = eigenvalues(m, s, x, None, z)
    assert np.allclose(sorted(found.imag), [-1, 1], atol=1e-5)
    assert np.allclose(found.real, 0, atol=1e-5)


def test_slope_penalties_pull_it_in():
    """With r1 and r2 of weight g, v_D gains 2 g psi: eigenvalues g ± sqrt(g² - 1)."""
    s, x, z = dirac()
    for g in (0.25, 2.0):
        m = Method(loss=wasserstein, penalties=((r1, constant(g)), (r2, constant(g))))
        wanted = [g + np.emath.sqrt(g * g - 1), g - np.emath.sqrt(g * g - 1)]
        assert np.allclose(sorted(eigenvalues(m, s, x, None, z)), sorted(wanted), atol=1e-4)


CHARGED = {
    "penalties": dict(penalties=((r1, constant(0.5)), (wgan_gp, constant(2.0)))),
    "terms": dict(terms=((TERMS["l2"], constant(3.0)),), adversarial=constant(0.5)),
    "pulls": dict(pulls=((historical, constant(0.3)), (decay, constant(0.2)))),
    "vary": dict(vary=top_k(constant(0.5))),
    "augment": dict(augment=instance_noise(constant(0.7))),
    "feed": dict(feed=lambda G, c, seen: torch.randn(len(c), 2)),
}


class Follower(Wave):
    """G of a game whose condition is a point, with the same noise for either player."""

    def __init__(self):
        super().__init__()
        self.prior = type("Fixed", (), {"sample": lambda self, n, rng=None: torch.linspace(-1, 1, 2 * n).view(n, 2)})()

    def forward(self, z, c=None):
        return self.net(z) + c


@pytest.mark.parametrize("name", [*CHARGED, "all"])
def test_the_field_is_what_the_players_descend(name):
    """Against the gradients of the next step of either player, with the same noise and the same chance."""
    every = {k: v for of in CHARGED.values() for k, v in of.items()}
    m = Method(loss=nonsaturating, **{"penalties": (), **(every if name == "all" else CHARGED[name])})
    torch.manual_seed(0)
    s, x, c = State.begin(Follower(), Judge()), torch.randn(16, 2), torch.randn(16, 2)
    s.seen = 640
    v = field(m, s, x, c, s.G.prior.sample(16))
    assert not s.memory  # it is looked at, and stays as it is

    still = replace(m, lr_G=constant(0.0), lr_D=constant(0.0))
    descended = []
    for loss_of, player in ((m.generator_loss, s.G), (m.critic_loss, s.D)):
        descend(loss_of, still, s, player, x, c)
        descended += [p.grad.flatten() for p in player.parameters()]
    torch.testing.assert_close(v, torch.cat(descended))

    plain = Method(loss=nonsaturating, penalties=())
    assert not torch.allclose(v, field(plain, quiet(s), x, c, s.G.prior.sample(16)))


def test_the_largest_eigenvalues_are_those_of_the_whole_matrix():
    torch.manual_seed(0)
    s = State.begin(Wave(), Judge())
    x, z, m = torch.randn(16, 2), torch.randn(16, 2), Method(loss=nonsaturating)
    few = eigenvalues(m, s, x, None, z, k=4)

    every = eigenvalues(m, s, x, None, z, k=1000)
    assert np.allclose(np.abs(few), np.abs(every[:4]), rtol=1e-2)

    t, eps = quiet(s), 1e-2
    at, u = flat(s), torch.randn(len(flat(s)))
    ends = []
    for sign in (1, -1):
        pour(t, at + sign * eps * u)
        ends.append(field(m, t, x, None, z))
    slope = (ends[0] - ends[1]) / (2 * eps)
    trace = np.trace(np.stack([column(m, s, x, z, i) for i in range(len(at))], 1))
    assert every.sum().real == pytest.approx(trace, rel=0.05, abs=0.05)
    assert slope.isfinite().all()


def column(m, s, x, z, i, eps=1e-2):
    """A column of the Jacobian by differences."""
    t, at = quiet(s), flat(s)
    step = torch.zeros_like(at)
    step[i] = eps
    ends = []
    for sign in (1, -1):
        pour(t, at + sign * step)
        ends.append(field(m, t, x, None, z))
    return ((ends[0] - ends[1]) / (2 * eps)).numpy()


def test_a_path_to_a_resting_place_changes_its_sign_there():
    early, x, z = dirac(1.0, 0.0)
    late, *_ = dirac(0.0, 0.0)
    m = Method(loss=wasserstein, penalties=((r1, constant(1.0)), (r2, constant(1.0))))
    early.D.psi.data.fill_(1.0)
    way = path(m, early, late, (x, None, z), [0.5, 1.5])
    assert way.cosine[0] > 0 > way.cosine[1]
    assert path(m, early, late, (x, None, z), [1.0]).size == [0.0]
    turning = path(Method(loss=wasserstein, penalties=()), early, late, (x, None, z), [0.5, 1.5])
    assert turning.cosine == pytest.approx([0, 0], abs=1e-6)


def test_the_duality_gap_closes_where_fakes_are_real():
    torch.manual_seed(0)
    s = State.begin(Wave(), Judge())
    for p in s.D.net[2].parameters():
        p.data.zero_()  # cannot tell

    class Truth(Wave):
        def forward(self, z, c=None):
            return z + 0 * self.net(z)

    draw = lambda n: torch.randn(n, 2)
    real = (torch.randn(512, 2), None), (torch.randn(512, 2), None)
    far = (torch.randn(512, 2) + 6, None), (torch.randn(512, 2) + 6, None)
    s.G = Truth()
    good, bad = (duality_gap(s, *data, draw, steps=150, lr=0.01) for data in (real, far))
    assert good.best_D == pytest.approx(-math.log(2), abs=0.1)
    assert abs(good.gap) < 0.1
    assert bad.gap > 0.5
    before = flat(s)
    duality_gap(s, *real, draw, steps=2)
    assert torch.equal(before, flat(s))


def test_the_offset_of_a_critic_of_differences_is_no_gap():
    s, x = State.begin(Wave(), Judge()), (torch.randn(256, 2), None)
    gap = lambda **how: duality_gap(s, x, x, lambda n: torch.randn(n, 2, generator=seeded), steps=1, lr=0.0, **how)
    told = []
    for offset in (0.0, 30.0):
        s.D.net[-1].bias.data.add_(offset)
        for loss in (relativistic, nonsaturating):
            seeded = torch.Generator().manual_seed(0)
            told.append(gap(loss=loss).best_G)
    assert told[2] == pytest.approx(told[0], abs=1e-3)
    assert told[3] < told[1] - 5


def test_which_losses_leave_the_offset_free():
    free = {name for name, loss in LOSSES.items() if offset_free(loss)}
    assert {"relativistic", "wasserstein"} <= free and not {"minimax", "nonsaturating", "hinge"} & free


def test_eigenvalues_that_do_not_converge_are_left_out(monkeypatch):
    from scipy.sparse import linalg

    def stuck(*_, **__):
        raise linalg.ArpackNoConvergence("no", np.array([2.0 + 1j, -3.0]), np.zeros((0, 0)))

    monkeypatch.setattr(linalg, "eigs", stuck)
    s = State.begin(Wave(), Judge())
    found = eigenvalues(Method(loss=nonsaturating), s, torch.randn(16, 2), None, torch.randn(16, 2))
    assert found.tolist() == [-3.0, 2.0 + 1j]


def test_diagnose_looks_deep_at_a_run_with_all_that_it_is_charged(tmp_path, capsys):
    run, options = tmp_path / "run", "--terms mode_seeking=0.1 --instance_noise 0.1 --top_k 0.5 --history 0.1"
    short = ["--samples", "640", "--width", "8", "--batch", "64", *SHORT]
    assert main(["train", "ring", *short, *options.split(), "--run", str(run)]) == 0
    kept = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    capsys.readouterr()
    assert main(["diagnose", str(run), "--deep"]) == 0
    told = capsys.readouterr().out
    assert all(f"deep: {name}" in told for name in ("eigenvalues", "path", "duality gap"))
    assert kept == {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}


def test_a_deep_look_at_a_run_that_writes_is_refused(tmp_path, capsys):
    run = tmp_path / "run"
    assert main(["train", "grammar", "--samples", "256", "--width", "8", *SHORT, "--run", str(run)]) == 0
    assert RunFolder(run).checkpoints()
    capsys.readouterr()
    assert main(["diagnose", str(run), "--deep"]) == 2
    said = capsys.readouterr()
    assert f"--deep follows gradients through samples, and {run} writes tokens: leave it out" in said.err
    assert said.out == ""
