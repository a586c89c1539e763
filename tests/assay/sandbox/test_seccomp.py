"""The filter says what its tables say: run through an interpreter of classic BPF."""

from __future__ import annotations

import errno
import fcntl
import struct

import pytest
from assay.sandbox import seccomp
from assay.sandbox.seccomp import MACHINES, Architecture
from hypothesis import given
from hypothesis import strategies as st

ALLOWED = ("read", "write", "openat", "mmap", "futex", "memfd_create", "socketpair", "execve")
ALLOWED_NUMBERS = {
    "x86_64": (0, 1, 257, 9, 202, 319, 53, 59),
    "aarch64": (63, 64, 56, 222, 98, 279, 199, 221),
}
OF_ANOTHER = (
    "prlimit64", "sched_setaffinity", "sched_setscheduler", "sched_setparam", "sched_setattr",
)  # fmt: skip
words = st.integers(0, 2**64 - 1)


def verdict(program: bytes, audit: int, number: int, arguments: tuple[int, ...] = ()) -> int:
    """What the kernel would do: the classic BPF of linux/filter.h on a struct seccomp_data."""
    padded = [*arguments, *[0] * (6 - len(arguments))]
    data = struct.pack("<IIQ6Q", number & 0xFFFFFFFF, audit, 0, *padded)
    code = list(struct.iter_unpack("=HBBI", program))
    at, accumulator = 0, 0
    for _ in range(len(code)):
        operation, if_true, if_false, operand = code[at]
        at += 1
        if operation == 0x20:
            (accumulator,) = struct.unpack_from("<I", data, operand)
        elif operation == 0x06:
            return operand
        else:
            holds = {
                0x15: accumulator == operand,
                0x35: accumulator >= operand,
                0x45: bool(accumulator & operand),
            }[operation]
            at += if_true if holds else if_false
    raise AssertionError("the program does not end")


def error(code: int) -> int:
    return 0x00050000 | code


@pytest.fixture(params=sorted(MACHINES))
def machine(request: pytest.FixtureRequest) -> tuple[str, Architecture, bytes]:
    return request.param, MACHINES[request.param], seccomp.program(request.param)


def test_every_listed_call_is_denied(machine: tuple[str, Architecture, bytes]) -> None:
    _, facts, program = machine
    for name, number in facts.numbers.items():
        arguments = {
            "socket": (2,), "clone": (0x10000000,), "ioctl": (0, 0x5412), "personality": (8,),
            "fcntl": (3, 6), "rt_sigaction": (17, 1), "setpriority": (0, 1), "ioprio_set": (1, 1),
            "fadvise64": (3, 0, 0, 4), "preadv2": (3, 0, 1, 0, 0, 8),
            **dict.fromkeys(OF_ANOTHER, (1,)),
        }.get(name, ())  # fmt: skip
        expected = {
            "clone3": errno.ENOSYS, "socket": errno.EAFNOSUPPORT, "rt_sigaction": 0,
            "preadv2": errno.EOPNOTSUPP,
        }.get(name, errno.EPERM)  # fmt: skip
        assert verdict(program, facts.audit, number, arguments) == error(expected), name


def test_ordinary_calls_are_allowed(machine: tuple[str, Architecture, bytes]) -> None:
    name, facts, program = machine
    for number in ALLOWED_NUMBERS[name]:
        assert verdict(program, facts.audit, number) == seccomp.ALLOW
    numbers = facts.numbers
    assert verdict(program, facts.audit, numbers["socket"], (1, 1)) == seccomp.ALLOW
    assert verdict(program, facts.audit, numbers["clone"], (0x003D0F00,)) == seccomp.ALLOW
    assert verdict(program, facts.audit, numbers["ioctl"], (1, 0x5401)) == seccomp.ALLOW
    assert verdict(program, facts.audit, numbers["personality"], (0xFFFFFFFF,)) == seccomp.ALLOW
    for command in (fcntl.F_DUPFD_CLOEXEC, fcntl.F_GETFD, fcntl.F_SETFD, fcntl.F_SETFL):
        assert verdict(program, facts.audit, numbers["fcntl"], (3, command)) == seccomp.ALLOW


def test_a_process_changes_itself_alone(machine: tuple[str, Architecture, bytes]) -> None:
    _, facts, program = machine
    for name in OF_ANOTHER:
        assert verdict(program, facts.audit, facts.numbers[name], (0, 9)) == seccomp.ALLOW
        assert verdict(program, facts.audit, facts.numbers[name], (2**32 - 1,)) == error(1)
    own = {"setpriority": (0, 0, 9), "ioprio_set": (1, 0, 9), "rt_sigaction": (2, 1)}
    groups = {"setpriority": ((1, 0), (2, 0)), "ioprio_set": ((2, 0), (3, 0))}
    for name, arguments in own.items():
        assert verdict(program, facts.audit, facts.numbers[name], arguments) == seccomp.ALLOW
        for whole in groups.get(name, ()):
            assert verdict(program, facts.audit, facts.numbers[name], whole) == error(1)


def test_no_lock_is_allowed(machine: tuple[str, Architecture, bytes]) -> None:
    _, facts, program = machine
    for command in (fcntl.F_GETLK, fcntl.F_SETLK, fcntl.F_SETLKW, fcntl.F_OFD_SETLK):
        found = verdict(program, facts.audit, facts.numbers["fcntl"], (3, command))
        assert found == error(errno.EPERM)


def test_the_high_half_of_an_argument_hides_nothing(
    machine: tuple[str, Architecture, bytes],
) -> None:
    """The kernel takes 32 bits of a family, of clone's flags and of ioctl's command."""
    _, facts, program = machine
    high = 0xDEADBEEF << 32
    for name, arguments in {
        "socket": (high | 2,), "ioctl": (0, high | 0x5412), "clone": (high | 0x10000000,),
    }.items():  # fmt: skip
        assert verdict(program, facts.audit, facts.numbers[name], arguments) != seccomp.ALLOW


@given(number=st.integers(0, 2**32 - 1), audit=st.sampled_from([0x40000003, 0x40000028, 0]))
def test_another_architecture_is_killed(number: int, audit: int) -> None:
    for name in MACHINES:
        assert verdict(seccomp.program(name), audit, number) == seccomp.KILL_PROCESS


@given(number=st.integers(0, 2**30 - 1))
def test_x32_is_refused(number: int) -> None:
    program = seccomp.program("x86_64")
    found = verdict(program, 0xC000003E, 0x40000000 | number)
    assert found == error(errno.ENOSYS)


@given(number=st.integers(0, 1023), arguments=st.tuples(words, words, words))
def test_a_call_is_denied_exactly_if_it_is_listed(number: int, arguments: tuple[int, ...]) -> None:
    for name, facts in MACHINES.items():
        found = verdict(seccomp.program(name), facts.audit, number, arguments)
        if number not in facts.numbers.values():
            assert found == seccomp.ALLOW
        else:
            assert found == seccomp.ALLOW or found >> 16 == 5


def test_numbers_are_this_machines() -> None:
    """Against the C library's own header, where it is installed."""
    headers = ["/usr/include/x86_64-linux-gnu/asm/unistd_64.h", "/usr/include/asm/unistd_64.h"]
    for header in headers:
        try:
            with open(header) as file:
                lines = [line.split() for line in file if line.startswith("#define __NR_")]
        except FileNotFoundError:
            continue
        known = {words[1].removeprefix("__NR_"): int(words[2]) for words in lines}
        ours = MACHINES["x86_64"].numbers
        assert {name: known[name] for name in ours if name in known} == {
            name: number for name, number in ours.items() if name in known
        }
        return
    pytest.skip("no kernel headers here")
