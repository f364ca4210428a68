"""Symptoms speak on histories made to be ill, and are silent on healthy ones."""

import json
import math
import random
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparring.symptoms import (
    ROWS,
    SYMPTOMS,
    Finding,
    collapse,
    critic_unbounded,
    critic_wins,
    data_faults,
    diagnose,
    far_off,
    holds,
    not_finite,
)

from sparring.symptoms import Window, windows  # isort: skip

EVERY = 1000  # samples between rows


def history(n=300, every=EVERY, **columns):
    """n rows; a column is a function of samples seen and a noise in (-1, 1)."""
    rng = random.Random(0)
    rows = [{"seen": (i + 1) * every, "seconds": 0.1 * i} for i in range(n)]
    for row in rows:
        for name, value in columns.items():
            row[name.replace("__", "/")] = value(row["seen"], rng.uniform(-1, 1))
    return rows


def game(gap, spread=lambda n, e: 0.9 + 0.1 * e, loss=lambda n, e: 0.6 + 0.1 * e, **more):
    return history(
        score__real=lambda n, e: 0.3 + gap(n, e) / 2,
        score__fake=lambda n, e: 0.3 - gap(n, e) / 2,
        D__loss=loss,
        spread=spread,
        **more,
    )


def names(h):
    return [finding.name for finding in diagnose(h)]


def healthy():
    """A gap that wavers about one half; a generator that begins with one thing and soon has all; a rare jump."""
    h = game(lambda n, e: 0.5 + 0.5 * e, spread=lambda n, e: min(n / 30_000, 0.95) + 0.05 * e)
    h[100] |= {"score/real": 5000.0, "spread": 0.01, "D/loss": 0.0}
    h[299] |= {"score/real": 5000.0, "spread": 0.01, "D/loss": 0.0}
    return h


def test_a_healthy_run_is_left_in_peace_at_every_moment():
    h = healthy()
    assert all(not diagnose(h[:i]) for i in range(len(h) + 1))


@pytest.mark.parametrize("symptom", [s for s in SYMPTOMS if hasattr(s, "needs")], ids=lambda s: s.__name__)
@pytest.mark.parametrize("which", [0, 1, -1])
def test_what_a_symptom_needs_is_what_it_looks_at(symptom, which, monkeypatch):
    keys = [(key.split("|") * 2)[which] for key in symptom.needs]
    looked = []
    room = sys.modules[symptom.__module__]
    monkeypatch.setattr(room, "windows", lambda h, *keys: looked.append(windows(h, *keys)) or looked[-1])
    symptom([{"seen": i, **dict.fromkeys(keys, 0.5)} for i in range(20)])
    assert any(looked)
    for key in keys:
        looked.clear()
        symptom([{"seen": i, **{k: 0.5 for k in keys if k != key}} for i in range(20)])
        assert not any(looked)


def test_a_run_that_covers_nothing_is_not_called_well():
    row = {"seen": 640, "metrics": {"coverage": {"value": 0.02}}, "ceiling": {"coverage": {"value": 0.96}}}
    found = far_off(row)
    assert found is not None and found.evidence == "the samples cover 2.0% of the data, where real ones cover 96%"
    assert far_off(row | {"metrics": {"coverage": {"value": 0.2}}}) is None
    assert far_off({"seen": 640, "metrics": {"fid": {"value": 9.0}}}) is None


def test_a_critic_without_bound_is_seen():
    h = game(lambda n, e: (n / 1000) ** 1.5 * (1 + 0.1 * e), loss=lambda n, e: -((n / 1000) ** 1.5))
    (found,) = diagnose(h)
    assert found.name == "critic unbounded"
    assert abs(found.since - 100 ** (2 / 3) * 1000) < 15_000
    assert "r1" in found.advice
    assert critic_unbounded(h, limit=1e6) is None


def test_a_wide_gap_that_stays_is_a_scale_not_an_escape():
    assert critic_unbounded(game(lambda n, e: 300 + 10 * e, loss=lambda n, e: -300)) is None


def test_a_critic_that_wins_is_seen_in_scores():
    h = game(lambda n, e: 1 if n < 150_000 else 8 + e, loss=lambda n, e: 0.6 if n < 150_000 else 0.01)
    (found,) = diagnose(h)
    assert found.name == "critic wins"
    assert abs(found.since - 150_000) < 10_000
    assert [critic_wins(h[:i]) for i in range(150)] == [None] * 150


def test_a_critic_that_wins_by_least_squares_is_seen_in_its_loss():
    assert names(game(lambda n, e: 1, loss=lambda n, e: 0.005)) == ["critic wins"]


@pytest.mark.parametrize(("coverage", "found"), [(0.5, ["critic wins"]), (0.9, [])])
def test_a_critic_that_is_always_right_has_won_only_where_the_fakes_are_not_yet_spread_as_the_data(coverage, found):
    asked = dict(accuracy__heldout=1.0, score__train=3.0, score__drawn=0.5, coverage=coverage)
    assert names(history(**{k: lambda n, e, v=v: v + 0.01 * e for k, v in asked.items()})) == found


def test_without_its_loss_the_scores_must_do():
    h = [{k: v for k, v in row.items() if k != "D/loss"} for row in game(lambda n, e: 9)]
    assert names(h) == ["critic wins"]


def test_a_wasserstein_critic_may_have_a_wide_gap():
    assert names(game(lambda n, e: 20 + e, loss=lambda n, e: -20 - e)) == []


def test_a_collapse_is_seen_soon_and_dated():
    h = game(lambda n, e: 0.5, spread=lambda n, e: 0.9 if n < 200_000 else 0.1 + 0.05 * e)
    (found,) = diagnose(h)
    assert found.name == "collapse"
    assert abs(found.since - 200_000) < 10_000
    assert diagnose(h[:199]) == []
    assert names(h[:220]) == ["collapse"]


def test_a_generator_that_never_spreads_is_given_time():
    h = game(lambda n, e: 0.5, spread=lambda n, e: 0.05)
    assert diagnose(h[:50]) == []
    assert names(h[:70]) == ["collapse"]
    assert "never" in diagnose(h)[0].evidence


def test_a_critic_that_forgets_the_condition_is_no_fault_while_the_generator_obeys():
    forgets = dict(condition__sample=lambda n, e: 1.1, condition__score=lambda n, e: 0.5 if n < 100_000 else 0.01)
    (found,) = diagnose(game(lambda n, e: 0.5, **forgets))
    assert found.name == "condition ignored"
    assert abs(found.since - 100_000) < 10_000
    obeyed = lambda share: names(game(lambda n, e: 0.5, **forgets, condition__obeyed=lambda n, e: share))
    assert obeyed(0.9) == [] and obeyed(0.1) == ["condition ignored"]


def test_a_generator_deaf_to_its_noise_is_not_a_collapse():
    numb = lambda n, e: 0.5 if n < 100_000 else 0.02
    (found,) = diagnose(game(lambda n, e: 0.5, condition__within=numb))
    assert found.name == "noise ignored"
    assert abs(found.since - 100_000) < 10_000
    assert names(game(lambda n, e: 0.5, condition__within=lambda n, e: 0.4 + 0.3 * e)) == []
    collapsed = game(lambda n, e: 0.5, condition__within=numb, spread=lambda n, e: 0.9 if n < 100_000 else 0.1)
    assert names(collapsed) == ["collapse"]


def test_a_future_that_does_not_change_with_z_is_noted():
    (found,) = diagnose(game(lambda n, e: 0.5, condition__futures=lambda n, e: 0.4 if n < 100_000 else 0.001))
    assert (found.name, found.level) == ("one future", "note") and "mode_seeking" in found.advice
    assert names(game(lambda n, e: 0.5, condition__futures=lambda n, e: 0.3 + 0.1 * e)) == []


def test_what_has_healed_is_not_found():
    h = game(lambda n, e: 9 if n < 200_000 else 0.5, spread=lambda n, e: 0.1 if 50_000 < n < 200_000 else 0.9)
    assert names(h) == []


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_is_named_and_dated(bad):
    h = healthy()
    h[41]["penalty/r1"] = bad
    found = not_finite(h)
    assert found.since == 42_000
    assert "penalty/r1" in found.evidence
    assert names(h) == ["not finite"]


def test_gaps_in_the_rows_do_no_harm():
    h = game(lambda n, e: 0.5, spread=lambda n, e: 0.9 if n < 200_000 else 0.05)
    rng = random.Random(1)
    for row in h:
        for key in [k for k in row if k != "seen" and rng.random() < 0.3]:
            del row[key]
        row["note"] = "any words"
        row["G/loss"] = None
    assert names(h) == ["collapse"]
    assert diagnose([]) == diagnose([{}]) == diagnose([{"seen": 1}]) == []


def test_the_same_run_logged_ten_times_as_often_has_the_same_finding():
    spread = lambda n, e: 0.9 if n < 200_000 else 0.1
    coarse, fine = history(300, spread=spread), history(3000, every=100, spread=spread)
    a, b = collapse(coarse), collapse(fine)
    assert (a.name, a.evidence) == (b.name, b.evidence)
    assert abs(a.since - b.since) <= 8000


keys = st.sampled_from(["seen", "score/real", "score/fake", "D/loss", "spread"])
values = st.one_of(st.none(), st.floats(), st.integers(-10, 10**7), st.just("a word"))


@settings(max_examples=300, deadline=None)
@given(st.lists(st.dictionaries(keys, values), max_size=30))
def test_no_history_is_too_strange(h):
    for finding in diagnose(h):
        assert json.loads(json.dumps(finding._asdict()))["name"] == finding.name
        assert isinstance(finding.since, int)


def test_windows_are_medians_of_equal_stretches():
    h = history(400, loss=lambda n, e: n if n % 7000 else math.inf)
    w = windows(h, "loss")
    assert 35 <= len(w) <= 40
    assert all(abs(b.seen - a.seen - 10_000) <= 1000 for a, b in zip(w, w[1:]))
    assert all(abs(window.values[0] - window.seen - 4500) <= 1500 for window in w)
    assert windows(h[:4], "loss") == windows(h, "else") == []


@pytest.mark.parametrize("wider", [3, 20])
def test_windows_follow_rows_that_have_become_rarer(wider):
    """As when a run is given another length: no window of a row or two says anything."""
    close = [{"seen": 100 * i, "loss": 0.0} for i in range(1, 151)]
    for more in range(1, 30):
        h = close + [{"seen": 15_000 + 100 * wider * i, "loss": float(i)} for i in range(1, more + 1)]
        (*_, last) = windows(h, "loss")
        assert sum(row["seen"] >= last.seen for row in h) >= ROWS


def test_holds_dates_the_last_unbroken_stretch():
    w = [Window(i, (float(v),)) for i, v in enumerate([1, 1, 0, 1, 1])]
    assert holds(w, lambda v: v > 0) == 3
    assert holds(w, lambda v: v > 0, least=3) is None
    assert holds(w, lambda v: v >= 0, least=5) == 0
    assert holds(w, lambda v: v > 1) is None
    assert holds([], lambda v: True) is None


def test_a_symptom_of_ones_own_is_a_function():
    def slow(h):
        return Finding("slow", h[-1]["seen"], "few samples", "wait") if len(h) < 1000 else None

    assert [f.name for f in diagnose(healthy(), [*SYMPTOMS, slow])] == ["slow"]


def test_what_is_left_out_has_an_example_of_its_kind():
    """Not of a file whose name has the word."""
    card = {"found": 9, "left_out": {"blank": 1, "broken": 2}, "problems": ["a broken heart.png: all white", "b: cut"]}
    assert [", e.g." in f.evidence for f in data_faults(card)] == [False, False]
    known = {"blank": "a broken heart.png: all white", "broken": "b: cut"}
    assert [f.evidence.split("e.g. ")[1] for f in data_faults(card | {"for_example": known})] == [*known.values()]
    (one,) = data_faults(card | {"left_out": {"rare": 3}, "problems": ["line 4: a word"]})
    assert one.evidence.endswith("e.g. line 4: a word")
