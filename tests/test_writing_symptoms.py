"""What may be wrong with a writer: each fault is injected into players, seen by the probes, named by its symptom."""

import pytest
import torch

from sparring import worlds
from sparring.losses import nonsaturating
from sparring.nets import sizes
from sparring.policy import likelihood
from sparring.probes import panel, probe, stuttered
from sparring.schedules import constant
from sparring.symptoms import diagnose
from sparring.train import Method, State, step

WORLD = worlds.open("grammar", size=8)
TEXTS = {"reward saturation", "entropy collapse", "length collapse", "repetition"}


def texts(n, seed=0, heldout=False):
    return WORLD.spec.x.encode(WORLD.draw(n, seed, heldout)[0])


@pytest.fixture(scope="module")
def learned():
    """A writer that knows the grammar well enough."""
    torch.manual_seed(0)
    G, D = sizes.build("recurrent", WORLD.spec, None, 24)
    s = State.begin(G, D)
    m = Method(nonsaturating, penalties=(), lr_G=constant(1e-2), generator_loss=likelihood)
    for i in range(60):
        step(m, s, texts(128, i))
    return s.save()


def seen(learned, fault):
    """What probes write of players with a fault, ten times over."""
    s = State.begin(*sizes.build("recurrent", WORLD.spec, None, 24))
    s.load(learned)
    with torch.no_grad():
        fault(s)
    z = s.G.prior.sample(128, torch.Generator().manual_seed(0))
    p = panel(z, [(texts(128), None)], [(texts(128, heldout=True), None)])
    row = probe(Method(nonsaturating, penalties=()), s, p)
    return [{"seen": 1000 * (i + 1), "score/real": 0.5, "score/fake": 0.0, "D/loss": 1.0, **row} for i in range(40)]


def found(h):
    return {finding.name for finding in diagnose(h)} & TEXTS


def test_a_healthy_writer_is_left_in_peace(learned):
    h = seen(learned, lambda s: None)
    assert not found(h)
    assert h[0]["surprise/own"] == pytest.approx(h[0]["surprise/heldout"], rel=0.3)
    assert 0.7 < h[0]["length"] < 1.4 and abs(h[0]["repeats"]) < 0.2 and abs(h[0]["stutter"]) < 0.1


def bias(token, by):
    return lambda s: s.G.speak.bias[token].add_(by)


FAULTS = {
    "length collapse": bias(0, 6.0),
    "repetition": bias(1, 6.0),
    "entropy collapse": lambda s: (s.G.speak.weight.mul_(20), s.G.speak.bias.mul_(20)),
    "reward saturation": lambda s: (s.D.score.weight.zero_(), s.D.score.bias.fill_(-9.0)),
}


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_is_seen_and_named(learned, name):
    h = seen(learned, FAULTS[name])
    if name == "reward saturation":
        h = [row | {"accuracy/heldout": 0.99} for row in h]
    assert name in found(h)
    advice = next(f.advice for f in diagnose(h) if f.name == name)
    assert "--" in advice and not found(h[:3])


def test_a_stutter_is_counted_before_the_end_alone():
    x = torch.tensor([[1, 1, 2, 0, 0, 0], [1, 2, 1, 2, 2, 1]])
    assert stuttered(x).item() == pytest.approx(2 / 7)
