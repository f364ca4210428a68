"""Players for texts: what is written, how likely it was, and what a critic may know of it."""

from itertools import product

import pytest
import torch

from sparring.nets import sizes
from sparring.nets.reading import spoken
from sparring.nets.sequence import Writer
from sparring.priors import Normal, Written
from sparring.sequences import END, closed, going_on, lengths, mask
from sparring.spaces import Label, Spec, Tokens

SPEC, LENGTH, VOCAB = Spec(Tokens(7, 5)), 7, 5
NETS = ("recurrent", "gated", "attentive", "scratchgan")
EVERY = torch.tensor(list(product(range(3), repeat=4)))  # all rows of four tokens of three kinds


def pair(net="recurrent", spec=SPEC, prior=None, join="concat"):
    torch.manual_seed(0)
    G, D = sizes.build(net, spec, prior, 32, join)
    for p in G.parameters():
        p.data.mul_(3)  # opinions strong enough to matter
    return G, D.eval()


# -- where a text ends -------------------------------------------------------------------------------------------------


def test_the_mask_holds_all_places_up_to_the_first_end():
    x = torch.tensor([[2, 1, 0, 0], [0, 0, 0, 0], [1, 2, 3, 4], [1, 0, 3, 0]])
    assert mask(x).tolist() == [[1, 1, 1, 0], [1, 0, 0, 0], [1, 1, 1, 1], [1, 1, 0, 0]]
    assert lengths(x).tolist() == [2, 0, 4, 1]
    assert closed(x).tolist() == [[2, 1, 0, 0], [0, 0, 0, 0], [1, 2, 3, 4], [1, 0, 0, 0]]


def test_played_texts_end_where_stored_ones_do_and_soft_ones_by_chance():
    x = torch.randint(3, (50, 4), generator=torch.Generator().manual_seed(0))
    assert torch.equal(mask(Tokens(4, 3).encode(x)), mask(x))
    soft = torch.tensor([[[0.25, 0.75], [0.5, 0.5]]], requires_grad=True)
    assert going_on(soft).tolist() == [[0.75, 0.375]]
    lengths(soft).sum().backward()
    assert soft.grad is not None and (soft.grad[..., END] < 0).all()


# -- what is written ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("prior", [None, Normal(3)], ids=["chance", "latent"])
@pytest.mark.parametrize("join", ["concat", "add"])
def test_with_what_is_kept_a_writer_says_what_it_says_without(net, prior, join):
    G, _ = pair(net, prior=prior, join=join)
    assert isinstance(G, Writer)
    z = G.prior.sample(6)
    x, state, told = G.write(z), None, []
    before = torch.cat([torch.full((6, 1), END), x[:, :-1]], 1)
    for t in range(LENGTH):
        h, state = G.follow(G.heard(before[:, t : t + 1], G.about(z, None), t), state)
        told.append(G.logits(h))
    torch.testing.assert_close(torch.cat(told, 1), G.predict(x, None, z), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("net", NETS)
def test_the_score_is_the_law_of_what_is_written(net):
    """Over all texts of four tokens: frequencies of many draws against exp of the score, whose sum is one."""
    G, _ = pair(net, Spec(Tokens(4, 3)))
    every = closed(EVERY).unique(dim=0)
    p = G.score(every).sum(1).exp()
    torch.testing.assert_close(p.sum(), torch.tensor(1.0))
    n = 20_000
    drawn = G.write(G.prior.sample(n, torch.Generator().manual_seed(1)))
    often = (drawn[:, None] == every).all(2).float().mean(0)
    assert ((often - p).abs() < 4.5 * (p * (1 - p) / n).sqrt() + 1e-4).all()


@pytest.mark.parametrize("net", NETS)
def test_samples_are_one_hot_and_come_with_their_score(net):
    G, _ = pair(net)
    z = G.prior.sample(8)
    x, logp = G.sample(z)
    assert torch.equal(x, G(z)) and torch.equal(x, SPEC.x.encode(closed(x.argmax(-1))))
    torch.testing.assert_close(logp, G.score(x))
    assert logp.requires_grad and not x.requires_grad
    assert (logp[mask(x) == 0] == 0).all()


def test_with_a_latent_the_score_is_that_of_the_mixture():
    G, _ = pair(prior=Normal(2), spec=Spec(Tokens(4, 3)))
    every = closed(EVERY).unique(dim=0)
    torch.testing.assert_close(G.score(every).sum(1).exp().sum(), torch.tensor(1.0))
    fixed = G.prior.sample(32, torch.Generator().manual_seed(0))
    each = torch.stack([G.score(every, None, z.expand(len(every), -1)).sum(1).exp() for z in fixed])
    torch.testing.assert_close(G.score(every).sum(1).exp(), each.mean(0))
    assert each.std(0).max() > 0.01  # and the latents differ


def test_all_chance_is_in_z():
    G, _ = pair("attentive")
    z = G.prior.sample(9)
    whole = G(z)
    torch.rand(3)
    assert torch.equal(torch.cat([G(z[:4]), G(z[4:])]), whole)
    assert isinstance(G.prior, Written) and G.prior.dim == LENGTH


def test_a_lower_temperature_writes_what_is_likelier():
    G, _ = pair()
    z = G.prior.sample(500)
    drawn = [G.write(z, None, t) for t in (0.1, 1.0, 3.0)]
    surprise = [(-G.score(x).sum() / mask(x).sum()).item() for x in drawn]
    assert surprise == sorted(surprise)


def test_a_class_changes_what_is_written():
    G, D = pair(spec=Spec(Tokens(7, 5), Label(2)))
    z, zeros, ones = G.prior.sample(200), torch.zeros(200, dtype=torch.long), torch.ones(200, dtype=torch.long)
    assert not torch.equal(G(z, zeros), G(z, ones))
    assert D(G(z, ones), ones).shape == (200, LENGTH)


# -- what is judged ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("net", NETS)
def test_a_score_knows_nothing_of_what_comes_after_and_the_end_is_the_last(net):
    _, D = pair(net)
    x = SPEC.x.encode(torch.tensor([[1, 2, 3, 4, 1, 2, 3]]))
    y = SPEC.x.encode(torch.tensor([[1, 2, 3, 4, 4, 0, 0]]))
    torch.testing.assert_close(D(x)[:, :4], D(y)[:, :4])
    assert (D(x)[:, 4:6] != D(y)[:, 4:6]).all()
    assert D(y)[0, 6] == 0
    z = y.clone()
    z[0, 3] = x[0, 2]
    assert (D(z)[0, 3:6] != D(y)[0, 3:6]).all()  # and it remembers


def test_looked_up_or_multiplied_words_are_the_same():
    words, x = torch.randn(9, 4, requires_grad=True), torch.randint(9, (3, 5))
    hot = Tokens(5, 9).encode(x)
    torch.testing.assert_close(spoken(hot, words), hot @ words)
    soft = torch.rand(3, 5, 9).softmax(-1)
    torch.testing.assert_close(spoken(soft, words), soft @ words)
    torch.testing.assert_close(spoken(2 * hot, words), 2 * hot @ words)


def test_a_critic_forgets_only_while_it_learns():
    _, D = pair()
    x = SPEC.x.encode(torch.randint(5, (3, 7)))
    assert torch.equal(D(x), D(x))
    D.train()
    assert not torch.equal(D(x), D(x))
