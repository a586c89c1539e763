"""A folder of files that appears whole: written beside its place, then put there in one step."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from assay.errors import AssayError, StorageError
from assay.identity import sha256
from assay.records.schema import Hash
from pydantic import Field

from assay_leaderboard.schema.values import Part

MARKER = ".assay-site"
"""Says that a folder is a site, and may be replaced by the next one."""
_MARK = '{"kind": "assay site", "schema_version": 1}\n'
_LOCK = ".lock"
_PLAIN = r"^[a-zA-Z0-9_][a-zA-Z0-9_.-]*(?:/[a-zA-Z0-9_][a-zA-Z0-9_.-]*)*$"
_AT_FDCWD, _EXCHANGE = -100, 2


State = dict[str, tuple[int, int]]
"""Size and time of the last change (ns) of each file of a folder, by path."""


class OutputFile(Part):
    """One file of the site."""

    path: Annotated[str, Field(pattern=_PLAIN)]
    """Relative to the site's folder, with slashes; plain, so that it never leads out of it."""
    n_bytes: int
    sha256: Hash


def write(root: Path, path: str, content: str | bytes) -> OutputFile:
    """Write one file below `root`, which must not be there yet.

    Raises:
        ValueError: `path` is not a plain relative path: a name from a record got into it.
        StorageError: it cannot be written.
    """
    data = content.encode() if isinstance(content, str) else content
    made = OutputFile(path=path, n_bytes=len(data), sha256=sha256(data))
    place = root / path
    try:
        try:
            file = place.open("xb")
        except FileNotFoundError:  # most folders hold many files: each is asked for once
            place.parent.mkdir(parents=True, exist_ok=True)
            file = place.open("xb")
        with file:
            file.write(data)
    except OSError as error:
        raise storage_error(place, error) from error
    return made


def described(root: Path, path: str) -> OutputFile:
    """A file below `root` that was written otherwise."""
    with (root / path).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return OutputFile(path=path, n_bytes=(root / path).stat().st_size, sha256=digest)


def state(folder: Path) -> State:
    """Of all that lies in a folder; nothing where there is none."""
    found: State = {}
    pending = [(str(folder), "")]
    try:
        while pending:
            place, path = pending.pop()
            with os.scandir(place) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        pending.append((entry.path, f"{path}{entry.name}/"))
                    else:
                        is_now = entry.stat(follow_symlinks=False)
                        found[path + entry.name] = is_now.st_size, is_now.st_mtime_ns
    except OSError:
        return {}
    return found


def storage_error(place: Path, error: OSError) -> StorageError:
    """What to tell the user about a site that cannot be written."""
    return StorageError(
        f"{place}: cannot be written: {error.strerror}; name another folder with --out"
    )


def check_replaceable(out: Path) -> None:
    """`out` must be free, empty, or a site.

    Raises:
        AssayError: it is something else, which a build would have deleted.
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
    """A new folder beside `out`; it takes the place of `out` if the block ends without an error.

    Raises:
        AssayError: `out` is not the build's to replace.
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
        with (staging / _LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
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
    """Remove what killed builds left; one that is still at work holds its lock."""
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
