"""Penalties by which the critic learns that a sample and its condition belong together."""

from math import log

import pytest
import torch
from torch.nn.functional import one_hot
from torch.testing import assert_close

from sparring.penalties import REMEMBERED, contrast, mismatch
from sparring.turns import Turn

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


@pytest.mark.parametrize("half", [False, True])
def test_contrast_takes_the_most_alike_of_the_captions_before_as_one_more_to_tell_apart(half):
    """A D that holds all for alike pays log of their number; one that knows the words pays nothing."""
    told = lambda *rows: one_hot(torch.tensor(rows), 9).float()
    asked_for = []

    def looks(c, memory, scores):
        D = lambda x, c=None: x[:, 0]
        D.every = lambda x, c: asked_for.append(c.argmax(2).tolist()) or scores(x, c)
        x = c.flatten(1)
        return Turn(D, c, x, x, x[:, 0], x[:, 0], memory)

    blind = lambda x, c: torch.zeros(len(x), len(c))
    knows = lambda x, c: 50 * (x[:, None] * c.flatten(1)).sum(2)
    before, now = told([1, 2, 3], [4, 5, 6], [3, 2, 1]), told([1, 2, 7], [4, 5, 6])
    memory: dict = {}
    with torch.autocast("cpu", torch.bfloat16, enabled=half):  # in which what is the same is not 1
        contrast(looks(before, memory, blind))
        value = contrast(looks(now, memory, blind))
    assert asked_for[-1][2:] == [[1, 2, 3], [1, 2, 3]]  # of the second its own is known, and is no other
    assert torch.allclose(value, torch.tensor((log(4) + log(2)) / 2))
    assert contrast(looks(now, memory, knows)).max() < 1e-6

    for i in range(600):
        contrast(looks(told([1 + i % 8, 2, 3], [4, 5, 1 + i % 7]), memory, blind))
    assert memory["contrast/captions"].shape == (REMEMBERED, 3)
