"""Laws of the oracle: its likelihoods are those of the LSTM that torch has, and cheaters are seen to cheat."""

from functools import partial

import numpy as np
import pytest
import torch

from sparring import worlds
from sparring.metrics.likelihood import divergences, entropy_gap, forward_kl, perplexity, reverse_kl
from sparring.worlds.oracle import HIDDEN, Oracle, Weights, anchors


@pytest.fixture(scope="module")
def world():
    return worlds.open("oracle")


def test_its_likelihood_is_that_of_an_lstm(world):
    net = torch.nn.LSTM(HIDDEN, HIDDEN, batch_first=True).double()
    order = lambda w: torch.cat([w.chunk(4, -1)[i] for i in (0, 1, 3, 2)], -1).double()  # torch has the cell before
    with torch.no_grad():
        net.weight_ih_l0.copy_(order(world.net.heard).T)
        net.weight_hh_l0.copy_(order(world.net.kept).T)
        net.bias_ih_l0.copy_(order(world.net.bias))
        net.bias_hh_l0.zero_()
        x = world.draw(20, 0)[0].long() - 1
        before = torch.cat([torch.zeros(20, 1, dtype=torch.long), x[:, :-1]], 1)
        h = net(world.net.words.double()[before])[0]
        logp = (h @ world.net.spoken.double() + world.net.taste).log_softmax(-1).gather(2, x[..., None])[..., 0]
    torch.testing.assert_close(world.laws(x.short() + 1)[0], logp, atol=1e-4, rtol=1e-4)


def test_entropy_is_that_of_draws_and_of_the_benchmark(world):
    assert world.entropy / 20 == pytest.approx(2.7, abs=0.1)
    logp = world.logp(world.draw(2000, 3)[0])
    assert -logp.mean() == pytest.approx(world.entropy, abs=4 * (logp.std() / 2000**0.5).item())
    assert Oracle(500, 20).entropy / 20 == pytest.approx(3.8, abs=0.1)


def test_anchors_stand_in_their_order_and_cheaters_below_the_truth(world):
    sets = anchors(world, 3000)
    nll = {name: world.judge(x)["nll_oracle"] for name, x in sets.items()}
    assert nll["uniform"] > nll["unigram"] > nll["by place"] > nll["bigram"] > nll["replay"] + 1
    assert nll["uniform"] == pytest.approx(6.95, abs=0.15) and nll["bigram"] == pytest.approx(4.6, abs=0.2)
    assert nll["replay"] == pytest.approx(world.entropy / 20, abs=0.05)  # the best there is, if this were all one asks
    assert nll["sharpened 2"] < nll["sharpened 1.5"] < nll["sharpened 1.25"] < world.entropy / 20 - 0.3
    assert world.judge(sets["replay"])["different"] < 0.7


def test_divergences_unmask_who_sharpens(world):
    """A sharpened oracle has the better NLL and the worse divergence: log q of its own law, step by step."""
    real, fake = world.draw(800, 0, heldout=True)[0], world.draw(800, 1, sharpness=2.0)[0]
    sharp = partial(world.logp, sharpness=2.0)
    found = divergences(real, fake, world.logp, sharp)
    honest = divergences(real, world.draw(800, 1)[0], world.logp, world.logp)
    assert found["forward_kl"].value > 10 and found["reverse_kl"].value > 5
    assert entropy_gap(world.entropy, sharp(fake))[0] < -10
    assert honest["forward_kl"].value == honest["reverse_kl"].value == 0
    gap, se = entropy_gap(world.entropy, world.logp(world.draw(800, 1)[0]))
    assert abs(gap) < 4 * se


def test_divergences_are_those_of_finite_laws():
    p, q = torch.tensor([0.5, 0.3, 0.2, 0.0]).double(), torch.tensor([0.25, 0.25, 0.3, 0.2]).double()
    g = torch.Generator().manual_seed(0)
    of_p, of_q = torch.multinomial(p, 20_000, True, generator=g), torch.multinomial(q, 20_000, True, generator=g)
    kl = (p * (p / q).log()).nansum()
    m = forward_kl(p.log()[of_p], q.log()[of_p])
    assert m.value == pytest.approx(kl.item(), abs=4 * m.se) and m.se < 0.01
    valid = q[:3] / q[:3].sum()
    kl = (valid * (valid / p[:3]).log()).sum()
    m = reverse_kl(p.log()[of_q], q.log()[of_q])
    assert m.value == pytest.approx(kl.item(), abs=4 * m.se) and m.se < 0.01
    gap, se = entropy_gap(-float((p * p.log()).nansum()), q.log()[of_q])
    assert gap == pytest.approx(float(-(q * q.log()).sum() + (p * p.log()).nansum()), abs=4 * se)
    assert reverse_kl(torch.tensor([-torch.inf]), torch.tensor([0.0])).value == torch.inf
    same = perplexity(torch.full((10,), -2.0), torch.full((10,), 4.0))
    assert same.value == pytest.approx(2.71828**0.5, abs=1e-4) and same.se == pytest.approx(0, abs=1e-6)


def test_published_weights_are_read_and_others_refused(world, tmp_path):
    net = world.net
    gates = [w.chunk(4, -1) for w in (net.heard, net.kept, net.bias)]
    arrays = [net.words, *(w[i] for i in range(4) for w in gates), net.spoken, net.taste]
    np.savez(tmp_path / "target.npz", *(a.numpy() for a in arrays))
    same = worlds.open(f"oracle={tmp_path / 'target.npz'}")
    assert all(torch.equal(a, b) for a, b in zip(same.net, net))
    x = world.draw(50, 0)[0]
    assert torch.equal(same.logp(x), world.logp(x))

    with pytest.raises(ValueError, match=r"turn it into arrays first"):
        Weights.load(tmp_path / "target_params.pkl")
    with pytest.raises(ValueError, match="no file of arrays"):
        Weights.load(tmp_path / "missing.npz")
    np.savez(tmp_path / "few.npz", np.zeros(3))
    with pytest.raises(ValueError, match="1 arrays, not the 15"):
        Weights.load(tmp_path / "few.npz")
    np.savez(tmp_path / "wrong.npz", *[np.zeros((2, 2), np.float32)] * 15)
    with pytest.raises(ValueError, match="shapes"):
        Weights.load(tmp_path / "wrong.npz")


def test_a_text_that_ends_is_none_of_its_own(world):
    x = world.draw(100, 0)[0]
    cut = x.clone()
    cut[:50, 12:] = 0
    found = world.judge(cut)
    assert found["valid"] == 0.5 and found["nll_oracle"] == pytest.approx(world.judge(x[50:])["nll_oracle"])
    assert world.judge(torch.zeros_like(x)) | {"nll_real": 0} == {
        "valid": 0, "different": 0.01, "nll_oracle": float("inf"), "nll_real": 0
    }  # fmt: skip
