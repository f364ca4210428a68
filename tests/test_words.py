"""Laws of the measures of sentences: closed forms, another library's BLEU, itself left out, faults in order."""

from math import log

import pytest
import torch
from torchmetrics.functional.text import bleu_score

from sparring.metrics.words import (
    ON_WORDS,
    References,
    copied,
    distinct,
    fall,
    length,
    longest_copy,
    ngrams,
    self_bleu,
    sentences,
    unique,
    zipf,
)

WORDS = ["the", "a", "cat", "dog", "sees", "eats", "red", "small", "fish", "house", "and", "then"]


def text(n, seed=0, words=12, order=True):
    """Sentences from a chain in which each word mostly leads to the next two."""
    g = torch.Generator().manual_seed(seed)
    rows = []
    for _ in range(n):
        at, row = int(torch.randint(words, (1,), generator=g)), []
        for _ in range(int(torch.randint(5, 12, (1,), generator=g))):
            row.append(WORDS[at])
            step = int(torch.randint(1, 3, (1,), generator=g))
            at = (at + step) % words if order else int(torch.randint(words, (1,), generator=g))
        rows.append(" ".join(row))
    return rows


def test_sentences_are_tuples_of_tokens_cut_at_the_end():
    assert sentences(["a cat", ["a", "dog"]]) == [("a", "cat"), ("a", "dog")]
    assert sentences(torch.tensor([[3, 4, 0, 0], [5, 6, 7, 8]]), end=0) == [(3, 4), (5, 6, 7, 8)]


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_bleu_is_that_of_torchmetrics_where_nothing_is_smoothed(n):
    refs, made = text(60), text(30, 1)
    ours = References(sentences(refs), n)
    for s in made:
        theirs = float(bleu_score([s], [refs], n_gram=n))
        if theirs:
            assert ours.bleu(tuple(s.split())) == pytest.approx(theirs, rel=1e-5)


def test_bleu_by_hand():
    one = References([tuple("abcd")], 2)
    assert one.bleu(tuple("abcd")) == pytest.approx(1)
    assert one.bleu(tuple("ab")) == pytest.approx(2.718281828 ** (1 - 2))  # too short by half
    assert one.bleu(tuple("badc")) == pytest.approx((1 * 0.1 / 3) ** 0.5)  # no pair in order: .1 of 3
    assert one.bleu(tuple("aabb")) == pytest.approx((2 / 4 * 1 / 3) ** 0.5)  # each word counts once
    assert one.bleu(tuple("xyz")) == 0


def test_self_bleu_leaves_the_sentence_itself_out():
    rows = [tuple(s) for s in ("abcd", "bcde", "aabb", "aabb", "xyzw", "abxy")]
    for n in (1, 2, 3):
        refs = References(rows, n)
        for i, s in enumerate(rows):
            others = References(rows[:i] + rows[i + 1 :], n)
            assert refs.bleu(s, i) == pytest.approx(others.bleu(s), abs=1e-12), (s, n)
    assert self_bleu(text(9), ["a cat sees the dog"] * 5).value == pytest.approx(1)
    assert self_bleu(text(9), ["a b c d", "e f g h", "i j k l"]).value == 0


def test_divergences_in_closed_form():
    a, b = ["x y"] * 10, ["z w"] * 10
    assert ngrams[1](a, b).value == pytest.approx(log(2))
    assert ngrams[2](a, a).value == pytest.approx(0, abs=1e-12)
    assert length(a, b).value == pytest.approx(0, abs=1e-12)
    half = ngrams[1](["x x"] * 10, ["x z"] * 10)
    assert half.value == pytest.approx((log(1 / 0.75) + 0.5 * log(0.5 / 0.75) + 0.5 * log(2)) / 2)
    assert half.se == pytest.approx(0, abs=1e-9)  # all sentences alike
    with pytest.raises(ValueError, match="ngrams_2 has nothing to count: every fake sentence is too short"):
        ngrams[2](a, ["x"] * 10)


def test_rates_in_closed_form():
    assert unique(["a", "b"], ["a b", "a b", "b a", "c"]).value == 0.75
    assert copied(["a b", "c d"], ["a b", "a c", "c d", "x"]).value == 0.5
    assert longest_copy(["a b c d", "e f"], ["x a b c", "f e", "q r"]).value == pytest.approx((3 / 4 + 1 / 2 + 0) / 3)
    assert distinct(["a", "b"], ["a b a b", "c d"], n=2).value == pytest.approx(3 / 4)


def test_the_slope_of_a_zipf_law_is_found():
    rows = [(f"w{r}",) * (1200 // r) for r in range(1, 41)]
    assert fall(rows, 1000) == pytest.approx(-1, abs=0.02)
    assert zipf(rows, [(f"w{r}",) * 30 for r in range(1, 41)]).value == pytest.approx(1, abs=0.02)


def test_faults_are_seen_by_what_claims_to_see_them():
    real, good = text(300), text(300, 1)
    shuffled, repeated = text(300, 2, order=False), text(10, 3) * 30
    few, short = text(300, 4, words=6), [" ".join(s.split()[:4]) for s in good]
    seen = lambda name, fake, sign: (
        sign * (ON_WORDS[name](real, fake).value - ON_WORDS[name](real, good).value)
        > 4 * max(ON_WORDS[name](real, fake).se, ON_WORDS[name](real, good).se)
    )

    assert seen("bleu", shuffled, -1)
    assert seen("ngrams_2", shuffled, 1)
    assert not seen("ngrams_1", shuffled, 1)
    assert self_bleu(real, repeated).value == pytest.approx(1)
    assert self_bleu(real, shuffled).value < 1 - 4 * self_bleu(real, shuffled).se
    assert seen("unique", repeated, -1)
    assert seen("ngrams_1", few, 1)
    assert seen("zipf", [" ".join("the" if i % 3 else w for i, w in enumerate(s.split())) for s in good], 1)
    assert seen("length", short, 1)
    varied, same = distinct(real, shuffled), distinct(real, shuffled[:10] * 30)
    assert same.value < varied.value - 4 * varied.se


@pytest.mark.parametrize("name", ["bleu", "ngrams_1", "ngrams_2", "length", "unique"])
def test_two_standard_errors_hold_about_95_in_100_fresh_draws(name):
    runs = [ON_WORDS[name](text(80, 2 * i), text(80, 2 * i + 1, words=10)) for i in range(30)]
    v, se = torch.tensor([[m.value, m.se] for m in runs], dtype=torch.float64).T
    assert float(((v - v.mean()).abs() <= 2 * se).double().mean()) >= 0.8


@pytest.mark.parametrize("name", ON_WORDS)
def test_what_cannot_be_measured_is_refused(name):
    m = ON_WORDS[name](torch.randint(9, (40, 6)), torch.randint(9, (30, 6)))
    assert (m.n_real, m.n_fake) == (40, 30)
    assert m.provenance["measure"] == name
    with pytest.raises(ValueError, match="fake has 1 sentences"):
        ON_WORDS[name](text(9), text(1))
    with pytest.raises(ValueError, match="fake has only empty sentences"):
        ON_WORDS[name](text(9), ["", "", ""])
