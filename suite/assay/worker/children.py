"""A worker's child from outside: started, waited for, ended with all that it started.

In bubblewrap a run has namespaces of its own (sandbox.namespaces). Their first process is a copy of
the worker that makes the mounts, forks the run, reaps, and in the end kills what is left. The run
can neither see the worker nor harm the first process: it can send it no signal, read none of its
memory, change none of its limits.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import select
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, Protocol

from assay.sandbox import limits, namespaces, privileges
from assay.sandbox.handover import empty

PR_SET_PDEATHSIG = 1
EVERY_CHILD = 0x40000000
"""__WALL of waitpid: children that were cloned to send another signal than SIGCHLD too."""
REAP_SECONDS = 0.2
END_SECONDS = 10.0
"""How long the first process may take to end a run; then the kernel ends both."""
START_SECONDS = 60.0
READY = b"ready"


@dataclass(frozen=True)
class Ending:
    """How a child ended."""

    code: int
    """Exit code; -n for signal n."""
    peak_bytes: int
    from_outside: bool = False
    """Whether something ended the first process of the run's namespaces, which only the machine or
    somebody outside can do."""


class Child(Protocol):
    """A started child of a worker."""

    pid: int
    """Whom to wait for: it ends after the run."""
    folder: Path
    """The folder that it can write to, as the child names it."""
    disk: int
    """Descriptor of that folder."""

    def end(self) -> Ending:
        """Kill what is left of the run and wait for all of it."""

    def clear(self) -> None:
        """Remove what it wrote."""


class PlainChild:
    """A child among the worker's own processes."""

    def __init__(self, out: Path, user: int | None, run: Callable[[], NoReturn]) -> None:
        """Fork.

        Args:
            out: the folder that it can write to.
            user: whom it becomes; its folders are given to that user.
            run: what the child does.
        """
        self.folder = out
        for name in namespaces.RUN_FOLDERS:
            (out / name).mkdir(exist_ok=True)
            if user is not None:
                os.chown(out / name, user, user)
        self.disk = os.open(out, os.O_RDONLY | os.O_DIRECTORY)
        worker = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            die_with_parent()
            if os.getppid() != worker:
                os._exit(1)
            run()

    def end(self) -> Ending:
        """See Child."""
        limits.kill_all()
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        _, status, usage = os.wait4(self.pid, 0)
        limits.end_all()
        return Ending(os.waitstatus_to_exitcode(status), usage.ru_maxrss * 1024)

    def clear(self) -> None:
        """See Child."""
        os.close(self.disk)
        empty(self.folder)
        self.folder.chmod(0o755)  # its mode and times would tell the next run of this one
        os.utime(self.folder, (0, 0))


class NestedChild:
    """A child in namespaces of its own, which die with it."""

    def __init__(
        self, out: Path, kept: Sequence[Path], home: int, run: Callable[[], NoReturn]
    ) -> None:
        """Fork, and wait until the namespaces are made.

        Args:
            out: the folder that it can write to.
            kept: folders below `out` that hold code.
            home: see namespaces.fork_as_first.
            run: what the child does.

        Raises:
            OSError: the namespaces could not be made.
        """
        self.folder = out
        self._control, theirs = socket.socketpair()
        self.pid = namespaces.fork_as_first(home)
        if self.pid == 0:
            be_first(theirs, out, kept, run)
        theirs.close()
        self._control.settimeout(START_SECONDS)
        try:
            said, handles, _, _ = socket.recv_fds(self._control, 1000, 1)
            if said != READY or not handles:
                raise OSError(said.decode(errors="replace") or "their first process died")
        except OSError:
            self._kill()
            self._control.close()
            raise
        self.disk = handles[0]

    def end(self) -> Ending:
        """See Child. If the first process has died, the run is taken as killed."""
        with contextlib.suppress(OSError):
            self._control.shutdown(socket.SHUT_WR)
        self._control.settimeout(END_SECONDS)
        said, has_died = b"", False
        try:
            said = self._control.recv(100)
            has_died = not said
        except OSError:
            pass
        regular = said.isdigit()
        usage = os.wait4(self.pid, 0)[2] if regular else self._kill()
        self._control.close()
        code = os.waitstatus_to_exitcode(int(said)) if regular else -signal.SIGKILL
        return Ending(code, usage.ru_maxrss * 1024, from_outside=has_died)

    def _kill(self) -> resource.struct_rusage:
        """End the first process, and with it all others; what it used, and those it waited for."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        return os.wait4(self.pid, 0)[2]

    def clear(self) -> None:
        """See Child. The file system goes with its last descriptor."""
        os.close(self.disk)


def die_with_parent() -> None:
    """Kill this process when its parent dies (Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def be_first(
    control: socket.socket, out: Path, kept: Sequence[Path], run: Callable[[], NoReturn]
) -> NoReturn:
    """The first process of a run's namespaces.

    Args:
        control: to the worker: first READY and a descriptor of `out`, or what is wrong; at the end
            the run's wait status. The worker closes its end to have the run ended.
        out: see NestedChild.
        kept: see NestedChild.
        run: what the run does, in a process of its own.
    """
    try:
        die_with_parent()
        for number in (signal.SIGINT, signal.SIGCHLD):
            signal.signal(
                number, signal.SIG_DFL
            )  # a first process never gets those it has none for
        privileges.set_dumpable(True)  # to write to its own /proc; the run is not there yet
        namespaces.mount_own(out, kept)
        privileges.set_dumpable(False)
        os.chdir(out)  # the old working folder is the worker's, and now out of sight
        disk = os.open(out, os.O_RDONLY | os.O_DIRECTORY)
        socket.send_fds(control, [READY], [disk])
        pid = os.fork()
        if pid == 0:
            run()
        # Of the others the worker must see the end when the run closes them.
        os.closerange(3, control.fileno())
        os.closerange(control.fileno() + 1, 65536)
        control.sendall(str(_status_of(pid, control)).encode())
    except BaseException as error:
        with contextlib.suppress(OSError):
            control.sendall(f"{type(error).__name__}: {error}".encode()[:1000])
    finally:
        os._exit(0)


def _status_of(run: int, control: socket.socket) -> int:
    """Wait until the run ends or the worker says so, and end all; the run's wait status."""
    status: int | None = None
    ended = os.pidfd_open(run)
    while status is None:
        ready, _, _ = select.select([control.fileno(), ended], [], [], REAP_SECONDS)
        status = _reaped(run)
        if control.fileno() in ready:
            break
    with contextlib.suppress(ChildProcessError):  # none is left
        while True:
            with contextlib.suppress(ProcessLookupError):
                os.kill(-1, signal.SIGKILL)  # all in the namespace but this process
            pid, found = os.waitpid(-1, EVERY_CHILD)
            status = found if pid == run else status
    assert status is not None
    return status


def _reaped(run: int) -> int | None:
    """Wait for some of the children that have ended; the status of `run` if it is among them."""
    with contextlib.suppress(ChildProcessError):
        for _ in range(limits.LIMITS.n_processes):
            pid, status = os.waitpid(-1, EVERY_CHILD | os.WNOHANG)
            if pid == run:
                return status
            if pid == 0:
                return None
    return None
