"""Runs that are lost: killed by themselves, by the machine, by somebody; pipes, full disks."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NoReturn

import pytest
from assay.engine import memory
from assay.engine.clients import ChildDied, ChildProcess, ScorerClient, WorkerClient
from assay.engine.pool import Pool
from assay.engine.runs import Job
from assay.errors import MachineError, PluginError, StorageError, WorkerError
from assay.messages.scorer import Score, ScorerRequest
from assay.messages.worker import Describe, Description
from assay.plugins.registry import MethodEntry, TaskEntry, find_method
from assay.sandbox import limits
from assay.space import Space

from tests.assay.engine.conftest import run, spec_of

KILLS_ITS_WORKER = """\
import os
import signal
from assay.method import Method


class Kills(Method):
    def on_epoch_end(self, model):
        os.kill(os.getppid(), signal.SIGKILL)
"""

KILLS_ITSELF = """\
import os
import signal
from assay.method import Method


class Kills(Method):
    def on_epoch_end(self, model):
        os.kill(os.getpid(), signal.{number})
"""

LEAVES_PIPES = """\
import os
from pathlib import Path
from assay.method import Method


class Leaves(Method):
    def configure_optimizer(self, model):
        folder = Path(os.readlink("/proc/self/fd/1")).parent
        (folder / "output.log").unlink()
        for name in ("output.log", "outcome.json"):
            {make}
        os._exit(0)
"""

NEVER_ENDS = """\
from assay.method import Method


class NeverEnds(Method):
    def on_epoch_end(self, model):
        while True:
            pass
"""


def test_a_run_whose_worker_is_killed_is_done_on_a_fresh_one(
    pool: Pool, make_task: Callable[..., TaskEntry], make_method: Callable[..., MethodEntry]
) -> None:
    task, kills = make_task(), make_method("kills", KILLS_ITS_WORKER)
    if pool.mechanism == "bubblewrap":  # nobody inside can kill the first process of a namespace
        assert run(pool, task, kills).status == "completed"
    sgd, told = find_method("sgd"), list[str]()
    dead = pool.workers[0]
    os.killpg(dead._process.pid, signal.SIGKILL)
    for number in range(pool.n_workers):
        job = Job(spec_of(task, sgd, repetition=number), task, sgd, Space())
        assert pool.run(job, "assay run", told.append).status == "completed"
    (line,) = told
    assert line.startswith("sgd on toy (repetition ")
    assert "assay.worker.serve ended unexpectedly" in line
    assert line.endswith("the run was tried once more")
    assert dead not in pool.workers
    assert pool._idle.qsize() == pool.n_workers


def test_a_run_that_loses_two_workers_has_failed(
    pool: Pool, make_task: Callable[..., TaskEntry], monkeypatch: pytest.MonkeyPatch
) -> None:
    task = make_task()

    def dies(*_: object) -> NoReturn:
        raise ChildDied("it ended unexpectedly")

    with monkeypatch.context() as patch:
        patch.setattr(WorkerClient, "do", dies)
        patch.setattr(Pool, "_replaced", lambda self, worker: worker)
        record = run(pool, task, find_method("sgd"))
        with pytest.raises(PluginError, match="its worker ended twice over it"):
            pool.answer(Describe(method=Path("m.py"), families=[], seconds=1), Description)
        patch.setattr(pool, "_closed", True)
        with pytest.raises(WorkerError):  # Ctrl-C: nothing is recorded
            run(pool, task, find_method("sgd"))
    assert record.status == "failed"
    assert record.message == "its worker ended twice while it ran: it ended unexpectedly"
    assert pool._idle.qsize() == pool.n_workers
    assert run(pool, task, find_method("sgd")).status == "completed"


@pytest.mark.parametrize("number", ["SIGKILL", "SIGTERM"])
def test_a_run_whose_process_is_killed_is_tried_once_more(
    pool: Pool, make_task: Callable[..., TaskEntry], make_method: Callable[..., MethodEntry],
    monkeypatch: pytest.MonkeyPatch, number: str,
) -> None:  # fmt: skip
    replaced, told = list[WorkerClient](), list[str]()

    def kept(self: Pool, worker: WorkerClient) -> WorkerClient:
        replaced.append(worker)  # a start would take seconds
        return worker

    monkeypatch.setattr(Pool, "_replaced", kept)
    task, kills = make_task(), make_method("kills", KILLS_ITSELF.format(number=number))
    job = Job(spec_of(task, kills), task, kills, Space())
    record = pool.run(job, "assay run", told.append)
    assert record.status == "failed"
    killed = f"was killed by signal {int(getattr(signal, number))} without a result"
    assert record.message == (
        f"its process was killed twice while it ran: the method's process {killed}"
    )
    assert record.usage.cpu_seconds > 0
    assert (len(replaced), len(told)) == (1, 1)
    assert pool._idle.qsize() == pool.n_workers


def first_process(worker: WorkerClient) -> int | None:
    """The first process of the namespaces of a worker's run, once that has begun."""

    def is_serving(pid: int) -> bool:
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            return b"assay.worker.serve" in words and not words[0].endswith(b"bwrap")
        return False

    (serving,) = list(filter(is_serving, limits._descendants(worker._process.pid)))[:1]
    begun = (pid for pid in limits._descendants(serving) if any(limits._descendants(pid)))
    return next(filter(is_serving, begun), None)


def test_a_run_that_somebody_outside_kills_twice_has_no_record(
    pool: Pool, make_task: Callable[..., TaskEntry], make_method: Callable[..., MethodEntry],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    if pool.mechanism != "bubblewrap":
        pytest.skip("without namespaces a method could have done it")
    monkeypatch.setattr(Pool, "_replaced", lambda self, worker: worker)
    task, method = make_task(), make_method("never_ends", NEVER_ENDS)
    job = Job(spec_of(task, method), task, method, Space())
    with ThreadPoolExecutor(1) as thread:
        future = thread.submit(pool.run, job, "assay run")
        killed = set[int]()
        while not future.done():
            found = {first_process(worker) for worker in pool.workers} - {None, *killed}
            for pid in found:
                assert pid is not None
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
    assert len(killed) == 2, future.exception()
    with pytest.raises(MachineError) as caught:
        future.result()
    assert str(caught.value) == (
        "never_ends on toy (repetition 0, point 0): somebody or something outside the sandbox "
        "killed it; nothing was recorded, the next command tries it again"
    )
    assert pool._idle.qsize() == pool.n_workers


def test_a_run_that_the_kernel_kills_for_want_of_memory_has_no_record(
    pool: Pool, make_task: Callable[..., TaskEntry], monkeypatch: pytest.MonkeyPatch
) -> None:
    counts, task = itertools.count(), make_task()

    def dies(*_: object) -> NoReturn:
        raise ChildDied("it ended unexpectedly")

    monkeypatch.setattr(WorkerClient, "do", dies)
    monkeypatch.setattr(Pool, "_replaced", lambda self, worker: worker)
    monkeypatch.setattr(memory, "oom_kills", lambda: next(counts))
    with pytest.raises(MachineError, match="had no memory left and killed it; run fewer at once"):
        run(pool, task, find_method("sgd"))
    with pytest.raises(MachineError, match="had no memory left"):
        pool.answer(Describe(method=Path("m.py"), families=[], seconds=1), Description)
    assert pool._idle.qsize() == pool.n_workers


@pytest.mark.parametrize("mechanism", ["bubblewrap", "landlock"])
def test_workers_that_somebody_kills_are_no_fault_of_a_method_that_cannot_reach_them(
    pool: Pool, make_task: Callable[..., TaskEntry], monkeypatch: pytest.MonkeyPatch,
    mechanism: str,
) -> None:  # fmt: skip
    def dies(*_: object) -> NoReturn:
        raise ChildDied("it ended unexpectedly (exit code -9)", killed=True)

    task = make_task()
    monkeypatch.setattr(WorkerClient, "do", dies)
    monkeypatch.setattr(Pool, "_replaced", lambda self, worker: worker)
    monkeypatch.setattr(pool, "mechanism", mechanism)
    if mechanism == "bubblewrap":
        with pytest.raises(MachineError, match="outside the sandbox killed it"):
            run(pool, task, find_method("sgd"))
    else:
        assert run(pool, task, find_method("sgd")).status == "failed"


@pytest.mark.parametrize(
    ("code", "killed"), [("exec sleep 9", True), ("exit 1", False), ("exit 137", True)]
)
def test_a_child_that_a_signal_ended_is_told_from_one_that_ended_by_itself(
    tmp_path: Path, code: str, killed: bool
) -> None:
    """Bubblewrap, in which a worker runs, exits with 128 + the number of the signal."""
    log = tmp_path / "log"
    log.touch()
    process = subprocess.Popen(
        ["sh", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    if "sleep" in code:
        os.killpg(process.pid, signal.SIGKILL)
    child = ChildProcess(process, log)
    with pytest.raises(ChildDied) as caught:
        child.read_line(20)
    child.close()
    assert caught.value.killed == killed


def test_a_child_that_we_have_to_kill_was_not_killed_from_outside(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.touch()
    process = subprocess.Popen(
        ["sleep", "60"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    child = ChildProcess(process, log)
    with pytest.raises(ChildDied) as caught:
        child.read_line(0.0)
    child.close()
    assert not caught.value.killed


def test_kills_for_want_of_memory_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine, container = tmp_path / "vmstat", tmp_path / "memory.events"
    machine.write_text("nr_free_pages 5\noom_kill 2\n")
    container.write_text("oom 9\noom_kill 1\noom_group_kill 7\n")
    monkeypatch.setattr(memory, "COUNTERS", (machine, container, tmp_path / "missing"))
    assert memory.oom_kills() == 3


def test_weights_that_kill_the_scorer_fail_their_run_alone(
    pool: Pool, make_task: Callable[..., TaskEntry], monkeypatch: pytest.MonkeyPatch
) -> None:
    ask, replaced = ScorerClient.ask, list[int]()
    errors = iter([ChildDied("it is dead"), WorkerError("KeyError"), PluginError("task toy")])

    def dies(self: ScorerClient, request: ScorerRequest, kind: Any) -> Any:
        if isinstance(request, Score) and (error := next(errors, None)):
            raise error
        return ask(self, request, kind)

    monkeypatch.setattr(ScorerClient, "ask", dies)
    monkeypatch.setattr(Pool, "_replace_scorer", lambda self: replaced.append(1))
    task = make_task()
    record = run(pool, task, find_method("sgd"))
    assert (record.status, record.message) == ("failed", "its weights cannot be scored: KeyError")
    with pytest.raises(PluginError, match="task toy"):  # the task stops, nothing is recorded
        run(pool, task, find_method("sgd"))
    assert run(pool, task, find_method("sgd")).status == "completed"
    assert len(replaced) == 1


@pytest.mark.parametrize(
    "make",
    ["os.mkfifo(folder / name)", '(folder / name).symlink_to("/dev/zero")'],
    ids=["pipes", "links"],
)
def test_pipes_and_links_left_for_the_supervisor_are_a_failed_run(
    pool: Pool,
    make_task: Callable[..., TaskEntry],
    make_method: Callable[..., MethodEntry],
    make: str,
) -> None:
    record = run(pool, make_task(), make_method("leaves", LEAVES_PIPES.format(make=make)))
    assert record.status == "failed"
    assert record.message == "the method's process exited with code 0 without a result"


def test_a_run_that_fails_on_a_full_disk_is_no_result_of_the_method(
    pool: Pool,
    make_task: Callable[..., TaskEntry],
    make_method: Callable[..., MethodEntry],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fails = make_method("fails", "raise OSError(28, 'No space left on device')\n")
    task = make_task()
    assert run(pool, task, fails).status == "failed"
    full = shutil.disk_usage("/")._replace(free=0)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: full)
    with pytest.raises(StorageError, match="the disk is full"):
        run(pool, task, fails)
