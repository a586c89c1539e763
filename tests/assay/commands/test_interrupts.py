"""Signals end a command once; output that cannot be written is one line, or no reason to end."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from assay import cli
from assay.commands import progress, run_many
from assay.commands.interrupts import terminable
from assay.engine.pipeline import Progress
from assay.engine.planning import RunRequest
from assay.errors import StorageError
from assay.records.store import Store

HELP = [sys.executable, "-c", "from assay.cli import main; main()", "run", "--help"]


def test_modules_of_the_current_folder_are_none_of_ours(tmp_path: Path) -> None:
    for name in ("random", "torch", "typer"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('shadowed')\n")
    command = [sys.executable, "-m", "assay", "list", "--help"]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert said.returncode == 0 and "List tasks and methods" in said.stdout


@pytest.fixture(autouse=True)
def signals_as_in_a_terminal() -> Iterator[None]:
    """Tests that are started in the background have some of them ignored."""
    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGHUP: signal.SIG_DFL}
    before = {number: signal.signal(number, handler) for number, handler in usual.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_interrupts_and_the_next_leave_the_cleaning_alone(first: int) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    cleaned = False
    with pytest.raises(KeyboardInterrupt), terminable():
        try:
            signal.raise_signal(first)
        finally:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGTERM)
            cleaned = True
    assert cleaned
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_signal_before_a_command_has_begun_is_no_traceback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """While the commands are put together, click does not yet look for it."""

    def interrupted(*_: object, **__: object) -> None:
        signal.raise_signal(signal.SIGHUP)

    monkeypatch.setattr(cli, "entry_points", lambda **_: [])
    monkeypatch.setattr(cli, "app", interrupted)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 130


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (OSError(errno.ENOSPC, "", "/tmp/x"), "cannot write to /tmp/x: the disk is full"),
        (OSError(errno.ENOSYS, "", "/tmp/x"), "no such operation: choose another place"),
        (PermissionError(errno.EACCES, "Permission denied", "x"), "x: cannot be used: Permission"),
        (NotADirectoryError(errno.ENOTDIR, "Not a directory", "x"), "choose another path"),
        (OSError(errno.ENAMETOOLONG, "File name too long", "x"), "File name too long"),
        (OSError(errno.ELOOP, "Too many levels", "x"), "Too many levels"),
        (OSError(errno.EMFILE, "Too many open files"), "Too many open files"),
        (FileNotFoundError(errno.ENOENT, "No usable temporary directory found"), "No usable temp"),
    ],
)
def test_a_fault_of_the_machine_is_one_line(
    error: OSError, says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(**_: Any) -> None:
        raise error

    monkeypatch.setattr(cli, "entry_points", lambda **_: [])
    monkeypatch.setattr(cli, "app", fails)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = capsys.readouterr().err
    assert ended.value.code == StorageError.exit_code
    assert says in said and said.count("\n") == 1


def test_a_fault_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(**_: Any) -> None:
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", "ours")

    monkeypatch.setattr(cli, "entry_points", lambda **_: [])
    monkeypatch.setattr(cli, "app", fails)
    with pytest.raises(FileNotFoundError):
        cli.main()


def test_a_signal_that_nohup_ignores_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with terminable():
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_two_signals_leave_no_half_file_and_a_free_lock(
    tmp_path: Path,
    fake_pool: Any,
    make_task: Any,
    make_method: Any,
    make_cell: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Pool(fake_pool):  # type: ignore[misc]
        closed = False

        def run(self, *arguments: Any) -> Any:
            os.kill(os.getpid(), signal.SIGTERM)
            return super().run(*arguments)

        def __exit__(self, *_: object) -> None:
            signal.raise_signal(signal.SIGINT)
            self.closed = True

    pool, task = Pool(), make_task()
    cell = make_cell(task, make_method("sgd", "a = 1\n"))
    monkeypatch.setattr(run_many, "Pool", lambda **_: pool)
    monkeypatch.setattr(run_many, "make_cells", lambda *_, **__: [cell])
    request = RunRequest(
        methods=["sgd"], tasks=[task], results=tmp_path / "results", mlflow="off", as_json=True
    )
    finished = run_many.execute(request, print)
    assert finished.progress.interrupted
    assert pool.closed
    assert not [path for path in tmp_path.rglob(".writing-*")]
    with run_many.locked(Store(request.results), print):
        pass


def test_where_there_are_no_locks_a_command_says_so_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(number: int) -> None:
        def flock(*_: Any) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(fcntl, "flock", flock)

    said: list[str] = []
    fails(errno.ENOLCK)
    with run_many.locked(Store(tmp_path), said.append):
        pass
    assert said == [f"warning: the file system of {tmp_path} has no locks: give no second assay "
                    "command there meanwhile"]  # fmt: skip
    for number, says in ((errno.EAGAIN, "another assay command"), (errno.EPERM, "not permit it")):
        fails(number)
        with pytest.raises(StorageError, match=says), run_many.locked(Store(tmp_path), print):
            pass


def test_output_that_cannot_be_written_is_one_line() -> None:
    line = "assay: the output cannot be written: No space left on device\n"
    with open("/dev/full", "w") as device:
        for error, says in ((subprocess.PIPE, line), (device, None)):
            done = subprocess.run(HELP, stdout=device, stderr=error, text=True, timeout=120)
            assert (done.returncode, done.stderr) == (3, says)


def test_a_narrow_terminal_shows_how_many_runs_are_done(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "xterm")
    bar = progress.Bar()
    bar.update(Progress(total=240, done=33, by_status={"diverged": 12}))
    time.sleep(0.2)  # rich draws ten times a second
    bar.close()
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", capsys.readouterr().err)
    assert re.search(r"33/240 runs .* left, 12 diverged", plain)


class Full:
    """A stream on a full disk."""

    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    flush = isatty = lambda self: False


def test_a_log_that_is_full_does_not_end_the_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Full())
    bar = progress.Bar()
    for _ in range(2):
        bar.update(Progress(total=1, done=1, failures={"sgd": "no"}))
    bar.close()
    run_many.say("headline")
