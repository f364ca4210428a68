"""What lies in a folder or a zip of pictures: files, their classes, their captions."""

import csv
import io
import json
import os
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, NamedTuple

from .errors import DataError, Problem, Unusable

METADATA = ("metadata.jsonl", "metadata.csv")
SPLITS = {"train", "training", "test", "testing", "val", "valid", "validation"}
LARGEST = 2**30  # bytes of one file
_IGNORED = {"__macosx", "thumbs.db", "desktop.ini"}


class Item(NamedTuple):
    """A file that may be a picture, the class it is said to show, and its captions."""

    name: str
    label: str | int | None = None
    captions: tuple[str, ...] = ()


@dataclass
class Files:
    """names with '/' between folders, sorted; `read(name)` opens one; `stamp` changes whenever a file does."""

    kind: str
    names: list[str]
    read: Callable[[str], BinaryIO]
    stamp: list[Any]
    problems: list[Problem] = field(default_factory=list)


def in_folder(root: Path) -> Files:
    """All files below a folder but hidden ones; links are followed, each folder entered once."""
    names: list[str] = []
    stamp: list[Any] = [str(root.resolve())]
    problems: list[Problem] = []
    waiting, entered = [root], {os.path.realpath(root)}
    while waiting:
        folder = waiting.pop()
        try:
            entries = list(os.scandir(folder))
        except OSError as error:
            if folder == root:
                raise DataError(f"{root} cannot be read ({error.strerror}); give a folder that you may read") from error
            problems.append(Problem("broken", f"{folder.relative_to(root)}: cannot be read ({error.strerror})"))
            continue
        entries = [entry for entry in entries if not _hidden(entry.name)]
        if not entries and folder != root:
            empty = folder.relative_to(root).as_posix()
            problems.append(Problem("empty folder", f"{empty}: holds no file"))
            stamp.append((empty,))
        for entry in entries:
            if entry.is_dir():
                real = os.path.realpath(entry.path)
                if real not in entered:
                    entered.add(real)
                    waiting.append(Path(entry.path))
                continue
            name = Path(entry.path).relative_to(root).as_posix()
            try:
                s = entry.stat()
            except OSError as error:
                problems.append(Problem("broken", f"{name}: cannot be read ({error.strerror})"))
                continue
            names.append(name)
            stamp.append((name, s.st_size, s.st_mtime_ns, s.st_ctime_ns))

    def read(name: str) -> BinaryIO:
        return (root / name).open("rb")

    return Files("folder", sorted(names), read, [stamp[0], *sorted(stamp[1:])], sorted(problems))


def in_zip(path: Path) -> Files:
    """All files in a zip but hidden ones; nothing is unpacked to disk."""
    try:
        archive = zipfile.ZipFile(path)
        inside = archive.infolist()
    except (zipfile.BadZipFile, OSError, NotImplementedError) as error:
        raise DataError(
            f"{path} cannot be read as a zip ({error}); copy it again, or give the unpacked folder"
        ) from error
    members = {m.filename: m for m in inside if not m.is_dir() and not any(map(_hidden, m.filename.split("/")))}

    def read(name: str) -> BinaryIO:
        if members[name].file_size > LARGEST:
            raise Unusable("broken", f"{members[name].file_size:,} bytes are too many")
        return io.BytesIO(archive.read(name))

    s = path.stat()
    return Files("zip", sorted(members), read, [str(path.resolve()), s.st_size, s.st_mtime_ns, s.st_ctime_ns])


def alone(path: Path) -> Files:
    """One file by itself, such as a film."""
    s = path.stat()
    stamp = [str(path.resolve()), s.st_size, s.st_mtime_ns, s.st_ctime_ns]
    return Files("file", [path.name], lambda name: path.open("rb"), stamp)


def items(files: Files) -> tuple[list[Item], list[Problem]]:
    """The files beside metadata, with what is known of each.

    A class is the `label` of a line of metadata or else the first folder in which not all of them lie.
    """
    told: dict[str, dict[str, Any]] = {}
    problems = list(files.problems)
    for name in files.names:
        if PurePosixPath(name).name in METADATA:
            try:
                rows, wrong = _metadata(files, name)
            except Exception as error:  # whatever a damaged or locked file makes of reading
                rows, wrong = {}, [Problem("metadata", f"{name}: cannot be read ({error})")]
            told |= rows
            problems += wrong
    telling = any(row["text"] for row in told.values())

    names = [name for name in files.names if PurePosixPath(name).name not in METADATA]
    alike = {PurePosixPath(name).name.lower(): name for name in reversed(names)}  # in another folder or case
    for name in sorted(told.keys() - set(names)):
        meant = alike.get(PurePosixPath(name).name.lower())
        near = f"; did you mean {meant}?" if meant else ""
        problems.append(Problem("metadata", f"{told[name]['where']}: there is no file {name}{near}"))
    for name in names if telling else ():
        if not told.get(name, {}).get("text"):
            problems.append(Problem("caption", f"{name}: no caption"))
    folders = {} if any("label" in row for row in told.values()) else _classes(names)
    return [
        Item(name, told.get(name, {}).get("label", folders.get(name)), told.get(name, {}).get("text", ()))
        for name in names
    ], problems


def _hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in _IGNORED


def _metadata(files: Files, name: str) -> tuple[dict[str, dict[str, Any]], list[Problem]]:
    """The lines of one file of metadata by the file that each is about: label, text (all its captions), where."""
    rows, problems = {}, []
    lines = _lines_of_csv if name.endswith(".csv") else _lines_of_json
    with files.read(name) as file:
        for number, row in lines(file):
            where = f"{name} line {number}"
            if isinstance(row, ValueError):
                problems.append(Problem("metadata", f"{where}: {row}"))
                continue
            about = (PurePosixPath(name).parent / row["file_name"].replace("\\", "/")).as_posix()
            known = rows.setdefault(about, {"where": where, "text": ()})
            if isinstance(row.get("label"), str | int):
                known["label"] = row["label"]
            elif "text" not in row:
                problems.append(Problem("caption", f'{where}: no "text" among {", ".join(row)}'))
            for caption in _captions(row.get("text")):
                if not isinstance(caption, str):
                    problems.append(Problem("caption", f"{where}: {json.dumps(caption):.40} is no caption"))
                elif not caption.strip():
                    problems.append(Problem("caption", f"{where}: an empty caption"))
                elif not caption.isascii() and any("\ud800" <= c <= "\udfff" for c in caption):
                    problems.append(Problem("caption", f"{where}: half a character in {caption:.40}"))
                elif caption in known["text"]:
                    problems.append(Problem("caption", f"{where}: the same caption again"))
                else:
                    known["text"] += (caption,)
    return rows, problems


def _lines_of_json(file: BinaryIO) -> Iterator[tuple[int, dict[str, Any] | ValueError]]:
    """An object a line; in the place of one that is not about a file, what is wrong."""
    for number, line in enumerate(file, 1):
        if line.strip():
            try:
                yield number, _about_a_file(json.loads(_text(line).strip()))
            except json.JSONDecodeError as error:
                wrong = f"broken JSON at character {error.pos + 1} ({error.msg.removesuffix(' at')})"
                yield number, ValueError(wrong)
            except ValueError as error:
                yield number, error


def _lines_of_csv(file: BinaryIO) -> Iterator[tuple[int, dict[str, Any] | ValueError]]:
    """A table whose first line names its columns; a label in digits is a number.  It is read up to what is broken."""
    lines = file.read().splitlines(keepends=True)
    between = max(",;\t", key=lambda mark: lines[0].count(mark.encode()) if lines else 0)
    table = csv.DictReader(map(_text, lines), delimiter=between)
    try:
        for row in table:
            try:
                if None in row:
                    raise ValueError(f"more columns than names; put quotes around a text with {between!r} in it")
                row = {k: v for k, v in row.items() if v or k == "text"}
                if str(row.get("label")).isdecimal():
                    row["label"] = int(row["label"])
                yield table.line_num, _about_a_file(row)
            except ValueError as error:
                yield table.line_num, error
    except csv.Error as error:
        yield table.line_num, ValueError(error)
    except ValueError as error:
        yield table.line_num + 1, error  # a line that no table has seen yet


def _text(line: bytes) -> str:
    try:
        text = line.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise ValueError("not UTF-8; save the file as UTF-8")
    return text


def _about_a_file(row: Any) -> dict[str, Any]:
    """A line of metadata; ValueError, with what is wrong, where it is not about a file."""
    if not isinstance(row, dict):
        raise ValueError("not a JSON object")
    if not (isinstance(row.get("file_name"), str) and row["file_name"].strip()):
        raise ValueError(f'no "file_name" among {", ".join(row)}' if "file_name" not in row else "file_name is no name")
    return row


def tells_of_metadata(problem: str) -> bool:
    """Whether the line of a problem is about a line of metadata."""
    return any(name in problem for name in METADATA)


def _captions(text: Any) -> list[Any]:
    """One caption or several, as they may stand in a line; none where there is no `text`."""
    return [] if text is None else text if isinstance(text, list) else [text]


def _classes(names: list[str]) -> dict[str, str]:
    """The class of each file that lies in a subfolder; none if all lie in one folder."""
    folders = {name: PurePosixPath(name).parts[:-1] for name in names}
    while len(heads := {parts[:1] for parts in folders.values()}) == 1 and heads != {()}:
        folders = {name: parts[1:] for name, parts in folders.items()}
    if heads and all(head and head[0].lower() in SPLITS for head in heads):
        folders = {name: parts[1:] for name, parts in folders.items()}
    return {name: parts[0] for name, parts in folders.items() if parts}
