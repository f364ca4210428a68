"""What is chosen where a recipe leaves it open, by the kind of data, the device and the other choices."""

import pytest
import torch

from sparring import refusals
from sparring.optimizers import OPTIMIZERS
from sparring.recipe import filled
from sparring.settings import Recipe
from sparring.spaces import Frames, Image, Label, Spec, Tokens, Vector

FACES, NEXT = Image(3, 32), Frames(2, 3, 32)
ADAM, SOAP = ("adam", 0.02, 1), ("soap", 0.03, 8)  # with the half-life of the average generator, and how lazy


@pytest.mark.parametrize(
    ("spec", "device", "asked", "taken", "batch"),
    [
        (Spec(FACES), "cpu", {}, SOAP, 32),
        (Spec(Image(3, 64)), "cpu", {}, SOAP, 32),
        (Spec(FACES), "cpu", dict(optimizer="adam"), ADAM, 16),
        (Spec(FACES), "cpu", dict(net="dcgan"), ADAM, 16),
        (Spec(FACES), "cuda", {}, ADAM, 64),
        (Spec(FACES, Label(3)), "cpu", {}, ADAM, 16),
        (Spec(FACES, Tokens(8, 40)), "cpu", {}, ADAM, 32),
        (Spec(FACES, NEXT), "cpu", {}, ADAM, 8),
        (Spec(Image(1, 28)), "cpu", {}, ADAM, 16),
        (Spec(Image(1, 8)), "cpu", {}, ADAM, 64),
        (Spec(Vector(2)), "cpu", {}, ("soap", 0.02, 1), 256),
        (Spec(Vector(2)), "cpu", dict(optimizer="adam"), ADAM, 256),
        (Spec(Vector(2)), "cuda", {}, ADAM, 256),
        (Spec(Vector(2), Label(3)), "cpu", {}, ADAM, 256),
        (Spec(Tokens(8, 40)), "cpu", {}, ADAM, 256),
    ],
)
def test_how_steps_are_taken(spec, device, asked, taken, batch):
    r = filled(Recipe(**dict(net="quick") | asked), spec, torch.device(device))
    assert ((r.optimizer, r.average, r.lazy), r.batch) == (taken, batch)


@pytest.mark.parametrize("asked", [dict(average=0.1), dict(optimizer="soap"), dict(batch=7), dict(lr=1e-4)])
def test_what_was_asked_for_stays(asked):
    r = filled(Recipe(net="quick", **asked), Spec(FACES), torch.device("cpu"))
    assert {k: getattr(r, k) for k in asked} == asked


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("spec", [Spec(FACES), Spec(FACES, NEXT), Spec(Vector(2)), Spec(Tokens(8, 40))])
def test_what_was_filled_in_may_be_asked_for(spec, optimizer):
    """As `train --config RUN/recipe.yaml` does."""
    r = Recipe(data="ring", net="quick", optimizer=optimizer, condition="past" if spec.c else "none")
    refusals.check(filled(r, spec, torch.device("cpu")))
