"""What a run left in the one folder it could write to: copied out, then cleared away.

That folder may hold anything: links, pipes, sparse files, folders without rights or nested a
million deep.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import stat
from pathlib import Path

from assay.sandbox.limits import LIMITS

PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
MAX_DEPTH = 3
"""Our own files lie at most as deep as `shared/<family>/<file>`."""


def hand_over(disk: int, name: str, results: int) -> None:
    """Copy regular files with plain names from a folder that a run wrote.

    Anything else is passed over, and so is what exceeds a run's disk limit.

    Args:
        disk: descriptor of the folder that it could write to.
        name: of the folder in there to copy.
        results: descriptor of the folder to copy to.
    """
    with contextlib.suppress(OSError):
        source = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=disk)
        try:
            _copy_folder(source, results, LIMITS.disk_bytes, MAX_DEPTH)
        finally:
            os.close(source)


def _copy_folder(source: int, target: int, budget: int, depth: int) -> int:
    """Copy from one open folder to another; how much of `budget` (bytes) is left."""
    for name in os.listdir(source):
        if not PLAIN_NAME.fullmatch(name):
            continue
        with contextlib.suppress(OSError):
            kind = os.stat(name, dir_fd=source, follow_symlinks=False).st_mode
            if stat.S_ISREG(kind):
                budget -= _copy_file(name, source, target, budget)
            elif stat.S_ISDIR(kind) and depth > 1:
                os.mkdir(name, dir_fd=target)
                flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
                inner, outer = (os.open(name, flags, dir_fd=fd) for fd in (source, target))
                try:
                    budget = _copy_folder(inner, outer, budget, depth - 1)
                finally:
                    os.close(inner)
                    os.close(outer)
    return budget


def _copy_file(name: str, source: int, target: int, budget: int) -> int:
    """Copy one file unless it is larger than `budget` (bytes); how many bytes were copied."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
    read = os.open(name, flags, dir_fd=source)
    try:
        facts = os.fstat(read)
        if not stat.S_ISREG(facts.st_mode) or facts.st_size > budget:
            return 0
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        written = os.open(name, flags, 0o644, dir_fd=target)
        try:
            n_copied = 0
            while n := os.sendfile(written, read, n_copied, 1 << 30):
                n_copied += n
        finally:
            os.close(written)
        return n_copied
    finally:
        os.close(read)


def empty(folder: Path) -> None:
    """Remove everything in `folder`.

    What a folder holds is moved up before it is removed, so no path gets too long however deep the
    tree is. Other file systems mounted in it stay: a run can only read them.

    Raises:
        OSError: something could not be removed; the folder may not be used again.
    """
    number, unique = 0, secrets.token_hex(8)  # no run can guess the names that are used here
    own = folder.lstat().st_dev
    while names := [
        entry.name
        for entry in os.scandir(folder)
        if entry.stat(follow_symlinks=False).st_dev == own
    ]:
        for name in names:
            path = folder / name
            if not stat.S_ISDIR(path.lstat().st_mode):
                path.unlink()
                continue
            path.chmod(0o700)
            for inner in os.listdir(path):
                number += 1
                if stat.S_ISDIR((path / inner).lstat().st_mode):
                    (path / inner).chmod(0o700)  # to move a folder takes the right to write to it
                (path / inner).rename(folder / f"{unique}-{number}")
            path.rmdir()
