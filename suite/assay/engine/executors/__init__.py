"""Where runs are done: an executor takes planned runs and gives back their records.

threads   runs in threads of this process; the local pool (engine.pool) is one of these
cluster   runs in slots on the nodes of a cluster: which node has which, and what is lost with it
slot      a node's side of that: one pool of one worker
luggage   files that a node may lack: those of tasks and methods, and data sets
ray       the cluster that Ray runs; the only module that imports it
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Protocol

from assay.engine.runs import Job
from assay.records.schema import RunRecord

Tell = Callable[[str], None]


class Executor(Protocol):
    """What the pipeline submits runs to. One thread uses it."""

    @property
    def n_slots(self) -> int:
        """How many runs can go on at once, as far as is known now."""

    def submit(self, job: Job, reproduce: str, tell: Tell) -> Future[RunRecord]:
        """Begin a run as soon as there is room for it.

        Args:
            job: the run.
            reproduce: the command that repeats it, for its record.
            tell: gets a line about a run that is tried once more.
        """

    def finished(self, seconds: float) -> list[Future[RunRecord]]:
        """The runs that ended since the last call, each once; waits for one, `seconds` at most.

        Raises:
            WorkerError: there is nowhere to do a run any more.
        """

    def abort(self) -> None:
        """End what goes on: runs under way are lost, nothing else."""
