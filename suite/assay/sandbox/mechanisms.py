"""Which sandbox works on this machine, what a record says of it, and the folders of a worker."""

from __future__ import annotations

import functools
import os
import shlex
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from assay.errors import WorkerError
from assay.identity import canonical_json, sha256
from assay.paths import PACKAGE
from assay.records.schema import Compute, Isolation, Level, Mechanism
from assay.sandbox import bubblewrap, landlock, limits, privileges, seccomp
from assay.sandbox.bubblewrap import (
    IN,
    USER,
    bubblewrap_problem,
    islands,
    masked,
    packages,
    readable,
    scratch,
)
from assay.sandbox.namespaces import blocked
from assay.sandbox.namespaces import profile as own_namespaces

ADVICE = (
    "install bubblewrap (Debian: apt-get install bubblewrap), or accept results that cannot be "
    "trusted with --allow-weaker"
)

REMAINS: Mapping[Mechanism, str] = {
    "bubblewrap": (
        "What only a virtual machine would close: runs share the kernel. A run can leave bits for "
        "later ones in which pages of a library are in memory and in the kernel's counters, and "
        "signal to a run beside it by the load it makes."
    ),
    "landlock": (
        "Level L1: a run can read and write its own files alone, has no network and cannot change "
        "other processes. It is not kept from sockets that have a name in the file system, from "
        "seeing other processes and their command lines, or, before Landlock ABI 6, from signals "
        "to those of its user. Runs share process ids, memory in /dev/shm that others open to all, "
        "and all that runs at level L2 share."
    ),
    "subprocess": (
        "Level L1 without a sandbox: nothing is prevented, but that a run reads the memory of its "
        "worker. Use it for methods that you trust."
    ),
}
"""What a run can still do, for `assay sandbox`."""


@dataclass(frozen=True)
class Box:
    """The folders of one worker, as the supervisor names them; `root` holds nothing else."""

    root: Path

    @property
    def inbox(self) -> Path:
        """The files of one run, put there and cleared by the supervisor."""
        return self.root / "in"

    @property
    def scratch(self) -> Path:
        """Where a run writes if it has no file system of its own."""
        return self.root / "out"

    @property
    def results(self) -> Path:
        """What the worker copies from `scratch` after a run; no run can reach it."""
        return self.root / "results"

    def make(self, mechanism: Mechanism) -> None:
        """Create the folders, for a worker in this sandbox."""
        self.root.mkdir(parents=True)
        for folder in (self.inbox, self.scratch, self.results):
            folder.mkdir()
        for folder in (self.root, self.inbox):
            folder.chmod(0o755)  # whatever the user's umask: the run may be another user
        if os.geteuid() == 0 and mechanism == "bubblewrap":  # the worker is another user then
            os.chown(self.results, USER, USER)
        if (user := run_user(mechanism)) is not None:
            os.chown(self.scratch, user, user)
            self.root.parent.chmod(0o711)  # it has to get through, but not to list it

    def places(self, mechanism: Mechanism) -> tuple[Path, Path]:
        """The inbox and the writable folder as the worker names them."""
        return (IN, scratch()) if mechanism == "bubblewrap" else (self.inbox, self.scratch)


def choose(*, compute: Compute, allow_weaker: bool) -> Mechanism:
    """The strongest mechanism that works here.

    Raises:
        WorkerError: only `subprocess` does, and that was not allowed; or none can, as runs would
            become a user who cannot read the code.
    """
    if (problem := closed_code_problem()) is not None:
        raise WorkerError(problem)
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
    if (problem := nobody_problem()) is not None:
        raise WorkerError(problem)
    return "subprocess"


def run_user(mechanism: Mechanism) -> int | None:
    """Whom a run becomes where root starts its worker; None where it stays who it is.

    In bubblewrap the worker is that user already.
    """
    if sys.platform != "linux" or os.geteuid() != 0 or mechanism == "bubblewrap":
        return None
    return USER


@functools.cache
def closed_code_problem() -> str | None:
    """Which file keeps `nobody`, whom root's runs become, from running our code, or None.

    Folders above are no hindrance (bubblewrap.as_ordinary_user, namespaces.open_to_all), but files
    keep their rights: those of a checkout or an environment made under umask 077 are root's alone.
    """
    if sys.platform != "linux" or os.geteuid() != 0:
        return None
    places = {PACKAGE: PACKAGE.rglob("*")}
    places |= {folder: folder.iterdir() for folder in packages() if folder.is_dir()}
    for folder, inside in places.items():
        for path in inside:
            needed = 0o005 if path.is_dir() else 0o004
            if path.exists() and path.stat().st_mode & needed != needed:
                return (
                    f"a run that root starts becomes the user nobody, who cannot read {path}: let "
                    f"others read the code (chmod -R o+rX {shlex.quote(str(folder))}), or start "
                    "Assay as an ordinary user"
                )
    return None


@functools.cache
def nobody_problem() -> str | None:
    """Why a run cannot go on as `nobody`, whom root's runs become, or None.

    With its full rights root can let it see the code wherever that lies (open_to_all).
    """
    if run_user("subprocess") is None:
        return None
    closed = blocked([Path(tempfile.gettempdir())])
    if not privileges.can_mount():
        closed |= blocked(readable())
    for folder, paths in closed.items():
        return (
            f"a run that root starts becomes the user nobody, who cannot read {paths[0]}: let "
            f"others through (chmod o+x {folder}), move it, or start Assay as an ordinary user"
        )
    return None


@functools.cache
def landlock_problem() -> str | None:
    """Why Landlock cannot be used on this machine, or None."""
    if (problem := nobody_problem()) is not None:
        return problem
    found = landlock.abi()
    if found < landlock.MIN_ABI:
        return f"Landlock has ABI {found} here, expected at least {landlock.MIN_ABI}"
    return None if seccomp.supported() else "the seccomp filter is not known for this machine"


def describe(mechanism: Mechanism, probe_hash: str | None, *, oracle: bool) -> Isolation:
    """The sandbox as a record describes it.

    Args:
        mechanism: which it was.
        probe_hash: of what the run saw of it.
        oracle: whether the function that the run trained on was kept from it.
    """
    sealed: Level = "L3" if oracle else "L2"
    return Isolation(
        level=sealed if mechanism == "bubblewrap" else "L1",
        mechanism=mechanism,
        profile_hash=profile_hash(mechanism),
        probe_hash=probe_hash,
    )


@functools.cache
def profile_hash(mechanism: Mechanism) -> str:
    """SHA-256 of the sandbox's options (paths of this machine left out), filter and limits."""
    options = bubblewrap.profile() if mechanism == "bubblewrap" else []
    names = {str(path): f"<{number}>" for number, path in enumerate(readable())}
    names |= {str(path): f"<masked {number}>" for number, path in enumerate(masked())}
    names |= {str(path): f"<island {number}>" for number, path in enumerate(islands())}
    profile = {
        "mechanism": mechanism,
        "options": [names.get(option, option) for option in options],
        "filter": seccomp.program().hex() if mechanism != "subprocess" else None,
        "limits": limits.as_dict(),
        "run": own_namespaces() if mechanism == "bubblewrap" else [],
    }
    return sha256(canonical_json(profile))
