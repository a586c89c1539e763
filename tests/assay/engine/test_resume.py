"""`assay run` itself, killed, interrupted and continued on one results folder."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from assay.commands import run_many
from assay.engine.cells import make_cells
from assay.engine.pipeline import Pipeline
from assay.engine.planning import RunRequest
from assay.engine.pool import Pool
from assay.plugins.registry import find_method, task_entries
from assay.records.schema import RunRecord
from assay.records.store import Store

COMMAND = ["run", "sgd", "--task", "beale", "--quick", "--repetitions", "2", "--workers", "1",
           "--mlflow", "off"]  # fmt: skip


def the_same(results: Path) -> RunRequest:
    """What COMMAND asks for."""
    return RunRequest(
        methods=["sgd"],
        tasks=[task_entries()["beale"]],
        results=results,
        preset="quick",
        repetitions=2,
        workers=1,
        mlflow="off",
    )


def start(results: Path, *more: str) -> subprocess.Popen[str]:
    # A shell that starts a command in the background makes it ignore SIGINT, and so its children.
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from assay.cli import main; main()"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code, *COMMAND, *more, "--results", str(results)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(results.parent)},
    )


def wait_for_runs(command: subprocess.Popen[str], results: Path, n: int) -> None:
    end = time.monotonic() + 120
    while len(list(results.glob("runs/*/*/*.json"))) < n:
        assert command.poll() is None, command.communicate()
        assert time.monotonic() < end
        time.sleep(0.01)


def children(pid: int) -> list[int]:
    """All processes below `pid`."""
    found: list[int] = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] != "Z" and int(fields[1]) == pid:
            own = int(path.parent.name)
            found += [own, *children(own)]
    return found


def alive(pids: list[int]) -> list[int]:
    """Those of `pids` that run; a zombie does not."""
    found = []
    for pid in pids:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if state != "Z":
            found.append(pid)
    return found


def comparable(record: RunRecord) -> dict[str, Any]:
    kept = record.model_dump(exclude={"created_at", "usage", "environment"})
    for point in kept["curve"]:
        del point["seconds"]
    return kept


def test_killed_interrupted_and_continued_it_gives_what_an_uninterrupted_one_gives(
    pool: Pool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    results = tmp_path / "results"
    store = Store(results)

    killed = start(results)
    wait_for_runs(killed, results, 2)
    below = children(killed.pid)
    assert len(below) >= 2
    killed.kill()
    killed.communicate()
    end = time.monotonic() + 30
    while alive(below) and time.monotonic() < end:
        time.sleep(0.05)
    assert alive(below) == []
    kept = {path: path.read_bytes() for path in results.rglob("*.json")}
    assert len(kept) >= 2

    interrupted = start(results)
    wait_for_runs(interrupted, results, len(kept) + 2)
    interrupted.send_signal(signal.SIGINT)
    said = interrupted.communicate(timeout=120)
    assert interrupted.returncode == 130, said
    assert "give the same command again to continue" in said[1]
    assert "Traceback" not in said[1]
    now = {path: path.read_bytes() for path in results.rglob("*.json")}
    assert kept.items() <= now.items()
    n_before = len(list(store.runs()))
    assert n_before >= len(kept) + 2

    monkeypatch.setattr(run_many, "Pool", lambda **_: contextlib.nullcontext(pool))
    assert run_many.run(the_same(results)) == 0
    assert f"({n_before} were recorded before)" in capsys.readouterr().out
    after = {path: path.read_bytes() for path in results.rglob("*.json")}
    assert now.items() <= after.items()

    whole = Store(tmp_path / "whole")
    pair = (task_entries()["beale"], find_method("sgd"))
    cells = make_cells([pair], pool, "quick", n_repetitions=2)
    progress = Pipeline(pool, whole, None, lambda progress: None).run(cells)
    assert progress.problems == []
    one_worker = {record.id: comparable(record) for record in store.runs()}
    two_workers = {record.id: comparable(record) for record in whole.runs()}
    assert one_worker.keys() == two_workers.keys()
    assert [
        (name, record[name], two_workers[run_id][name])
        for run_id, record in one_worker.items()
        for name in record
        if record[name] != two_workers[run_id][name]
    ] == []
    left = {path.name for path in results.rglob("*") if path.is_file() and path not in after}
    assert left == {".lock"}


def test_a_second_command_on_the_folder_is_told_so(tmp_path: Path) -> None:
    results = tmp_path / "results"
    results.mkdir()
    with (results / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        second = start(results)
        out, err = second.communicate(timeout=120)
    assert second.returncode == 3
    assert out == ""
    assert err.startswith("assay: another assay command is running on")
    assert len(err.splitlines()) == 1
