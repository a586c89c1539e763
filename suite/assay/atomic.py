"""Files that appear whole or not at all: written under a temporary name, then linked or renamed."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from assay.errors import StorageError

TEMPORARY = ".writing-"
"""How the names of unfinished files begin."""
_MODE = 0o644


def write_new(path: Path, data: bytes) -> bool:
    """Write a file that never changes again; folders above it are made.

    Returns:
        False if `path` exists already: that file stays as it is.

    Raises:
        OSError: it cannot be written; nothing is left behind.
    """
    with _written(path, data) as temporary:
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
    return True


def write(path: Path, data: bytes) -> None:
    """Write a file, in place of an older one if there is one; folders above it are made.

    Raises:
        OSError: it cannot be written; an older file stays and nothing is left behind.
    """
    with _written(path, data) as temporary:
        temporary.replace(path)


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """A temporary file beside `path`, renamed to `path` if the block ends without an error.

    Raises:
        OSError: it cannot be made or renamed; nothing is left behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with temporary_file(path.parent) as temporary:
        yield temporary
        temporary.chmod(_MODE)
        temporary.replace(path)


@contextmanager
def temporary_file(folder: Path) -> Iterator[Path]:
    """A new empty file in `folder`, removed at the end unless it has been renamed.

    Raises:
        OSError: it cannot be made.
    """
    handle, name = tempfile.mkstemp(dir=folder, prefix=TEMPORARY)
    os.close(handle)
    path = Path(name)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def storage_error(place: str | Path, error: OSError, elsewhere: str) -> StorageError:
    """The error to show a user when a file or folder cannot be written.

    Args:
        place: what cannot be written.
        error: why.
        elsewhere: how to choose another place, for one that is read-only.
    """
    if error.errno == errno.ENOSPC:
        reason = "the disk is full: free some space"
    elif error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        reason = f"it is read-only for you: {elsewhere}"
    else:
        reason = error.strerror or str(error)
    return StorageError(f"cannot write to {place}: {reason}")


@contextmanager
def _written(path: Path, data: bytes) -> Iterator[Path]:
    """A temporary file beside `path` that holds `data`, on disk, readable for all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with temporary_file(path.parent) as temporary:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(_MODE)
        yield temporary
