"""What the command says of itself: soon, and whole."""

import dataclasses
import re
import resource
import subprocess
from typing import get_args

from sparring.losses import LOSSES
from sparring.nets import sizes
from sparring.policy import REWARDS
from sparring.prices import PENALTIES
from sparring.priors import PRIORS
from sparring.settings import PARTS, Recipe
from sparring.terms import TERMS

from .test_run import command


def test_help_is_quick():
    spent = lambda: sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])  # processor seconds: walls are noisy
    began = spent()
    subprocess.run(command("--help"), capture_output=True, check=True)
    assert spent() - began < 0.5


def test_help_names_units_and_defaults():
    done = subprocess.run(command("train", "--help"), capture_output=True, text=True, check=True)
    assert "samples" in done.stdout
    told = " ".join(done.stdout.split())
    assert "(float, default: 0.08)" in told
    assert "(float, chosen if left out)" in told
    assert not {"null", "Literal", "type:"} & set(re.findall(r"[\w:]+", told))
    of = {part.splitlines()[0]: part for part in re.split(r"\n\n(?=\S)", done.stdout)}
    for title, option in (("the data:", "fit"), ("the critic's turn:", "r1"), ("the players:", "width")):
        assert f"--{option} " in of[title]
    assert {f"{title}:" for title in PARTS.values()} < set(of)


def test_help_names_every_choice():
    tables = {"loss": LOSSES, "net": sizes.PAIRS, "prior": PRIORS, "penalties": PENALTIES, "terms": TERMS}
    tables |= {"reward": REWARDS}
    done = subprocess.run(command("train", "--help"), capture_output=True, text=True, check=True)
    of = dict(re.findall(r"^  --(\w+) (.*?)(?=^  --|^\S|\Z)", done.stdout, re.M | re.S))
    for name, table in tables.items():
        assert ", ".join(table) in " ".join(of[name].split()), name
    for name in ("condition", "join", "norm", "fit", "autopilot"):
        (field,) = (f for f in dataclasses.fields(Recipe) if f.name == name)
        known = [c for k in (field.type, *get_args(field.type)) for c in get_args(k) if isinstance(c, str)]
        assert of[name].startswith(f"{{{','.join(known)}}}"), name
