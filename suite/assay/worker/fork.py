"""One forked child of a worker: started, watched, stopped at a limit, measured and cleared away.

What the child does with a plugin is in worker.plugin_host.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from assay.identity import sha256
from assay.messages.form import ORACLE, Limit
from assay.messages.worker import Ended, Run, WorkerRequest
from assay.records.schema import Mechanism
from assay.sandbox import landlock, limits, privileges, seccomp, self_check
from assay.sandbox.handover import hand_over
from assay.sandbox.limits import AwakeClock, Watch
from assay.worker.children import Child, NestedChild, PlainChild
from assay.worker.plugin_host import answer

PR_SET_CHILD_SUBREAPER = 36
DEVIATES = 97
"""Exit code of a child that found its sandbox other than it should be and loaded no plugin."""
KEPT = 3
"""Descriptor of the pipe to the worker; the child closes it before it loads a plugin."""
ORACLE_SECONDS = 20.0
"""How long to wait for the oracle to accept."""


@dataclass(frozen=True)
class WorkerSetup:
    """The worker's sandbox, and the folders in it."""

    mechanism: Mechanism
    out: Path
    """What a run may write to."""
    results: int
    """Descriptor of the folder for what a run left."""
    expected: Mapping[str, self_check.Fact]
    """What a child must find (self_check.deviations)."""
    user: int | None = None
    """Whom a child becomes, where root started the worker and no bubblewrap does that."""
    rules: int | None = None
    """Descriptor of the Landlock rules that a child enters."""
    kept: Sequence[Path] = ()
    """Folders below `out` that hold code."""
    home: int | None = None
    """Descriptor of the worker's PID namespace, where each run has namespaces of its own."""

    @property
    def folder(self) -> Path:
        """The current run's folder."""
        return self.out / "run"

    def facts_of(self, request: WorkerRequest) -> Mapping[str, self_check.Fact]:
        """What a child that does `request` must find."""
        if _oracle(request) is None:
            return self.expected
        return {**self.expected, "descriptors": [0, 1, 2, ORACLE]}


def close_to_children() -> None:
    """Keep children out of this process, though they have its user, and become their reaper."""
    if sys.platform == "linux":
        privileges.set_dumpable(False)
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def run_in_child(request: WorkerRequest, setup: WorkerSetup) -> Ended:
    """Do a request in a child; how it ended and what it used, measured from outside."""
    clock = AwakeClock()
    saw, child_end = os.pipe()
    try:
        child = _started(request, setup, child_end)
    except OSError as error:
        os.close(saw)
        return _not_started(error)
    finally:
        os.close(child_end)
    first = None if setup.home is None else child.pid
    watch = Watch(child.folder, child.disk, cpu=_cpu_seconds(request), first=first)
    try:
        facts = _read_facts(saw, clock, request.seconds)
        limit = _supervise(child.pid, watch, clock, request.seconds)
    finally:
        os.close(saw)
        ending = child.end()
    ended = Ended(
        limit=limit or _limit_of_signal(ending.code),
        exit=ending.code,
        killed_from_outside=ending.from_outside,
        wall_seconds=clock.seconds(),
        cpu_seconds=watch.cpu_seconds(),
        peak_bytes=ending.peak_bytes,
        probe_hash=None if facts is None else sha256(json.dumps(facts, sort_keys=True)),
        # A child whose first process dies while it looks around sees a dead parent.
        deviations=[]
        if facts is None or ending.from_outside
        else self_check.deviations(facts, setup.facts_of(request)),
    )
    hand_over(child.disk, setup.folder.name, setup.results)
    child.clear()
    return ended


def _started(request: WorkerRequest, setup: WorkerSetup, child_end: int) -> Child:
    def run() -> NoReturn:
        _child(request, setup, child_end)

    if setup.home is None:
        return PlainChild(setup.out, setup.user, run)
    return NestedChild(setup.out, setup.kept, setup.home, run)


def _not_started(error: OSError) -> Ended:
    """The answer where a run's namespaces could not be made."""
    problem = f"a run can have no namespaces of its own: {error}"
    return Ended(
        limit=None,
        exit=DEVIATES,
        wall_seconds=0.0,
        cpu_seconds=0.0,
        peak_bytes=0,
        probe_hash=None,
        deviations=[problem],
    )


def _cpu_seconds(request: WorkerRequest) -> float:
    """CPU seconds that all processes of the child may use together."""
    if isinstance(request, Run):
        return request.cpu_seconds
    return limits.cpu_seconds(request.seconds, int(os.environ["OMP_NUM_THREADS"]))


def _read_facts(saw: int, clock: AwakeClock, seconds: float) -> self_check.Facts | None:
    """What the child saw of its sandbox; None if it ended before it had looked."""
    text = b""
    while (left := seconds - clock.seconds()) > 0:
        if select.select([saw], [], [], min(left, limits.POLL_SECONDS))[0]:
            part = os.read(saw, 65536)
            text += part
            if not part:
                break
    try:
        facts: self_check.Facts = json.loads(text)
    except ValueError:
        return None
    return facts


def _supervise(pid: int, watch: Watch, clock: AwakeClock, seconds: float) -> Limit | None:
    """Wait until the child ends or a limit is reached; exit if the supervisor is gone.

    `seconds` are those that it has on the clock.
    """
    ended = os.pidfd_open(pid) if sys.platform == "linux" else None
    try:
        while True:
            left = seconds - clock.seconds()
            if left <= 0:
                return "wall time"
            waited = [sys.stdin] if ended is None else [sys.stdin, ended]
            ready, _, _ = select.select(waited, [], [], min(left, limits.POLL_SECONDS))
            # There is one request at a time, so this is the end of the supervisor.
            if sys.stdin in ready:
                limits.end_all()
                os._exit(0)
            if limit := watch.exceeded():
                return limit
            if ended in ready or _has_ended(pid):
                return None
    finally:
        if ended is not None:
            os.close(ended)


def _has_ended(pid: int) -> bool:
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _limit_of_signal(code: int) -> Limit | None:
    """The limit that the kernel enforces by signal -`code`."""
    return "file size" if code == -signal.SIGXFSZ else None


def _child(request: WorkerRequest, setup: WorkerSetup, saw: int) -> NoReturn:
    """The forked process: enter the sandbox, look around, do the request, leave outcome.json."""
    code = 1
    try:
        if _entered(request, setup, saw):
            _do(request, setup.folder)
            code = 0
        else:
            code = DEVIATES
    except BaseException as error:  # the log is the only place left for it
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _do(request: WorkerRequest, folder: Path) -> None:
    if request.visible_gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = request.visible_gpu
    outcome = answer(request, folder)
    partial = folder / "outcome.partial"
    partial.write_bytes(outcome.model_dump_json().encode())
    partial.rename(folder / "outcome.json")


def _entered(request: WorkerRequest, setup: WorkerSetup, saw: int) -> bool:
    """Give up all rights, look around and tell the worker; whether all is as it should be."""
    os.setsid()
    if setup.user is not None:
        privileges.become(setup.user)
    if setup.rules is not None:
        landlock.enter(setup.rules)
    _take_over_descriptors(setup.folder, saw)
    if (oracle := _oracle(request)) is not None:
        _connect(oracle)
    limits.apply(own_namespace=setup.home is not None, address_space=request.visible_gpu is None)
    if sys.platform == "linux":
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # and so it stays (seccomp)
        if setup.mechanism != "subprocess" or setup.user is not None:
            privileges.no_new_privileges()
            privileges.drop_capabilities()
        privileges.set_dumpable(True)
    if setup.mechanism != "subprocess":
        privileges.filter_calls(seccomp.program())
    facts = self_check.look(kept=KEPT, own_namespace=setup.home is not None)
    _write_all(KEPT, json.dumps(facts).encode())
    os.close(KEPT)
    return not self_check.deviations(facts, setup.facts_of(request))


def _take_over_descriptors(folder: Path, saw: int) -> None:
    """Keep the pipe to the worker and standard streams of the run's own; close all others."""
    log = os.open(folder / "output.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    null = os.open(os.devnull, os.O_RDONLY)
    kept = os.dup(saw) if saw == KEPT else saw
    for number, descriptor in ((0, null), (1, log), (2, log), (KEPT, kept)):
        os.dup2(descriptor, number)
    os.set_inheritable(KEPT, False)
    os.closerange(KEPT + 1, 65536)


def _oracle(request: WorkerRequest) -> Path | None:
    """The socket of the run's oracle, if it has one."""
    return request.oracle if isinstance(request, Run) else None


def _connect(oracle: Path) -> None:
    """Connect to an oracle as descriptor ORACLE; blocking, without a time limit of its own."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(ORACLE_SECONDS)
    connection.connect(str(oracle))
    connection.settimeout(None)
    if connection.fileno() == ORACLE:
        connection.detach()
    else:
        with connection:
            os.dup2(connection.fileno(), ORACLE)
    os.set_inheritable(ORACLE, False)


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
