"""What the longer proofs say of themselves."""

import importlib
import json
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture
def check(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("check")


def runs(*held):
    return [{"seed": i, "held": h} for i, h in enumerate(held)]


def test_a_proof_holds_by_all_the_seeds_that_it_asks_for(check):
    proof = check.Proof(("ring",), 3, {})
    told = lambda *held: check.verdict(proof, runs(*held))["held"]
    assert told(True, True, True) and told(True, True, True, True)
    assert not told(True, True) and not told()
    assert not told(True, False, True) and not told(True, True, True, False)
    assert not check.verdict(proof, [{"seed": i, "held": True} for i in (0, 1, 5)])["held"]
    words = lambda *held: check.in_words(check.verdict(proof, runs(*held)), runs(*held))
    assert words(True, True) == "NOT SHOWN (2 of 2 seeds reached every bar, 3 asked)"
    assert words(True, False) == "MISSED (1 of 2 seeds reached every bar, 3 asked)"
    assert words(True, True, True).startswith("held (3 of 3")


def test_results_say_what_their_seeds_show(check):
    known = {name: BENCHMARKS / "results" / f"{name}.json" for name in check.PROOFS}
    found = {name: json.loads(path.read_text()) for name, path in known.items() if path.exists()}
    assert found
    for name, document in found.items():
        assert document | check.verdict(check.PROOFS[name], document["seeds"]) == document, name
