"""The supervisor's side of its children: JSON lines with them, files for a worker and from it."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from assay.errors import WorkerError
from assay.identity import bare
from assay.plugins.registry import source_files
from assay.records.schema import Compute, Mechanism
from assay.sandbox import launch
from assay.sandbox.mechanisms import Box
from assay.untrusted.files import open_regular

START_SECONDS = 180.0
READABLE, READABLE_FOLDER = 0o644, 0o755
"""The worker may be another user; who it is not meant for cannot reach the folder above."""


class ChildProcess:
    """A child process that answers JSON lines."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process, self._log = process, log
        self._lock = threading.Lock()
        self.hello: dict[str, Any] = {}

    def wait_ready(self) -> None:
        """Block until the child has imported what it needs."""
        self.hello = self._read(START_SECONDS)["ready"]

    def ask(self, request: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        """One request, one answer.

        Raises:
            WorkerError: the child died or did not answer within `seconds`.
        """
        with self._lock:
            stdin = self._process.stdin
            assert stdin is not None
            try:
                stdin.write(json.dumps(request).encode() + b"\n")
                stdin.flush()
            except (OSError, ValueError) as error:  # it died, or was let go
                raise WorkerError(self._epitaph()) from error
            return self._read(seconds)

    def _read(self, seconds: float) -> dict[str, Any]:
        stdout = self._process.stdout
        assert stdout is not None
        ready, _, _ = select.select([stdout], [], [], seconds)
        line = stdout.readline() if ready else b""
        if not line.endswith(b"\n"):
            self.kill()
            raise WorkerError(self._epitaph())
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _epitaph(self) -> str:
        words = tail(self._log, 2000).strip()
        code = self._process.poll()
        said = f"; its last words:\n{words}" if words else ""
        return f"{self._process.args[-1]!s:.40} ended unexpectedly (exit code {code}){said}"  # type: ignore[index]

    def kill(self) -> None:
        """Close its stdin: a worker kills its run and goes. Kill it if it stays."""
        if self._process.stdin:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        try:
            self._process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)  # with what stands around it
            self._process.wait()

    def close(self) -> None:
        """End the child; nobody may be waiting for its answer."""
        self.kill()
        if self._process.stdout:
            self._process.stdout.close()


class ScorerClient(ChildProcess):
    """The trusted process that holds labels."""

    def __init__(self, problems: Path, compute: Compute, log: Path) -> None:
        with log.open("ab") as file:
            process = launch.launch_scorer(
                [str(problems)], compute=compute, log=file, extra=_passed_on()
            )
        super().__init__(process, log)


class WorkerClient(ChildProcess):
    """A worker in its sandbox, with the folders that it shares with the supervisor."""

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
            mechanism: see isolation.choose.
            compute: what numbers depend on.
            log: for what it prints itself.
            with_data: let it find data sets, which only `subprocess` can; it may load tasks then,
                and no method.
        """
        box.make()
        self._box, self._places = box, box.places(mechanism)
        with log.open("ab") as file:
            process = launch.launch_worker(
                box, mechanism, compute=compute, log=file, extra=_passed_on() if with_data else {}
            )
        super().__init__(process, log)

    def do(self, request: Mapping[str, Any], folder: Path, seconds: float) -> dict[str, Any]:
        """Put a request's files into the inbox, have it done, move what it left to `folder`.

        Args:
            request: `method`, `task`, `train`, `starts` and `shared` are paths on this machine;
                what the worker has added to `shared` is there afterwards.
            folder: exists and is empty.
            seconds: how long to wait.

        Raises:
            WorkerError: see ask; or the worker found its sandbox other than it should be.
        """
        try:
            answer = self.ask(self._staged(request), seconds)
            if answer["deviations"]:
                raise WorkerError(
                    "the sandbox is not as it should be, so nothing was run: "
                    + "; ".join(answer["deviations"])
                )
            self._collect(folder, request.get("shared"))
        finally:
            for place in (self._box.inbox, self._box.results):
                _clear(place)
        return answer

    def _staged(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The request with its paths as the worker names them, and the files there."""
        inbox, inside = self._box.inbox, self._places[0]
        staged = dict(request)
        staged.pop("folder", None)
        if "method" in request:
            source = Path(request["method"])
            _copy(source_files(source), inbox / "method", bare)
            staged["method"] = str(inside / "method" / source.name)
        if "task" in request:
            task = Path(request["task"])
            _copy(source_files(task / "task.py"), inbox / "task" / task.name)
            staged["task"] = str(inside / "task" / task.name)
        if "train" in request:
            _link(request["train"], inbox / "train")
            staged["train"] = str(inside / "train")
        if "starts" in request:
            for number, start in enumerate(request["starts"]):
                _link(start, inbox / f"start{number}")
            n = len(request["starts"])
            staged["starts"] = [str(inside / f"start{number}") for number in range(n)]
        if "shared" in request:
            shutil.copytree(request["shared"], inbox / "shared", copy_function=_copy_readable)
            for folder in (inbox / "shared", *(inbox / "shared").iterdir()):
                if folder.is_dir():
                    folder.chmod(READABLE_FOLDER)
            staged["shared"] = str(inside / "shared")
        return staged

    def _collect(self, folder: Path, shared: str | None) -> None:
        """Move results to where they were asked for."""
        results = self._box.results
        if shared is not None and (results / "shared").is_dir():
            shutil.copytree(results / "shared", shared, dirs_exist_ok=True, symlinks=True)
        for name in os.listdir(results):
            if name != "shared":
                (results / name).rename(folder / name)


def _copy(files: list[Path], folder: Path, of_python: Callable[[bytes], bytes] = bytes) -> None:
    """Put files into a new folder, Python files as `of_python` leaves them."""
    folder.mkdir(parents=True)
    for path in files:
        with contextlib.suppress(FileNotFoundError):  # its absence is told by who loads it
            data, target = path.read_bytes(), folder / path.name
            target.write_bytes(of_python(data) if path.suffix == ".py" else data)
            target.chmod(READABLE)


def _copy_readable(source: str | Path, target: str | Path) -> None:
    shutil.copyfile(source, target)
    os.chmod(target, READABLE)


def _link(source: str, target: Path) -> None:
    """The same file under another name: a data set is in memory once for all workers."""
    os.link(source, target)
    target.chmod(READABLE)


def _clear(folder: Path) -> None:
    """Empty a folder of files that we put there."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def tail(path: Path, n_bytes: int) -> str:
    """The end of a log, which may have grown long."""
    with open_regular(path) as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - n_bytes))
        return file.read(n_bytes).decode(errors="replace")


def _passed_on() -> dict[str, str]:
    """The few variables that data loading needs; no worker that loads a method gets them."""
    names = ("HOME", "ASSAY_DATA", "ASSAY_CACHE", "TMPDIR", "LD_LIBRARY_PATH", "VIRTUAL_ENV")
    return {name: os.environ[name] for name in names if name in os.environ}
