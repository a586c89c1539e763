"""Starts the worker and the scorer: in which sandbox, with which environment, at which level.

Levels (recorded in every result): L0 in process, L1 a process apart, L2 bubblewrap with seccomp
and limits, L3 gradient oracle, L4 micro-VM. Three mechanisms, the strongest that works is taken:

    bubblewrap   L2  own user, process, mount, network, IPC and host-name namespaces
    landlock     L1  file access and TCP restricted by the kernel (Landlock ABI 4), seccomp, limits
    subprocess   L1  a crash boundary and polled limits, no security; only with --allow-weaker

In the sandbox a worker sees the interpreter and its packages, the system's libraries, this
package, and two folders: `/in`, where the supervisor puts the files of one run, and `/out` (see
`scratch`), a file system in memory, from which the worker hands over what the run left. Data sets,
labels, records, the repository, home folders and other workers are not there. Data files that come
inside a package (scikit-learn's digits) are masked. What remains: a stranger can write data into a
method's source, which suite.detectors looks for.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from suite import landlock, limits, seccomp
from suite.errors import WorkerError
from suite.identity import sha256
from suite.records import Compute, Isolation, Mechanism

USER = 65534
HOST_NAME = "assay"
PACKAGE = Path(__file__).resolve().parent
SYSTEM = [
    Path(name)
    for name in (
        *("/usr/bin", "/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/libx32"),
        *("/bin", "/lib", "/lib32", "/lib64", "/libx32"),
        *("/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/alternatives"),
    )
]
PREFIX_PARTS = ("bin", "lib", "lib64", "pyvenv.cfg")
"""Of an interpreter's prefix: the rest of the folder may be a checkout or a home."""
MASKED = ("sklearn/datasets/data", "sklearn/datasets/tests/data")
"""Below a packages folder: data sets of tasks, with clean labels and test inputs."""
WRITABLE = ("/dev/shm", "/dev/pts")
DEVICES = tuple(f"/dev/{name}" for name in ("full", "null", "random", "tty", "urandom", "zero"))
IN, OUT, TMP = Path("/in"), Path("/out"), Path("/tmp")
ADVICE = (
    "install bubblewrap (Debian: apt-get install bubblewrap), or accept results that cannot be "
    "trusted with --allow-weaker"
)
TRIAL_SECONDS = 30.0


@dataclass(frozen=True)
class Box:
    """The folders of one worker, on this machine; `root` holds nothing else."""

    root: Path

    @property
    def inbox(self) -> Path:
        """What a run is given: filled and cleared by the supervisor."""
        return self.root / "in"

    @property
    def scratch(self) -> Path:
        """Where a run writes if it has no file system of its own."""
        return self.root / "out"

    @property
    def results(self) -> Path:
        """What the worker hands over; no run can reach it."""
        return self.root / "results"

    def make(self) -> None:
        """Create the folders."""
        for folder in (self.inbox, self.scratch, self.results):
            folder.mkdir(parents=True)
        if os.geteuid() == 0:  # the worker is another user then
            os.chown(self.results, USER, USER)

    def places(self, mechanism: Mechanism) -> tuple[Path, Path]:
        """Inbox and writable folder as the worker names them."""
        return (IN, scratch()) if mechanism == "bubblewrap" else (self.inbox, self.scratch)


def choose(*, compute: Compute, allow_weaker: bool) -> Mechanism:
    """The strongest mechanism that works here.

    Raises:
        WorkerError: only `subprocess` does, and that was not allowed.
    """
    if compute.accelerator == "gpu":
        reason = "a GPU cannot be used inside the sandbox"
        advice = "use --accelerator cpu, or accept results at level L1 with --allow-weaker"
    else:
        problems = {"bubblewrap": bubblewrap_problem(), "landlock": landlock_problem()}
        if problems["bubblewrap"] is None:
            return "bubblewrap"
        if problems["landlock"] is None:
            return "landlock"
        reason = f"no sandbox works here: {problems['bubblewrap']}; {problems['landlock']}"
        advice = ADVICE
    if not allow_weaker:
        raise WorkerError(f"{reason}; {advice}")
    return "subprocess"


@functools.cache
def bubblewrap_problem() -> str | None:
    """Why bubblewrap cannot be used on this machine, or None; tried, not guessed."""
    if sys.platform != "linux":
        return "bubblewrap exists for Linux alone"
    if shutil.which("bwrap") is None:
        return "bubblewrap is not installed"
    if not seccomp.supported():
        return f"the seccomp filter is not known for {os.uname().machine}"
    if unfit := [path for path in islands() if path == PACKAGE or path.name in ("run", "tmp")]:
        return (
            f"{unfit[0]} holds code, and in the sandbox that place is a run's own; move the "
            f"checkout and its environment out of {TMP}"
        )
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        return "bubblewrap is there, but setpriv (Debian: util-linux), which root needs, is not"
    try:
        with _Filter() as handle:
            sandbox = [*_as_ordinary_user(PACKAGE), *_namespaces(handle), *_mounts(PACKAGE)]
            tried = subprocess.run(
                [*sandbox, "--", sys.executable, "-I", "-S", "-c", ""],
                pass_fds=(handle,), capture_output=True, text=True, timeout=TRIAL_SECONDS,
            )  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        return f"bubblewrap does not start: {error}"
    if tried.returncode:
        return f"bubblewrap does not work: {tried.stderr.strip() or tried.returncode}"
    return None


@functools.cache
def landlock_problem() -> str | None:
    """Why Landlock cannot be used on this machine, or None."""
    found = landlock.abi()
    if found < landlock.MIN_ABI:
        return f"Landlock has ABI {found} here, expected at least {landlock.MIN_ABI}"
    return None if seccomp.supported() else "the seccomp filter is not known for this machine"


def describe(mechanism: Mechanism, probe_hash: str | None) -> Isolation:
    """What a record says of how its run was kept apart."""
    return Isolation(
        level="L2" if mechanism == "bubblewrap" else "L1",
        mechanism=mechanism,
        profile_hash=profile_hash(mechanism),
        probe_hash=probe_hash,
    )


@functools.cache
def profile_hash(mechanism: Mechanism) -> str:
    """SHA-256 of the sandbox's options, paths left out, its filter and its limits."""
    options: list[str] = []
    if mechanism == "bubblewrap":
        options = [*_as_ordinary_user(Path("inbox")), *_namespaces(0), *_mounts(Path("inbox"))]
    names = {str(path): f"<{number}>" for number, path in enumerate(readable())}
    names |= {str(path): f"<masked {number}>" for number, path in enumerate(masked())}
    names |= {str(path): f"<island {number}>" for number, path in enumerate(islands())}
    profile = {
        "mechanism": mechanism,
        "options": [names.get(option, option) for option in options],
        "filter": seccomp.program().hex() if mechanism != "subprocess" else None,
        "limits": limits.as_dict(),
    }
    return sha256(json.dumps(profile, sort_keys=True))


def launch_worker(
    box: Box,
    mechanism: Mechanism,
    *,
    compute: Compute,
    log: IO[bytes],
    extra: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a worker in its sandbox; it waits for its first line, its configuration.

    Args:
        box: its folders, made already.
        mechanism: see `choose`.
        compute: what numbers depend on.
        log: for what the worker itself prints.
        extra: more variables, for a worker that audits tasks and never loads a method.
    """
    inside = box.places(mechanism)
    variables = _environment(compute, {**_worker_variables(inside[1]), **(extra or {})})
    handle = os.open(box.results, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with _Filter() as filter_handle:
            command = _command("suite.worker", [])
            if mechanism == "bubblewrap":
                settings = [part for item in variables.items() for part in ("--setenv", *item)]
                sandbox = [*_namespaces(filter_handle), *settings, *_mounts(box.inbox)]
                command = [*_as_ordinary_user(box.inbox), *sandbox, "--", *command]
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=variables,
                pass_fds=(handle, filter_handle) if mechanism == "bubblewrap" else (handle,),
                start_new_session=True,  # Ctrl-C is the supervisor's alone
                cwd=box.scratch,
            )
        assert process.stdin is not None
        configuration = _configuration(mechanism, inside, handle, variables)
        with contextlib.suppress(BrokenPipeError):  # who waits for it to be ready tells of its end
            process.stdin.write(json.dumps(configuration).encode() + b"\n")
            process.stdin.flush()
        return process
    finally:
        os.close(handle)


def launch_scorer(
    arguments: list[str], *, compute: Compute, log: IO[bytes], extra: dict[str, str]
) -> subprocess.Popen[bytes]:
    """Start the scorer, which is trusted: `python -m suite.scoring arguments`."""
    return subprocess.Popen(
        _command("suite.scoring", arguments),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        env=_environment(compute, extra),
        close_fds=True,
        start_new_session=True,
        cwd=Path(sys.prefix),
    )


def _command(module: str, arguments: list[str]) -> list[str]:
    """The command line of a child interpreter.

    -s: no user site; -B: no bytecode written; -P: the current folder is not importable.
    """
    return [sys.executable, "-s", "-B", "-P", "-m", module, *arguments]


def _environment(compute: Compute, extra: Mapping[str, str]) -> dict[str, str]:
    """Everything a child sees of the outside; what numbers depend on is pinned here."""
    threads = str(compute.threads)
    pinned = {
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "OPENBLAS_NUM_THREADS": threads,
        "PYTHONHASHSEED": "0",
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
        "PYTORCH_NVML_BASED_CUDA_CHECK": "1",
        "LC_ALL": "C.UTF-8",
        "PATH": "/usr/bin:/bin",
    }
    if compute.isa != "native":
        # Results are bitwise repeatable only under one instruction set; AVX2 runs everywhere.
        pinned["ATEN_CPU_CAPABILITY"] = compute.isa
        pinned["ONEDNN_MAX_CPU_ISA"] = compute.isa.upper()
        pinned["MKL_ENABLE_INSTRUCTIONS"] = compute.isa.upper()
    return {**pinned, **extra}


def _worker_variables(out: Path) -> dict[str, str]:
    """No home, no user name, no place of data; the interpreter's libraries where they are odd."""
    found = {"HOME": str(out), "TMPDIR": f"{out}/tmp"}
    if "LD_LIBRARY_PATH" in os.environ:
        found["LD_LIBRARY_PATH"] = os.environ["LD_LIBRARY_PATH"]
    return found


def _configuration(
    mechanism: Mechanism,
    places: tuple[Path, Path],
    results: int,
    variables: Mapping[str, str],
) -> dict[str, Any]:
    """What the worker is told at its start."""
    expected: dict[str, Any] = {"descriptors": [0, 1, 2], "environment": sorted(variables)}
    if mechanism != "subprocess":
        expected |= {"seccomp": 2, "no_new_privileges": True, "sockets": []}
        expected["parts_of_worker"] = []
    if mechanism == "landlock":
        expected["effective_capabilities"] = 0
    if mechanism == "bubblewrap":
        expected |= {
            "users": [USER],
            "groups": [USER],
            "environment": sorted([*variables, "PWD"]),  # which --chdir sets
            "effective_capabilities": 0,
            "capabilities": [0, 0, 0, 0, 0],
            "interfaces": ["lo"],
            "writable": [str(places[1]), *WRITABLE, *DEVICES],
            "mounted": [*map(str, [*places, *readable(), *masked()]), "/dev", "/proc"],
        }
    return {
        "mechanism": mechanism,
        "in": str(places[0]),
        "out": str(places[1]),
        "results": results,
        "expected": expected,
        "readable": [str(path) for path in readable()],
        "masked": [str(path) for path in masked()],
    }


def _as_ordinary_user(inbox: Path) -> list[str]:
    """What goes before bwrap where root starts it; nothing for others.

    In its own user namespace root is still the owner of the machine's files and of /proc/sys, and
    no limit on processes holds for it. So root becomes `nobody` first, in a mount namespace where
    what the sandbox is made of lies open, whatever the rights of the folders above.
    """
    if os.geteuid() != 0:
        return []
    places = [*readable(), inbox.absolute()]
    above = {folder for place in places for folder in place.parents} - {Path("/")}
    above.add(TMP)  # where the next bwrap builds
    folders = [("--perms", "0755", "--dir", str(folder)) for folder in sorted(above)]
    return [
        *(shutil.which("bwrap") or "bwrap", "--die-with-parent"),
        *(part for options in folders for part in options),
        *_binds(),
        *("--bind", "/proc", "/proc", "--dev-bind", "/dev", "/dev"),
        *("--ro-bind", str(inbox), str(inbox), "--chdir", "/", "--"),
        *("setpriv", "--reuid", str(USER), "--regid", str(USER), "--clear-groups"),
        *("--no-new-privs", "--inh-caps=-all", "--bounding-set=-all", "--pdeathsig", "KILL"),
    ]


def _binds() -> list[str]:
    options: list[str] = []
    for path in readable():
        if path.is_symlink():
            options += ["--symlink", os.readlink(path), str(path)]
        else:
            options += ["--ro-bind", str(path), str(path)]
    return options


def _namespaces(filter_handle: int) -> list[str]:
    return [
        shutil.which("bwrap") or "bwrap",
        *("--unshare-user", "--unshare-all", "--disable-userns"),
        *("--uid", str(USER), "--gid", str(USER), "--hostname", HOST_NAME),
        *("--as-pid-1", "--die-with-parent", "--new-session"),
        *("--cap-drop", "ALL", "--clearenv", "--seccomp", str(filter_handle)),
    ]


def _mounts(inbox: Path) -> list[str]:
    """Binds and file systems in their order: a later one covers an earlier one's folder."""
    shared, disk = limits.LIMITS.shared_memory_bytes, limits.LIMITS.disk_bytes
    own = ["--size", str(disk), "--tmpfs", str(scratch())]
    options = own if islands() else []
    for path in islands():  # mount points: a run can neither move them nor write beside the code
        options += ["--size", "4096", "--tmpfs", str(path)]
    options += _binds()
    for path in masked():
        options += ["--size", "4096", "--tmpfs", str(path), "--remount-ro", str(path)]
    for path in islands():
        options += ["--remount-ro", str(path)]
    return [
        *options,
        # Read-only: started by root, a process is root to /proc/sys, without any capability.
        *("--proc", "/proc", "--remount-ro", "/proc", "--dev", "/dev"),
        *("--size", str(shared), "--tmpfs", "/dev/shm", "--remount-ro", "/dev"),
        *("--ro-bind", str(inbox), str(IN)),
        *(() if islands() else (*own, "--symlink", f"{OUT}/tmp", str(TMP))),
        *("--remount-ro", "/", "--chdir", str(scratch())),
    ]


@functools.cache
def readable() -> tuple[Path, ...]:
    """What of this machine a worker may read: code, none of it the checkout's beside `suite`."""
    wanted = [path for path in SYSTEM if path.exists() or path.is_symlink()]
    for prefix in (sys.base_prefix, sys.prefix):
        if Path(prefix) != Path("/usr"):
            wanted += [Path(prefix) / part for part in PREFIX_PARTS]
    wanted += packages()
    wanted.append(PACKAGE)
    kept: list[Path] = []
    for path in wanted:
        inside = any(path.is_relative_to(other) for other in kept if not other.is_symlink())
        if path.exists() and not inside:
            kept.append(path)
    return tuple(kept)


@functools.cache
def islands() -> tuple[Path, ...]:
    """Folders of this machine's /tmp that hold code; in a run's own /tmp nothing else is there."""
    inside = [path.relative_to(TMP) for path in readable() if path.is_relative_to(TMP)]
    return tuple(dict.fromkeys(TMP / path.parts[0] for path in inside))


def scratch() -> Path:
    """A run's own file system, as the worker names it; its /tmp is a link into it.

    Where code lies below this machine's /tmp, it is /tmp itself: in a folder that such a link leads
    to, a run could move the code away and put its own there.
    """
    return TMP if islands() else OUT


def packages() -> list[Path]:
    """Folders of installed packages; other entries of sys.path may hold anything."""
    names = ("site-packages", "dist-packages")
    return [Path(entry) for entry in sys.path if Path(entry).name in names]


@functools.cache
def masked() -> tuple[Path, ...]:
    """Folders below `readable` that hold data sets."""
    system = [path for root in SYSTEM for path in root.glob("python3*/dist-packages")]
    places = [place / name for place in (*packages(), *system) for name in MASKED]
    return tuple(dict.fromkeys(place.resolve() for place in places if place.is_dir()))


class _Filter:
    """The seccomp filter behind a descriptor, as bwrap wants it."""

    def __enter__(self) -> int:
        self._handle, end = os.pipe()
        os.write(end, seccomp.program())
        os.close(end)
        return self._handle

    def __exit__(self, *_: object) -> None:
        os.close(self._handle)
