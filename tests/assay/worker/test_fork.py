"""What a run starts does not outlive the command, however the command ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import pytest
from assay.messages.worker import Describe

# A worker's loop without its imports: this is about processes, not about training.
WORKER = """\
import os, sys
from pathlib import Path
from assay.messages.worker import WORKER_REQUEST
from assay.sandbox import limits
from assay.worker import fork

limits.AwakeClock.MAX_PAUSE = 0.1
channel = os.fdopen(os.dup(1), "w", buffering=1)
results = os.open(sys.argv[2], os.O_RDONLY)
setup = fork.WorkerSetup("subprocess", Path(sys.argv[1]), results, {})
fork.close_to_children()
for line in sys.stdin:
    ended = fork.run_in_child(WORKER_REQUEST.validate_json(line), setup)
    channel.write(ended.model_dump_json() + "\\n")
"""
HANGS = """\
import os, subprocess, sys
from pathlib import Path

inner = subprocess.Popen([sys.executable, "-c", "while True: pass"])
note = Path(__file__).parent / "pids.partial"
note.write_text(f"{os.getpid()} {inner.pid}")
note.rename(Path(__file__).parent / "pids")
while True:
    pass
"""


class Worker:
    def __init__(self, folder: Path) -> None:
        self.out, self.results = folder / "out", folder / "results"
        self.out.mkdir()
        self.results.mkdir()
        self.process = subprocess.Popen(
            [sys.executable, "-c", WORKER, str(self.out), str(self.results)],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )

    @property
    def stdin(self) -> IO[bytes]:
        assert self.process.stdin is not None
        return self.process.stdin

    def send(self, method: Path, seconds: float) -> None:
        request = Describe(method=method, families=["functions"], seconds=seconds)
        self.stdin.write(request.model_dump_json().encode() + b"\n")
        self.stdin.flush()

    def answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer


def until(condition: Callable[[], bool], seconds: float = 20.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return condition()


def gone(pid: int) -> bool:
    """Ended, or a zombie that nobody in this container reaps."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state == "Z"


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    worker = Worker(tmp_path)
    yield worker
    worker.process.kill()
    worker.process.communicate()


@pytest.fixture
def hanging(worker: Worker, tmp_path: Path) -> list[int]:
    """The processes of a run that never ends: the run's own and one that it started."""
    method, note = tmp_path / "hangs.py", tmp_path / "pids"
    method.write_text(HANGS)
    worker.send(method, 120.0)
    assert until(note.exists)
    pids = [int(word) for word in note.read_text().split()]
    assert not any(gone(pid) for pid in pids)
    return pids


def test_a_run_ends_when_the_supervisor_is_gone(worker: Worker, hanging: list[int]) -> None:
    worker.stdin.close()
    assert worker.process.wait(20) == 0
    assert until(lambda: all(gone(pid) for pid in hanging))
    worker.process.stdin = None


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's end")
def test_a_run_ends_when_its_worker_is_killed(worker: Worker, hanging: list[int]) -> None:
    worker.process.send_signal(signal.SIGKILL)
    run, inner = hanging
    assert until(lambda: gone(run))
    assert worker.process.stdout is not None
    assert worker.process.stdout.read() == b""
    os.kill(inner, signal.SIGKILL)


def test_a_run_that_takes_too_long_ends_with_all_it_started(worker: Worker, tmp_path: Path) -> None:
    method = tmp_path / "hangs.py"
    method.write_text(HANGS)
    worker.send(method, 3.0)
    answer = worker.answer()
    assert answer["limit"] == "wall time"
    assert 3.0 <= answer["wall_seconds"] < 20.0
    assert until(lambda: all(gone(int(pid)) for pid in (tmp_path / "pids").read_text().split()))


def test_time_in_which_everything_was_stopped_is_no_time_of_a_run(
    worker: Worker, tmp_path: Path
) -> None:
    """As by SIGSTOP, a frozen container or a closed laptop."""
    method, begun, go_on = (tmp_path / name for name in ("waits.py", "begun", "go_on"))
    method.write_text(
        "import os, time\n"
        "from pathlib import Path\n"
        "folder = Path(__file__).parent\n"
        "(folder / 'begun').touch()\n"
        "while not (folder / 'go_on').exists():\n"
        "    time.sleep(0.01)\n"
        "os._exit(7)\n"
    )
    seconds = 1.5
    worker.send(method, seconds)
    assert until(begun.exists)
    worker.process.send_signal(signal.SIGSTOP)
    time.sleep(1.2 * seconds)
    go_on.touch()
    worker.process.send_signal(signal.SIGCONT)
    answer = worker.answer()
    assert (answer["limit"], answer["exit"]) == (None, 7)
    assert answer["wall_seconds"] < seconds


def test_a_method_cannot_answer_for_the_worker(worker: Worker, tmp_path: Path) -> None:
    method = tmp_path / "shouts.py"
    method.write_text(
        "import os\n"
        "for fd in range(64):\n"
        "    try:\n"
        "        os.write(fd, b'{\"forged\": 1}\\n')\n"
        "    except OSError:\n"
        "        pass\n"
    )
    worker.send(method, 20.0)
    answer = worker.answer()
    assert set(answer) == {
        "limit", "exit", "killed_from_outside", "wall_seconds", "cpu_seconds", "peak_bytes",
        "probe_hash", "deviations",
    }  # fmt: skip
    worker.send(method, 20.0)
    assert "forged" not in worker.answer()


def test_what_a_method_prints_stays_in_the_runs_folder(worker: Worker, tmp_path: Path) -> None:
    method = tmp_path / "prints.py"
    method.write_text("import os, sys\nprint('to stdout')\nos.system('echo from a shell')\n")
    worker.send(method, 20.0)
    worker.answer()
    log = (worker.results / "output.log").read_text()
    assert "to stdout" in log
    assert "from a shell" in log
    worker.stdin.close()
    assert worker.process.stdout is not None
    assert worker.process.stdout.read() == b""
    worker.process.stdin = None
