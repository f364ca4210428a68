"""The plan of the house, kept by a test: who may import whom, and how long a file may grow before we talk about it."""

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sparring.worlds import World

ROOT = Path(__file__).parent.parent / "sparring"
FLOORS = [  # a file imports only from floors below its own
    {
        "spaces",
        "priors",
        "schedules",
        "chance",
        "parallel",
        "folder",
        "progress",
        "machine",
        "names",
        "turns",
        "sequences",
        "tables",
    },
    {"losses", "penalties", "terms", "augment", "symptoms", "metrics", "players", "stopping", "settings", "logs"}
    | {"tunes", "arguments", "soap", "optimizers"},
    {"train", "routes", "policy", "relaxed", "tally", "probes", "landscape", "remedies"}
    | {"evaluate", "show", "report", "extractors", "nets", "data", "worlds"},
    {"recipe", "prices", "refusals", "ways", "asked", "defaults", "sides", "rehearsal"},
    {"generators"},
    {"sheets", "sweep"},
    {"run", "keeping", "autopilot", "doctor", "readers", "measuring", "lab", "studio"},
    {"cli"},
    {"__main__"},
]
FLOOR = {room: i for i, rooms in enumerate(FLOORS) for room in rooms}
SAME_FLOOR = {
    ("optimizers", "soap"),
    ("rehearsal", "ways"),
    ("arguments", "settings"),
    ("probes", "train"),
    ("routes", "train"),
    ("policy", "train"),
    ("relaxed", "train"),
    ("recipe", "ways"),
    ("recipe", "prices"),
    ("recipe", "refusals"),
    ("refusals", "prices"),
    ("refusals", "ways"),
    ("relaxed", "policy"),
    ("remedies", "train"),
    ("tally", "train"),
    ("landscape", "train"),
    ("evaluate", "extractors"),
    ("extractors", "nets"),
    ("extractors", "data"),
    ("recipe", "defaults"),
    ("readers", "run"),
    ("measuring", "run"),
    ("run", "autopilot"),
    ("run", "keeping"),
    ("keeping", "run"),  # only as a type
    ("keeping", "autopilot"),
    ("autopilot", "run"),  # only as a type
    ("doctor", "run"),
    ("doctor", "autopilot"),
}
FORBIDDEN = {"train": {"nets", "data", "worlds", "spaces"}, "report": set(FLOOR) - {"folder"}}


def room(name):
    """The room that a file or folder of ours belongs to: `report_page` to report."""
    return name.removesuffix(".py").partition("report_")[1].rstrip("_") or name.removesuffix(".py")


def home(path):
    return room(path.relative_to(ROOT).parts[0])


def imports(path):
    """The rooms of ours that a file imports, wherever in it."""
    depth = len(path.relative_to(ROOT).parts) - 1
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.ImportFrom):
            continue
        names = (node.module or "").split(".")
        absolute = node.level == 0 and names[0] == "sparring"
        if absolute or node.level > depth:
            first = names[1:2] if absolute else names[:1]
            yield from map(room, first if first and first[0] else [alias.name for alias in node.names])


FILES = [p for p in sorted(ROOT.rglob("*.py")) if home(p) != "__init__"]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_run_downward(path):
    here = home(path)
    for other in imports(path):
        if other in ("__version__", here):
            continue
        assert FLOOR[other] < FLOOR[here] or (here, other) in SAME_FLOOR, (
            f"{here} imports {other}, which is not below it"
        )
        assert other not in FORBIDDEN.get(here, ())


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_file_is_a_reading_of_ten_minutes(path):
    assert len(path.read_text().splitlines()) <= 420


def test_no_room_that_everybody_enters():
    assert not {"utils", "helpers", "common", "misc"} & {p.stem for p in ROOT.rglob("*")}


def test_the_plan_has_the_contract_of_a_world():
    text = (ROOT.parent / "docs" / "house.md").read_text().split("class World(Protocol):")[1].split("```")[0]
    methods = {name: v for name, v in vars(World).items() if inspect.isfunction(v) and name in ("draw", "judge")}
    assert set(re.findall(r"^    (\w+):", text, re.M)) == set(World.__annotations__)
    for name, method in methods.items():
        (given,) = re.findall(rf"def {name}\((.*?)\)", text)
        assert [word.partition("=")[0] for word in given.split(", ")] == list(inspect.signature(method).parameters)


def test_the_command_starts_without_torch():
    code = "import sys, sparring.cli; raise SystemExit('torch' in sys.modules or 'matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_python_3_10_can_dispatch(path):
    """Before 3.11 `@f.register` reads one class from an annotation, not several: these are named, `@f.register(A)`."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef):
            bare = any(isinstance(d, ast.Attribute) and d.attr == "register" for d in node.decorator_list)
            assert not (bare and isinstance(node.args.args[0].annotation, ast.BinOp)), node.lineno
