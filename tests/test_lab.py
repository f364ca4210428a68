"""The lab: every claim holds, at a reduced size where it is learned; and each mechanism, broken, breaks its claim."""

import json
import math
from pathlib import Path

import pytest
import torch

from sparring import lab, losses, penalties, priors, schedules
from sparring.cli import main
from sparring.lab import claims
from sparring.metrics import divergences

# How much of each experiment is played here; and the claims of textbooks that do not hold.
EFFORT = {
    "divergences": 1.0,
    "optimal-critic": 0.25,
    "bilinear": 0.4,
    "dirac": 0.4,
    "supports": 0.6,
    "argmax": 0.25,
    "dropping": 0.4,
}
IN_PART = {  # the same where only some claims hold so soon
    "vanishing-gradient": (0.1, ["with -log D instead", "do not vanish", "least squares loses some"]),
    "clipping": (0.1, ["too small, c = 1e-4", "power of c", "penalty it is about 1", "weights pile up", "they do not"]),
    "collapse": (0.2, ["ring: plain, non-sat", "grid: plain, hinge", "ring: no momentum", "grid: relativistic"]),
    "prior": (0.3, ["differ little: quality", "cover alike", "all eight modes", "two coins", "is a line", "a mixture"]),
    "join": (0.3, ["c beside z of 4, projection", "c beside z of 4, concatenation", "c beside z of 32"]),
    "mismatch": (0.3, ["it is ignored where D is not shown it"]),
    "average": (0.3, ["draws the mean", "no figure is whole", "lets the figure vanish"]),
}


def found(name, fragment):
    """The first claim of an experiment whose text has the fragment; nothing after it is played."""
    effort = EFFORT.get(name) or IN_PART[name][0]
    every = (c for c in lab.experiment(name)(seed=0, effort=effort) if isinstance(c, claims.Claim))
    return next(c for c in every if fragment in c.text)


def test_every_experiment_is_played_here():
    assert {*EFFORT, *IN_PART} == set(lab.EXPERIMENTS)


@pytest.mark.parametrize("name", IN_PART)
def test_claims_that_hold_soon_hold(name):
    effort, wanted = IN_PART[name]
    for claim in lab.experiment(name)(seed=0, effort=effort):
        told = [w for w in wanted if isinstance(claim, claims.Claim) and w in claim.text]
        assert not told or claim.holds, claim.line()
        wanted = [w for w in wanted if w not in told]
        if not wanted:
            return
    raise AssertionError(f"no claim of {name} says {wanted}")


@pytest.mark.parametrize("name", EFFORT)
def test_claims_hold_and_can_be_read_and_drawn(name, tmp_path):
    result = lab.perform(name, effort=EFFORT[name])
    for claim in result.claims:
        assert claim.holds, claim.line()
    rows = json.loads(json.dumps(result.rows(), allow_nan=False))
    assert len({row["claim"] for row in rows}) == len(rows) >= 4
    assert set(rows[0]) >= {"experiment", "claim", "expected", "measured", "tolerance", "holds", "seconds"}
    path = lab.drawn(result, tmp_path)
    assert path is not None and path.stat().st_size > 5_000
    assert [p.name for p in tmp_path.iterdir()] == [f"{name}.png"]


# Broken on purpose --------------------------------------------------------------------------------------------------


def reversed_kl(patch):
    kl = divergences.kl
    patch.setattr(divergences, "kl", lambda p, q: kl(q, p))


def js_without_halves(patch):
    kl = divergences.kl
    patch.setattr(divergences, "js", lambda p, q: kl(p, (p + q) / 2) + kl(q, (p + q) / 2))


def earth_by_height(patch):
    patch.setattr(divergences, "earth", lambda p, q, at=None: (p - q).abs().sum(-1))


def wrong_sign_of_the_loss(patch):
    wrong = losses.Loss(lambda real, fake: -losses.minimax.critic(real, fake), losses.minimax.generator)
    patch.setattr("sparring.lab.optimal_critic.minimax", wrong)


def critic_of_pearson_without_its_half(patch):
    f = losses.LOSSES["pearson"]
    patch.setitem(losses.LOSSES, "pearson", losses.Loss(lambda real, fake: f.critic(real, fake) + fake, f.generator))


def critic_not_held_still(patch):
    """In G's turn D moves as well, down G's loss."""
    from sparring import train

    descend = train.descend

    def both(loss_of, m, s, player, x, c):
        stats = descend(loss_of, m, s, player, x, c)
        if player is s.G:
            s.D.requires_grad_(True)
            loss, _ = loss_of(m, s, x, c, s.G.prior.sample(len(x)).to(x))
            for p, g in zip(s.D.parameters(), torch.autograd.grad(loss.mean(), list(s.D.parameters()))):
                p.data -= m.lr_D(s.seen) * g
        return stats

    patch.setattr(train, "descend", both)


def momentum_of_the_wrong_sign(patch):
    patch.setattr("sparring.lab.bilinear.BETA", 0.5)


def wrong_sign_of_the_penalty(patch):
    slope2 = penalties.slope2
    patch.setattr(penalties, "slope2", lambda score, x: -slope2(score, x))


def no_penalty(patch):
    slope2 = penalties.slope2
    patch.setattr(penalties, "slope2", lambda score, x: 0 * slope2(score, x))


def penalty_twice_too_strong(patch):
    slope2 = penalties.slope2
    patch.setattr(penalties, "slope2", lambda score, x: 2 * slope2(score, x))


def centred_at_zero(patch):
    slope = penalties.slope
    patch.setattr(penalties, "slope", lambda score, x: slope(score, x) + 1)


def no_clipping(patch):
    patch.setattr(penalties, "clip", lambda c: lambda module: None)
    patch.setattr("sparring.lab.clipping.clip", lambda c: lambda module: None)


def lazy_but_not_stronger(patch):
    every = schedules.every
    patch.setattr("sparring.lab.dirac.every", lambda k, batch, value: lambda seen: every(k, batch, value)(seen) / k)


def no_noise(patch):
    patch.setattr("sparring.lab.supports.instance_noise", lambda sigma: lambda x, memory, seen: lambda x: x)


def rewards_of_one_word_only(patch):
    patch.setattr("sparring.policy.to_go", lambda reward, discount: reward)


def reward_of_the_wrong_sign(patch):
    loss = losses.nonsaturating
    patch.setattr("sparring.lab.argmax.nonsaturating", losses.Loss(loss.critic, lambda real, fake: fake))


def a_way_through_arg_max(patch):
    from sparring.lab.argmax import Writer

    begin = Writer.__init__
    patch.setattr(Writer, "__init__", lambda self, temperature=1.0: begin(self, temperature))


def precision_for_recall(patch):
    from sparring.lab import dropping

    prdc = dropping.prdc

    def swapped(real, fake):
        m = prdc(real, fake)
        return m | {"precision": m["recall"], "coverage": m["density"]}

    patch.setattr(dropping, "prdc", swapped)


def absolute_for_squared(patch):
    from sparring.lab import average

    regressed = average.regressed
    patch.setattr(average, "regressed", lambda f, *rest: regressed(torch.abs, *rest))


def deaf_generator(patch):
    from sparring.nets.conditions import Join

    join = Join.forward
    patch.setattr(Join, "forward", lambda self, z, c=None: join(self, z, 0 * c))


def critic_that_is_shown_it(patch):
    from sparring.lab import mismatch

    patch.setattr(mismatch, "Blind", mismatch.plain)


def a_normal_for_coins(patch):
    patch.setitem(priors.PRIORS, "bernoulli", priors.Normal)


def saturating_for_not(patch):
    patch.setitem(losses.LOSSES, "nonsaturating", losses.minimax)


def without_momentum(patch):
    from dataclasses import replace

    from sparring.lab import collapse

    patch.setattr(collapse, "GAME", replace(collapse.GAME, beta1=0.0))


BROKEN = [
    (reversed_kl, "divergences", "KL(N(0,1)"),
    (js_without_halves, "divergences", "JS never exceeds log 2"),
    (earth_by_height, "divergences", "moving the piles"),
    (wrong_sign_of_the_loss, "optimal-critic", "a trained critic is p / (p + q)"),
    (critic_of_pearson_without_its_half, "optimal-critic", "f-GAN finds the divergence: pearson"),
    (critic_not_held_still, "bilinear", "the library's own turn"),
    (momentum_of_the_wrong_sign, "bilinear", "negative momentum converges"),
    (wrong_sign_of_the_penalty, "dirac", "with R1, γ = 0.25"),
    (penalty_twice_too_strong, "dirac", "with R1, γ = 0.25"),
    (critic_not_held_still, "dirac", "with R1, γ = 0.25"),
    (no_penalty, "dirac", "with R2 all six losses meet"),
    (no_clipping, "dirac", "a critic clipped"),
    (lazy_but_not_stronger, "dirac", "a lazy R1"),
    (no_noise, "supports", "with noise before D"),
    (rewards_of_one_word_only, "argmax", "REINFORCE is unbiased"),
    (a_way_through_arg_max, "argmax", "no gradient reaches G"),
    (precision_for_recall, "dropping", "precision does not see it"),
    (precision_for_recall, "dropping", "coverage falls"),
    (absolute_for_squared, "average", "draws the mean"),
    (deaf_generator, "join", "c beside z of 32"),
    (critic_that_is_shown_it, "mismatch", "it is ignored where D is not shown it"),
    (a_normal_for_coins, "prior", "two coins"),
    (no_clipping, "clipping", "too small, c = 1e-4"),
    (saturating_for_not, "vanishing-gradient", "do not vanish"),
    (without_momentum, "collapse", "ring: plain, non-saturating"),
]


@pytest.mark.parametrize(("broken", "name", "claim"), BROKEN, ids=lambda v: getattr(v, "__name__", None))
def test_a_broken_mechanism_breaks_its_claim(broken, name, claim, monkeypatch):
    broken(monkeypatch)
    assert not found(name, claim).holds


def test_the_page_says_in_how_many_ways_it_was_broken():
    page = (Path(__file__).parent.parent / "docs" / "lab.md").read_text()
    assert f"break\nthem in {len({broken for broken, _, _ in BROKEN})} ways on purpose" in page


# The command --------------------------------------------------------------------------------------------------------


def test_alone_it_lists_the_experiments(capsys):
    assert main(["lab"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(lab.EXPERIMENTS)
    assert main(["lab", "--json"]) == 0
    assert [row["name"] for row in json.loads(capsys.readouterr().out)] == list(lab.EXPERIMENTS)


def test_every_experiment_listed_can_be_run():
    assert all(callable(lab.experiment(name)) for name in lab.EXPERIMENTS)


def test_a_wrong_name_is_refused_before_anything_is_written(tmp_path, capsys):
    assert main(["lab", "dirac", "billinear", "--out", str(tmp_path / "plots")]) == 2
    assert "did you mean 'bilinear'" in capsys.readouterr().err
    assert not (tmp_path / "plots").exists()


def test_a_folder_that_cannot_be_is_refused(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["lab", "divergences", "--out", str(tmp_path / "file")]) == 2
    assert "--out" in capsys.readouterr().err


def test_json_is_one_document_of_a_row_a_claim(tmp_path, capsys):
    assert main(["lab", "divergences", "--json", "--out", str(tmp_path)]) == 0
    told = capsys.readouterr()
    rows = json.loads(told.out)
    assert {row["experiment"] for row in rows} == {"divergences"}
    assert any(row["expected"] == "infinity" for row in rows)
    assert "of 14 claims hold" in told.err and str(tmp_path) in told.err


def test_a_claim_that_does_not_hold_is_no_failure(tmp_path, capsys, monkeypatch):
    earth_by_height(monkeypatch)
    assert main(["lab", "divergences", "--out", str(tmp_path)]) == 0
    assert "DIFFERS" in capsys.readouterr().out


def test_an_experiment_that_breaks_off_is_a_failure_and_the_next_one_runs(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(divergences, "kl", lambda p, q: 1 / 0)
    monkeypatch.setattr("sparring.lab.bilinear.run", lambda seed, effort: iter([claims.equals("one", 1.0, 1.0)]))
    assert main(["lab", "divergences", "bilinear", "--out", str(tmp_path)]) == 1
    told = capsys.readouterr()
    assert "ZeroDivisionError" in told.err and "failed: divergences" in told.err
    assert "1 of 1 claims hold" in told.out


# Claims -------------------------------------------------------------------------------------------------------------


def test_a_claim_holds_within_its_tolerance_and_a_bound_on_its_side():
    assert claims.equals("", 1.04, 1, 0.05).holds and not claims.equals("", 1.06, 1, 0.05).holds
    assert claims.equals("", math.inf, math.inf).holds
    assert claims.at_most("", 1.0, 1).holds and not claims.at_most("", 1.1, 1).holds
    assert claims.at_least("", torch.tensor(1.0), 1).holds and not claims.at_least("", 0.9, 1).holds
    for relation in (claims.equals, claims.at_most, claims.at_least):
        assert not relation("", math.nan, 0).holds


def test_a_claim_over_seeds_keeps_them_all():
    claim = claims.at_least("", [3.0, 1.0, 2.0], 2)
    assert claim.holds and claim.measured == 2 and claim.runs == (3, 1, 2)
    assert not claims.at_least("", [3.0, 1.0, 2.0], 2, of=min).holds
    assert "over 3 seeds 1 to 3" in claim.line()
    assert claims.at_least("", math.nan, 2).row("x", (0.0, 0.0))["measured"] is None
