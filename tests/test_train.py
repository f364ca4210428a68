"""The laws of the game."""

import copy
import math

import pytest
import torch
from torch import nn

from sparring.folder import RunFolder, read_tree, write_tree
from sparring.losses import LOSSES, relativistic
from sparring.penalties import lecam, r1, r2
from sparring.players import PlayerError, check_players
from sparring.policy import score_function, to_go
from sparring.priors import Normal
from sparring.schedules import constant
from sparring.spaces import Image, Label, Spec, Vector
from sparring.train import Method, State, descend, due, follow, step, train

EXACT = ((r1, constant(0.1)), (r2, constant(0.1)))


class Maker(nn.Module):  # anybody's own pair: under twenty lines
    def __init__(self):
        super().__init__()
        self.prior = Normal(3)
        self.net = nn.Sequential(nn.Linear(3, 16), nn.LeakyReLU(0.2), nn.Linear(16, 2))

    def forward(self, z, c=None):
        return self.net(z)


class Judge(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 1))

    def forward(self, x, c=None):
        return self.net(x).squeeze(1)


class BufferedMaker(Maker):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(3, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 2))


class BufferedJudge(Judge):
    def __init__(self):
        super().__init__()
        norm = nn.utils.parametrizations.spectral_norm
        self.net = nn.Sequential(norm(nn.Linear(2, 16)), nn.Tanh(), norm(nn.Linear(16, 1)))


def pair(dtype=torch.float32, players=(Maker, Judge)):
    torch.manual_seed(0)
    G, D = (player().to(dtype) for player in players)
    return State.begin(G, D)


def data(n=8, dtype=torch.float32, seed=0):
    return torch.randn(n, 2, generator=torch.Generator().manual_seed(seed)).to(dtype)


def everything(net):
    return {k: v.clone() for k, v in net.state_dict().items()}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


@pytest.mark.parametrize("players", [(Maker, Judge), (BufferedMaker, BufferedJudge)])
def test_a_turn_moves_only_whose_turn_it_is(players):
    s, m = pair(players=players), Method(penalties=EXACT, lr_G=constant(0.01), lr_D=constant(0.01))
    G, D = everything(s.G), everything(s.D)
    descend(m.critic_loss, m, s, s.D, data(), None)
    assert same(everything(s.G), G)
    assert not same(everything(s.D), D)
    D = everything(s.D)
    descend(m.generator_loss, m, s, s.G, data(), None)
    assert same(everything(s.D), D)
    assert not same(everything(s.G), G)


class Places(nn.Module):
    """A critic with a score for each of four places."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2, 16), nn.LeakyReLU(0.2), nn.Linear(16, 4))

    def forward(self, x, c=None):
        return self.net(x)


@pytest.mark.parametrize("critic", [Judge, Places])
@pytest.mark.parametrize("name", LOSSES)
def test_pieces_make_the_whole(name, critic):
    ends = []
    for micro in (None, 3):
        torch.manual_seed(0)
        s = State.begin(Maker().double(), critic().double())
        m = Method(loss=LOSSES[name], penalties=EXACT, lr_G=constant(0.01), lr_D=constant(0.01), micro=micro)
        stats = [step(m, s, data(dtype=torch.float64, seed=i)) for i in range(3)]
        ends.append((everything(s.G), everything(s.D), stats[-1]))
    for whole, pieces in zip(*(end[:2] for end in ends)):
        for k in whole:
            torch.testing.assert_close(whole[k], pieces[k], rtol=1e-9, atol=1e-10)
    for k in ("D/loss", "G/loss"):
        torch.testing.assert_close(ends[0][2][k].mean(), ends[1][2][k].mean(), rtol=1e-6, atol=1e-8)


def test_resumed_is_never_stopped(tmp_path):
    m = Method(penalties=EXACT, lr_G=constant(0.01), lr_D=constant(0.01), critic_steps=2)
    straight = pair()
    for i in range(20):
        step(m, straight, data(seed=i))

    first = pair()
    for i in range(9):
        step(m, first, data(seed=i))
    write_tree(tmp_path, first.save())
    torch.manual_seed(99)
    second = State.begin(Maker(), Judge())
    second.load(read_tree(tmp_path))
    for i in range(9, 20):
        step(m, second, data(seed=i))
    for a, b in ((straight.G, second.G), (straight.D, second.D), (straight.ema, second.ema)):
        assert same(everything(a), everything(b))


@pytest.mark.parametrize("lazy", [1, 2, 3, 4])
def test_in_as_many_turns_a_lazy_penalty_weighs_as_much(lazy):
    other = constant(0.7)
    m = Method(penalties=(*EXACT, (lecam, other)), lazy=lazy)
    weights = {r1: [], r2: [], lecam: []}
    for turn in range(3 * lazy):
        now = due(m, turn)
        for p, w in now:
            weights[p].append(w(0))
        assert lazy < 2 or not {r1, r2} <= {p for p, _ in now}
    assert weights == {p: [lazy * w(0)] * 3 for p, w in EXACT} | {lecam: [0.7] * 3 * lazy}


def test_lazy_penalties_are_paid_in_their_turns():
    s, m = pair(), Method(penalties=EXACT, lazy=2)
    paid = [{k for k in step(m, s, data(seed=i)) if k.startswith("penalty/")} for i in range(4)]
    assert paid == [{"penalty/r1"}, {"penalty/r2"}] * 2


def test_nobody_outside_notices_our_randomness():
    s, before = pair(), torch.get_rng_state()
    step(Method(penalties=EXACT), s, data())
    assert torch.equal(torch.get_rng_state(), before)


def test_same_seed_same_run_other_seed_other_run():
    def run(seed):
        s = pair()
        for i in range(3):
            step(Method(lr_G=constant(0.01), lr_D=constant(0.01), seed=seed), s, data(seed=i))
        return everything(s.G)

    assert same(run(1), run(1))
    assert not same(run(1), run(2))


def test_the_critic_moves_more_often():
    s = pair()
    moves = [
        not same(before, everything(s.G))
        for i in range(6)
        for before in [everything(s.G)]
        for _ in [step(Method(critic_steps=3, lr_G=constant(0.01)), s, data(seed=i))]
    ]
    assert moves == [False, False, True] * 2


def test_the_average_follows():
    a, b = Maker(), Maker()
    expected = {k: 0.9 * v + 0.1 * b.state_dict()[k] for k, v in a.state_dict().items()}
    follow(a, b, 0.9)
    for k, v in a.state_dict().items():
        torch.testing.assert_close(v, expected[k])


def test_the_halflife_is_in_samples():
    s = pair()
    start = everything(s.ema)
    step(Method(halflife=constant(8), lr_G=constant(0.1)), s, data(8))
    for k, v in s.ema.state_dict().items():
        torch.testing.assert_close(v, (start[k] + s.G.state_dict()[k]) / 2)


def test_rewards_to_go():
    assert to_go(torch.tensor([[1.0, 2.0, 4.0]]), 0.5).tolist() == [[3.0, 4.0, 4.0]]


def test_score_function_learns_a_choice():
    class Coin(nn.Module):
        def __init__(self):
            super().__init__()
            self.prior, self.logits = Normal(1), nn.Parameter(torch.zeros(4))

        def sample(self, z, c=None):
            choice = torch.distributions.Categorical(logits=self.logits).sample((len(z),))
            x = nn.functional.one_hot(choice, 4).float()
            return x, self.logits.log_softmax(0)[choice][:, None]

        def forward(self, z, c=None):
            return self.sample(z, c)[0]

    class Reader(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = nn.Linear(4, 1)

        def forward(self, x, c=None):
            return self.net(x)  # (B, 1): one score a token

    s = State.begin(Coin(), Reader())
    m = Method(
        generator_loss=score_function(), penalties=((r1, constant(0.1)),), lr_G=constant(0.05), lr_D=constant(0.05)
    )
    x = nn.functional.one_hot(torch.full((64,), 2), 4).float()
    for _ in range(150):
        step(m, s, x)
    assert s.G.logits.softmax(0)[2] > 0.9


def test_dirac_through_the_real_step():
    """Mescheder et al. 2018: data at 0, G = theta, D(x) = psi x.  With r1 the players meet, without it they circle."""

    class Nowhere:
        dim = 1

        def sample(self, n, generator=None):
            return torch.zeros(n, 1)

    class Point(nn.Module):
        def __init__(self):
            super().__init__()
            self.prior, self.theta = Nowhere(), nn.Parameter(torch.ones(1))

        def forward(self, z, c=None):
            return z + self.theta

    class Line(nn.Module):
        def __init__(self):
            super().__init__()
            self.psi = nn.Parameter(torch.ones(1))

        def forward(self, x, c=None):
            return (x * self.psi).sum(1)

    def distance(penalties):
        s = State.begin(Point(), Line(), torch.optim.SGD)
        m = Method(loss=relativistic, penalties=penalties, lr_G=constant(0.1), lr_D=constant(0.1))
        for _ in zip(range(1000), train(m, s, iter(lambda: (torch.zeros(2, 1), None), None))):
            pass
        return math.hypot(s.G.theta.item(), s.D.psi.item())

    assert distance(((r1, constant(1.0)),)) < 1e-5
    assert distance(()) > 0.1


def test_a_conforming_pair_passes_and_is_left_alone():
    G, D = Maker(), Judge()
    before = copy.deepcopy((G.state_dict(), D.state_dict()))
    check_players(G, D, Spec(Vector(2)))
    assert same(before[0], G.state_dict())
    assert all(p.grad is None for p in G.parameters())
    assert same(before[1], D.state_dict())


def faulty(kind):
    G, D, spec = Maker(), Judge(), Spec(Vector(2))
    if kind == "prior":
        del G.prior
    elif kind == "shape":
        spec = Spec(Image(3, 8))
    elif kind == "detached":
        G.forward = lambda z, c=None: G.net(z).detach()
    elif kind == "ignores z":
        G.forward = lambda z, c=None: G.net(torch.ones_like(z))
    elif kind == "unused":
        G.extra = nn.Parameter(torch.zeros(1))
    elif kind == "nan":
        nn.init.constant_(G.net[0].weight, math.nan)
    elif kind == "scores":
        D.forward = lambda x, c=None: x[None]
    elif kind == "needs c":
        D.forward, spec = lambda x: D.net(x).squeeze(1), Spec(Vector(2), Label(3))
    elif kind == "second":
        D.forward = lambda x, c=None: D.net(x.detach()).squeeze(1)
    return G, D, spec


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("prior", "has no `prior`"),
        ("shape", "gave shape"),
        ("detached", "carries no gradient"),
        ("ignores z", "is z used"),
        ("unused", "extra got no gradient"),
        ("nan", "NaN or infinity"),
        ("scores", "one score a sample"),
        ("needs c", "failed on inputs"),
        ("second", "second derivative"),
    ],
)
def test_a_faulty_pair_is_named(kind, words):
    with pytest.raises(PlayerError, match=words):
        check_players(*faulty(kind))


def test_memory_is_flat_in_a_checkpoint(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.create({"data": "ring"})
    s = pair()
    s.memory["lecam/real"] = torch.tensor(0.25)
    step(Method(), s, data())
    folder.save(s.seen, {"state": s.save(), "seconds": 1.0})
    loaded = folder.load()
    assert loaded is not None
    again = State.begin(Maker(), Judge())
    again.load(loaded["state"])
    assert again.seen == 8
    assert again.memory["lecam/real"] == 0.25
