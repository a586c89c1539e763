"""Landlock through ctypes: which files a process and its children may use, irrevocably.

Used where bubblewrap is missing. It gives no namespaces: other processes stay visible (not their
memory), and before ABI 6 they can be sent signals. Needs ABI 4 (Linux 6.7), which also denies
TCP; other sockets are denied by seccomp. Source: linux/landlock.h, Documentation/userspace-api/
landlock.rst.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from assay.sandbox.privileges import no_new_privileges

MIN_ABI = 4
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
ABI_VERSION, PATH_BENEATH = 1, 1

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
TRUNCATE, IOCTL_DEV = 1 << 14, 1 << 15
ALL_OF_ABI_4 = (1 << 15) - 1
NETWORK = 0b11
"""Bind and connect of TCP."""
SCOPES = 0b11
"""Abstract UNIX sockets and signals, from ABI 6 on."""
OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
READ = EXECUTE | READ_FILE | READ_DIR


class _Ruleset(ctypes.Structure):
    _fields_ = (
        ("handled_access_fs", ctypes.c_uint64),
        ("handled_access_net", ctypes.c_uint64),
        ("scoped", ctypes.c_uint64),
    )


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


def abi() -> int:
    """The kernel's Landlock version; 0 where there is none."""
    if sys.platform != "linux":
        return 0
    return max(0, int(_libc().syscall(CREATE_RULESET, None, ctypes.c_size_t(0), ABI_VERSION)))


def ruleset(
    *, readable: Iterable[Path], writable: Iterable[Path], masked: Iterable[Path] = ()
) -> int:
    """Rules that allow reading and writing some files and no others.

    Paths that do not exist are passed over.

    Args:
        readable: files, and folders with all below them, that may be read.
        writable: the same for writing.
        masked: folders below `readable` that may be listed, but no file in them read.

    Returns:
        A descriptor of the rules, for `enter`.

    Raises:
        OSError: the kernel refused.
    """
    handled = ALL_OF_ABI_4 | (IOCTL_DEV if abi() >= 5 else 0)
    attributes = _Ruleset(handled, NETWORK, SCOPES if abi() >= 6 else 0)
    size = ctypes.sizeof(attributes) if abi() >= 6 else 16
    rules = _checked(
        _libc().syscall(CREATE_RULESET, ctypes.byref(attributes), ctypes.c_size_t(size), 0)
    )
    hidden = [path.resolve() for path in masked]
    for path in readable:
        for part, access in _around(path.resolve(), hidden):
            _allow(rules, part, access & handled)
    for path in writable:
        _allow(rules, path, handled)
    return rules


def enter(rules: int) -> None:
    """Restrict this process and its children to the rules of `ruleset`, irrevocably.

    Raises:
        OSError: the kernel refused.
    """
    no_new_privileges()
    _checked(_libc().syscall(RESTRICT_SELF, rules, 0))


def _around(path: Path, hidden: list[Path]) -> Iterator[tuple[Path, int]]:
    """Paths, with rights, that together allow reading below `path` but nothing below `hidden`.

    A rule can only add rights, so the folders above a hidden one are opened entry by entry.
    """
    if path in hidden:
        return
    if not any(other.is_relative_to(path) for other in hidden):
        yield path, READ
        return
    yield path, READ_DIR
    for child in path.iterdir():
        yield from _around(child, hidden)


def _allow(rules: int, path: Path, access: int) -> None:
    try:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        rule = _PathBeneath(access if path.is_dir() else access & OF_FILES, handle)
        _checked(_libc().syscall(ADD_RULE, rules, PATH_BENEATH, ctypes.byref(rule), 0))
    finally:
        os.close(handle)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _checked(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{os.strerror(code)} (Landlock)")
    return result
