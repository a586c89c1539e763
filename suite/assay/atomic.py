"""Files that appear whole or not at all: written under a temporary name, then linked or renamed.

Some file systems (FAT, network and FUSE mounts) have no hard links, locks or `fsync`; what they
lack is done without. Modes follow the user's umask.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from assay.errors import StorageError

TEMPORARY = ".writing-"
"""How the names of unfinished files begin."""
_LACKING = {errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL}
"""What a file system answers that does not have what was asked."""
_NO_LINKS = _LACKING | {errno.EPERM}
_NO_LOCKS = _LACKING | {errno.ENOLCK}


def write_new(path: Path, data: bytes, *, mode: int = 0o666) -> bool:
    """Write a file that never changes again; folders above it are made.

    Args:
        path: where.
        data: what.
        mode: of the file; the umask takes from it.

    Returns:
        False if `path` exists already: that file stays as it is.

    Raises:
        OSError: it cannot be written; nothing is left behind.
    """
    with _written(path, data, mode) as temporary:
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            if os.path.lexists(path):
                return False
            temporary.rename(path)
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
        mode = temporary.stat().st_mode & 0o777
        yield temporary
        if temporary.stat().st_mode & 0o777 != mode:  # it was written by way of another file
            temporary.chmod(mode)
        temporary.replace(path)


@contextmanager
def temporary_file(folder: Path, mode: int = 0o666) -> Iterator[Path]:
    """A new empty file in `folder`, removed at the end unless it has been renamed.

    Raises:
        OSError: it cannot be made.
    """
    path = folder / f"{TEMPORARY}{secrets.token_hex(8)}"
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode))
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


@contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Hold the lock of a file, made if need be; the system frees it when the process is killed.

    Yields:
        False where the file system has no locks.

    Raises:
        BlockingIOError: another process holds it.
        OSError: the file cannot be written.
    """
    # No link is followed, as its target would be written; a pipe is an error, not waited for.
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    handle = os.open(path, flags, 0o666)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            yield False
        else:
            yield True
    finally:
        os.close(handle)


def storage_error(place: str | Path, error: OSError, elsewhere: str) -> StorageError:
    """The error to show a user when a file or folder cannot be written.

    Args:
        place: what cannot be written.
        error: why.
        elsewhere: how to choose another place, for one that cannot be used as it is.
    """
    reasons = {
        errno.ENOSPC: "the disk is full: free some space",
        errno.EDQUOT: "your quota of the disk is used up: free some space",
        errno.EROFS: f"it is read-only for you: {elsewhere}",
        errno.EACCES: f"it is read-only for you: {elsewhere}",
        errno.EPERM: f"the system does not permit it, whatever the mode says: {elsewhere}",
        errno.EEXIST: f"there is a file of this name: {elsewhere}",
        errno.ENOTDIR: f"a part of the path is a file: {elsewhere}",
        errno.ENAMETOOLONG: f"the path is too long: {elsewhere}",
        errno.ENXIO: f"a pipe or socket has its name: {elsewhere}",
        errno.ELOOP: f"a link has its name: {elsewhere}",
        errno.ENOSYS: f"the file system has no such operation: {elsewhere}",
        errno.ENOTSUP: f"the file system has no such operation: {elsewhere}",
    }
    reason = reasons.get(error.errno or 0, error.strerror or str(error))
    return StorageError(f"cannot write to {place}: {reason}")


@contextmanager
def _written(path: Path, data: bytes, mode: int = 0o666) -> Iterator[Path]:
    """A temporary file beside `path` that holds `data`, on disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with temporary_file(path.parent, mode) as temporary:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            sync(file.fileno())
        yield temporary


def sync(handle: int) -> None:
    """Wait until a file is on disk, on file systems that can tell."""
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _LACKING:
            raise
