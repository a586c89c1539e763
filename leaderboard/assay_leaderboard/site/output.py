"""The folder of a site: written beside its place, then put there in one step."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from assay import atomic
from assay.errors import AssayError, StorageError
from assay.identity import sha256
from assay.records.schema import Hash
from pydantic import Field

from assay_leaderboard.schema.values import Part

MARKER = ".assay-site"
"""A file that marks a folder as a site, which the next build may replace."""
_MARK = '{"kind": "assay site", "schema_version": 1}\n'
_LOCK = ".lock"
_PLAIN = r"^[a-zA-Z0-9_][a-zA-Z0-9_.-]*(?:/[a-zA-Z0-9_][a-zA-Z0-9_.-]*)*$"
_AT_FDCWD, _EXCHANGE = -100, 2


FolderState = dict[str, tuple[int, int]]
"""Size and time of the last change (ns) of each file of a folder, by path."""


class OutputFile(Part):
    """One file of the site."""

    path: Annotated[str, Field(pattern=_PLAIN)]
    """Relative to the folder of the site, with slashes; never leads out of it."""
    n_bytes: int
    sha256: Hash


def write(root: Path, path: str, content: str | bytes) -> OutputFile:
    """Write one file below `root`, which must not be there yet.

    Raises:
        ValueError: `path` is not a plain relative path, as with a bad name from a record.
        StorageError: it cannot be written.
    """
    data = content.encode() if isinstance(content, str) else content
    made = OutputFile(path=path, n_bytes=len(data), sha256=sha256(data))
    place = root / path
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("xb") as file:
            file.write(data)
    except OSError as error:
        raise storage_error(place, error) from error
    return made


def described(root: Path, path: str) -> OutputFile:
    """The description of a file below `root` that something else wrote."""
    with (root / path).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return OutputFile(path=path, n_bytes=(root / path).stat().st_size, sha256=digest)


def folder_state(folder: Path) -> FolderState:
    """The state of all files in a folder; empty where there is none."""
    found: FolderState = {}
    try:
        for path in folder.rglob("*"):
            is_now = path.lstat()
            if not stat.S_ISDIR(is_now.st_mode):
                name = path.relative_to(folder).as_posix()
                found[name] = is_now.st_size, is_now.st_mtime_ns
    except OSError:
        return {}
    return found


def storage_error(place: Path, error: OSError) -> StorageError:
    """The error of a site that cannot be written."""
    return atomic.storage_error(place, error, "name another folder with --out")


def check_replaceable(out: Path) -> None:
    """Check that `out` is free, empty, or a site, so that a build may replace it.

    Raises:
        AssayError: it is something else.
    """
    if not out.exists():
        return
    if not out.is_dir():
        raise AssayError(f"{out}: is a file; expected a folder for the site, or a free name")
    if not (out / MARKER).is_file() and any(out.iterdir()):
        raise AssayError(
            f"{out}: holds other things than a site (there is no {MARKER} in it) and was not "
            "touched; name another folder with --out"
        )


@contextlib.contextmanager
def staged(out: Path) -> Iterator[Path]:
    """A new folder that takes the place of `out` when the block ends without an error.

    Raises:
        AssayError: `out` holds something else than a site.
        StorageError: nothing can be written there.
    """
    out = out.resolve()
    check_replaceable(out)
    prefix = f".{out.name}-building-"
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        _sweep(out.parent, prefix)
        staging = Path(tempfile.mkdtemp(prefix=prefix, dir=out.parent))
    except OSError as error:
        raise storage_error(out, error) from error
    try:
        with atomic.locked(staging / _LOCK):
            made = staging / "site"
            made.mkdir()
            yield made
            (made / MARKER).write_text(_MARK)
            check_replaceable(out)  # a build takes long enough for somebody to put things there
            _swap(made, out)
    except OSError as error:
        raise storage_error(out, error) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _sweep(parent: Path, prefix: str) -> None:
    """Remove the folders of killed builds; a build at work holds the lock in its own."""
    for path in parent.glob(f"{prefix}*"):
        with contextlib.suppress(OSError), (path / _LOCK).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path, ignore_errors=True)


def _swap(made: Path, out: Path) -> None:
    """Put `made` in the place of `out`; what was there is afterwards at `made`."""
    if not out.exists():
        made.rename(out)
    elif not _exchanged(made, out):
        aside = made.with_name("old")
        out.rename(aside)
        try:
            made.rename(out)
        except OSError:
            aside.rename(out)
            raise


def _exchanged(one: Path, other: Path) -> bool:
    """Exchange two folders in one step; False where the system cannot (Linux can)."""
    exchange = getattr(ctypes.CDLL(None), "renameat2", None)
    if exchange is None:
        return False
    names = os.fsencode(one), os.fsencode(other)
    done: int = exchange(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _EXCHANGE)
    return done == 0
