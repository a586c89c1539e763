"""Checks the sandbox from inside, in every run, before any plugin is loaded.

Other programs make the sandbox. Their options may change with a version, or one may be forgotten;
so each run looks at what it can see and do, and ends where that is not as expected.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Facts = dict[str, Any]
Fact = bool | int | list[int] | list[str]

CAPABILITIES = ("Inh", "Prm", "Eff", "Bnd", "Amb")


def look(*, kept: int, own_namespace: bool) -> Facts:
    """What this process can see and do. Equal for all runs on a machine: no times, and process ids
    only in a namespace of its own.

    Args:
        kept: an open descriptor to leave out, the pipe to the worker.
        own_namespace: look at mounts, interfaces and the root folder too. Without a namespace
            these are the machine's and may change at any time.
    """
    status = _status()
    facts: Facts = {
        "descriptors": _descriptors(kept),
        "environment": _environment(),
        "users": sorted({os.getuid(), os.geteuid()}),
        "groups": sorted({os.getgid(), os.getegid(), *os.getgroups()}),
        "capabilities": [int(status.get(f"Cap{kind}", "0"), 16) for kind in CAPABILITIES],
        "effective_capabilities": int(status.get("CapEff", "0"), 16),
        "no_new_privileges": status.get("NoNewPrivs", "0") == "1",
        "seccomp": int(status.get("Seccomp", "0")),
        "sockets": [family for family in ("INET", "INET6", "NETLINK", "VSOCK") if _socket(family)],
        "parts_of_worker": _open_parts_of_worker(),
    }
    if own_namespace:
        facts["mounts"] = _mounts()
        facts["interfaces"] = _interfaces()
        facts["root"] = sorted(os.listdir("/"))
        facts["processes"] = [int(name) for name in os.listdir("/proc") if name.isdigit()]
        facts["shared_memory"] = os.listdir("/dev/shm")
        # The same path may name a folder of the worker's, which lies below the run's own.
        facts["own_folder"] = os.path.samestat(os.stat("."), os.stat(os.getcwd()))
    return facts


def deviations(facts: Facts, expected: Mapping[str, Fact]) -> list[str]:
    """What is not as it should be, one line each.

    Args:
        facts: what `look` saw.
        expected: values of some facts; beside them `writable`, the mount points that may be
            written to, and `mounted`, below which every mount point must lie.
    """
    wanted: dict[str, Any] = dict(expected)
    found = [
        f"the mount {point} can be written to"
        for point, _, mode in facts.get("mounts", ())
        if mode != "ro" and point not in wanted["writable"]
    ]
    found += [
        f"unexpected mount {point}"
        for point, _, _ in facts.get("mounts", ())
        if not any(_at_or_below(point, place) for place in ("/", *wanted["mounted"]))
    ]
    return found + [
        f"{name}: found {facts[name]!r:.300}, expected {value!r:.300}"
        for name, value in wanted.items()
        if name not in ("writable", "mounted") and facts[name] != value
    ]


def _at_or_below(point: str, place: str) -> bool:
    return point == place or (place != "/" and point.startswith(f"{place}/"))


def _status() -> dict[str, str]:
    with contextlib.suppress(OSError):
        lines = Path("/proc/self/status").read_text().splitlines()
        return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}
    return {}


def _descriptors(kept: int) -> list[int]:
    with contextlib.suppress(OSError):
        found = [int(name) for name in os.listdir("/proc/self/fd")]
        # The descriptor that listed the folder is closed by now.
        return sorted(fd for fd in found if fd != kept and _is_open(fd))
    return []


def _environment() -> list[str]:
    """Names of the variables that this process was started with, sorted."""
    try:
        block = Path("/proc/self/environ").read_bytes()
    except OSError:
        return sorted(os.environ)
    return sorted(part.partition(b"=")[0].decode() for part in block.split(b"\0") if part)


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def _mounts() -> list[list[str]]:
    """Of each mount: mount point, kind of file system, "ro" or "rw"."""
    found = []
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/mountinfo").read_text().splitlines():
            fields, _, rest = line.partition(" - ")
            parts = fields.split()
            found.append([parts[4], rest.split()[0], parts[5].split(",")[0]])
    return sorted(found)


def _interfaces() -> list[str]:
    with contextlib.suppress(OSError):
        lines = Path("/proc/self/net/dev").read_text().splitlines()[2:]
        return sorted(line.partition(":")[0].strip() for line in lines)
    return []


def _socket(family: str) -> bool:
    number = getattr(socket, f"AF_{family}", None)
    if number is None:
        return False
    try:
        socket.socket(number, socket.SOCK_DGRAM).close()
    except OSError:
        return False
    return True


def _open_parts_of_worker() -> list[str]:
    """Which parts of the parent process, the worker, this one can read."""
    parent, open_parts = Path("/proc") / str(os.getppid()), []
    if sys.platform != "linux":
        return []
    for part in ("mem", "environ", "maps"):
        with contextlib.suppress(OSError), (parent / part).open("rb"):
            open_parts.append(part)
    with contextlib.suppress(OSError):
        for name in os.listdir(parent / "fd"):
            os.readlink(parent / "fd" / name)
            open_parts.append("fd")
            break
    return open_parts
