"""Which sandbox works on this machine, what a record says of it, and the folders of a worker."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from pathlib import Path

from assay.errors import WorkerError
from assay.identity import canonical_json, sha256
from assay.records.schema import Compute, Isolation, Level, Mechanism
from assay.sandbox import landlock, limits, seccomp
from assay.sandbox.bubblewrap import (
    IN,
    USER,
    as_ordinary_user,
    bubblewrap_problem,
    islands,
    masked,
    mounts,
    namespaces,
    readable,
    scratch,
)

ADVICE = (
    "install bubblewrap (Debian: apt-get install bubblewrap), or accept results that cannot be "
    "trusted with --allow-weaker"
)


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

    def make(self) -> None:
        """Create the folders."""
        for folder in (self.inbox, self.scratch, self.results):
            folder.mkdir(parents=True)
        if os.geteuid() == 0:  # the worker is another user then
            os.chown(self.results, USER, USER)

    def places(self, mechanism: Mechanism) -> tuple[Path, Path]:
        """The inbox and the writable folder as the worker names them."""
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
def landlock_problem() -> str | None:
    """Why Landlock cannot be used on this machine, or None."""
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
    options: list[str] = []
    if mechanism == "bubblewrap":
        options = [*as_ordinary_user(Path("inbox")), *namespaces(0), *mounts(Path("inbox"))]
    names = {str(path): f"<{number}>" for number, path in enumerate(readable())}
    names |= {str(path): f"<masked {number}>" for number, path in enumerate(masked())}
    names |= {str(path): f"<island {number}>" for number, path in enumerate(islands())}
    profile = {
        "mechanism": mechanism,
        "options": [names.get(option, option) for option in options],
        "filter": seccomp.program().hex() if mechanism != "subprocess" else None,
        "limits": limits.as_dict(),
    }
    return sha256(canonical_json(profile))
