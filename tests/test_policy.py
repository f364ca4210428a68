"""REINFORCE against the exact gradient, its baselines, its clipping; one step, however it is cut."""

from itertools import product

import pytest
import torch
from torch import nn

from sparring import policy, ways
from sparring.losses import nonsaturating
from sparring.nets import sizes
from sparring.policy import REWARDS, Returns, proximal, score_function, to_go
from sparring.schedules import constant
from sparring.sequences import closed, mask
from sparring.settings import Recipe
from sparring.spaces import Spec, Tokens
from sparring.train import Method, State, step

SPACE = Tokens(3, 3)
EVERY = closed(torch.tensor(list(product(range(3), repeat=3)))).unique(dim=0)
PLAIN = dict(loss=nonsaturating, penalties=())


def players(space=SPACE, dtype=torch.float64):
    torch.manual_seed(0)
    G, D = sizes.build("recurrent", Spec(space), None, 8)
    for p in (*G.parameters(), *D.parameters()):
        p.data.mul_(3)
    return State.begin(G.to(dtype), D.eval().to(dtype))


def flat(grads):
    return torch.cat([g.flatten() for g in grads])


def slopes(s, m, n, batch=20_000):
    """The gradient of a route over n texts."""
    total = 0
    for i in range(n // batch):
        z = s.G.prior.sample(batch, torch.Generator().manual_seed(i)).double()
        loss, _ = m.generator_loss(m, s, SPACE.encode(EVERY[:1]).double(), None, z)
        total = total + flat(torch.autograd.grad(loss.sum(1).mean(), list(s.G.parameters())))
    return total / (n // batch)


def test_what_the_command_leaves_out_is_what_the_library_leaves_out():
    assert ways.paid(Recipe()) == Returns()


@pytest.mark.parametrize(
    ("reward", "baseline"), [("sigmoid", "mean"), ("sigmoid", "step"), ("log", "none"), ("score", "mean")]
)
def test_reinforce_is_the_gradient_of_what_is_earned(reward, baseline):
    """Every text of three tokens, with its probability, against many draws."""
    s = players()
    s.D.requires_grad_(False)
    x = SPACE.encode(EVERY).double()
    earned = (s.G.score(EVERY).sum(1).exp() * REWARDS[reward](s.D(x)).sum(1)).sum()
    exact = flat(torch.autograd.grad(-earned, list(s.G.parameters())))
    found = slopes(s, Method(**PLAIN, generator_loss=score_function(Returns(REWARDS[reward], 1.0, baseline))), 40_000)
    assert torch.cosine_similarity(found, exact, 0) > 0.985
    assert 0.9 < found.norm() / exact.norm() < 1.1


def test_a_discount_of_zero_pays_each_token_for_itself():
    """The gradient of E[r_t] through token t alone, over all texts."""
    s = players()
    s.D.requires_grad_(False)
    x = SPACE.encode(EVERY).double()
    logp = s.G.score(EVERY)
    paid = (logp.sum(1).exp().detach()[:, None] * REWARDS["sigmoid"](s.D(x)) * logp).sum()
    exact = flat(torch.autograd.grad(-paid, list(s.G.parameters())))
    found = slopes(s, Method(**PLAIN, generator_loss=score_function(Returns(discount=0.0, baseline="none"))), 40_000)
    assert torch.cosine_similarity(found, exact, 0) > 0.985


def test_entropy_alone_makes_all_that_may_be_written_alike():
    """Where nothing else is paid, the best of two tokens is a fair coin at each place."""
    s = players(Tokens(4, 2), torch.float32)
    m = Method(**PLAIN, lr_G=constant(0.04), lr_D=constant(0.0), beta1=0.5, generator_loss=nothing_but_surprise())
    x = Tokens(4, 2).encode(torch.ones(128, 4, dtype=torch.long))
    for _ in range(60):
        step(m, s, x)
    p = s.G.predict(torch.ones(1, 4, dtype=torch.long)).softmax(-1)
    assert (p[0, 3] - 0.5).abs().max() < 0.1


def nothing_but_surprise():
    return score_function(Returns(lambda d: 0 * d, 1.0, "step", entropy=1.0))


@pytest.mark.parametrize("baseline", ["mean", "step"])
def test_a_baseline_is_the_usual_gain_of_what_was_written(baseline):
    gain, written = torch.randn(6, 5), mask(torch.randint(3, (6, 5)))
    memory = {}
    b = policy.usual(gain, written, memory, Returns(baseline=baseline, decay=0.9))
    over = 0 if baseline == "step" else (0, 1)
    torch.testing.assert_close(b, (gain * written).sum(over) / written.sum(over).clamp_min(1e-9))
    again = policy.usual(gain + 1, torch.ones(6, 5), memory, Returns(baseline=baseline, decay=0.9))
    torch.testing.assert_close(again, 0.9 * b + 0.1 * (gain + 1).mean(over))


def test_one_reward_for_the_whole_stands_at_its_last_token():
    class Whole(nn.Module):
        def forward(self, x, c=None):
            return torch.full((len(x),), 2.0)

    s = players(Tokens(5, 3), torch.float32)
    s.D = Whole()
    t = policy.told(
        Method(**PLAIN), s, torch.zeros(1), None, s.G.prior.sample(50), Returns(REWARDS["score"], 0.5, "none")
    )
    n = mask(t.x).sum(1)
    assert torch.equal(t.reward.sum(1), torch.full((50,), 2.0))
    torch.testing.assert_close(t.gain[:, 0], 2 * 0.5 ** (n - 1))


def test_rewards_to_go_are_what_the_sum_says():
    r, g = torch.randn(4, 9, dtype=torch.float64), 0.7
    said = [[sum(g ** (s - t) * row[s] for s in range(t, 9)) for t in range(9)] for row in r.tolist()]
    torch.testing.assert_close(to_go(r, g), torch.tensor(said, dtype=torch.float64))


def test_a_score_of_zero_earns_nothing():
    for reward in REWARDS.values():
        assert reward(torch.zeros(())) == 0


# -- several steps on the same texts -----------------------------------------------------------------------------------


def test_the_first_proximal_step_is_reinforce_and_the_last_leaves_nothing():
    s, other = players(), players()
    x = SPACE.encode(EVERY[:6]).double()
    one = Method(**PLAIN, lr_G=constant(1e-2), lr_D=constant(0.0), generator_loss=score_function())
    four = Method(**PLAIN, lr_G=constant(1e-2), lr_D=constant(0.0), generator_loss=proximal(4), generator_steps=4)
    z = s.G.prior.sample(6).double()
    a, b = (m.generator_loss(m, t, x, None, z)[0] for m, t in ((one, s), (four, other)))
    for p, q in zip(
        torch.autograd.grad(a.sum(), list(s.G.parameters())), torch.autograd.grad(b.sum(), list(other.G.parameters()))
    ):
        torch.testing.assert_close(p, q)
    other.memory.clear()
    step(four, other, x)
    assert set(other.memory) == {"baseline"}


def test_what_has_moved_far_enough_has_no_say_any_more():
    s = players()
    m = Method(**PLAIN, generator_loss=proximal(2, clip=0.2), generator_steps=2)
    x, z = SPACE.encode(EVERY[:6]).double(), s.G.prior.sample(200).double()
    m.generator_loss(m, s, x, None, z)
    s.memory["proximal/logp"] -= 1.0 * (s.memory["proximal/logp"] != 0)  # as if all had become 2.7 times likelier
    gain = s.memory["proximal/gain"].clone()
    loss, _ = m.generator_loss(m, s, x, None, z)
    torch.testing.assert_close(loss[gain > 0], -1.2 * gain[gain > 0])
    assert (loss[gain < 0] > -2.0 * gain[gain < 0]).all()


def test_proximal_steps_must_agree_with_the_method():
    s = players()
    with pytest.raises(ValueError, match="generator_steps=4"):
        step(Method(**PLAIN, generator_loss=proximal(4)), s, SPACE.encode(EVERY[:6]).double())
