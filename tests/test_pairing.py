"""Penalties by which the critic learns that a sample and its condition belong together."""

from math import log

import pytest
import torch
from torch.nn.functional import one_hot
from torch.testing import assert_close

from sparring import terms
from sparring.penalties import REMEMBERED, contrast, mismatch
from sparring.turns import Move, Turn

from .test_penalties import DOUBLE, smooth, turn


def test_mismatch_prefers_the_own_condition():
    c = torch.arange(4.0, dtype=DOUBLE)
    real = c[:, None].clone().requires_grad_()
    knows = lambda x, c: -20 * (x[:, 0] - c).abs()
    t = Turn(knows, c, real, real, knows(real, c), knows(real, c), {})
    assert (mismatch(t) < 1e-8).all()

    same = torch.ones(4, dtype=DOUBLE)
    t = Turn(knows, same, real, real, knows(real, same), knows(real, same), {})
    assert_close(mismatch(t), torch.full((4,), 2.0, dtype=DOUBLE).log())

    with pytest.raises(ValueError, match="c is None"):
        mismatch(turn(smooth()))


def test_contrast_is_nothing_where_each_has_its_own_and_log_n_where_all_look_alike():
    c = torch.arange(4.0, dtype=DOUBLE)
    real = c[:, None].clone().requires_grad_()
    knows, blind = (lambda x, c: -20 * (x - c).abs()), (lambda x, c: 0 * (x - c))
    for scores, told, value in (
        (knows, c, 0.0),
        (blind, c, log(4)),
        (blind, c // 2, log(3)),  # equal ones count once
        (blind, 0 * c, 0.0),
    ):
        D = lambda x, c=None: x[:, 0]
        D.every = scores
        t = Turn(D, told, real, real, real[:, 0], real[:, 0], {})
        assert_close(contrast(t), torch.full((4,), value, dtype=DOUBLE), atol=1e-6, rtol=0)
    with pytest.raises(ValueError, match="c is None"):
        contrast(turn(smooth()))


def told(*rows):
    return one_hot(torch.tensor(rows), 9).float()


def looks(memory, scores, asked_for):
    """A D that scores captions, and keeps which it was asked for."""
    D = lambda x, c=None: x[:, 0]
    D.every = lambda x, c: asked_for.append(c.argmax(2).tolist()) or scores(x, c)

    def turn(c):
        x = c.flatten(1)
        return Turn(D, c, x, x, x[:, 0], x[:, 0], memory)

    return turn


def test_contrast_remembers_captions_and_tells_a_sample_s_own_from_them_too():
    """A D that holds all for alike pays log of their number; one that knows the words pays nothing."""
    blind = lambda x, c: torch.zeros(len(x), len(c))
    knows = lambda x, c: 50 * (x[:, None] * c.flatten(1)).sum(2)
    memory, asked_for = {}, []
    turn = looks(memory, blind, asked_for)
    contrast(turn(told([1, 2, 3], [4, 5, 6], [3, 2, 1])))
    value = contrast(turn(told([1, 2, 7], [4, 5, 6])))
    assert asked_for[-1] == [[1, 2, 7], [4, 5, 6], [1, 2, 3], [4, 5, 6], [3, 2, 1]]
    own = torch.tensor([log(5), log(4)])  # the second is known from before, and is then no other
    assert_close(value, (own + log(2)) / 2)
    assert contrast(looks(memory, knows, [])(told([1, 2, 7], [4, 5, 6]))).max() < 1e-6

    for i in range(300):
        contrast(turn(told([1 + i % 8, 2, 3], [4, 5, 1 + i % 7])))
    assert memory["contrast/told"].shape == (REMEMBERED, 3)


def test_g_pays_for_what_d_takes_for_another_s():
    """And where D knows the words, its slope leads from the others' words to the own."""
    memory, asked_for = {}, []
    turn = looks(memory, lambda x, c: (x[:, None] * c.flatten(1)).sum(2), asked_for)
    c = told([1, 2, 3], [4, 5, 6])
    contrast(turn(c))
    t = turn(c)
    fake = torch.zeros(2, 27, requires_grad=True)
    move = Move(None, t.D, None, c, c, t.real, fake, t.d_real, t.d_fake, memory)
    value = terms.contrast(move)
    assert_close(value, torch.full((2,), log(3)))  # the own, and the other one both here and as it is remembered
    value.sum().backward()
    assert (fake.grad[0].view(3, 9).argmin(1) == torch.tensor([1, 2, 3])).all()
    assert (fake.grad[1].view(3, 9).argmin(1) == torch.tensor([4, 5, 6])).all()


def test_what_is_no_words_is_remembered_as_it_is_and_classes_are_not():
    memory: dict = {}
    D = lambda x, c=None: x[:, 0]
    D.every = lambda x, c: torch.zeros(len(x), len(c))
    x = torch.zeros(2, 2)
    vectors = torch.tensor([[0.5, 1.0], [2.0, 0.0]])
    for _ in range(2):
        value = contrast(Turn(D, vectors, x, x, x[:, 0], x[:, 0], memory))
    assert_close(value, torch.tensor([log(3), log(3)]) / 2 + log(2) / 2)
    assert memory["contrast/told"].shape == (4, 2)
    memory = {}
    contrast(Turn(D, torch.tensor([0, 1]), x, x, x[:, 0], x[:, 0], memory))
    assert not memory
