"""How much of the machine a run may use.

Some limits the kernel enforces for each process (`apply`). Those on a whole run the worker watches
from outside (`Watch`), summed over all of the run's processes, so that forking gains nothing.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from assay.messages.form import Limit

MEBIBYTE, GIBIBYTE = 2**20, 2**30
POLL_SECONDS = 0.05
"""How long a run can be over a watched limit unnoticed."""


@dataclass(frozen=True)
class Limits:
    """Limits of one run; part of the sandbox profile, whose hash is in every record."""

    memory_bytes: int = 4 * GIBIBYTE
    """Beyond the worker's own libraries, 0.35 GiB, which each process that it forks counts again:
    ten loader workers fit. The largest run measured (CIFAR-10) takes 0.4 GiB."""
    disk_bytes: int = GIBIBYTE
    """Snapshots and temporary files together; the largest run measured writes 6 MiB."""
    file_bytes: int = 512 * MEBIBYTE
    n_files: int = 20_000
    """A run has three files; a method may write some of its own."""
    output_bytes: int = 16 * MEBIBYTE
    """What it prints."""
    n_processes: int = 64
    """Threads count, as they do for the kernel. Thread pools take a dozen."""
    n_open_files: int = 1024
    shared_memory_bytes: int = 256 * MEBIBYTE
    """Size of /dev/shm, through which loader workers pass batches."""
    cpu_share: float = 1.25
    """CPU seconds per wall second and thread that anything but a run may use: threads beside its
    own take a little."""
    cpu_slack_seconds: float = 5.0
    hang_factor: float = 10.0
    hang_slack_seconds: float = 60.0
    """A run hangs after `hang_factor` times the CPU seconds of its task and this much wall time.
    So much, because the time it waits for a core says nothing of the method: with ten busy
    processes a core it still spends its CPU seconds first."""


LIMITS = Limits()


class AwakeClock:
    """Seconds since it was made, without those in which this process was stopped.

    Somebody may suspend a command and all that it started, and a laptop may be closed: that is no
    time that a run has had. Whoever waits looks at this clock often.
    """

    MAX_PAUSE = 5.0
    """A longer time between two looks counts as this."""

    def __init__(self) -> None:
        self._counted, self._last = 0.0, time.monotonic()

    def seconds(self) -> float:
        """The seconds so far."""
        now = time.monotonic()
        self._counted += min(now - self._last, self.MAX_PAUSE)
        self._last = now
        return self._counted


def as_dict() -> dict[str, Any]:
    """The limits as plain data, for the profile's hash."""
    return asdict(LIMITS)


def cpu_seconds(wall_seconds: float, threads: int) -> float:
    """CPU seconds of a request that is not a run, with `threads` threads and `wall_seconds`."""
    return LIMITS.cpu_slack_seconds + LIMITS.cpu_share * threads * wall_seconds


def hang_seconds(task_seconds: float) -> float:
    """Wall time after which a run hangs whose task allows `task_seconds` of CPU time a thread."""
    return LIMITS.hang_slack_seconds + LIMITS.hang_factor * task_seconds


def allowed(limit: Limit, cpu_seconds: float) -> str:
    """How much a limit allows, in words; `cpu_seconds` is the limit on CPU time."""
    gibibytes = {
        "memory": LIMITS.memory_bytes,
        "disk": LIMITS.disk_bytes,
        "file size": LIMITS.file_bytes,
        "output": LIMITS.output_bytes,
    }
    if limit in gibibytes:
        return f"{gibibytes[limit] / GIBIBYTE:.3g} GiB"
    if limit == "files":
        return f"{LIMITS.n_files:,}"
    if limit == "processes":
        return f"{LIMITS.n_processes}, threads included"
    return f"{cpu_seconds:.3g} s"


_SYMPTOMS: tuple[tuple[str, Limit], ...] = (
    ("MemoryError", "memory"),
    ("not enough memory", "memory"),
    ("[Errno 12]", "memory"),
    ("[Errno 28]", "disk"),
    ("[Errno 27]", "file size"),
    ("[Errno 11]", "processes"),
    ("can't start new thread", "processes"),
)


def explained(message: str) -> str:
    """The error message of a failed run, with the limit that it may come from."""
    for symptom, limit in _SYMPTOMS:
        if symptom in message:
            return f"{message} (a run's limit on {limit} is {allowed(limit, 0)})"
    return message


def apply(*, own_namespace: bool, address_space: bool) -> None:
    """Set the limits of this process and of those that it starts.

    CPU time is left to `Watch`: under RLIMIT_CPU Linux updates a process's own CPU clock only
    every few milliseconds, and `assay check` times shorter pieces.

    Args:
        own_namespace: whether the kernel counts this run's processes apart from the user's others.
        address_space: whether to limit it; CUDA reserves more than any machine has.
    """
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    wanted = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: LIMITS.file_bytes,
        resource.RLIMIT_NOFILE: LIMITS.n_open_files,
    }
    if sys.platform == "linux":
        if own_namespace:
            # Twice what Watch allows: Watch says which limit it was, this stops a fork bomb.
            wanted[resource.RLIMIT_NPROC] = 2 * LIMITS.n_processes
        if address_space:
            n_pages = int(Path("/proc/self/statm").read_text().split()[0])
            wanted[resource.RLIMIT_AS] = n_pages * resource.getpagesize() + LIMITS.memory_bytes
    for kind, value in wanted.items():
        _, hard = resource.getrlimit(kind)
        allowed = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (allowed, allowed))


class Watch:
    """What all processes of a run use together, as the worker sees it from outside.

    No process of a run in bubblewrap or Landlock can end unseen: nothing there can be reaped but by
    waiting for it (seccomp), and what nobody waits for, the run's first process or the worker does.
    """

    def __init__(self, folder: Path, disk: int, *, cpu: float, first: int | None) -> None:
        """Begin to watch, before any process of the run has been waited for.

        Args:
            folder: what the run can write to, with its output in `run/output.log`.
            disk: descriptor of that folder.
            cpu: CPU seconds that it may use.
            first: the first process of its namespaces, if it has its own; then it has a file system
                of its own as well, and every other process in sight belongs to it.
        """
        self._folder, self._disk, self._cpu, self._first = folder, disk, cpu, first
        self._base_bytes = _resident(os.getpid()) if sys.platform == "linux" else 0
        self._before = _children_seconds()
        self._seen = 0.0

    def exceeded(self) -> Limit | None:
        """A limit that the run is over, or None."""
        return self._over_disk() or (self._over_processes() if sys.platform == "linux" else None)

    def cpu_seconds(self) -> float:
        """CPU seconds of all of the run's processes, once all have been waited for.

        What was seen before counts where the kernel had to end the run's first process.
        """
        return max(_children_seconds() - self._before, self._seen)

    def _over_disk(self) -> Limit | None:
        with contextlib.suppress(OSError):
            log = os.stat("run/output.log", dir_fd=self._disk, follow_symlinks=False)
            if log.st_size > LIMITS.output_bytes:
                return "output"
        n_bytes, n_files = self._used()
        if n_files > LIMITS.n_files:
            return "files"
        return "disk" if n_bytes > 0.98 * LIMITS.disk_bytes else None

    def _used(self) -> tuple[int, int]:
        """Bytes and files that the run has written.

        Where it has a file system of its own that knows; elsewhere the folder is walked through.
        """
        if self._first is not None:
            disk = os.statvfs(self._disk)
            return (disk.f_blocks - disk.f_bfree) * disk.f_frsize, disk.f_files - disk.f_ffree
        n_bytes = n_files = 0
        pending = [self._folder]
        while pending and n_files <= LIMITS.n_files:
            with contextlib.suppress(OSError), os.scandir(pending.pop()) as entries:
                for entry in entries:
                    n_files += 1
                    n_bytes += entry.stat(follow_symlinks=False).st_blocks * 512
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(Path(entry.path))
        return n_bytes, n_files

    def _over_processes(self) -> Limit | None:
        n_threads, resident, seconds = 0, 0, _children_seconds() - self._before
        for pid in self._processes():
            with contextlib.suppress(OSError, IndexError, ValueError):
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                seconds += sum(int(field) for field in fields[11:15]) / _TICKS
                if pid != self._first:
                    resident += _resident(pid)
                    n_threads += int(fields[17])
        self._seen = max(self._seen, seconds)
        if resident > self._base_bytes + LIMITS.memory_bytes:
            return "memory"
        if n_threads >= LIMITS.n_processes:
            return "processes"
        return "CPU time" if seconds > self._cpu else None

    def _processes(self) -> Iterable[int]:
        """The run's processes: all that the worker sees but itself, or its descendants."""
        if self._first is None:
            return _descendants(os.getpid())
        return (int(name) for name in os.listdir("/proc") if name.isdigit() and name != "1")


_TICKS = os.sysconf("SC_CLK_TCK")


def _children_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _resident(pid: int) -> int:
    """Resident bytes of a process, pages that it shares with others included."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()


def _descendants(pid: int) -> Iterator[int]:
    pending = [pid]
    while pending:
        folder = Path(f"/proc/{pending.pop()}/task")
        with contextlib.suppress(OSError):
            for task in os.listdir(folder):
                with contextlib.suppress(OSError):
                    words = (folder / task / "children").read_text().split()
                    pending += map(int, words)
                    yield from map(int, words)


def kill_all() -> None:
    """Send SIGKILL to every descendant of this process."""
    for pid in _descendants(os.getpid()):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def end_all() -> None:
    """Kill every descendant of this process and wait until none is left."""
    with contextlib.suppress(ChildProcessError):
        while True:
            kill_all()
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
            time.sleep(0.001)
