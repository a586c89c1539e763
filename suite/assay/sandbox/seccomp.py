"""The system calls a method may not make, as a classic BPF program assembled here.

A deny list: torch, threads and loader workers need most of the kernel, and a list of what they
need would break with the next version of either. Denied is

    what reaches past the namespaces   keyrings, sockets other than AF_UNIX, performance counters;
                                       locks and watches on files that all runs can read
    what is left when a run ends       System V IPC, POSIX queues, extended attributes
    what reads or changes another      ptrace, process_vm_*; limits, priority, scheduling, affinity
    process
    what has been a way into the       io_uring, bpf, userfaultfd, new namespaces
    kernel
    what says which pages of a file    mincore, cachestat, RWF_NOWAIT, asynchronous reads; and what
    are in memory                      drops them

SIGCHLD cannot be ignored: the call answers 0 and does nothing. A child that nobody has to wait for
would take the record of its CPU time with it. clone3 answers ENOSYS: its flags lie behind a pointer
that no filter can read, and the C library then falls back on clone.

Numbers: Linux's arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h;
instructions: linux/bpf_common.h, linux/seccomp.h, linux/audit.h.
"""

from __future__ import annotations

import errno
import platform
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN, AND = 0x20, 0x15, 0x35, 0x45, 0x06, 0x54
ALLOW, ERRNO, KILL_PROCESS = 0x7FFF0000, 0x00050000, 0x80000000
NUMBER_AT, ARCH_AT, ARGUMENTS_AT = 0, 4, 16
"""Offsets in struct seccomp_data; arguments are 8 bytes each, low half first."""

X32_BIT = 0x40000000
AF_UNIX = 1
TIOCSTI, TIOCLINUX = 0x5412, 0x541C
"""Put characters into a terminal's input, which a shell would read after the run."""
LOCKS = (5, 6, 7, 36, 37, 38, 1024, 1025, 1026)
"""F_GETLK, F_SETLK, F_SETLKW, the same for open file descriptions, F_SETLEASE, F_GETLEASE, and
F_NOTIFY, which tells that others read a folder."""
SIGCHLD = 17
ONE_PROCESS, ONE_IO_PROCESS = 0, 1
"""PRIO_PROCESS of setpriority, IOPRIO_WHO_PROCESS of ioprio_set; not a group, not a user."""
DROP_PAGES = 4
"""POSIX_FADV_DONTNEED."""
UNCACHED = 0x88
"""RWF_NOWAIT, which fails where a page is not in memory, and RWF_DONTCACHE."""
NEW_NAMESPACES = 0x02000000 | 0x00020000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 \
    | 0x40000000 | 0x00000080  # fmt: skip
"""CLONE_NEWCGROUP, NS, UTS, IPC, USER, PID, NET, TIME."""

_NEW = {  # numbers that all architectures share
    "pidfd_getfd": 438, "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427,
    "open_tree": 428, "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432,
    "fspick": 433, "clone3": 435, "process_madvise": 440, "mount_setattr": 442,
    "quotactl_fd": 443, "memfd_secret": 447, "process_mrelease": 448, "open_tree_attr": 467,
    "cachestat": 451, "setxattrat": 463, "removexattrat": 466,
}  # fmt: skip
_X86_64 = {
    "fcntl": 72, "flock": 73,
    "socket": 41, "clone": 56, "ioctl": 16, "ptrace": 101, "personality": 135, "ustat": 136,
    "pivot_root": 155, "chroot": 161, "acct": 163, "settimeofday": 164, "mount": 165,
    "umount2": 166, "swapon": 167, "swapoff": 168, "reboot": 169, "sethostname": 170,
    "setdomainname": 171, "iopl": 172, "ioperm": 173, "init_module": 175, "delete_module": 176,
    "quotactl": 179, "modify_ldt": 154, "uselib": 134, "syslog": 103, "vhangup": 153,
    "lookup_dcookie": 212, "clock_settime": 227, "clock_adjtime": 305, "adjtimex": 159,
    "mq_open": 240, "mq_unlink": 241, "kexec_load": 246, "add_key": 248, "request_key": 249,
    "keyctl": 250, "migrate_pages": 256, "unshare": 272, "move_pages": 279,
    "perf_event_open": 298, "fanotify_init": 300, "fanotify_mark": 301, "name_to_handle_at": 303,
    "open_by_handle_at": 304, "setns": 308, "process_vm_readv": 310, "process_vm_writev": 311,
    "kcmp": 312, "finit_module": 313, "kexec_file_load": 320, "bpf": 321, "userfaultfd": 323,
    "shmget": 29, "shmat": 30, "shmctl": 31, "semget": 64, "semop": 65, "semctl": 66,
    "msgget": 68, "msgsnd": 69, "msgrcv": 70, "msgctl": 71, "semtimedop": 220,
    "rt_sigaction": 13, "prlimit64": 302, "setpriority": 141, "ioprio_set": 251,
    "sched_setaffinity": 203, "sched_setscheduler": 144, "sched_setparam": 142,
    "sched_setattr": 314, "setxattr": 188, "lsetxattr": 189, "fsetxattr": 190,
    "removexattr": 197, "lremovexattr": 198, "fremovexattr": 199, "mincore": 27,
    "fadvise64": 221, "preadv2": 327, "io_setup": 206, "io_submit": 209,
    "inotify_add_watch": 254, "inotify_init": 253, "inotify_init1": 294,
    **_NEW,
}  # fmt: skip
_AARCH64 = {
    "fcntl": 25, "flock": 32,
    "socket": 198, "clone": 220, "ioctl": 29, "ptrace": 117, "personality": 92,
    "pivot_root": 41, "chroot": 51, "acct": 89, "settimeofday": 170, "mount": 40, "umount2": 39,
    "swapon": 224, "swapoff": 225, "reboot": 142, "sethostname": 161, "setdomainname": 162,
    "init_module": 105, "delete_module": 106, "quotactl": 60, "syslog": 116, "vhangup": 58,
    "lookup_dcookie": 18, "clock_settime": 112, "clock_adjtime": 266, "adjtimex": 171,
    "mq_open": 180, "mq_unlink": 181, "kexec_load": 104, "add_key": 217, "request_key": 218,
    "keyctl": 219, "migrate_pages": 238, "unshare": 97, "move_pages": 239,
    "perf_event_open": 241, "fanotify_init": 262, "fanotify_mark": 263, "name_to_handle_at": 264,
    "open_by_handle_at": 265, "setns": 268, "process_vm_readv": 270, "process_vm_writev": 271,
    "kcmp": 272, "finit_module": 273, "kexec_file_load": 294, "bpf": 280, "userfaultfd": 282,
    "shmget": 194, "shmctl": 195, "shmat": 196, "semget": 190, "semctl": 191, "semtimedop": 192,
    "semop": 193, "msgget": 186, "msgctl": 187, "msgrcv": 188, "msgsnd": 189,
    "rt_sigaction": 134, "prlimit64": 261, "setpriority": 140, "ioprio_set": 30,
    "sched_setaffinity": 122, "sched_setscheduler": 119, "sched_setparam": 118,
    "sched_setattr": 274, "setxattr": 5, "lsetxattr": 6, "fsetxattr": 7,
    "removexattr": 14, "lremovexattr": 15, "fremovexattr": 16, "mincore": 232,
    "fadvise64": 223, "preadv2": 286, "io_setup": 0, "io_submit": 2,
    "inotify_add_watch": 27, "inotify_init1": 26,
    **_NEW,
}  # fmt: skip


@dataclass(frozen=True)
class Architecture:
    """Numbers of system calls on one architecture."""

    audit: int
    """AUDIT_ARCH_*, which the kernel passes to the filter with every call."""
    numbers: Mapping[str, int]
    """By name of the system call."""
    x32: bool = False


MACHINES = {
    "x86_64": Architecture(0xC000003E, _X86_64, x32=True),
    "aarch64": Architecture(0xC00000B7, _AARCH64),
}

Instruction = tuple[int, int, int, int]
"""code, jump if true, jump if false, operand."""


@dataclass(frozen=True)
class _When:
    """Deny a call where the low half of argument `number` passes `test` against `operand`."""

    number: int
    test: int
    operand: int
    error: int
    unless: bool = False
    """Deny where the test fails instead."""


_OF_ANOTHER = (_When(0, EQUAL, 0, errno.EPERM, unless=True),)
"""Where argument 0 is a process: 0 is the caller."""

_CONDITIONAL: Mapping[str, Sequence[_When]] = {
    "socket": (_When(0, EQUAL, AF_UNIX, errno.EAFNOSUPPORT, unless=True),),
    "fcntl": tuple(_When(1, EQUAL, command, errno.EPERM) for command in LOCKS),
    "clone": (_When(0, ANY_BIT, NEW_NAMESPACES, errno.EPERM),),
    "ioctl": (
        _When(1, EQUAL, TIOCSTI, errno.EPERM),
        _When(1, EQUAL, TIOCLINUX, errno.EPERM),
    ),
    "personality": (_When(0, EQUAL, 0xFFFFFFFF, errno.EPERM, unless=True),),  # asking is allowed
    "rt_sigaction": (_When(0, EQUAL, SIGCHLD, 0),),
    "prlimit64": _OF_ANOTHER,
    "sched_setaffinity": _OF_ANOTHER,
    "sched_setscheduler": _OF_ANOTHER,
    "sched_setparam": _OF_ANOTHER,
    "sched_setattr": _OF_ANOTHER,
    "setpriority": (
        _When(0, EQUAL, ONE_PROCESS, errno.EPERM, unless=True),
        _When(1, EQUAL, 0, errno.EPERM, unless=True),
    ),
    "ioprio_set": (
        _When(0, EQUAL, ONE_IO_PROCESS, errno.EPERM, unless=True),
        _When(1, EQUAL, 0, errno.EPERM, unless=True),
    ),
    "fadvise64": (_When(3, EQUAL, DROP_PAGES, errno.EPERM),),
    "preadv2": (_When(5, ANY_BIT, UNCACHED, errno.EOPNOTSUPP),),
}
_ERRORS = {"clone3": errno.ENOSYS}


def supported() -> bool:
    """Whether there is a filter for this machine's architecture."""
    return platform.machine() in MACHINES


def program(machine: str | None = None) -> bytes:
    """The filter as `struct sock_filter[]`, for `bwrap --seccomp` and PR_SET_SECCOMP.

    Args:
        machine: as `platform.machine()` names it; by default this machine.

    Raises:
        KeyError: the machine is not one of MACHINES.
    """
    return b"".join(
        struct.pack("=HBBI", *instruction)
        for instruction in assemble(MACHINES[machine or platform.machine()])
    )


def assemble(machine: Architecture) -> list[Instruction]:
    """The filter's instructions: a short block for each call, with jumps only inside it."""
    code: list[Instruction] = [
        (LOAD, 0, 0, ARCH_AT),
        (EQUAL, 1, 0, machine.audit),
        (RETURN, 0, 0, KILL_PROCESS),  # another architecture's numbers would mean other calls
        (LOAD, 0, 0, NUMBER_AT),
    ]
    if machine.x32:
        code += [(AT_LEAST, 0, 1, X32_BIT), (RETURN, 0, 0, ERRNO | errno.ENOSYS)]
    for name, number in sorted(machine.numbers.items()):
        conditions = _CONDITIONAL.get(name)
        if conditions is None:
            denied = ERRNO | _ERRORS.get(name, errno.EPERM)
            code += [(EQUAL, 0, 1, number), (RETURN, 0, 0, denied)]
        else:
            code += _guarded(number, conditions)
    code.append((RETURN, 0, 0, ALLOW))
    return code


def _guarded(number: int, conditions: Sequence[_When]) -> list[Instruction]:
    body: list[Instruction] = []
    for when in conditions:
        jumps = (1, 0) if when.unless else (0, 1)
        body += [
            (LOAD, 0, 0, ARGUMENTS_AT + 8 * when.number),
            (when.test, *jumps, when.operand),
            (RETURN, 0, 0, ERRNO | when.error),
        ]
    body.append((RETURN, 0, 0, ALLOW))
    return [(EQUAL, 0, len(body), number), *body]
