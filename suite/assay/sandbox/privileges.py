"""What a process gives up before it loads a plugin: its user, capabilities and system calls.

Source: man pages capabilities(7), prctl(2), seccomp(2).
"""

from __future__ import annotations

import ctypes
import os
import struct

PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP = 4, 38, 22
PR_CAPBSET_READ, PR_CAPBSET_DROP = 23, 24
SECCOMP_MODE_FILTER = 2
CAPABILITY_VERSION_3 = 0x20080522
CAP_SYS_ADMIN = 21


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def become(user: int) -> None:
    """Become the user and the group `user`, with no other groups and no rights; root alone can.

    Raises:
        OSError: the kernel refused.
    """
    _drop_bounding_set()  # which takes root's rights
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)


def can_mount() -> bool:
    """Whether this process may make mounts of its own: root with its full rights."""
    libc, found = _libc(), (ctypes.c_uint32 * 6)()
    header = struct.pack("=Ii", CAPABILITY_VERSION_3, 0)
    return libc.capget(header, found) == 0 and bool(found[0] & 1 << CAP_SYS_ADMIN)


def set_dumpable(dumpable: bool) -> None:
    """Whether others of this process's user may read its memory and descriptors."""
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, int(dumpable), 0, 0, 0)


def no_new_privileges() -> None:
    """Keep set-uid programs that are started from here from gaining rights.

    Raises:
        OSError: the kernel refused.
    """
    _checked(_libc().prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))


def drop_capabilities() -> None:
    """Give up all capabilities, and the bounding set where this process may change it.

    Raises:
        OSError: the kernel refused.
    """
    _drop_bounding_set()
    _checked(_libc().capset(struct.pack("=Ii", CAPABILITY_VERSION_3, 0), bytes(24)))


def _drop_bounding_set() -> None:
    libc, number = _libc(), 0
    while (bounded := libc.prctl(PR_CAPBSET_READ, number, 0, 0, 0)) >= 0:
        if bounded:
            libc.prctl(PR_CAPBSET_DROP, number, 0, 0, 0)
        number += 1


def filter_calls(program: bytes) -> None:
    """Install a seccomp filter (assay.sandbox.seccomp.program) for this process and its children.

    Raises:
        OSError: the kernel refused.
    """
    no_new_privileges()
    given = _Program(len(program) // 8, program)
    _checked(_libc().prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(given), 0, 0))


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _checked(result: int) -> None:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{os.strerror(code)} (privileges or seccomp)")
