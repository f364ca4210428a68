"""Remedies change what they say, stay within their bounds, and are never tried twice alike."""

import json
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparring import remedies
from sparring.losses import LOSSES
from sparring.penalties import classified, clip, lecam, r1, r2, wgan_gp
from sparring.remedies import BY_NAME, IN_PLACE, MOST, REMEDIES, STRONGEST, Act, choose, replay, settled, tail
from sparring.schedules import constant, cosine, rise_and_fall
from sparring.spaces import Frames, Image, Label, Spec, Tokens, Vector
from sparring.symptoms import SYMPTOMS
from sparring.train import Method

SAMPLES = 100_000
METHODS = {
    "usual": Method(lr_G=rise_and_fall(1e-3, 0, SAMPLES), lr_D=rise_and_fall(1e-3, 0, SAMPLES)),
    "bare": Method(loss=LOSSES["minimax"], penalties=(), critic_steps=5, beta1=0.9, halflife=constant(1e9)),
    "clipped": Method(loss=LOSSES["wasserstein"], penalties=(), project=clip(0.01), lr_D=constant(1e-5)),
    "gp": Method(loss=LOSSES["wasserstein"], penalties=((wgan_gp, constant(10.0)),)),
    "strong": Method(penalties=((r1, constant(90.0)), (r2, constant(90.0))), lr_G=constant(1e-6)),
}


METHODS["own"] = Method(penalties=((r1, constant(1.0)), (partial(lecam, decay=0.9), constant(0.3))))


def described(m, seen=5000):
    return remedies.settings(m, seen)


@pytest.mark.parametrize("remedy", BY_NAME.values(), ids=BY_NAME)
@pytest.mark.parametrize("m", METHODS.values(), ids=METHODS)
def test_a_remedy_gives_a_method_within_bounds(remedy, m):
    before = described(m)
    after = described(remedy(m, 5000))
    assert described(m) == before  # frozen
    assert json.loads(json.dumps(after)) == after
    assert after.get("r1", 0) <= max(STRONGEST, before.get("r1", 0))
    assert after["lr_G"] <= max(before["lr_G"], before["lr_D"])


@pytest.mark.parametrize("name", REMEDIES)
def test_every_remedy_answers_to_a_symptom(name):
    known = {"not finite", *(f.__name__.replace("_", " ") for f in SYMPTOMS)}
    assert name in known


def test_remedies_do_what_they_are_called():
    bare, usual, clipped = METHODS["bare"], METHODS["usual"], METHODS["clipped"]
    assert described(remedies.smoother(bare, 0))["r1"] == described(remedies.smoother(bare, 0))["r2"] == 1
    assert described(remedies.smoother(usual, 0))["r1"] == 10
    assert described(remedies.looser(usual, 0))["r1"] == pytest.approx(0.1)
    calm = described(remedies.slower(bare, 5000))
    assert calm["beta1"] == 0 and calm["lr_G"] == bare.lr_G(5000) / 2
    assert described(remedies.slower_critic(bare, 0))["critic_steps"] == 1
    better = described(remedies.relativistic(bare, 0))
    assert (better["loss"], better["r1"], better["critic_steps"]) == ("relativistic", 1, 1)
    assert not described(remedies.unclipped(clipped, 0))["clipped"]
    assert described(remedies.faster_critic(clipped, 0))["lr_D"] == clipped.lr_G(0)
    assert described(remedies.augmented(usual, 0))["augmented"]
    assert not described(remedies.clearer(remedies.augmented(usual, 0), 0))["augmented"]
    assert described(remedies.nearer_average(bare, 10_000))["halflife"] == 0.05 * 5000
    assert remedies.nearer_average(usual, 10**9) is usual or described(usual)["halflife"] > 0
    assert described(remedies.mismatched(usual, 0))["mismatch"] == 1
    assert remedies.reseeded(usual, 0).seed == usual.seed + 1


def course(m, finding, at, places, most=20):
    """All acts that follow when the same fault comes back for ever."""
    first, acts = m, []
    while len(acts) < most and (chosen := choose(m, at, finding, places, acts, first)):
        act, m = chosen
        acts.append(act)
    return m, acts


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(REMEDIES)), st.sampled_from(sorted(METHODS)), st.lists(st.integers(1, 9), max_size=4))
def test_nothing_loops(finding, name, older):
    places = [*sorted({1000 * k for k in older}, reverse=True), 0]
    m, acts = course(METHODS[name], finding, 10_000, places)
    assert len(acts) <= MOST
    tried = [(act.to, json.dumps(act.after)) for act in acts]
    assert len(tried) == len(set(tried))
    for act in acts:
        assert act.before != act.after
        assert act.to == (act.at if finding in IN_PLACE else act.to) and act.to <= act.at
        assert act.after["lr_G"] >= min(METHODS[name].lr_G(act.at), METHODS[name].lr_D(act.at)) * remedies.SLOWEST
    again = replay(METHODS[name], [Act(**json.loads(json.dumps(act._asdict()))) for act in acts], SAMPLES)
    for seen in (0, 777, 10_000, 50_000):
        assert described(again, seen) == described(m, seen)


def test_the_same_fault_from_the_same_place_is_taken_from_an_older_one():
    _, acts = course(METHODS["usual"], "critic wins", 10_000, [8000, 4000, 0])
    assert [act.to for act in acts][:3] == [8000, 4000, 0]


@pytest.mark.parametrize("remedy", sorted(BY_NAME))
def test_an_act_of_a_shorter_run_is_at_the_same_share_of_a_longer_one_what_it_was(remedy):
    """Chosen where the critic's rate had fallen below the generator's, which in the longer run is much later."""
    made = lambda samples: Method(
        lr_G=constant(1e-3),
        lr_D=cosine(1e-3, 0.0, samples),
        penalties=((r1, cosine(1.0, 0.01, samples)), (lecam, constant(0.3))),
        halflife=lambda seen: 0.1 * seen,
    )
    act, quarter = Act(40_000, 40_000, "critic blind", remedy, {}, {}, SAMPLES), partial(described, seen=10_000)
    short, long = (replay(made(n), [act], n) for n in (SAMPLES, 4 * SAMPLES))
    for seen in (0, 40_000, 90_000):
        then, now = described(short, seen), described(long, 4 * seen)
        assert now == then | {"halflife": now["halflife"]}
    assert quarter(replay(made(SAMPLES), [act._replace(of=0)], SAMPLES)) == quarter(short)


def test_an_act_is_told_in_words():
    (act, _) = choose(METHODS["bare"], 10_000, "vanishing gradient", [0], [])
    said = remedies.changed(act)
    assert "loss minimax -> relativistic" in said
    assert "r1 none -> 1" in said


def test_settling_runs_every_schedule_to_its_end_sooner():
    at, m = 20_000, Method(lr_G=cosine(1.0, 0.0, SAMPLES), beta2=cosine(0.9, 0.99, SAMPLES))
    quick, end = settled(m, at, SAMPLES), at + tail(at, SAMPLES)
    assert end < 0.3 * SAMPLES
    assert [quick.lr_G(seen) for seen in (0, 9999, at)] == [m.lr_G(seen) for seen in (0, 9999, at)]
    assert quick.lr_G(end) == m.lr_G(SAMPLES) == 0
    assert quick.beta2(end) == m.beta2(SAMPLES)
    falling = [quick.lr_G(seen) for seen in range(at, end + 1, 500)]
    assert falling == sorted(falling, reverse=True)
    assert tail(SAMPLES - 5, SAMPLES) == 5


def test_settling_quickens_what_varies_the_loss_the_glass_and_what_is_fed():
    """Each is asked, at the end that settling leaves, for what it would be at the end of the whole run."""
    at, asked = 20_000, {"vary": [], "augment": [], "feed": []}
    m = Method(
        vary=lambda loss, seen: asked["vary"].append(seen) or loss,
        augment=lambda x, memory, seen: asked["augment"].append(seen) or (lambda x: x),
        feed=lambda G, c, seen: asked["feed"].append(seen) or c,
    )
    quick, times = settled(m, at, SAMPLES), (0, 9999, at, at + tail(at, SAMPLES) // 2, at + tail(at, SAMPLES))
    for seen in times:
        quick.vary(m.loss, seen), quick.augment(None, {}, seen), quick.feed(None, None, seen)
    for known in asked.values():
        assert known == [0, 9999, at, at + (SAMPLES - at) // 2, SAMPLES]
    bare = settled(Method(), at, SAMPLES)
    assert bare.vary is bare.augment is None


@pytest.mark.parametrize("finding", ["critic wins", "oscillation", "clip too tight"])
def test_the_usual_game_is_tried_first_where_the_game_may_be_at_fault(finding):
    usual, ill = METHODS["usual"], METHODS["bare"]
    act, new = choose(ill, 5000, finding, [0], [], ill, usual)
    assert act.remedy == "as_usual"
    assert described(new) == described(usual) | {"seed": ill.seed + 1, "halflife": described(ill)["halflife"]}
    assert described(replay(ill, [act], SAMPLES, usual)) == described(new)
    again = choose(new, 9000, finding, [0], [act], ill, usual)
    assert again is None or again[0].remedy != "as_usual"
    assert all(remedies.cures(name, usual) == REMEDIES[name] for name in remedies.OF_DATA)


@pytest.mark.parametrize(
    ("spec", "offered"),
    [
        (Spec(Image(3, 32)), True),
        (Spec(Image(3, 32), Label(9)), True),
        (Spec(Image(3, 32), Frames(2, 3, 32)), False),
        (Spec(Vector(2)), False),
        (Spec(Tokens(8, 30)), False),
    ],
    ids=["pictures", "by class", "next frames", "points", "texts"],
)
def test_only_pictures_are_augmented(spec, offered):
    m = METHODS["usual"]
    for finding in ("copying", "critic overfits"):
        assert (remedies.augmented in remedies.cures(finding, m, spec)) == offered
        chosen = choose(m, 5000, finding, [0], [], m, m, spec)
        assert (chosen is not None and chosen[1].augment is not None) == offered
    assert choose(m, 5000, "critic overfits", [0], [], m, m, spec) is not None


def test_a_critic_that_tells_the_class_compares_no_conditions():
    m = Method(penalties=((classified, constant(1.0)),))
    assert remedies.mismatched(m, 0) is m
    assert choose(m, 5000, "condition ignored", [0], []) is None
