"""Digits are drawn as promised, and their judge knows real ones from bad ones."""

import subprocess
import sys
from math import log

import pytest
import torch
from torch.nn.functional import avg_pool2d

from sparring import worlds
from sparring.worlds.digits import Digits, StackedDigits, stack


def blurred(x):
    return avg_pool2d(x.float(), 3, 1, 1, count_include_pad=False).round().byte()


def same(x, n):
    return x[:1].repeat(n, 1, 1, 1)


@pytest.fixture(scope="module")
def digits():
    return Digits()


@pytest.fixture(scope="module")
def stacked():
    return StackedDigits()


BAD = {
    "the mean digit": lambda x, n: same(x.float().mean(0, keepdim=True).byte(), n),
    "two digits averaged": lambda x, n: x[:n] // 2 + x[:n].roll(1, 0) // 2,
    "noise": lambda x, n: torch.randint(256, (n, *x.shape[1:]), dtype=torch.uint8),
    "permuted pixels": lambda x, n: x[:n].flatten(1)[:, torch.randperm(x[0].numel())].view_as(x[:n]),
    "blurred": lambda x, n: blurred(x[:n]),
    "black": lambda x, n: torch.zeros(n, *x.shape[1:], dtype=torch.uint8),
    "gray": lambda x, n: torch.full((n, *x.shape[1:]), 128, dtype=torch.uint8),
    "negatives": lambda x, n: 255 - x[:n],
}


@pytest.mark.parametrize("name", ["digits", "stacked-digits"])
@pytest.mark.parametrize("size", [None, 16])
def test_draws_are_what_the_spec_says_and_repeat_by_their_seed(name, size):
    world = worlds.open(name, size)
    for heldout in (False, True):
        x, c = world.draw(50, 3, heldout)
        assert c is None
        assert x.dtype == torch.uint8
        assert x.shape == (50, world.spec.x.channels, size or 8, size or 8)
        assert x.equal(world.draw(50, 3, heldout)[0])
        assert not x.equal(world.draw(50, 4, heldout)[0])


def test_every_digit_is_drawn_once_and_training_digits_are_never_held_out(digits):
    train, heldout = (digits.draw(n, 0, side)[0] for n, side in zip(digits.examples, (False, True)))
    assert sum(digits.examples) == 1797
    assert len(torch.cat([train, heldout]).flatten(1).unique(dim=0)) == 1797
    assert (train.min(), train.max()) == (0, 255)
    assert set((train / 255 * 16 - (train / 255 * 16).round()).abs().lt(0.04).flatten().tolist()) == {True}

    counts = [digits.labels(n, 0, side).bincount() / n for n, side in zip(digits.examples, (False, True))]
    assert (counts[0] - counts[1]).abs().max() < 0.005, "held out by class"


def test_more_digits_than_there_are_come_round_again(digits):
    n = digits.examples[0]
    x, _ = digits.draw(2 * n, 5)
    counts = x.flatten(1).unique(dim=0, return_counts=True)[1]
    assert counts.tolist() == [2] * n
    assert digits.draw(0, 0)[0].shape == (0, 1, 8, 8)


@pytest.mark.parametrize("size", [8, 16, 32])
def test_held_out_digits_are_judged_good(size):
    world = Digits(size)
    n = world.examples[1]
    truth = world.judge(world.draw(n, 0, heldout=True)[0], world.labels(n, 0, heldout=True))
    assert truth["modes"] == 10
    assert truth["kl"] < 0.001
    assert truth["valid"] >= 0.97
    assert truth["copies"] == 0
    assert truth["obeyed"] >= 0.98


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
@pytest.mark.parametrize("size", [8, 16])
def test_bad_digits_are_judged_bad(bad, size):
    world = Digits(size)
    real, _ = world.draw(world.examples[0], 1)
    averaged = bad is BAD["two digits averaged"]  # two of one class may well look like a third
    assert world.judge(bad(real, 300))["valid"] <= (0.45 if averaged else 0.05)


def test_one_class_is_one_mode(digits):
    x, y = digits.draw(1000, 0)[0], digits.labels(1000, 0)
    truth = digits.judge(x[y == 3])
    assert truth["modes"] == 1
    assert truth["kl"] == pytest.approx(log(10), abs=0.05)


def test_training_digits_are_copies_even_with_a_little_noise(digits):
    x, _ = digits.draw(500, 0)
    noisy = (x.float() + torch.randn(x.shape) * 3).clamp(0, 255).byte()
    assert digits.judge(x)["copies"] == 1
    assert digits.judge(noisy)["copies"] > 0.99


def test_stacked_digits_know_all_thousand_modes(stacked):
    n = 26_000
    truth = stacked.judge(stacked.draw(n, 0, heldout=True)[0], stacked.labels(n, 0, heldout=True))
    assert truth["modes"] == 1000
    assert truth["kl_floor"] == pytest.approx(999 / 52_000)
    assert truth["kl_floor"] * 0.8 < truth["kl"] < truth["kl_floor"] * 1.5
    assert truth["valid"] > 0.92
    assert truth["copies"] == 0
    assert truth["obeyed"] > 0.96


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
def test_bad_stacks_are_judged_bad(bad, stacked):
    assert stacked.judge(bad(stacked.draw(1000, 0)[0], 500))["valid"] <= 0.05


def test_a_collapsed_generator_of_stacks_is_seen(stacked):
    truth = stacked.judge(same(stacked.draw(1, 0)[0], 2000))
    assert truth["modes"] == 1
    assert truth["kl"] == pytest.approx(log(1000))

    red = stacked.draw(5000, 0)[0][:, :1].repeat(1, 3, 1, 1)
    assert stacked.judge(red)["modes"] <= 12, "three times the same digit: ten modes"


def test_stacks_are_made_of_the_pool_they_were_given():
    images, labels = torch.arange(10, dtype=torch.uint8).view(10, 1, 1, 1).expand(-1, 1, 28, 28), torch.arange(10)
    x, c = stack(images, labels, 4000, seed=1)
    assert x.shape == (4000, 3, 28, 28)
    assert c.equal(x[:, :, 0, 0].long() @ torch.tensor([100, 10, 1]))
    assert len(c.unique()) > 950


def test_a_wrong_name_or_size_says_what_there_is():
    with pytest.raises(ValueError, match=r"'digit' is no world.*stacked-digits.*did you mean 'digits'"):
        worlds.open("digit")
    with pytest.raises(ValueError, match="size 20: the sizes are 8, 16, 32, 64"):
        worlds.open("digits", 20)


def test_worlds_are_known_in_words_before_they_are_built():
    assert [row["name"] for row in worlds.about()] == list(worlds.WORLDS)
    code = (
        "import sys, sparring.worlds as w; w.about(); print([m for m in sys.modules if m.split('.')[0] == 'sklearn'])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
