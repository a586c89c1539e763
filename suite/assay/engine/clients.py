"""The supervisor's side of its child processes: the scorer and the workers.

Messages (assay.messages) travel as JSON lines; files for a worker go to its inbox, and what a run
left comes back from its results folder.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from assay.errors import (
    AssayError,
    BadWeights,
    DataError,
    MachineError,
    PluginError,
    StorageError,
    WorkerError,
)
from assay.identity import bare
from assay.messages.form import first_problem
from assay.messages.scorer import ScorerError, ScorerRequest
from assay.messages.worker import (
    Done,
    Ended,
    Machine,
    ProbeMethod,
    ProbeParity,
    ProbeTask,
    ProbeTaskFit,
    Run,
    WorkerRequest,
)
from assay.plugins.files import CARD, EQUATIONS, code_files, read_file
from assay.plugins.registry import worker_files
from assay.records.schema import Compute, Mechanism
from assay.sandbox import launch, limits
from assay.sandbox.mechanisms import Box
from assay.untrusted.files import open_regular
from assay.untrusted.text import plain_lines

START_SECONDS, SCORER_SECONDS = 180.0, 7200.0
LOOK_SECONDS = 1.0
"""How often a child that is waited for is looked after."""
MAX_ANSWER_BYTES = 64_000_000
READABLE, READABLE_FOLDER = 0o644, 0o755
"""The worker may be another user. Others are kept out by the rights of the folder above."""

Answer = TypeVar("Answer", bound=BaseModel)
ERRORS: dict[str, type[AssayError]] = {
    "data": DataError,
    "task": PluginError,
    "weights": BadWeights,
    "machine": MachineError,
    "scorer": WorkerError,
}
"""What is raised for a ScorerError, by its kind."""


KILLED = (-signal.SIGKILL, -signal.SIGTERM)
"""Exit codes of a process that something ended from outside."""
KILLED_INSIDE = tuple(128 - code for code in KILLED)
"""What bubblewrap exits with, where such a process ran in it."""


class ChildDied(WorkerError):
    """A child process of ours ended, hung or answered nonsense; it is no more."""

    def __init__(self, reason: str, *, killed: bool = False) -> None:
        """Say what happened.

        Args:
            reason: what is known of it.
            killed: whether a signal ended it that was not ours.
        """
        super().__init__(reason)
        self.killed = killed


class UnusableMethod(PluginError):
    """A method's files cannot be given to a worker, or have changed since the run was planned; no
    other method is concerned.
    """


def disk_full(folder: Path) -> StorageError:
    """The error for a full disk, on which `folder` is the supervisor's."""
    return StorageError(f"the disk is full ({folder.parent}): free some space")


class ChildProcess:
    """A child process that answers each line it is sent with one line."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process, self._log = process, log
        self._lock = threading.Lock()

    def exchange(self, message: BaseModel, seconds: float) -> bytes:
        """Send one message and return the line that answers it.

        Raises:
            PluginError: the message cannot be written, as a path in it is not UTF-8.
            ChildDied: the child died or did not answer within `seconds`.
        """
        try:
            line = message.model_dump_json().encode() + b"\n"
        except ValueError as error:  # half a character in the name of a file
            raise PluginError(f"cannot be written as UTF-8: {error}") from error
        with self._lock:
            stdin = self._process.stdin
            assert stdin is not None
            try:
                stdin.write(line)
                stdin.flush()
            except (OSError, ValueError) as error:  # it died, or was closed
                raise self._died() from error
            return self.read_line(seconds)

    def read_line(self, seconds: float) -> bytes:
        """Return the child's next line. Raises as `exchange`."""
        stdout = self._process.stdout
        assert stdout is not None
        clock, ready = limits.AwakeClock(), list[Any]()
        while not ready and clock.seconds() < seconds:
            ready, _, _ = select.select([stdout], [], [], LOOK_SECONDS)
        line = stdout.readline(MAX_ANSWER_BYTES) if ready else b""
        if not line.endswith(b"\n"):
            raise self._died()
        return line

    def _died(self) -> ChildDied:
        """End the child if it has not ended; the error to raise."""
        ours = self.kill()
        code = self._process.poll()
        return ChildDied(
            self._exit_message(), killed=not ours and code in (*KILLED, *KILLED_INSIDE)
        )

    def malformed(self, error: ValidationError) -> ChildDied:
        """Kill a child that answered nonsense; the error to raise."""
        self.kill()
        return ChildDied(f"{self._name} gave a malformed answer: {first_problem(error)}")

    @property
    def _name(self) -> str:
        return f"{self._process.args[-1]!s:.40}"  # type: ignore[index]

    def _exit_message(self) -> str:
        log = plain_lines(tail(self._log, 2000)).strip()
        said = f"; the end of its log:\n{log}" if log else ""
        return f"{self._name} ended unexpectedly (exit code {self._process.poll()}){said}"

    def kill(self) -> bool:
        """Close its stdin, at which a worker ends its run and itself; kill it if it stays.

        Returns:
            Whether it had to be killed.
        """
        if self._process.stdin:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        try:
            self._process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)  # with the sandbox around it
            self._process.wait()
            return True
        return False

    def close(self) -> None:
        """End the child. No other thread may be waiting for its answer."""
        self.kill()
        if self._process.stdout:
            self._process.stdout.close()


class ScorerClient(ChildProcess):
    """The trusted process that holds labels."""

    def __init__(self, problems: Path, compute: Compute, log: Path) -> None:
        """Start it.

        Args:
            problems: folder for the files that it prepares for workers.
            compute: what numbers depend on.
            log: for what it prints.
        """
        with log.open("ab") as file:
            process = subprocess.Popen(
                [*launch.interpreter("assay.engine.scorer"), str(problems)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                env=launch.environment(compute, _data_variables(log.parent)),
                close_fds=True,
                start_new_session=True,
                cwd=Path(sys.prefix),
            )
        super().__init__(process, log)

    def wait_ready(self) -> None:
        """Block until the scorer has imported what it needs.

        Raises:
            WorkerError: it died or took too long.
        """
        try:
            Done.model_validate_json(self.read_line(START_SECONDS))
        except ValidationError as error:
            raise self.malformed(error) from error

    def ask(self, request: ScorerRequest, kind: type[Answer]) -> Answer:
        """Have a request done and return its answer, which is a `kind`.

        Raises:
            DataError: the task's data are missing.
            PluginError: the task is broken.
            BadWeights: a run's weights cannot be scored.
            StorageError: the disk is full.
            ChildDied: the scorer died.
            MachineError: it had no memory or the like.
            WorkerError: it failed.
        """
        line = self.exchange(request, SCORER_SECONDS)
        try:
            return kind.model_validate_json(line)
        except ValidationError as malformed:
            try:
                failure = ScorerError.model_validate_json(line)
            except ValidationError:
                raise self.malformed(malformed) from malformed
        if failure.kind != "weights" and "No space left" in failure.error:
            raise disk_full(self._log.parent)
        raise ERRORS[failure.kind](failure.error)


class WorkerClient(ChildProcess):
    """A worker in its sandbox, with the folders that it shares with the supervisor."""

    machine: Machine
    """What the worker says of the machine; there once it is ready."""

    def __init__(
        self,
        box: Box,
        mechanism: Mechanism,
        compute: Compute,
        log: Path,
        *,
        with_data: bool = False,
    ) -> None:
        """Start it.

        Args:
            box: its folders, not made yet.
            mechanism: how it is kept apart (sandbox.mechanisms.choose).
            compute: what numbers depend on.
            log: for what it prints itself.
            with_data: let it find data sets, which only `subprocess` can; it may load tasks then,
                and no method.
        """
        box.make(mechanism)
        self._box, self._inbox = box, box.places(mechanism)[0]
        extra = _data_variables(log.parent) if with_data else None
        with log.open("ab") as file:
            process = launch.launch_worker(box, mechanism, compute=compute, log=file, extra=extra)
        super().__init__(process, log)

    def wait_ready(self) -> None:
        """Block until the worker has imported what it needs.

        Raises:
            WorkerError: it died or took too long.
        """
        try:
            self.machine = Machine.model_validate_json(self.read_line(START_SECONDS))
        except ValidationError as error:
            raise self.malformed(error) from error

    def do(self, request: WorkerRequest, folder: Path, seconds: float) -> Ended:
        """Have a request done in a child of the worker.

        Args:
            request: its paths are on this machine.
            folder: exists and is empty; gets what the child left.
            seconds: how long to wait.

        Raises:
            UnusableMethod: the method's files cannot be handed over.
            StorageError: the disk is full.
            ChildDied: the worker died, or did not answer.
            WorkerError: it found its sandbox other than it should be.
        """
        try:
            try:
                line = self.exchange(self._staged(request), seconds)
            except PluginError as error:
                raise UnusableMethod(str(error)) from error
            ended = Ended.model_validate_json(line)
            if ended.deviations:
                raise WorkerError(
                    "the sandbox is not as it should be, so nothing was run: "
                    + "; ".join(ended.deviations)
                )
            for name in os.listdir(self._box.results):
                (self._box.results / name).rename(folder / name)
        except ValidationError as error:
            raise self.malformed(error) from error
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise disk_full(folder) from error
            raise WorkerError(f"files cannot be handed to a worker: {error}") from error
        finally:
            for place in (self._box.inbox, self._box.results):
                _clear(place)
        return ended

    def _staged(self, request: WorkerRequest) -> WorkerRequest:
        """Put the request's files into the inbox; the request with their paths in the sandbox."""
        inbox, inside = self._box.inbox, self._inbox
        paths: dict[str, Any] = {}
        if not isinstance(request, ProbeTask):
            own, modules = worker_files(request.method, request.entry_point)
            _copy(own, inbox / "method", _for_worker)
            _copy(modules, inbox / "packages", _for_worker)
            paths["method"] = inside / "method" / request.method.name
            paths["packages"] = inside / "packages"
            for place, path in modules.items():
                if path == request.method:
                    paths["method"] = inside / "packages" / place
        if isinstance(request, ProbeParity):
            if request.equations is not None:
                _copy({EQUATIONS: request.equations}, inbox / "equations")
                paths["equations"] = inside / "equations" / EQUATIONS
            if request.base is not None:
                base, _ = worker_files(request.base, "")
                _copy(base, inbox / "base", _for_worker)
                paths["base"] = inside / "base" / request.base.name
        if isinstance(request, Run | ProbeTaskFit | ProbeTask):
            name = request.task.name
            files = {path.name: path for path in code_files(request.task)}
            _copy(files, inbox / "task" / name)
            paths["task"] = inside / "task" / name
        if isinstance(request, Run | ProbeTaskFit):
            _link(request.train, inbox / "train")
            paths["train"] = inside / "train"
            for number, start in enumerate(request.starts):
                _link(start, inbox / f"start{number}")
            paths["starts"] = [inside / f"start{n}" for n in range(len(request.starts))]
        if isinstance(request, Run) and request.oracle is not None:
            os.link(request.oracle, inbox / "oracle")
            paths["oracle"] = inside / "oracle"
        if isinstance(request, ProbeMethod | ProbeTaskFit | ProbeTask):
            shutil.copytree(request.shared, inbox / "shared", copy_function=_copy_readable)
            paths["shared"] = inside / "shared"
        for folder in (path for path in inbox.rglob("*") if path.is_dir()):
            folder.chmod(READABLE_FOLDER)  # whatever the user's umask
        return request.model_copy(update=paths)


def _for_worker(name: str, data: bytes) -> bytes:
    """What a worker gets of a method's file: nothing that the method's hash does not cover.

    Of the card nothing: that it is there makes the folder a package.
    """
    if name == CARD:
        return b""
    return bare(data) if name.endswith(".py") else data


def _as_it_is(name: str, data: bytes) -> bytes:
    return data


def _copy(
    files: Mapping[str, Path],
    folder: Path,
    change: Callable[[str, bytes], bytes] = _as_it_is,
) -> None:
    """Copy files to their places in a new folder, their content through `change(name, data)`.

    Raises:
        PluginError: a file is too large, or a data file is missing.
    """
    folder.mkdir(parents=True)
    for place, path in files.items():
        if path.suffix == ".py" and not path.exists():
            continue  # whoever loads it reports that
        data, target = read_file(path), folder / place
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(change(path.name, data))
        target.chmod(READABLE)


def _copy_readable(source: str | Path, target: str | Path) -> None:
    shutil.copyfile(source, target)
    os.chmod(target, READABLE)


def _link(source: Path, target: Path) -> None:
    """Hard-link a file, so that a data set is in memory once for all workers; else copy it."""
    try:
        os.link(source, target)
    except OSError:  # a file system without hard links
        shutil.copyfile(source, target)
    target.chmod(READABLE)


def _clear(folder: Path) -> None:
    """Empty a folder that only trusted code wrote to."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def tail(path: Path, n_bytes: int) -> str:
    """The last `n_bytes` of a log, as text."""
    with open_regular(path) as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - n_bytes))
        return file.read(n_bytes).decode(errors="replace")


def _data_variables(temporary: Path) -> dict[str, str]:
    """The variables that loading data needs; no worker that loads a method gets them.

    Args:
        temporary: where libraries put their own temporary files, which nobody else removes.
    """
    names = ("HOME", "ASSAY_DATA", "ASSAY_CACHE", "LD_LIBRARY_PATH", "VIRTUAL_ENV")
    found = {name: os.environ[name] for name in names if name in os.environ}
    return {**found, "TMPDIR": str(temporary)}
