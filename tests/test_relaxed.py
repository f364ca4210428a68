"""Laws of the routes to a writer beside REINFORCE: relaxed tokens, ends written to each beginning, likelihood first."""

from itertools import product
from math import pi

import pytest
import torch
from torch.nn.functional import one_hot

from sparring import worlds
from sparring.losses import nonsaturating
from sparring.nets import sizes
from sparring.policy import last, likelihood, pretrained, rollouts, score_function, worth
from sparring.relaxed import gumbel, noise_of, relaxed
from sparring.schedules import constant
from sparring.sequences import END
from sparring.spaces import Spec, Tokens
from sparring.train import Method, State, step

SPEC = Spec(Tokens(5, 4))


def texts(n, V=4, L=5, seed=0):
    x = torch.randint(V, (n, L), generator=torch.Generator().manual_seed(seed))
    return one_hot(x * (x != END).cumprod(1), V).float()


def test_noise_is_gumbel_and_picks_what_was_written():
    p = torch.tensor([0.5, 0.3, 0.15, 0.05]).double()
    tokens = one_hot(torch.multinomial(p, 40_000, True), 4).double()
    high = p.log() + noise_of(tokens, p.log().expand(40_000, 4))
    assert torch.equal(high.argmax(1), tokens.argmax(1))
    g = high - p.log()
    torch.testing.assert_close(g.mean(0), torch.full((4,), 0.57722).double(), atol=0.03, rtol=0)
    torch.testing.assert_close(g.var(0), torch.full((4,), pi**2 / 6).double(), atol=0.06, rtol=0)
    assert torch.corrcoef(g.T).fill_diagonal_(0).abs().max() < 0.03  # independent, as if nobody had looked


@pytest.mark.parametrize("soft", [False, True])
def test_relaxed_tokens_are_those_that_were_written(soft):
    tokens, logits = texts(50), torch.randn(50, 5, 4, requires_grad=True)
    x = relaxed(tokens, logits.log_softmax(-1), 0.5, soft)
    assert torch.equal(x.argmax(-1), tokens.argmax(-1))
    torch.testing.assert_close(x.sum(-1), torch.ones(50, 5))
    torch.testing.assert_close(x, tokens, atol=1e-6 if not soft else 1.0, rtol=0)
    (x * torch.randn(50, 5, 4)).sum().backward()
    ended = (tokens.argmax(-1) == END).int().cumsum(1) - (tokens.argmax(-1) == END).int() > 0
    assert logits.grad[ended].abs().max() == 0 < logits.grad[~ended].abs().sum(-1).min()


@pytest.mark.parametrize("soft", [False, True])
def test_through_a_linear_critic_the_gradient_is_nearly_exact(soft):
    p = torch.randn(6, generator=torch.Generator().manual_seed(1)).double().requires_grad_()
    worths = torch.randn(6, generator=torch.Generator().manual_seed(2)).double()
    (exact,) = torch.autograd.grad((p.softmax(0) * worths).sum(), p)
    n = 100_000
    tokens = one_hot(torch.multinomial(p.softmax(0).detach(), n, True), 6).double()[:, None] * 1.0
    x = relaxed(tokens, p.log_softmax(0).expand(n, 1, 6), 0.5, soft)
    (found,) = torch.autograd.grad((x * worths).sum() / n, p)
    cosine = (found @ exact) / (found.norm() * exact.norm())
    assert cosine > 0.99 and 0.7 < found.norm() / exact.norm() < 1.1


def players(net, width=16):
    G, D = sizes.build(net, SPEC, None, width)
    return State.begin(G, D.eval())


@pytest.mark.parametrize("net", ["recurrent", "gated", "attentive", "weighing"])
def test_a_critics_slope_reaches_the_end(net):
    """Whether a text goes on is told to G: through the end's own score, or through what could come after it."""
    s, tokens = players(net), texts(40)
    logits = torch.zeros(40, 5, 4, requires_grad=True)
    s.D(relaxed(tokens, logits.log_softmax(-1), 1.0)).sum().backward()
    assert (logits.grad[:, 0, END].abs() > 1e-6).all()


def test_a_weighing_critics_slope_is_what_other_tokens_would_have_got():
    s, x = players("weighing"), texts(30)
    x = x.requires_grad_()
    d = s.D(x)
    for t in range(5):
        (slope,) = torch.autograd.grad(d[:, t].sum(), x, retain_graph=True)
        assert slope[:, :t].abs().sum() == slope[:, t + 1 :].abs().sum() == 0
        going = d[:, t] != 0
        for v in range(4):
            other = x.detach().clone()
            other[:, t] = one_hot(torch.tensor(v), 4).float()
            torch.testing.assert_close(s.D(other)[going, t], slope[going, t, v])


def test_a_weighing_critic_knows_what_came_before():
    s, x = players("weighing"), texts(2)
    x[:] = one_hot(torch.tensor([[1, 2, 3, 1, 2], [2, 2, 3, 1, 2]]), 4)
    d = s.D(x)
    assert (d[0, 1:] != d[1, 1:]).all() and torch.equal(s.D(x[:, :, :])[:, 0], d[:, 0])


ROUTES = {
    "straight": gumbel(),
    "soft": gumbel(constant(0.5), soft=True),
    "rollouts": rollouts(2),
    "likelihood": likelihood,
    "pretrained": pretrained(64, score_function()),
}


@pytest.mark.parametrize("name", ROUTES)
def test_resumed_is_never_stopped(name):
    m = Method(nonsaturating, penalties=(), lr_G=constant(1e-2), lr_D=constant(1e-2), generator_loss=ROUTES[name])
    batches = [texts(32, seed=i) for i in range(4)]

    def play(s, some):
        for x in some:
            stats = step(m, s, x)
            assert all(v.isfinite().all() for v in stats.values())
        return s

    torch.manual_seed(0)
    whole = players("weighing")
    torch.manual_seed(0)
    half = players("weighing")
    play(whole, batches)
    play(half, batches[:2])
    saved = half.save()
    torch.manual_seed(7)
    again = players("weighing")
    again.load(saved)
    again.seen = half.seen
    play(again, batches[2:])
    assert all(torch.equal(a, b) for a, b in zip(whole.G.parameters(), again.G.parameters()))


def test_likelihood_comes_first_and_only_then_the_game():
    s, told = players("recurrent"), []

    def game(m, s, x, c, z):
        told.append(s.seen)
        return likelihood(m, s, x, c, z)

    m = Method(nonsaturating, penalties=(), generator_loss=pretrained(70, game))
    for i in range(4):
        step(m, s, texts(32, seed=i))
    assert told == [96]


def test_maximum_likelihood_descends_to_the_law():
    """Of two texts, one three times as likely as the other, G learns both and how likely each is."""
    x = one_hot(torch.tensor([[1, 2, 0, 0, 0]] * 48 + [[3, 1, 1, 0, 0]] * 16), 4).float()
    s = players("recurrent")
    m = Method(nonsaturating, penalties=(), lr_G=constant(2e-2), beta1=0.9, generator_loss=likelihood)
    for _ in range(80):
        step(m, s, x)
    p = s.G.score(x[[0, -1]]).sum(1).exp()
    torch.testing.assert_close(p, torch.tensor([0.75, 0.25]), atol=0.05, rtol=0)


class Coins(torch.nn.Module):
    """Writes each of three tokens by a coin that knows the one before."""

    def __init__(self):
        super().__init__()
        self.table = torch.tensor([[0.0, 0.3, 0.7], [0.0, 0.9, 0.1], [0.0, 0.4, 0.6]])
        self.prior = type("Three", (), {"sample": staticmethod(lambda n: torch.rand(n, 3))})

    def write(self, z, c=None, begun=None):
        before, found = torch.zeros(len(z), dtype=torch.long), []
        for t in range(3):
            drawn = 1 + (z[:, t] > self.table[before, 1]).long()
            before = begun[:, t] if t < begun.shape[1] else drawn
            found.append(before)
        return torch.stack(found, 1)


def test_each_tokens_worth_is_the_mean_of_what_may_follow_it():
    """Against all ends written out; rewards that were mixed among texts or places would be far off."""
    G, opinions = Coins(), {s: i**2 for i, s in enumerate(product((1, 2), repeat=3))}
    opinion = lambda x: torch.tensor([float(opinions[tuple(s)]) for s in x.argmax(-1).tolist()])
    every = torch.tensor(list(opinions))
    found = worth(opinion, G, one_hot(every, 3).float(), None, 600)

    def exact(s, t):
        total = 0.0
        for rest in product((1, 2), repeat=3 - t):
            whole, p = (*s[:t], *rest), 1.0
            for i in range(t, 3):
                p *= float(G.table[whole[i - 1], whole[i]])
            total += p * opinions[whole]
        return total

    due = torch.tensor([[exact(tuple(s), t) for t in (1, 2, 3)] for s in every.tolist()])
    torch.testing.assert_close(found, due, atol=2.5, rtol=0)
    assert torch.equal(found[:, 2], due[:, 2]) and due.std() > 10


def test_an_opinion_of_tokens_is_that_of_the_last():
    x = one_hot(torch.tensor([[1, 2, 3], [1, 0, 0], [0, 0, 0]]), 4).float()
    scores = torch.arange(9.0).view(3, 3)
    assert last(scores, x).tolist() == [2, 4, 6] and last(scores[0], x).tolist() == [0, 1, 2]


def test_a_text_begun_is_written_to_its_end():
    for net in ("recurrent", "attentive"):
        G = players(net).G
        z = torch.rand(30, 5)
        x = G.write(z)
        assert torch.equal(G.write(z, begun=x[:, :3]), x)
        other = G.write(torch.rand(30, 5), begun=x[:, :2])
        assert torch.equal(other[:, :2], x[:, :2]) and not torch.equal(other, x)
        assert ((other == END).int().diff(dim=1) >= 0).all()


def test_the_gumbel_route_learns_a_grammar():
    """From a twentieth valid to most, in a hundred small steps; through a critic that turns a deaf ear, never."""
    world = worlds.open("grammar", size=6)

    def play(net):
        torch.manual_seed(0)
        G, D = sizes.build(net, world.spec, None, 32)
        s = State.begin(G, D)
        rates = dict(lr_G=constant(4e-3), lr_D=constant(8e-3), halflife=constant(1000), beta1=0.5)
        m = Method(nonsaturating, penalties=(), generator_loss=gumbel(), **rates)
        for i in range(120):
            step(m, s, world.spec.x.encode(world.draw(128, i)[0]))
        z = s.ema.prior.sample(1000, torch.Generator().manual_seed(0))
        return world.judge(s.ema.write(z))

    found = play("weighing")
    assert found["valid_long"] > 0.6 and found["different"] > 0.05
