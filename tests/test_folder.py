"""The run's folder survives crashes, damage and crowds."""

import errno
import json
import os
import subprocess
import sys

import pytest
import torch
from safetensors import SafetensorError

from sparring import folder as folder_room
from sparring.folder import DamagedError, FolderError, RunFolder, read_tree, write_tree

TREE = {
    "a": torch.arange(3.0),
    "deep": {1: torch.ones(2, 2, dtype=torch.bfloat16), "list": [1, 2.5, None, "x"]},
    "n": 7,
}


def equal(a, b):
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b) and a.dtype == b.dtype
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[k], b[k]) for k in a)
    return a == b


@pytest.fixture
def run(tmp_path):
    run = RunFolder(tmp_path / "run")
    run.create({"data": "ring", "seed": 3})
    return run


def test_a_tree_returns_as_it_was(tmp_path):
    write_tree(tmp_path, TREE)
    assert equal(read_tree(tmp_path), TREE)


def test_tensors_return_to_places_of_their_own(tmp_path):
    """Packed as in the file they may begin at any byte, and products of them differ by a bit from those before."""
    write_tree(tmp_path, TREE | {str(i): torch.ones(i) for i in range(9)})
    found = read_tree(tmp_path)
    assert all(t.data_ptr() % 64 == 0 for t in found.values() if isinstance(t, torch.Tensor) and len(t))


def test_a_recipe_returns_as_it_was(run):
    assert run.recipe() == {"data": "ring", "seed": 3}


@pytest.mark.parametrize("name", ["tree.json", "tensors.safetensors", "sums.json"])
def test_a_flipped_byte_is_named_and_the_checkpoint_before_is_taken(run, name):
    run.save(100, {**TREE, "n": 1})
    damaged = run.save(200, TREE) / name
    bytes_ = bytearray(damaged.read_bytes())
    bytes_[len(bytes_) // 2] ^= 1
    damaged.write_bytes(bytes_)
    told = []
    assert run.load(told.append)["n"] == 1
    assert str(damaged.parent) in told[0]
    assert name in told[0]
    with pytest.raises(DamagedError, match=name):
        read_tree(damaged.parent)


def test_a_missing_file_counts_as_damage(run):
    run.save(100, TREE)
    (run.save(200, TREE) / "tensors.safetensors").unlink()
    assert run.load(lambda line: None) is not None


def test_nothing_to_load(run):
    assert run.load() is None


def test_the_last_and_the_best_are_kept(run):
    for seen in (100, 200, 300, 400):
        run.save(seen, TREE, keep=2, best=100)
    assert [int(p.name) for p in run.checkpoints()] == [100, 300, 400]


def test_a_crash_while_writing_leaves_the_old(run, monkeypatch):
    run.save(100, TREE)
    monkeypatch.setattr(folder_room, "save_file", lambda *a: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        run.save(200, TREE)
    assert [int(p.name) for p in run.checkpoints()] == [100]
    assert equal(run.load(), TREE)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        SafetensorError('Error while serializing: I/O error: Os { code: 28, message: "No space left on device" }'),
    ],
)
def test_a_full_disk_is_said_and_nothing_is_lost(run, monkeypatch, error):
    run.save(100, TREE)

    def full(*args):
        raise error

    monkeypatch.setattr(folder_room, "save_file", full)
    with pytest.raises(FolderError, match=r"disk is full.*\(100\).*resume") as told, run.room():
        run.save(200, TREE)
    assert told.value.status == 1
    assert not list(run.path.glob("checkpoints/.aside*"))
    assert equal(run.load(), TREE)


def test_other_faults_of_files_are_told_as_they_are(run):
    with pytest.raises(PermissionError), run.room():
        raise PermissionError(errno.EACCES, "Permission denied", "stats.jsonl")


def spoil(checkpoint):
    (checkpoint / "tree.json").write_text("{}")


def test_where_all_checkpoints_are_damaged_nothing_is_begun_anew(run):
    for seen in (100, 200):
        spoil(run.save(seen, TREE))
    with pytest.raises(FolderError, match=r"0200/tree.json is damaged.*0100/tree.json is damaged.*put a whole copy"):
        run.load()
    assert len(run.checkpoints()) == 2


def test_a_damaged_checkpoint_does_not_outlive_those_written_after_it(run):
    run.save(100, TREE)
    for seen in (200, 300):
        spoil(run.save(seen, TREE, keep=3))
    assert run.load(lambda line: None) is not None
    run.save(150, TREE, keep=2)
    assert [int(p.name) for p in run.checkpoints()] == [100, 150]


def test_who_takes_the_lock_heals_what_a_crash_left(run):
    run.save(100, TREE)
    whole = run.save(200, TREE)
    whole.rename(whole.with_name(f".old-{whole.name}"))  # killed between two renames
    (whole.parent / ".aside-000000000300").mkdir()
    run.write_folder("generator", lambda aside: (aside / "weights").write_text("new"))
    (run.path / ".old-generator").mkdir()
    with run.lock():
        assert [int(p.name) for p in run.checkpoints()] == [100, 200]
        assert equal(read_tree(whole), TREE)
        assert (run.path / "generator" / "weights").read_text() == "new"
        assert not list(run.path.rglob(".*"))


def test_a_file_is_there_whole_or_not_at_all(run):
    run.write("page", lambda aside: aside.write_text("old"))

    def half(aside):
        aside.write_text("ne")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        run.write("page", half)
    assert (run.path / "page").read_text() == "old"
    assert not (run.path / ".aside-page").exists()


def test_lines_survive_a_crash_in_the_last(run):
    for seen in (10, 20, 30):
        run.append("stats.jsonl", {"seen": seen})
    with (run.path / "stats.jsonl").open("a") as f:
        f.write('{"seen": 4')
    assert [r["seen"] for r in run.rows("stats.jsonl")] == [10, 20, 30]
    run.append("stats.jsonl", {"seen": 50})
    assert [r["seen"] for r in run.rows("stats.jsonl")] == [10, 20, 30, 50]
    run.forget_after("stats.jsonl", 20)
    run.append("stats.jsonl", {"seen": 25})
    assert [r["seen"] for r in run.rows("stats.jsonl")] == [10, 20, 25]


def test_tied_weights_are_kept_as_copies(run):
    w = torch.randn(3, 3)
    run.save(10, {"a": w, "b": {"c": w, "d": w[1:]}})
    back = run.load()
    assert torch.equal(back["a"], w) and torch.equal(back["b"]["c"], w) and torch.equal(back["b"]["d"], w[1:])


def test_a_run_is_not_overwritten(run):
    with pytest.raises(FolderError, match="already holds a run.*sparring resume"):
        run.create({})


def test_other_files_are_not_touched(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(FolderError, match="holds other files"):
        RunFolder(tmp_path).create({})
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "run").write_text("x")
    with pytest.raises(FolderError, match="is a file"):
        RunFolder(tmp_path / "run").create({})


def test_no_run_here(tmp_path, run):
    with pytest.raises(FolderError, match=r"holds no run.*runs here: .*run"):
        RunFolder(tmp_path / "rum").recipe()


def test_runs_are_named_where_they_usually_lie(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    RunFolder(tmp_path / "runs/ring-1").create({})
    for name in ("ring-1", "elsewhere/ring-1"):
        with pytest.raises(FolderError, match=r"runs here: runs/ring-1"):
            RunFolder(name).recipe()


def test_a_newer_folder_is_refused(run):
    text = (run.path / "recipe.yaml").read_text().replace("format: 1", "format: 2")
    (run.path / "recipe.yaml").write_text(text)
    with pytest.raises(FolderError, match="newer sparring.*upgrade"):
        run.recipe()


def test_a_broken_recipe_is_named(run):
    (run.path / "recipe.yaml").write_text("{")
    with pytest.raises(FolderError, match=r"recipe.yaml is no recipe"):
        run.recipe()


def test_one_process_at_a_time(run):
    code = (
        "import sys; from sparring.folder import *\n"
        "try:\n"
        "    with RunFolder(sys.argv[1]).lock(): print('mine')\n"
        "except FolderError as e: print(e)"
    )
    ask = lambda: subprocess.run([sys.executable, "-c", code, str(run.path)], capture_output=True, text=True).stdout
    with run.lock():
        said = ask()
    assert "in use by a live process" in said
    assert str(os.getpid()) in said
    assert ask().strip() == "mine"


def test_a_folder_takes_the_place_of_the_one_before(run):
    for text in ("old", "new"):
        run.write_folder("generator", lambda aside, text=text: (aside / "w").write_text(text))
    assert (run.path / "generator" / "w").read_text() == "new"
    assert not list(run.path.glob(".*"))


def test_json_is_whole(run):
    run.write_json("card.json", {"a": 1})
    assert json.loads((run.path / "card.json").read_text()) == {"a": 1}
