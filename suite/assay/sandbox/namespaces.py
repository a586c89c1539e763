"""The namespaces of one run: its processes, mounts and IPC, made for it and gone with it.

Whatever a run could leave for the next lies in one of them: extended attributes, modes and times
of files, shared memory, process ids, limits of the first process. A worker in bubblewrap keeps two
capabilities over its own user namespace to make them. The run drops both before it loads a plugin.

Source: man pages namespaces(7), pid_namespaces(7), mount_namespaces(7), tmpfs(5), proc(5);
numbers from linux/sched.h and linux/mount.h.
"""

from __future__ import annotations

import ctypes
import os
import stat
import tempfile
from collections.abc import Iterable
from pathlib import Path

from assay.sandbox.limits import LIMITS

NEW_MOUNTS, NEW_IPC, NEW_PROCESSES = 0x00020000, 0x08000000, 0x20000000
READ_ONLY, NO_SETUID, NO_DEVICES, NO_PROGRAMS = 1, 2, 4, 8
REMOUNT, BIND, MOVE, RECURSIVE, PRIVATE = 32, 4096, 8192, 16384, 1 << 18
PLAIN = NO_SETUID | NO_DEVICES

SHARED_MEMORY, PROC = Path("/dev/shm"), Path("/proc")
DEVICES = tuple(Path("/dev") / name for name in ("full", "null", "random", "urandom", "zero"))
RUN_FOLDERS = ("run", "tmp")
"""What a run finds in its writable folder: the place of its results, and one for the rest."""
DISK = f"size={LIMITS.disk_bytes},nr_inodes={4 * LIMITS.n_files},mode=755"
MEMORY = f"size={LIMITS.shared_memory_bytes},mode=755"
PROCESSES = "subset=pid"
"""Of /proc processes alone: the rest counts what all runs on the machine do."""
FIRST_TO_DIE = "1000"
"""For oom_score_adj: where memory runs out, a run is ended and not its worker."""


def here() -> int:
    """A descriptor of this process's PID namespace, for `fork_as_first`."""
    return os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)


def fork_as_first(home: int) -> int:
    """Fork a child that is process 1 of a new PID namespace; returns as os.fork does.

    Args:
        home: from `here`; the namespace of children forked later.

    Raises:
        OSError: the kernel refused.
    """
    _call("unshare", NEW_PROCESSES)
    pid = -1
    try:
        pid = os.fork()
    finally:
        if pid:
            _call("setns", home, NEW_PROCESSES)
    return pid


def mount_own(out: Path, kept: Iterable[Path]) -> None:
    """Give this process its own mounts and IPC: nothing in them is left of another run.

    Args:
        out: where the run's own file system goes.
        kept: folders directly below `out` that stay visible in it.

    Raises:
        OSError: the kernel refused.
    """
    _call("unshare", NEW_MOUNTS | NEW_IPC)
    _mount(None, Path("/"), RECURSIVE | PRIVATE)
    # Built elsewhere and moved, as it covers the folders to keep.
    _mount("tmpfs", SHARED_MEMORY, PLAIN, DISK)
    for folder in kept:
        (SHARED_MEMORY / folder.name).mkdir()
        _mount(str(folder), SHARED_MEMORY / folder.name, BIND | RECURSIVE)
    for name in RUN_FOLDERS:
        (SHARED_MEMORY / name).mkdir()
    _mount(str(SHARED_MEMORY), out, MOVE)
    _mount("tmpfs", SHARED_MEMORY, PLAIN, MEMORY)
    _mount("proc", PROC, PLAIN | NO_PROGRAMS, PROCESSES)
    (PROC / "self" / "oom_score_adj").write_text(FIRST_TO_DIE)
    _mount(None, PROC, REMOUNT | BIND | READ_ONLY | PLAIN | NO_PROGRAMS)
    for device in DEVICES:  # everybody may write to them, which sets their times
        _mount(None, device, REMOUNT | BIND | READ_ONLY | NO_SETUID | NO_PROGRAMS)


def blocked(paths: Iterable[Path]) -> dict[Path, list[Path]]:
    """Which paths other users cannot get to, by the topmost folder that keeps them out."""
    found: dict[Path, list[Path]] = {}
    for path in paths:
        for part in (*reversed(path.absolute().parents), path.absolute()):
            needed = stat.S_IXOTH if part.is_dir() else stat.S_IROTH
            if not part.is_symlink() and not part.stat().st_mode & needed:
                found.setdefault(part, []).append(path)
                break
    return found


def open_to_all(paths: Iterable[Path]) -> None:
    """Let other users get to `paths`, for this process and its children alone.

    In mounts of its own, each folder that keeps others out is replaced by one that holds nothing
    but those of the paths that lie below it. Files keep their own rights.

    Raises:
        OSError: the kernel refused.
    """
    if not (groups := blocked(paths)):
        return
    _call("unshare", NEW_MOUNTS)
    _mount(None, Path("/"), RECURSIVE | PRIVATE)
    for closed, inside in groups.items():
        with tempfile.TemporaryDirectory() as name:
            _mount("tmpfs", Path(name), PLAIN, "size=64k,mode=755")
            for path in inside:
                place = Path(name) / path.relative_to(closed)
                place.parent.mkdir(parents=True, exist_ok=True)
                if path.is_symlink():
                    place.symlink_to(path.readlink())
                    continue
                place.mkdir() if path.is_dir() else place.touch()
                _mount(str(path), place, BIND | RECURSIVE)
            _mount(name, closed, MOVE)


def profile() -> list[str]:
    """What `mount_own` makes, for the profile's hash."""
    return ["pid", "mount", "ipc", DISK, MEMORY, PROCESSES, *map(str, DEVICES)]


def _mount(source: str | None, target: Path, flags: int, data: str = "") -> None:
    """mount(2); a `source` that is no path is the kind of file system."""
    name = None if source is None else source.encode()
    _call("mount", name, bytes(target), name, ctypes.c_ulong(flags), data.encode())


def _call(name: str, *arguments: object) -> None:
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments) < 0:
        code = ctypes.get_errno()
        shown = ", ".join(str(part) for part in arguments if isinstance(part, bytes))
        raise OSError(code, f"{os.strerror(code)} ({name} {shown})")
