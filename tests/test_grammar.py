"""Laws of the worlds of strings: the whole law is known, by dynamic programming as by drawing and by enumeration."""

from itertools import product
from math import log

import pytest
import torch

from sparring import worlds
from sparring.sequences import END
from sparring.sequences import closed as ended
from sparring.worlds.automaton import Automaton
from sparring.worlds.english import FORMS, WORDS, third
from sparring.worlds.grammar import WORDS as SIGNS
from sparring.worlds.grammar import arithmetic, grammar, of_rules

NAMES = ("grammar", "english", "melodies")


@pytest.fixture(scope="module", params=NAMES)
def world(request):
    return worlds.open(request.param)


def scrambled(x):
    return x.flatten()[torch.randperm(x.numel())].view(x.shape)


def test_the_grammar_is_the_one_of_the_figures():
    world = grammar()
    assert world.entropy == pytest.approx(7.8966, abs=1e-4)
    assert world.automaton.support == 4_103_815_056
    assert world.spec.x.vocab == 11 and world.spec.x.length == 16
    assert world.automaton.finish[16, 0] == pytest.approx(0.6204, abs=1e-4)  # of free draws, so many end in time


def test_all_strings_together_have_probability_one():
    short = of_rules(arithmetic(), "E0", SIGNS, 5)
    every = torch.tensor([s for s in product(range(11), repeat=5)])
    every = every[(ended(every) == every).all(1)]  # one spelling of each
    logp = short.logp(every).sum(1)
    assert logp.exp().sum().item() == pytest.approx(1, abs=1e-12)
    assert (logp > -torch.inf).sum() == short.support
    assert -(logp.exp() * logp).nansum().item() == pytest.approx(short.entropy, abs=1e-10)
    lengths, tokens = short.marginals
    assert lengths.sum() == pytest.approx(1) and tokens.sum() == pytest.approx(1)
    by_length = torch.zeros(6, dtype=torch.float64).index_add_(0, (every != END).sum(1), logp.exp())
    torch.testing.assert_close(lengths, by_length)


def test_the_parser_is_a_parser():
    """What the automaton takes is what a recursive reader takes, on strings near to real ones."""

    def expression(s, i=0, depth=0):
        i = term(s, i, depth)
        while i is not None and i < len(s) and s[i] in "+*-/":
            i = term(s, i + 1, depth)
        return i

    def term(s, i, depth):
        if i < len(s) and s[i] in "xyzw":
            return i + 1
        if i < len(s) and s[i] == "(" and depth < 3:
            i = expression(s, i + 1, depth + 1)
            return i + 1 if i is not None and i < len(s) and s[i] == ")" else None
        return None

    world = grammar()
    x = world.draw(400, 5)[0].long()
    at = torch.randint(0, 6, (400, 1))
    x = torch.cat([x, x.scatter(1, at, torch.randint(1, 11, (400, 1)))])  # one sign is another
    taken = world.logp(x) > -torch.inf
    read = torch.tensor([s != "" and expression(s) == len(s) for s in world.spell(x)])
    assert torch.equal(taken, read) and 0.3 < taken[400:].double().mean() < 0.9


def test_draws_have_the_entropy_that_is_computed(world):
    logp = world.logp(world.draw(4000, 1)[0])
    assert -logp.mean() == pytest.approx(world.entropy, abs=4 * logp.std().item() / 4000**0.5)


def test_real_draws_are_judged_best(world):
    x = world.draw(2000, 3, heldout=True)[0]
    found = world.judge(x)
    rules = {"valid", "valid_long", "nesting", "agreement", "in_time", "smooth", "home", "harmony"} & set(found)
    assert all(found[name] == 1 for name in rules) and len(rules) >= 2
    assert found["lengths_tv"] < 0.08 and found["tokens_tv"] < 0.12


def test_bad_draws_are_judged_worst(world):
    x = world.draw(1000, 3)[0]
    constant = world.judge(torch.full_like(x, 1))
    assert constant["valid"] == 0 and constant["different"] == 0.001 and constant["tokens_tv"] > 0.5
    rambling = world.judge(scrambled(x))
    assert rambling["valid_long"] < 0.1 and rambling["lengths_tv"] > 0.5
    empty = world.judge(torch.zeros_like(x))
    assert empty["valid"] == empty["tokens"] == 0 and empty["lengths_tv"] > 0.99
    short = x[(x != END).sum(1).argsort()[:500]]
    repeated = world.judge(short[:1].expand(1000, -1))
    assert repeated["valid"] == 1 and repeated["different"] == 0.001 and repeated["mass"] < 0.2


def test_what_comes_after_the_end_is_not_read(world):
    x = world.draw(300, 0)[0]
    after = torch.where(ended(x) == END, torch.randint_like(x, 1, 5), x)
    after = torch.where((x == END) & (x.roll(1, 1) != END), END, after)  # the end itself stays
    known = world.judge(x)
    assert world.judge(after) == pytest.approx(known)


def test_draws_are_a_function_of_seed_and_split(world):
    one, two = world.draw(50, 7)[0], world.draw(50, 7)[0]
    assert torch.equal(one, two) and one.dtype == torch.int16 and one.shape == (50, world.spec.x.length)
    assert not torch.equal(one, world.draw(50, 7, heldout=True)[0]) and not torch.equal(one, world.draw(50, 8)[0])


def test_english_agrees_and_nests():
    world, number = worlds.open("english"), {w: i for i, w in enumerate(WORDS)}
    write = lambda text: torch.tensor([[number[w] for w in text.split()] + [END] * (16 - len(text.split()))])
    for good in ("the dog sleeps", "some dogs that the cat sees sleep", "the child thinks that two wolves are big"):
        assert world.judge(write(good))["valid"] == 1
    for wrong in ("the dog sleep", "some dogs that the cat see sleep", "a dogs sleep", "the man that sings are tall"):
        found = world.judge(write(wrong))
        assert found["valid"] == found["agreement"] == 0 and found["nesting"] == 1
    for broken in ("dog the sleeps", "the dog that sleeps", "the dog sees", "the dog sleeps the cat"):
        assert world.judge(write(broken))["nesting"] == 0
    assert len(WORDS) == len(set(WORDS)) and 180 <= len(WORDS) <= 220
    assert (
        third("watch") == "watches"
        and third("cry") == "cries"
        and all(len(a) == len(b) or a for a, b in FORMS.values())
    )


def test_number_exchanged_is_seen_as_disagreement_and_nothing_else():
    world = worlds.open("english")
    one, many = ([w for k, f in FORMS.items() if k != "determiner" for w in f[side]] for side in (0, 1))
    other = {WORDS.index(a): WORDS.index(b) for a, b in zip(one, many)}
    x = world.draw(500, 0)[0]
    verb = {WORDS.index(v) for kind in ("alone", "acting", "be") for v in FORMS[kind][0]}
    wrong = torch.tensor([[other[t] if t in verb else t for t in row] for row in x.tolist()])
    changed = (wrong != x).any(1)
    found = world.judge(wrong[changed])
    assert found["nesting"] == 1 and found["agreement"] == 0 and changed.sum() > 200


def test_strings_that_could_be_read_twice_are_refused():
    with pytest.raises(ValueError, match="two places"):
        of_rules({"S": [(0.5, ["a"]), (0.5, ["a", "b"])]}, "S", ("", "a", "b"), 4)
    with pytest.raises(ValueError, match="no string ends"):
        Automaton(0, lambda place: [(1.0, 1, 0)], 2, 4)
    with pytest.raises(ValueError, match="strings of 1 tokens"):
        worlds.open("grammar", size=1)


def test_a_shorter_world_is_the_longer_one_cut_by_condition():
    long, short = grammar(), grammar(6)
    x = short.draw(200, 0)[0]
    wide = torch.cat([x, torch.zeros(200, 10, dtype=x.dtype)], 1)
    apart = short.logp(x) - long.logp(wide)  # one constant: that a string of 16 is one of 6
    assert apart.std() < 1e-9
    assert log(long.automaton.marginals[0][:7].sum()) == pytest.approx(-apart.mean().item())
