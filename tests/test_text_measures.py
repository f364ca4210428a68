"""Laws of what is measured of texts: a language model counted by hand, faults in order, exact figures where known."""

from math import log

import pytest
import torch

from sparring import worlds
from sparring.evaluate import evaluate, usual
from sparring.metrics import EVERY, ON_WORDS, chosen
from sparring.metrics.ngrams import Ngrams, lm, reverse_lm
from sparring.priors import Normal
from sparring.sweep import MEASURED, draw, lines, sweep
from sparring.worlds.oracle import Oracle

WORLD = worlds.open("grammar")


def draws(n, seed=0, heldout=False):
    return WORLD.draw(n, seed, heldout)[0]


def rows(x):
    return [tuple(r[: [*r, 0].index(0)]) for r in x.tolist()]


@pytest.mark.parametrize("name", ["grammar", "english", "melodies", "oracle"])
def test_what_a_world_says_is_named_like_no_measure(name):
    world = worlds.open(name)
    assert not {*world.judge(*world.draw(8, 0))} & {*EVERY}


def test_a_language_model_counted_by_hand():
    known = Ngrams([("a", "b"), ("a", "c")], words=4, n=2)  # a, b, c and the end
    free = lambda word: (known.after[0][()][word] + 4 / 4) / (6 + 4)  # a 2, b 1, c 1, end 2; 4 different
    assert known.p("a", ("b",)) == pytest.approx((0 + 1 * free("a")) / (1 + 1))
    assert known.p("b", ("a",)) == pytest.approx((1 + 2 * free("b")) / (2 + 2))
    assert known.p("b", ("zzz",)) == pytest.approx(free("b"))
    assert known.nll(("a",)) == pytest.approx(-log((2 + 1 * free("a")) / (2 + 1)) - log((0 + 2 * free("\x03")) / 4))


@pytest.mark.parametrize("n", [1, 2, 4])
def test_its_probabilities_sum_to_one(n):
    texts = rows(draws(300))
    words = [*sorted({w for s in texts for w in s}), "\x03"]
    known = Ngrams(texts, len(words), n)
    for s in rows(draws(20, 1)):
        before = ("\x02",) * 3 + s
        assert sum(known.p(w, before) for w in words) == pytest.approx(1)


def test_with_enough_text_it_comes_near_to_the_entropy():
    x, y = draws(4000), draws(1000, heldout=True)
    per_word = WORLD.entropy / (1 + float((y != 0).sum(1).double().mean()))
    found = lm(rows(x), rows(y))
    assert per_word - 3 * found.se < found.value < per_word + 0.2


def test_two_directions_see_two_faults():
    real, good = rows(draws(1500)), rows(draws(1500, 1))
    few, noise = good[:20] * 75, rows(draws(1500).flatten()[torch.randperm(24_000)].view(1500, 16))
    best, back = lm(real, good), reverse_lm(real, good)
    assert lm(real, noise).value > best.value + 10 * best.se
    assert lm(real, few).value < best.value + 0.5 and reverse_lm(real, few).value > back.value + 10 * back.se


def test_what_is_after_the_end_counts_for_nothing():
    real, fake = draws(400, heldout=True), draws(400)
    report = evaluate(real, fake, WORLD.spec, WORLD, ceiling=False)
    assert set(report["metrics"]) == set(usual(WORLD.spec.x)) > set(ON_WORDS)
    assert report["metrics"]["length"]["value"] < 0.05
    assert report["metrics"]["ngrams_1"]["value"] < 0.01
    assert report["truth"]["valid"] == 1


def test_a_generator_with_likelihoods_is_measured_exactly():
    oracle = Oracle(20, 8, seed=1)
    x, y = oracle.draw(300, 0, heldout=True)[0], oracle.draw(300, 1)[0]
    options = dict(ceiling=False, measures={})
    report = evaluate(x, y, oracle.spec, oracle, score=oracle.logp, **options)
    own, gap = report["metrics"], report["truth"]["entropy_gap"]
    assert own["forward_kl"] == own["reverse_kl"] == {"value": 0, "se": 0, "better": "lower"}
    assert abs(gap) < 4 * report["truth"]["entropy_gap_se"]
    other = evaluate(x, y, oracle.spec, oracle, score=Oracle(20, 8, seed=2).logp, **options)["metrics"]
    assert other["forward_kl"]["value"] > 5 and set(other) == {"forward_kl", "reverse_kl"}
    free = evaluate(x, y, oracle.spec, None, score=oracle.logp, **options)["metrics"]
    assert free["perplexity"]["value"] == pytest.approx(2.71828 ** (-oracle.logp(x).mean().item() / 8), rel=1e-4)
    nothing = evaluate(x, torch.zeros_like(x), oracle.spec, oracle, score=oracle.logp, **options)["metrics"]
    assert nothing["reverse_kl"]["value"] is None  # infinite


def test_a_writer_of_nothing_is_measured_as_far_as_it_goes():
    train, heldout = draws(200, 3), draws(200, 3, heldout=True)
    nothing = torch.zeros_like(heldout)
    options = dict(others=train, score=lambda x: torch.zeros(len(x)))
    report = evaluate(heldout, nothing, WORLD.spec, WORLD, measures=chosen("fid,bleu"), **options)
    assert "copied" not in report["metrics"] and "fid" in report["metrics"]
    assert "copied is left out: fake has only empty sentences" in report["notes"]
    assert report["ceiling"]["copied"]["value"] is not None
    asked = evaluate(heldout, nothing, WORLD.spec, WORLD, measures=chosen("fid"), strict=True, **options)
    assert asked["metrics"].keys() >= {"fid"}


class Mute(torch.nn.Module):
    """Writes nothing below temperature 1, and what it has read above."""

    prior = Normal(4)

    def forward(self, z, c, temperature=1.0):
        x = draws(len(z))
        return WORLD.spec.x.encode(x if temperature > 1 else torch.zeros_like(x))


def test_a_sweep_over_a_writer_of_nothing_leaves_gaps(tmp_path):
    rows = sweep(Mute(), WORLD.spec, draws(60, heldout=True), (0.5, 1.5))
    assert [row.keys() >= {"lm", "unique"} for row in rows] == [False, True, True]
    said = lines(rows, tmp_path)
    assert said[2].split() == ["0.5", *"-" * len(MEASURED)]
    assert "-" not in said[3].split()
    assert draw({"mute": rows, "muter": rows[:1]}, tmp_path / "curve").stat().st_size > 1000


def test_copies_are_counted_beside_held_out_ones():
    train, heldout = draws(500, 3), draws(500, 3, heldout=True)
    report = evaluate(heldout, train, WORLD.spec, WORLD, others=train, measures={})
    assert report["metrics"]["copied"]["value"] == 1
    assert 0 < report["ceiling"]["copied"]["value"] < 0.8
