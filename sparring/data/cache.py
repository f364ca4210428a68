"""Where prepared data is kept: each entry is a folder that appears whole, in one rename, or not at all."""

import errno
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from secrets import token_hex
from tempfile import gettempdir, mkdtemp
from typing import Any, TypeVar
from weakref import finalize

from .errors import DataError, in_bytes

FORMAT = 2  # of an entry; another one is another key
STALE = 86_400  # seconds after which an unfinished folder is nobody's
_ASIDE = ".building-"
_FULL = (errno.ENOSPC, errno.EDQUOT)

T = TypeVar("T")


class Temporary:
    """A folder that is removed with this object, or when the process ends."""

    def __init__(self) -> None:
        self.name = mkdtemp(prefix="sparring-")
        self.cleanup = finalize(self, shutil.rmtree, self.name, ignore_errors=True)


def home() -> Path:
    """$SPARRING_CACHE, or `sparring` in the user's folder of caches."""
    if given := os.environ.get("SPARRING_CACHE"):
        return Path(given)
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base) / "sparring"
    try:
        return Path.home() / ".cache" / "sparring"
    except RuntimeError:  # a user without a home
        return Path(gettempdir()) / "sparring"


def key(name: str, *what: Any) -> str:
    """The name of an entry: of the source, for people, and of all that it is made from."""
    digest = blake2b(json.dumps([FORMAT, *what], default=str).encode(), digest_size=10).hexdigest()
    plain = "".join(c if c.isalnum() or c in "-_" else "-" for c in name)[:40].strip("-")
    return f"{plain or 'data'}-{digest}"


def writable(folder: Path) -> tuple[Path, Temporary | None, str | None]:
    """The folder; or, if nothing can be written there, a temporary one, and a note that says so."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f"{_ASIDE}{os.getpid()}-{token_hex(4)}"
        probe.mkdir()
        probe.rmdir()
        return folder, None, None
    except OSError as error:
        temporary = Temporary()
        why = f"the cache {folder} cannot be written ({error.strerror}); prepared anew at each start"
        return Path(temporary.name), temporary, f"{why}; set SPARRING_CACHE to a folder that can"


def kept(folder: Path, name: str, build: Callable[[Path], None], load: Callable[[Path], T]) -> T:
    """What `load` makes of the entry, which `build` fills first if there is none or it is damaged.

    Of several builders at once each fills its own folder; the first to finish gives the entry, the others use it.
    """
    place = folder / name
    if place.exists():
        try:
            return load(place)
        except (OSError, ValueError, KeyError, TypeError, EOFError):  # EOFError: an .npy that is empty
            _remove(place)

    _sweep(folder)
    aside = folder / f"{_ASIDE}{os.getpid()}-{token_hex(4)}"
    try:
        aside.mkdir(parents=True)
        build(aside)
        _sync(aside)
        try:
            aside.rename(place)
            _sync_folder(folder)
        except OSError:
            if not place.exists():
                raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return load(place)


def refuse_without_room(folder: Path, needed: int) -> None:
    """DataError unless so many bytes are free."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise _no_room(folder.parent, needed, f"{in_bytes(free)} are free")


@contextmanager
def room(folder: Path, needed: int) -> Iterator[None]:
    """Inside, a full disk is a DataError that names the folder and the bytes needed."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise _no_room(folder.parent, needed, "the disk is full") from error


def _no_room(folder: Path, needed: int, why: str) -> DataError:
    return DataError(
        f"preparing the data needs {in_bytes(needed)} ({needed:,} bytes) in {folder}, but {why}; "
        "free some, or set SPARRING_CACHE to a folder on another disk"
    )


def _remove(place: Path) -> None:
    """Out of the way in one rename, then gone."""
    aside = place.with_name(f"{_ASIDE}{os.getpid()}-{token_hex(4)}")
    try:
        place.rename(aside)
    except OSError:
        return
    shutil.rmtree(aside, ignore_errors=True)


def _sweep(folder: Path) -> None:
    """Removes what builders that died long ago have left."""
    for aside in folder.glob(f"{_ASIDE}*"):
        try:
            touched = max(p.stat().st_mtime for p in (aside, *aside.iterdir()))
        except OSError:
            continue
        if time.time() - touched > STALE:
            shutil.rmtree(aside, ignore_errors=True)


def _sync(folder: Path) -> None:
    """On disk before the rename, so that a loss of power leaves no entry with holes."""
    for path in folder.iterdir():
        with path.open("rb+") as file:
            os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
