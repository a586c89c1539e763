"""The command line of bubblewrap (bwrap): namespaces, mounts, and what is masked."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from assay.paths import BUNDLED, PACKAGE, TEXTS
from assay.sandbox import limits, seccomp
from assay.sandbox.namespaces import (
    DEVICES,
    NEW_IPC,
    NEW_MOUNTS,
    NEW_PROCESSES,
    SHARED_MEMORY,
)

USER = 65534
"""`nobody`, whom a worker runs as."""
HOST_NAME = "assay"
SYSTEM = [
    Path(name)
    for name in (
        *("/usr/bin", "/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/libx32"),
        *("/bin", "/lib", "/lib32", "/lib64", "/libx32"),
        *("/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/alternatives"),
    )
]
"""Programs and libraries of the system."""
PREFIX_PARTS = ("bin", "lib", "lib64", "pyvenv.cfg")
"""What a worker needs of an interpreter's prefix; the rest may be a checkout or a home folder."""
MASKED = ("sklearn/datasets/data", "sklearn/datasets/tests/data")
"""Folders inside installed packages with data sets of tasks: clean labels and test inputs."""
LINKS = (
    ("/proc/self/fd", "/dev/fd"),
    *(
        (f"/proc/self/fd/{number}", f"/dev/{name}")
        for number, name in enumerate(("stdin", "stdout", "stderr"))
    ),
)
WORKER_CAPABILITIES = ("CAP_SYS_ADMIN", "CAP_SETPCAP")
"""Over the worker's own user namespace: to make a run's namespaces, and to drop both for good."""
TRIAL = f"""
import ctypes
if ctypes.CDLL(None).unshare({NEW_PROCESSES | NEW_MOUNTS | NEW_IPC}):
    raise SystemExit("a run can have no namespaces of its own")
"""
IN, OUT, TMP = Path("/in"), Path("/out"), Path("/tmp")
TRIAL_SECONDS = 30.0


@functools.cache
def bubblewrap_problem() -> str | None:
    """Why bubblewrap cannot be used on this machine, or None. It is tried out to find out."""
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
        sandbox = [*as_ordinary_user(PACKAGE), *namespaces(), *mounts(PACKAGE)]
        tried = subprocess.run(
            [*sandbox, "--", sys.executable, "-I", "-S", "-c", TRIAL],
            capture_output=True, text=True, timeout=TRIAL_SECONDS,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        return f"bubblewrap does not start: {error}"
    if tried.returncode:
        return f"bubblewrap does not work: {tried.stderr.strip() or tried.returncode}"
    return None


def as_ordinary_user(inbox: Path) -> list[str]:
    """What goes before bwrap on the command line where root starts it; nothing for other users.

    In its own user namespace root still owns the machine's files and /proc/sys, and no limit on
    processes holds for it. So root becomes `nobody` first. It does so in a mount namespace in which
    everybody can reach what the sandbox is made of, whatever the rights of the folders above.
    """
    places = [*readable(), inbox.absolute()]
    above = {folder for place in places for folder in place.parents} - {Path("/")}
    above.add(TMP)  # where the next bwrap builds
    return _as_ordinary_user(inbox, sorted(above))


def profile() -> list[str]:
    """The options of every worker, without the folders above what is mounted.

    Those are each machine's own, and for a relative path those of the folder a command is given in.
    """
    inbox = Path("inbox")
    return [*_as_ordinary_user(inbox, []), *namespaces(), *mounts(inbox)]


def _as_ordinary_user(inbox: Path, folders: Sequence[Path]) -> list[str]:
    """As `as_ordinary_user`, with `folders` to make."""
    if os.geteuid() != 0:
        return []
    made = [("--perms", "0755", "--dir", str(folder)) for folder in folders]
    return [
        *(shutil.which("bwrap") or "bwrap", "--die-with-parent"),
        *(part for options in made for part in options),
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


def namespaces() -> list[str]:
    """Call bwrap with all namespaces and what a worker needs to make those of its runs."""
    return [
        shutil.which("bwrap") or "bwrap",
        *("--unshare-user", "--unshare-all"),
        *("--uid", str(USER), "--gid", str(USER), "--hostname", HOST_NAME),
        *("--as-pid-1", "--die-with-parent", "--new-session", "--clearenv"),
        *("--cap-drop", "ALL"),
        *(part for name in WORKER_CAPABILITIES for part in ("--cap-add", name)),
    ]


def mounts(inbox: Path) -> list[str]:
    """Options for bwrap's binds and file systems. Order matters: a later one covers an earlier.

    What can be written to is the worker's; each run has its own above it (namespaces.mount_own).
    """
    own = ["--size", str(limits.LIMITS.disk_bytes), "--tmpfs", str(scratch())]
    options = own if islands() else []
    for path in islands():  # as mount points they cannot be moved, nor written beside the code
        options += ["--size", "4096", "--tmpfs", str(path)]
    options += _binds()
    for path in masked():
        options += ["--size", "4096", "--tmpfs", str(path), "--remount-ro", str(path)]
    for path in islands():
        options += ["--remount-ro", str(path)]
    return [
        *options,
        # Read-only: where root started it, /proc/sys takes it for root, even without capabilities.
        *("--proc", "/proc", "--remount-ro", "/proc", *_devices()),
        *("--ro-bind", str(inbox), str(IN)),
        *(() if islands() else (*own, "--symlink", f"{OUT}/tmp", str(TMP))),
        *("--remount-ro", "/", "--chdir", str(scratch())),
    ]


def _devices() -> list[str]:
    """Options for /dev. bwrap's own `--dev` takes a second user namespace, over the mounts."""
    options = ["--size", "65536", "--tmpfs", "/dev", "--dir", str(SHARED_MEMORY)]
    for device in DEVICES:
        options += ["--dev-bind", str(device), str(device)]
    for target, link in LINKS:
        options += ["--symlink", target, link]
    return [*options, "--remount-ro", "/dev"]


@functools.cache
def readable() -> tuple[Path, ...]:
    """What a worker may read of this machine: programs, libraries, packages and this package."""
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
    """Folders directly below this machine's /tmp that hold code, and so are in a run's /tmp too."""
    inside = [path.relative_to(TMP) for path in readable() if path.is_relative_to(TMP)]
    return tuple(dict.fromkeys(TMP / path.parts[0] for path in inside))


def scratch() -> Path:
    """Where a run's own file system is mounted.

    It is /out, and /tmp is a link into it. Where code lies below this machine's /tmp it is /tmp
    itself: behind a link, a run could move the code away and put its own there.
    """
    return TMP if islands() else OUT


def packages() -> list[Path]:
    """The entries of sys.path that hold installed packages; others may hold anything."""
    names = ("site-packages", "dist-packages")
    return [Path(entry) for entry in sys.path if Path(entry).name in names]


@functools.cache
def masked() -> tuple[Path, ...]:
    """Folders below `readable` that hold data: data sets, and what a wheel has beside its code."""
    system = [path for root in SYSTEM for path in root.glob("python3*/dist-packages")]
    places = [place / name for place in (*packages(), *system) for name in MASKED]
    places += [TEXTS, BUNDLED]
    return tuple(dict.fromkeys(place.resolve() for place in places if place.is_dir()))
