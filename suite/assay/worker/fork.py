"""One forked child of a worker: started, watched, stopped at a limit, measured and cleared away.

What the child does with a plugin is in worker.plugin_host.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from assay.identity import sha256
from assay.messages import ORACLE, Ended, Limit, Run, WorkerRequest
from assay.records.schema import Mechanism
from assay.sandbox import landlock, limits, seccomp, self_check
from assay.sandbox.handover import empty, hand_over
from assay.sandbox.limits import Watch
from assay.worker.plugin_host import answer

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_CHILD_SUBREAPER = 1, 4, 36
DEVIATES = 97
"""Exit code of a child that found its sandbox other than it should be and loaded no plugin."""
KEPT = 3
"""Descriptor of the pipe to the worker; the child closes it before it loads a plugin."""
ORACLE_SECONDS = 20.0
"""How long to wait for the oracle to accept."""
SHARED_MEMORY = Path("/dev/shm")


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
    rules: int | None = None
    """Descriptor of the Landlock rules that a child enters."""

    @property
    def own_namespace(self) -> bool:
        """Whether every other process that can be seen belongs to the run."""
        return self.mechanism == "bubblewrap"

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
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def run_in_child(request: WorkerRequest, setup: WorkerSetup) -> Ended:
    """Do a request in a child; how it ended and what it used, measured from outside."""
    began = time.monotonic()
    setup.folder.mkdir()
    (setup.out / "tmp").mkdir(exist_ok=True)
    watch = Watch(setup.out, cpu=_cpu_seconds(request), own_namespace=setup.own_namespace)
    saw, child_end = os.pipe()
    worker = os.getpid()
    pid = os.fork()
    if pid == 0:
        _die_with(worker)
        _child(request, setup, child_end)  # never returns
    os.close(child_end)
    try:
        facts = _read_facts(saw, began + request.seconds)
        limit = _supervise(pid, watch, began + request.seconds)
    finally:
        os.close(saw)
        limits.kill_all(own_namespace=setup.own_namespace)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    _, status, usage = os.wait4(pid, 0)
    limits.end_all(own_namespace=setup.own_namespace)
    code = os.waitstatus_to_exitcode(status)
    ended = Ended(
        limit=limit or _limit_of_signal(code),
        exit=code,
        wall_seconds=time.monotonic() - began,
        cpu_seconds=watch.cpu_seconds(),
        peak_bytes=usage.ru_maxrss * 1024,
        probe_hash=None if facts is None else sha256(json.dumps(facts, sort_keys=True)),
        deviations=[] if facts is None else self_check.deviations(facts, setup.facts_of(request)),
    )
    hand_over(setup.folder, setup.results)
    empty(setup.out)
    if setup.own_namespace:
        empty(SHARED_MEMORY)
    return ended


def _cpu_seconds(request: WorkerRequest) -> float:
    """CPU seconds that all processes of the child may use together."""
    if isinstance(request, Run):
        return request.cpu_seconds
    return limits.cpu_seconds(request.seconds, int(os.environ["OMP_NUM_THREADS"]))


def _read_facts(saw: int, deadline: float) -> self_check.Facts | None:
    """What the child saw of its sandbox; None if it ended before it had looked."""
    text = b""
    while select.select([saw], [], [], max(0.0, deadline - time.monotonic()))[0]:
        part = os.read(saw, 65536)
        text += part
        if not part:
            break
    try:
        facts: self_check.Facts = json.loads(text)
    except ValueError:
        return None
    return facts


def _supervise(pid: int, watch: Watch, deadline: float) -> Limit | None:
    """Wait until the child ends or a limit is reached; exit if the supervisor is gone."""
    ended = os.pidfd_open(pid) if sys.platform == "linux" else None
    try:
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                return "wall time"
            waited = [sys.stdin] if ended is None else [sys.stdin, ended]
            ready, _, _ = select.select(waited, [], [], min(left, limits.POLL_SECONDS))
            # There is one request at a time, so this is the end of the supervisor.
            if sys.stdin in ready:
                limits.end_all(own_namespace=watch.own_namespace)
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


def _die_with(worker: int) -> None:
    """Kill this process when its worker dies (Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != worker:
            os._exit(1)


def _child(request: WorkerRequest, setup: WorkerSetup, saw: int) -> None:
    """The forked process: enter the sandbox, look around, do the request, leave outcome.json."""
    code = 1
    try:
        os.setsid()
        if setup.rules is not None:
            landlock.enter(setup.rules)
            landlock.drop_capabilities()
            landlock.filter_calls(seccomp.program())
        _take_over_descriptors(setup.folder, saw)
        if (oracle := _oracle(request)) is not None:
            _connect(oracle)
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)
        on_gpu = request.visible_gpu is not None
        limits.apply(own_namespace=setup.own_namespace, address_space=not on_gpu)
        facts = self_check.look(kept=KEPT, own_namespace=setup.own_namespace)
        if self_check.deviations(facts, setup.facts_of(request)):
            code = DEVIATES
        _write_all(KEPT, json.dumps(facts).encode())
        os.close(KEPT)
        if code == DEVIATES:
            return
        if on_gpu:
            os.environ["CUDA_VISIBLE_DEVICES"] = str(request.visible_gpu)
        outcome = answer(request, setup.folder)
        partial = setup.folder / "outcome.partial"
        partial.write_bytes(outcome.model_dump_json().encode())
        partial.rename(setup.folder / "outcome.json")
        code = 0
    except BaseException as error:  # the log is the only place left for it
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


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
