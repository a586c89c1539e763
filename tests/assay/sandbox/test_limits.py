"""What a method can use up: bombs end at their limits, and all CPU time counts."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from assay.engine.pool import Pool
from assay.plugins.registry import TaskEntry

from tests.assay.sandbox.conftest import asked, looks, needs_bubblewrap, run_module, seen

MANY_MEMORIES = """
import os, time
for _ in range(12):
    if os.fork() == 0:
        kept = bytearray(b"x" * 2**29)
        time.sleep(60)
        os._exit(0)
time.sleep(60)
"""
UNLINKED = """
import os, time
kept = []
for number in range(40):
    kept.append(open(f"/tmp/{number}", "wb"))
    os.unlink(f"/tmp/{number}")
    try:
        kept[-1].write(bytes(2**26))
    except OSError:
        time.sleep(60)
"""
ONE_FILE = "file = open('/tmp/x', 'wb')\nwhile True:\n    file.write(bytes(2**24))\n"
PROCESSES = """
import subprocess, time
while True:
    try:
        subprocess.Popen(["/bin/sleep", "1000"])
    except OSError:
        time.sleep(0.1)
"""
FORKS = """
import os, time
while True:
    try:
        os.fork()
    except OSError:
        time.sleep(0.1)
"""
BOMBS = {
    "many processes' memory": (MANY_MEMORIES, "memory"),
    "deleted files": (UNLINKED, "disk"),
    "one file": (ONE_FILE, "file size"),
    "processes": (PROCESSES, "processes"),
    "forks": (FORKS, "memory"),  # each counts the libraries again
}
"""Modules that never end by themselves, and the limit that has to end each.

Plain bombs, of one process each, are attacks of the registry (tests/attacks).
"""


@needs_bubblewrap
@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_ends_at_its_limit_and_the_worker_goes_on(
    pool: Pool, make_task: Callable[..., TaskEntry], tmp_path: Path, name: str
) -> None:  # fmt: skip
    source, limit = BOMBS[name]
    task = make_task(seconds=60)
    workers = list(pool.workers)
    record = run_module(pool, task, tmp_path, source)
    assert limit in record.message, record.message
    assert record.status == "failed"
    assert record.usage.cpu_seconds < 65
    assert pool.workers == workers
    assert seen(pool, tmp_path, "found = 7") == 7


HIDING = """
import ctypes, os, signal, time
libc = ctypes.CDLL(None)
ended, alive = os.pipe()
no_wait = (ctypes.c_char * 152).from_buffer_copy(bytes(136) + b"\\x02" + bytes(15))  # SA_NOCLDWAIT
def burn():
    while time.process_time() < 0.004:
        pass
    os._exit(0)
for number in range(200):
    way = number % 4
    if way == 0:
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    if way == 1:
        libc.sigaction(signal.SIGCHLD, no_wait, None)
    clone = {"x86_64": 56, "aarch64": 220}[os.uname().machine]
    sibling = number % 8 == 7  # CLONE_PARENT; these stay until the parent ends
    pid = libc.syscall(clone, 0x8000 | 17, 0, 0, 0, 0) if sibling else os.fork()
    if pid == 0:
        if way == 2 and os.fork() != 0:
            os._exit(0)
        burn()
    time.sleep(0.001)
    if number % 20 == 19:  # else they would be too many
        os.close(alive)
        os.read(ended, 1)  # until the last child has ended
        ended, alive = os.pipe()
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            pass
os.close(alive)
os.read(ended, 1)  # until the last child has ended
"""


@needs_bubblewrap
def test_cpu_time_of_children_that_nobody_waits_for_counts(pool: Pool, tmp_path: Path) -> None:
    source = (
        f"import subprocess, sys\nsubprocess.run([sys.executable, '-ISc', {HIDING!r}])\nfound = 1"
    )
    spent = []
    for number, text in enumerate((source, "found = 1")):
        folder = tmp_path / str(number)
        (folder / "left").mkdir(parents=True)
        ended = pool.ask_worker(asked(looks(folder, text), 60), folder / "left")
        spent.append(ended.cpu_seconds)
    assert spent[0] - spent[1] >= 0.9 * 200 * 0.004


WATCHED = """
import os, sys, time
from pathlib import Path
from assay.sandbox.limits import Watch, end_all

folder = Path(sys.argv[1])
watch = Watch(folder, os.open(folder, os.O_RDONLY), cpu=0.4, first=None)
for _ in range(2):  # neither is over the limit alone
    if os.fork() == 0:
        while True:
            pass
while (limit := watch.exceeded()) is None:
    time.sleep(0.01)
end_all()
print(limit, 0.4 <= watch.cpu_seconds() < 10)
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="only Linux lets others look")
def test_cpu_time_of_all_processes_counts(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WATCHED, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "CPU time True\n"
