"""What a method can see, reach and use up in the sandbox, tried from inside it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
from assay import paths
from assay.cards import SubmissionCard
from assay.engine import pool as pools
from assay.engine.outcomes import Refused
from assay.engine.pool import Pool
from assay.engine.runs import Job
from assay.errors import PluginError, WorkerError
from assay.messages.worker import Describe, Description, Outcome, Run
from assay.plugins.registry import MethodEntry, TaskEntry, method_ref, task_ref
from assay.records.schema import Compute, Isolation, RunRecord, RunSpec
from assay.ruleset import RULESET
from assay.sandbox import bubblewrap, launch, limits, mechanisms, privileges, self_check
from assay.space import Space

needs_bubblewrap = pytest.mark.skipif(
    bubblewrap.bubblewrap_problem() is not None, reason=str(bubblewrap.bubblewrap_problem())
)
needs_landlock = pytest.mark.skipif(
    mechanisms.landlock_problem() is not None, reason=str(mechanisms.landlock_problem())
)


def seen(pool: Pool, folder: Path, source: str, seconds: float = 30.0) -> Any:
    """The value of `found` after `source` ran as a method's module in a worker's child."""
    with pytest.raises(Refused) as refused:
        pool.answer(asked(looks(folder, source), seconds), Description)
    return told(str(refused.value))


def asked(method: Path, seconds: float = 30.0) -> Describe:
    return Describe(method=method, families=[], seconds=seconds)


def looks(folder: Path, source: str) -> Path:
    """A method's module that says what `found` is after `source` ran."""
    path = folder / "looks.py"
    path.write_text(f"{source}\nimport json\nraise RuntimeError('FOUND' + json.dumps(found))\n")
    return path


def told(text: str) -> Any:
    assert "FOUND" in text, text
    return json.JSONDecoder().raw_decode(text.partition("FOUND")[2])[0]


def tries(*expressions: str) -> str:
    """Source that evaluates each expression; `found` has the name of each one's exception."""
    return f"""
found = []
for text in {list(expressions)!r}:
    try:
        exec(text)
        found.append("worked")
    except BaseException as error:
        found.append(type(error).__name__)
"""


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


ASKED = """
import sys
from unittest.mock import MagicMock

import assay.engine.pool
from assay.engine.outcomes import Refused
from assay.engine.pool import Pool
from assay.messages.worker import Describe, Description, Outcome, Run
from assay.records.schema import Compute

assay.engine.pool.ScorerClient = MagicMock()  # nothing is scored
with Pool(n_workers=1, compute=Compute(), mechanism=sys.argv[1]) as pool:
    for path in sys.argv[2:]:
        try:
            pool.answer(Describe(method=path, families=[], seconds=90), Description)
        except Refused as refused:
            print(refused)
"""


def installed(place: Path) -> tuple[Path, Path]:
    """A copy of this package with data beside its code, as in a wheel, in an environment.

    Gives the package and the environment's folder of packages.
    """
    package = place / "code" / "assay"
    shutil.copytree(paths.PACKAGE, package)
    (package / "bundled" / "tasks").mkdir(parents=True)
    (package / "bundled" / "tasks" / "card.toml").write_text("sealed")
    venv.create(place / "venv", symlinks=True)
    (packages,) = place.glob("venv/lib/python*/site-packages")
    packages.joinpath("code.pth").write_text(
        "\n".join(map(str, [place / "code", *bubblewrap.packages()]))
    )
    return package, packages


@needs_bubblewrap
def test_code_below_tmp_can_be_read_alone_and_tmp_is_a_runs_own(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        place = Path(name)
        package, packages = installed(place)
        attempts = [
            "open('/tmp/kept', 'w')",
            "import tempfile; tempfile.mkstemp()",
            f"open('{place}/code/torch.py', 'w')",
            f"open('{place}/code/assay/new.py', 'w')",
            f"open('{packages}/new.pth', 'w')",
            f"import os; os.mkdir('{place}/new')",
            f"import os; os.chmod('{place}', 0o777)",
            f"import os; os.rename('{place}', '/tmp/moved')",
            f"import os; os.rename('{place}/code', '/tmp/moved')",
            "import os; os.rename('/tmp', '/moved')",
            f"open('{package}/bundled/tasks/card.toml')",
        ]
        listed = f"""
import os
places = ("/tmp", "/tmp/tmp", "{place}", "{place}/code", "{package}/bundled")
found = [sorted(os.listdir(place)) for place in places]
found.append(os.statvfs("/tmp").f_blocks * os.statvfs("/tmp").f_frsize)
"""
        folders = [tmp_path / "first", tmp_path / "second"]
        for folder in folders:
            folder.mkdir()
        modules = [looks(folders[0], tries(*attempts)), looks(folders[1], listed)]
        done = subprocess.run(
            [place / "venv" / "bin" / "python", "-I", "-c", ASKED, "bubblewrap", *modules],
            capture_output=True, text=True, timeout=240, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        first, second = (told(line) for line in done.stdout.splitlines() if "FOUND" in line)
        worked = [a for a, result in zip(attempts, first, strict=True) if result == "worked"]
        assert worked == attempts[:2]
        beside = [path.name for path in bubblewrap.islands()]  # where this environment lies so too
        assert second == [
            sorted(["run", "tmp", place.name, *beside]), [], ["code", "venv"], ["assay"], [],
            limits.LIMITS.disk_bytes,
        ]  # fmt: skip


@needs_landlock
def test_landlock_hides_what_a_wheel_has_beside_its_code(tmp_path: Path) -> None:
    package, _ = installed(tmp_path)
    attempts = [
        f"open('{package}/paths.py').read()", f"open('{package}/bundled/tasks/card.toml').read()"
    ]  # fmt: skip
    done = subprocess.run(
        [tmp_path / "venv" / "bin" / "python", "-I", "-c", ASKED, "landlock",
         looks(tmp_path, tries(*attempts))],
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert told(done.stdout) == ["worked", "PermissionError"]


@pytest.mark.skipif(sys.platform != "linux", reason="bubblewrap exists for Linux alone")
@pytest.mark.parametrize("place", [paths.PACKAGE, Path("/tmp/run")], ids=["checkout", "run"])
def test_code_where_a_run_writes_is_told(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bubblewrap, "islands", lambda: (place,))
    monkeypatch.setattr(shutil, "which", lambda name: name)
    problem = bubblewrap.bubblewrap_problem.__wrapped__()
    assert problem is not None
    assert str(place) in problem and "out of /tmp" in problem


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


def run_module(
    pool: Pool, task: TaskEntry, folder: Path, source: str, slug: str = "bomb"
) -> RunRecord:
    path = folder / f"{slug}.py"
    path.write_text(source)
    method = MethodEntry(SubmissionCard(slug=slug, title=slug), path)
    spec = RunSpec(
        ruleset=RULESET.version, task=task_ref(task), method=method_ref(method),
        hyperparameters={}, repetition=0, point=0,
    )  # fmt: skip
    return pool.run(Job(spec, task, method, Space()), "assay run")


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


def test_code_that_nobody_can_read_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/tmp")
    monkeypatch.setattr(mechanisms, "run_user", lambda _: 65534)
    monkeypatch.setattr(privileges, "can_mount", lambda: False)
    with tempfile.TemporaryDirectory() as closed:  # its owner's alone
        monkeypatch.setattr(mechanisms, "readable", lambda: (Path(closed),))
        problem = mechanisms.nobody_problem.__wrapped__()
    assert problem is not None
    assert "nobody" in problem and f"chmod o+x {closed}" in problem and "ordinary user" in problem


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o660])
def test_code_of_a_checkout_made_under_umask_077_is_told(
    mode: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bubblewrap and Landlock let `nobody` through folders, but files keep their rights."""
    code = tmp_path / "a b" / "assay"
    (code / "worker").mkdir(parents=True)
    for folder in (code, code / "worker"):
        folder.chmod(0o755)
    module = code / "worker" / "serve.py"
    module.touch(0o644)
    (code / ".#serve.py").symlink_to("nowhere")
    monkeypatch.setattr(mechanisms, "PACKAGE", code)
    monkeypatch.setattr(mechanisms, "packages", lambda: [])
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    problem = mechanisms.closed_code_problem.__wrapped__
    module.chmod(0o644)
    assert problem() is None
    module.chmod(mode)
    said = str(problem())
    assert f"cannot read {module}" in said and f"chmod -R o+rX '{code}'" in said
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert problem() is None  # an ordinary user's runs stay that user


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
