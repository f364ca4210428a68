"""The run's folder: where training writes and everybody else reads.

Whole files are written aside and renamed, lines are appended whole, and a checkpoint is a folder that appears in one
rename with the checksum of each of its files inside.  So a reader, or a run that starts again after a crash, finds
either the old or the new, never half of anything.
"""

import errno
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

FORMAT = 1  # of the folder; a reader refuses a newer one


class FolderError(RuntimeError):
    """A run's folder that cannot be used as asked; the message says why and what to do.

    status: 2 if the request was wrong, 1 if it failed while running.
    """

    def __init__(self, message: str, status: int = 2):
        super().__init__(message)
        self.status = status


class RunFolder:
    """The folder of one run.

    path: where it is; nothing is written before `create`.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)

    # -- the whole folder ---------------------------------------------------------------------------------------------

    def refuse_if_taken(self) -> None:
        """Refuses a folder that holds a run or other files, or that cannot be written; writes nothing itself."""
        if (self.path / "recipe.yaml").exists():
            raise FolderError(
                f"{self.path} already holds a run; go on with `sparring resume {self.path}`, or give another --run"
            )
        if self.path.is_file():
            raise FolderError(f"{self.path} is a file; give --run a folder that is empty or does not exist")
        if self.path.is_dir() and any(p.name != "lock" for p in self.path.iterdir()):
            raise FolderError(f"{self.path} holds other files; give --run a folder that is empty or does not exist")
        nearest = next(p for p in (self.path, *self.path.absolute().parents) if p.exists())
        if not os.access(nearest, os.W_OK):
            raise FolderError(f"{self.path} cannot be written (no permission in {nearest}); give another --run")

    def create(self, recipe: dict[str, Any]) -> None:
        """An empty run."""
        self.refuse_if_taken()
        try:
            for part in ("samples", "checkpoints"):
                (self.path / part).mkdir(parents=True, exist_ok=True)
            self.write_recipe(recipe)
        except OSError as error:
            raise FolderError(f"{self.path} cannot be written ({error.strerror}); give another --run") from error

    def write_recipe(self, recipe: dict[str, Any]) -> None:
        self.write_yaml("recipe.yaml", {"format": FORMAT, **recipe})

    def recipe(self) -> dict[str, Any]:
        """What was asked, complete; refused if there is no run here or a newer program wrote it."""
        file = self.path / "recipe.yaml"
        if not file.exists():
            raise FolderError(f"{self.path} holds no run (no recipe.yaml); runs here: {_neighbours(self.path)}")
        try:
            recipe = yaml.safe_load(file.read_text())
            written = recipe.pop("format")
        except (yaml.YAMLError, AttributeError, KeyError) as error:
            raise FolderError(f"{file} is no recipe of a run: {error}") from error
        if written > FORMAT:
            raise FolderError(
                f"{self.path} was written by a newer sparring (folder format {written}, this one reads {FORMAT}); "
                "upgrade with `pip install --upgrade sparring`"
            )
        return recipe

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Inside, the run is ours alone; the lock dies with the process, however it dies."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FolderError(f"{self.path} cannot be written ({error.strerror}); give another --run") from error
        with (self.path / "lock").open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                file.seek(0)
                raise FolderError(
                    f"{self.path} is in use by a live process ({file.read().strip() or 'unknown'}); "
                    "wait for it, stop it, or give another --run"
                ) from error
            file.truncate(0)
            file.write(f"process {os.getpid()}")
            file.flush()
            self._tidy()
            yield

    def _tidy(self) -> None:
        """What a crash left aside goes, and what it left half renamed comes back."""
        for left in (*self.path.glob(".aside-*/"), *self.path.glob("checkpoints/.aside-*/")):
            shutil.rmtree(left)
        for old in (*self.path.glob(".old-*/"), *self.path.glob("checkpoints/.old-*/")):
            place = old.with_name(old.name.removeprefix(".old-"))
            shutil.rmtree(old) if place.exists() else old.rename(place)

    @contextmanager
    def room(self) -> Iterator[None]:
        """Inside, a disk that is full is said in words."""
        try:
            yield
        except (OSError, SafetensorError) as error:
            if getattr(error, "errno", None) not in (errno.ENOSPC, errno.EDQUOT) and "No space" not in str(error):
                raise
            last = self.checkpoints()[-1].name.lstrip("0") if self.checkpoints() else "none"
            raise FolderError(
                f"the disk is full ({error}); the last checkpoint ({last}) is whole; make room and "
                f"`sparring resume {self.path}`",
                status=1,
            ) from error

    # -- whole files and lines ----------------------------------------------------------------------------------------

    def write(self, name: str, write: Callable[[Path], object]) -> Path:
        """A whole file: `write` is given the path aside, which is then renamed to its place."""
        place = self.path / name
        place.parent.mkdir(parents=True, exist_ok=True)
        aside = place.with_name(f".aside-{place.name}")
        try:
            write(aside)
            aside.replace(place)
        finally:
            aside.unlink(missing_ok=True)
        return place

    def write_folder(self, name: str, write: Callable[[Path], object]) -> Path:
        """A whole folder of files, which takes the place of the one before."""
        place = self.path / name
        aside, old = (place.with_name(f"{prefix}{place.name}") for prefix in (".aside-", ".old-"))
        for left in (aside, old):
            shutil.rmtree(left, ignore_errors=True)
        try:
            aside.mkdir(parents=True)
            write(aside)
            if place.exists():
                place.rename(old)
            aside.rename(place)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
        return place

    def write_json(self, name: str, value: Any) -> Path:
        return self.write(name, lambda aside: aside.write_text(json.dumps(value, indent=1) + "\n"))

    def write_yaml(self, name: str, value: dict[str, Any]) -> Path:
        return self.write(name, lambda aside: aside.write_text(yaml.safe_dump(value, sort_keys=False)))

    def append(self, name: str, row: dict[str, Any]) -> None:
        """One more line of a .jsonl file; one that was cut short ends there."""
        with (self.path / name).open("ab+") as file:
            if file.seek(0, os.SEEK_END):
                file.seek(-1, os.SEEK_END)
                if file.read() != b"\n":
                    file.write(b"\n")
            file.write(json.dumps(row).encode() + b"\n")

    def rows(self, name: str) -> list[dict[str, Any]]:
        """The lines of a .jsonl file; one cut short by a crash is left out."""
        file = self.path / name
        return list(_whole_lines(file)) if file.exists() else []

    def write_rows(self, name: str, rows: list[dict[str, Any]]) -> None:
        """A whole .jsonl file; none where there are no rows and was no file."""
        if rows or (self.path / name).exists():
            self.write(name, lambda aside: aside.write_text("".join(json.dumps(r) + "\n" for r in rows)))

    def forget_after(self, name: str, seen: int) -> None:
        """Keeps of a .jsonl file what happened up to `seen` samples: a resumed run writes the rest anew."""
        if (self.path / name).exists():
            kept = [r for r in self.rows(name) if r.get("seen", r.get("since", 0)) <= seen]
            self.write_rows(name, kept)

    # -- checkpoints --------------------------------------------------------------------------------------------------

    def save(self, seen: int, tree: dict[str, Any], keep: int = 2, best: int | None = None) -> Path:
        """A checkpoint: nested dictionaries of tensors and plain values.  The newest `keep` and the best stay.

        Any that have seen more are of a way that was left, or damaged: they go.
        """
        place = self.write_folder(f"checkpoints/{seen:012d}", lambda aside: write_tree(aside, tree))
        for kept in (*self.path.glob("*.jsonl"), place.parent):  # before older ones go
            settle(kept)
        until = [p for p in self.checkpoints() if int(p.name) <= seen]
        for old in self.checkpoints():
            if old not in until[-keep:] and (int(old.name) > seen or int(old.name) != best):
                shutil.rmtree(old)
        return place

    def checkpoints(self) -> list[Path]:
        """Oldest first."""
        return sorted(p for p in (self.path / "checkpoints").glob("[0-9]*") if p.is_dir())

    def load(self, tell: Callable[[str], object] = print) -> dict[str, Any] | None:
        """The newest whole checkpoint; a damaged one is named to `tell` and the one before is taken.

        None where there is no checkpoint; FolderError where all are damaged.
        """
        damaged: list[DamagedError] = []
        for place in reversed(self.checkpoints()):
            try:
                tree = read_tree(place)
            except DamagedError as error:
                damaged.append(error)
                continue
            for error in damaged:
                tell(f"{error}; taking the checkpoint before it")
            return tree
        if damaged:
            raise FolderError(
                f"{'; '.join(map(str, damaged))}: no checkpoint is left to go on from; put a whole copy of "
                f"{self.path / 'checkpoints'} back, or remove that folder to start at the first sample"
            )
        return None

    def load_at(self, seen: int) -> dict[str, Any] | None:
        """The checkpoint at `seen` samples, or None where it is not there or damaged."""
        try:
            return read_tree(self.path / "checkpoints" / f"{seen:012d}")
        except DamagedError:
            return None


PARTS = ("tree.json", "tensors.safetensors")  # of a checkpoint, beside their sums.json


class DamagedError(RuntimeError):
    """A file whose bytes are not those that were written."""


def write_tree(place: Path, tree: dict[str, Any]) -> None:
    """Nested dictionaries as `tensors.safetensors` and `tree.json`, with their checksums in `sums.json`."""
    tensors: dict[str, Tensor] = {}

    def plain(value: Any, path: str) -> Any:
        if isinstance(value, Tensor):
            tensors[path] = value.detach().contiguous()
            return {"tensor": path}
        if isinstance(value, dict):  # as pairs: JSON has no integer keys
            return {"pairs": [[k, plain(v, f"{path}/{k}")] for k, v in value.items()]}
        if isinstance(value, list | tuple):
            return [plain(v, f"{path}/{i}") for i, v in enumerate(value)]
        return value

    (place / "tree.json").write_text(json.dumps(plain(tree, "")))
    save_file(apart(tensors), place / "tensors.safetensors")
    sums = {name: _sum(place / name) for name in PARTS}
    (place / "sums.json").write_text(json.dumps(sums | {"sums.json": _sum_of_sums(sums)}))
    for file in (*place.iterdir(), place):
        settle(file)


def apart(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same, those that share memory with one before, as tied weights do, as copies: safetensors wants them so."""
    taken: set[int] = set()
    found = {}
    for name, t in tensors.items():
        found[name] = t.clone() if t.untyped_storage().data_ptr() in taken else t
        taken.add(t.untyped_storage().data_ptr())
    return found


def settle(place: Path) -> None:
    """Waits until a file, or the names in a folder, are on the disk."""
    handle = os.open(place, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_tree(place: Path) -> dict[str, Any]:
    """What `write_tree` wrote; DamagedError names the file whose checksum differs."""
    try:
        sums = json.loads((place / "sums.json").read_text())
        whole = _sum_of_sums({name: sums[name] for name in PARTS}) == sums["sums.json"]
        damaged = [name for name in PARTS if _sum(place / name) != sums[name]] if whole else ["sums.json"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DamagedError(f"{place} is damaged (sums.json: {error})") from error
    if damaged:
        raise DamagedError(f"{place / damaged[0]} is damaged (its checksum differs)")
    packed = load_file(place / "tensors.safetensors")
    tensors = {name: t.clone() for name, t in packed.items()}  # as they lie in the file, products may differ by a bit

    def real(value: Any) -> Any:
        if isinstance(value, dict):
            return tensors[value["tensor"]] if "tensor" in value else {k: real(v) for k, v in value["pairs"]}
        return [real(v) for v in value] if isinstance(value, list) else value

    return real(json.loads((place / "tree.json").read_text()))


def reachable(place: Path, option: str) -> None:
    """Refuses a place, asked for by that option, that has no folder above it in which something can be written."""
    above = next(p for p in place.absolute().parents if p.exists())
    if not above.is_dir():
        raise FolderError(f"{option} {place}: {above} is a file, not a folder")
    if not os.access(above, os.W_OK):
        raise FolderError(f"{option} {place}: nothing can be written in {above} (no permission)")


def _sum(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as f:
        while block := f.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _sum_of_sums(sums: dict[str, str]) -> str:
    return hashlib.sha256(json.dumps(sums).encode()).hexdigest()


def _whole_lines(file: Path) -> Iterator[dict[str, Any]]:
    for line in file.read_text().splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            continue


def _neighbours(path: Path) -> str:
    """Runs beside a path that holds none, or else where runs are put unless said otherwise."""
    for place in (path.parent, Path("runs"), Path()):
        if runs := sorted(place.glob("*/recipe.yaml"), key=lambda p: -p.stat().st_mtime):
            more = f" and {len(runs) - 8} older" if len(runs) > 8 else ""
            return ", ".join(str(p.parent) for p in runs[:8]) + more
    return "none"
