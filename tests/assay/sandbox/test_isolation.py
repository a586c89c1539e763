"""What a method can see and reach in the sandbox, tried from inside it."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest.mock import MagicMock

import pytest
from assay import paths
from assay.engine import pool as pools
from assay.engine.pool import Pool
from assay.errors import PluginError, WorkerError
from assay.messages.worker import Description, Outcome, Run
from assay.plugins.registry import TaskEntry
from assay.records.schema import Compute, Isolation
from assay.sandbox import bubblewrap, launch, mechanisms, self_check

from tests.assay.sandbox.conftest import (
    asked,
    looks,
    needs_bubblewrap,
    needs_landlock,
    run_module,
    seen,
    told,
    tries,
)


@needs_bubblewrap
def test_a_method_sees_nothing_of_this_machine(pool: Pool, tmp_path: Path) -> None:
    source = """
import os
from pathlib import Path
found = {
    "root": sorted(os.listdir("/")),
    "home": os.path.expanduser("~"),
    "processes": [int(name) for name in os.listdir("/proc") if name.isdigit()],
    "descriptors": len(os.listdir("/proc/self/fd")),
    "user": [os.getuid(), os.getgid(), os.uname().nodename],
    "assay": sorted(os.listdir(%r)),
    "inbox": sorted(os.listdir("/in")),
}
"""
    found = seen(pool, tmp_path, source % str(paths.PACKAGE.parent))
    assert set(found["root"]) <= {
        "bin", "dev", "etc", "in", "lib", "lib32", "lib64", "libx32", "out", "proc", "tmp", "usr",
        *(path.parts[1] for path in bubblewrap.readable()),
    }  # fmt: skip
    assert found["home"] == str(bubblewrap.scratch())
    assert len(found["processes"]) == 2  # the worker and this
    assert found["descriptors"] == 4  # three streams, and the one that lists
    assert found["user"] == [65534, 65534, "assay"]
    # Of the checkout, this package alone, and what the interpreter needs if it lies there too.
    here = paths.PACKAGE.parent
    inside = [path for path in bubblewrap.readable() if path.is_relative_to(here)]
    assert found["assay"] == sorted({path.relative_to(here).parts[0] for path in inside})
    assert not {".git", "tasks", "tests", "submissions", "leaderboard"} & set(found["assay"])
    assert found["inbox"] == ["method", "packages"]


@needs_bubblewrap
def test_what_would_leave_the_sandbox_is_refused(pool: Pool, tmp_path: Path) -> None:
    attempts = [
        "import socket; socket.socket(socket.AF_INET)",
        "import socket; socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
        "import socket; socket.socket(40, socket.SOCK_STREAM)",  # AF_VSOCK
        "open('/proc/1/mem', 'rb').read(1)",
        "open('/proc/1/environ', 'rb').read(1)",
        "import os; os.readlink('/proc/1/fd/0')",
        "open('/in/x', 'w')",
        "open('/x', 'w')",
        f"open({str(paths.PACKAGE / 'x.py')!r}, 'w')",
        "open('/dev/x', 'w')",
        "open('/proc/sys/kernel/core_pattern', 'w')",
        "import os; os.mkfifo('/usr/bin/x')",
        "from sklearn.datasets import load_digits; load_digits()",
        "from sklearn.datasets import load_breast_cancer; load_breast_cancer()",
        f"open({str(paths.TEXTS / 'python_reference.txt')!r}).read()",
    ]
    found = seen(pool, tmp_path, tries(*attempts), seconds=90.0)
    assert [a for a, result in zip(attempts, found, strict=True) if result == "worked"] == []


@needs_bubblewrap
def test_denied_calls_answer_with_an_error_live(pool: Pool, tmp_path: Path) -> None:
    source = """
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
from assay.sandbox.seccomp import MACHINES
import platform
numbers = MACHINES[platform.machine()].numbers
found = []
for name, arguments in {
    "keyctl": (0, -3, 1), "io_uring_setup": (1, 0), "ptrace": (16, 1), "bpf": (0, 0, 0),
    "perf_event_open": (0, 0, -1, -1, 0), "userfaultfd": (0,), "unshare": (0x10000000,),
    "shmget": (0, 4096, 0o1600), "mq_open": (b"/x", 0o102, 0o600, 0), "mount": (0, 0, 0, 0),
    "process_vm_readv": (1, 0, 0, 0, 0, 0), "clone": (0x10000011, 0, 0, 0, 0),
}.items():
    ctypes.set_errno(0)
    result = libc.syscall(numbers[name], *arguments)
    if (result, ctypes.get_errno()) != (-1, errno.EPERM):
        found.append([name, result, ctypes.get_errno()])
"""
    assert seen(pool, tmp_path, source) == []


@needs_bubblewrap
def test_nothing_passes_from_one_run_to_the_next(pool: Pool, tmp_path: Path) -> None:
    own = bubblewrap.scratch()
    leave = f"""
import os, subprocess, sys
places = ["{own}/kept", "{own}/tmp/kept", "/tmp/left", "/dev/shm/kept", "{own}/run/kept"]
for place in places:
    open(place, "w").write("x")
os.makedirs("{own}/" + "deep/" * 200)
os.chmod("{own}/deep", 0)
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"], start_new_session=True)
found = 1
"""
    look = f"""
import os
places = ["{own}", "{own}/tmp", "/dev/shm", "{own}/run"]
found = [sorted(os.listdir(place)) for place in places]
found.append(len([name for name in os.listdir("/proc") if name.isdigit()]))
"""
    for _ in range(pool.n_workers):  # workers take turns
        assert seen(pool, tmp_path, leave) == 1
    top = sorted(["run", "tmp", *(path.name for path in bubblewrap.islands())])
    for _ in range(pool.n_workers):
        assert seen(pool, tmp_path, look) == [top, [], [], ["output.log"], 2]


@needs_bubblewrap
def test_a_record_says_in_which_sandbox_it_was_made(
    pool: Pool, make_task: Callable[..., TaskEntry], tmp_path: Path
) -> None:
    records = [
        run_module(pool, make_task(f"toy{n}"), tmp_path, "from assay import Method\n"
                   "class Plain(Method):\n    pass\n", slug="plain")
        for n in range(3)
    ]  # fmt: skip
    assert {record.status for record in records} == {"completed"}
    assert len({record.isolation for record in records}) == 1
    found = records[0].isolation
    assert (found.level, found.mechanism) == ("L2", "bubblewrap")
    assert found.profile_hash == mechanisms.profile_hash("bubblewrap")
    assert found.probe_hash is not None


@pytest.mark.parametrize("user", [0, 1000])
def test_a_profile_does_not_tell_where_a_command_was_given(
    user: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: user)
    found = set()
    for folder in (Path("/"), tmp_path):
        monkeypatch.chdir(folder)
        found.add(mechanisms.profile_hash.__wrapped__("bubblewrap"))
        assert str(tmp_path) not in " ".join(bubblewrap.profile())
    assert len(found) == 1


@needs_landlock
def test_landlock_lets_a_run_have_its_own_files_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts = [
        "import socket; socket.socket(socket.AF_INET)",
        f"open({str(paths.ROOT / 'pyproject.toml')!r}).read()",
        f"open({str(paths.PACKAGE / 'x.py')!r}, 'w')",
        "open('/etc/passwd').read()",
        "open('/tmp/x', 'w')",
        "import os; open(f'/proc/{os.getppid()}/mem', 'rb')",
        f"open('/proc/{os.getpid()}/environ', 'rb').read()",
        "from sklearn.datasets import load_digits; load_digits()",
        f"open({str(paths.TEXTS / 'python_reference.txt')!r}).read()",
    ]
    monkeypatch.setattr(pools, "ScorerClient", MagicMock())  # nothing is scored
    with Pool(n_workers=1, compute=Compute(), mechanism="landlock") as pool:
        found = seen(pool, tmp_path, tries(*attempts), seconds=90.0)
        assert [a for a, result in zip(attempts, found, strict=True) if result == "worked"] == []
        assert seen(
            pool, tmp_path, "import os; found = open(os.environ['TMPDIR'] + '/x', 'w') and 1"
        )
        user = seen(pool, tmp_path, "import os; found = [os.getuid(), *os.getgroups()]")
        assert user == ([65534] if os.geteuid() == 0 else [os.getuid(), *os.getgroups()])
        worker = pool.workers[0]
        assert seen(pool, tmp_path, "import os; os.fork() or __import__('time').sleep(99)\nfound=1")
        assert pool.workers == [worker]


def test_no_sandbox_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mechanisms, "bubblewrap_problem", lambda: "bubblewrap is not installed")
    monkeypatch.setattr(mechanisms, "landlock_problem", lambda: "Landlock has ABI 0 here")
    with pytest.raises(WorkerError, match="apt-get install bubblewrap.*--allow-weaker"):
        mechanisms.choose(compute=Compute(), allow_weaker=False)
    assert mechanisms.choose(compute=Compute(), allow_weaker=True) == "subprocess"
    monkeypatch.setattr(mechanisms, "landlock_problem", lambda: None)
    assert mechanisms.choose(compute=Compute(), allow_weaker=False) == "landlock"


def test_a_gpu_needs_to_be_allowed_to_go_without() -> None:
    gpu = Compute(accelerator="gpu")
    with pytest.raises(WorkerError, match="--accelerator cpu.*--allow-weaker"):
        mechanisms.choose(compute=gpu, allow_weaker=False)
    assert mechanisms.choose(compute=gpu, allow_weaker=True) == "subprocess"


def test_a_sandbox_that_is_not_as_it_should_be_is_told_and_nothing_runs(
    pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran, left = tmp_path / "ran", tmp_path / "left"
    left.mkdir()
    (tmp_path / "method.py").write_text(f"open({str(ran)!r}, 'w')\n")
    options = bubblewrap.mounts

    def careless(inbox: Path) -> list[str]:
        found = options(inbox)
        at = found.index("/")
        return [*found[: at - 1], *found[at + 1 :]]

    monkeypatch.setattr(launch, "mounts", careless)
    monkeypatch.setattr(pools, "ScorerClient", MagicMock())  # nothing is scored
    if pool.mechanism != "bubblewrap":
        pytest.skip("needs bubblewrap")
    with (
        Pool(n_workers=1, compute=Compute()) as loose,
        pytest.raises(WorkerError, match="the mount / can be written to"),
    ):
        loose.workers[0].do(asked(tmp_path / "method.py"), left, 60)
    assert not ran.exists() and list(left.iterdir()) == []


def test_deviations_are_named() -> None:
    expected = {"seccomp": 2, "writable": ["/out"], "mounted": ["/usr", "/out"]}
    facts = {
        "seccomp": 0,
        "mounts": [["/", "tmpfs", "ro"], ["/home", "ext4", "ro"], ["/usr/x", "ext4", "rw"]],
    }
    assert self_check.deviations(facts, expected) == [
        "the mount /usr/x can be written to",
        "unexpected mount /home",
        "seccomp: found 0, expected 2",
    ]
    fine = {"seccomp": 2, "mounts": [["/out", "tmpfs", "rw"], ["/usr", "ext4", "ro"]]}
    assert self_check.deviations(fine, expected) == []


def test_a_run_has_a_connection_to_its_oracle_as_descriptor_4(
    pool: Pool, make_task: Callable[..., TaskEntry], tmp_path: Path
) -> None:
    source = "import os, socket\nline = socket.socket(fileno=4)\nline.sendall(b'?')\n"
    method = looks(tmp_path, f"{source}found = line.recv(9).decode()")
    with socket.socket(socket.AF_UNIX) as oracle, ThreadPoolExecutor(1) as thread:
        place = pool.folder / "oracle"
        oracle.bind(str(place))
        place.chmod(0o666)  # the run is another user
        oracle.listen()
        oracle.settimeout(30)

        def answer() -> bytes:
            connection, _ = oracle.accept()
            with connection:
                asked = connection.recv(9)
                connection.sendall(b"answer")
            return asked

        heard = thread.submit(answer)
        request = Run(
            method=method, task=make_task().folder, access=[], cpu_seconds=20, seconds=30,
            hyperparameters={}, reference={}, train=method, starts=[], seeds=[], oracle=place,
        )  # fmt: skip
        assert told(pool.answer(request, Outcome).message) == "answer"
        assert heard.result() == b"?"


def test_old_records_without_a_mechanism_stay_valid() -> None:
    assert Isolation.model_validate({"level": "L1"}).mechanism is None


def test_a_plugin_that_ends_itself_before_it_is_loaded_cannot_claim_a_sandbox(
    pool: Pool, tmp_path: Path
) -> None:
    """The pipe that carries what a child saw is closed before a method's first line runs."""
    assert seen(pool, tmp_path, tries("import os; os.write(3, b'x')")) == ["OSError"]
    with pytest.raises(PluginError, match="exited with code 97"):
        path = tmp_path / "ends.py"
        path.write_text("import os\nos._exit(97)\n")
        pool.answer(asked(path), Description)
