"""A slot: a place for one run at a time on a node, with a pool of one worker and one scorer.

Everything here happens on the node, in a process of its own, and by the local pool. The methods of
`Slot` are called by name from the driver (executors.cluster); they answer with data and raise
nothing that a user could have caused.
"""

from __future__ import annotations

import platform
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from assay.engine.clients import ChildDied, UnusableMethod
from assay.engine.executors import luggage
from assay.engine.executors.luggage import PackedCell
from assay.engine.pool import Pool
from assay.engine.runs import Job
from assay.epochs import Epoch
from assay.errors import (
    AssayError,
    DataError,
    MachineError,
    PluginError,
    RunHung,
    StorageError,
    WorkerError,
)
from assay.messages.worker import Machine
from assay.plugins.registry import MethodEntry, TaskEntry, method_ref, task_ref
from assay.records.schema import Compute, Mechanism, MethodRef, RunRecord, RunSpec, TaskRef
from assay.records.staleness import changed, listed, unknown_libraries

ERRORS: tuple[type[AssayError], ...] = (
    RunHung, MachineError, WorkerError, UnusableMethod, PluginError, DataError, AssayError,
)  # fmt: skip
"""What a run can end with, the most special first; any other error is told as one of these."""


@dataclass(frozen=True)
class SlotSetup:
    """What every slot of a command is told at its start."""

    compute: Compute
    datasets: Sequence[str] = ()
    """Names of the data sets that the tasks need."""
    epoch: Epoch | None = None
    allow_weaker: bool = False


@dataclass(frozen=True)
class Unfit:
    """A node cannot do what was planned; nothing of it is wrong with another node."""

    reason: str
    passing: bool = False
    """Whether the next try may go better: a process was killed while it started."""


@dataclass(frozen=True)
class Introduction:
    """A slot that is ready: what its node runs, and which published files it lacks."""

    package_hash: str
    machine: Machine
    mechanism: Mechanism
    lacks: list[str]


@dataclass(frozen=True)
class RunAnswer:
    """How a run ended."""

    record: RunRecord | None = None
    error: tuple[int, str] | None = None
    """Place in ERRORS, and what it says; exactly one of both is there."""
    notes: list[str] = field(default_factory=list)


class Slot:
    """A pool of one worker, in which runs of any cell are done."""

    def __init__(self, setup: SlotSetup) -> None:
        self._setup = setup
        self._pool: Pool | None = None
        self._starting = threading.Lock()
        self._entries: dict[tuple[TaskRef, MethodRef], tuple[TaskEntry, MethodEntry]] = {}

    def introduce(self) -> Introduction | Unfit:
        """Start the pool and say what there is."""
        setup = self._setup
        if problem := _instruction_set_problem(setup.compute):
            return Unfit(problem)
        try:
            with self._starting:
                self._pool = pool = Pool(
                    n_workers=1,
                    compute=setup.compute,
                    epoch=setup.epoch,
                    allow_weaker=setup.allow_weaker,
                ).__enter__()
        except (AssayError, OSError) as error:
            return Unfit(" ".join(str(error).split()), passing=isinstance(error, ChildDied))
        return Introduction(
            luggage.package_hash(), pool.machine, pool.mechanism, luggage.lacking(setup.datasets)
        )

    def receive(self, path: str, data: bytes) -> Unfit | None:
        """Take a published file that this node lacked."""
        try:
            luggage.put_published(self._setup.datasets, path, data)
        except (DataError, OSError) as error:
            return Unfit(f"a data set cannot be put into its data folder: {error}")
        return None

    def run(self, cell: PackedCell, spec: RunSpec, reproduce: str) -> RunAnswer | Unfit:
        """Do one run, as the local pool does it."""
        assert self._pool is not None
        notes: list[str] = []
        try:
            job = self._job(cell, spec)
            if isinstance(job, Unfit):
                return job
            return RunAnswer(self._pool.run(job, reproduce, notes.append), notes=notes)
        except StorageError as error:  # of this node; the driver's own disk is another matter
            return Unfit(str(error))
        except AssayError as error:
            number = next(n for n, kind in enumerate(ERRORS) if isinstance(error, kind))
            return RunAnswer(error=(number, str(error)), notes=notes)
        except OSError as error:
            return Unfit(f"files cannot be written: {error}")

    def ping(self) -> None:
        """Show that the process goes on, also while it does a run."""

    def close(self) -> None:
        """End what goes on, and all processes; of a pool that is being started, when it is."""
        with self._starting:
            if self._pool is not None:
                self._pool.abort()
                self._pool.__exit__()

    def _job(self, cell: PackedCell, spec: RunSpec) -> Job | Unfit:
        """The run with files of this node."""
        assert self._pool is not None
        key = (spec.task, spec.method)
        if key not in self._entries:
            folder = self._pool.folder / "plugins" / str(len(self._entries))
            task, method = luggage.unpack_cell(cell, folder)
            if problem := _difference(spec, task_ref(task), method_ref(method)):
                return Unfit(problem)
            self._entries[key] = task, method
        task, method = self._entries[key]
        return Job(spec, task, method, cell.space)


def _difference(spec: RunSpec, task: TaskRef, method: MethodRef) -> str:
    """How a plugin is another one here than was planned; empty if it is not."""
    for kind, then, now in (("task", spec.task, task), ("method", spec.method, method)):
        if why := changed(then, now):
            return f"the {kind} {then.slug} is another one there: it {why}"
        if unknown := unknown_libraries(then.libraries, now.libraries):
            return f"the {kind} {then.slug} needs {listed(unknown)}, which is not installed there"
    return ""


def _instruction_set_problem(compute: Compute) -> str:
    """Why the processor cannot follow the cap on instruction sets; empty if it can."""
    cpus = Path("/proc/cpuinfo")
    if compute.isa == "native" or platform.machine() != "x86_64" or not cpus.exists():
        return ""
    if compute.isa in cpus.read_text().split():
        return ""
    return f"its processor lacks {compute.isa}; give --isa native, whose results are another class"
