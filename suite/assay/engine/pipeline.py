"""From cells to records: which runs are missing, in which order they are done, and what to do if
they fail.

The defaults of a cell (point 0) go first, in repetition 0. If that run fails, the defaults of the
next repetitions are tried; if they fail in the first TRIED repetitions, the cell stops, for its
other points would most likely end alike. Else all other runs follow, in an order that gives whole
repetitions early. A run that has a record is not run again, so the same command continues one that
was killed.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from assay.engine.cells import Cell
from assay.engine.clients import UnusableMethod
from assay.engine.executors import Executor
from assay.engine.mirror import Mirror
from assay.errors import AssayError, RunHung, StorageError, WorkerError
from assay.records.schema import Environment, RunRecord, RunSpec, Status, Usage
from assay.records.selection import selected
from assay.records.store import Store

TRIED = 3
"""Repetitions in which the defaults may fail before a cell stops."""
MAX_WORKER_ERRORS = 5
WAIT_SECONDS = 0.5
NO_USAGE = Usage()
MAX_SHOWN = 300
"""Characters of a run's message in a line on the terminal."""


@dataclass
class CellProgress:
    """What is known of a cell: its runs of this command and those recorded before."""

    cell: Cell
    place: tuple[int, int]
    """Number of its task, and its own among all cells."""
    statuses: Counter[Status] = field(default_factory=Counter)
    n_points: Counter[int] = field(default_factory=Counter)
    """How many points are recorded, by repetition."""
    selected: dict[int, RunRecord] = field(default_factory=dict)
    """The best run so far on validation, by repetition; see _slim."""
    defaults: dict[int, RunRecord] = field(default_factory=dict)
    """The run at the defaults, by repetition; see _slim."""
    waiting: dict[str, RunSpec] = field(default_factory=dict)
    """The runs that are neither recorded nor queued, by id."""
    _environments: dict[Environment, Environment] = field(default_factory=dict)
    """Those of its runs, each kept once."""
    stopped: bool = False
    """Whether the rest is not run because the defaults failed."""

    @property
    def task(self) -> str:
        """Slug of the task."""
        return self.cell.task.card.slug

    @property
    def method(self) -> str:
        """Slug of the method."""
        return self.cell.method.card.slug

    @property
    def always_failed(self) -> bool:
        """Whether every run that was tried failed."""
        return self.statuses.total() == self.statuses["failed"] > 0

    def count(self, record: RunRecord) -> None:
        """Note how a run ended."""
        self.statuses[record.status] += 1
        repetition, slim = record.spec.repetition, self._slim(record)
        self.n_points[repetition] += 1
        best = self.selected.get(repetition, slim)
        self.selected[repetition] = selected((best, slim), self.cell.task.card.metric)
        if record.spec.point == 0:
            self.defaults[repetition] = slim

    def _slim(self, record: RunRecord) -> RunRecord:
        """How a run ended, and which it was; nothing that takes memory over many thousand runs."""
        shared = {
            "spec": self.cell.specs.get(record.id, record.spec),
            "space": self.cell.space,
            "environment": self._environments.setdefault(record.environment, record.environment),
        }
        gone: dict[str, object] = {
            "curve": [], "checks": None, "usage": NO_USAGE, "reproduce": "",
        }  # fmt: skip
        return record.model_copy(update={**shared, **gone})


@dataclass
class Progress:
    """What a command has done so far; the observer gets it after every run."""

    total: int = 0
    reused: int = 0
    done: int = 0
    by_status: dict[str, int] = field(default_factory=dict)
    n_unsealed: int = 0
    """Runs outside a sandbox that seals (RunRecord.sealed)."""
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What went wrong and was made good: runs that were tried once more."""
    failures: dict[str, str] = field(default_factory=dict)
    """By method: one line about its first run that failed."""
    cells: list[CellProgress] = field(default_factory=list)
    interrupted: bool = False
    latest: RunRecord | None = None


class Pipeline:
    """Runs cells by an executor into a store."""

    def __init__(
        self,
        executor: Executor,
        store: Store,
        mirror: Mirror | None,
        observe: Callable[[Progress], None],
    ) -> None:
        self._executor, self._store = executor, store
        self._mirror, self._observe = mirror, observe
        self._pending: list[tuple[tuple[int, int, int, int], str, RunSpec, CellProgress]] = []
        self._flying: dict[Future[RunRecord], tuple[RunSpec, CellProgress]] = {}
        self._worker_errors = 0
        self._given_up: set[str] = set()

    def run(self, cells: Sequence[Cell], progress: Progress | None = None) -> Progress:
        """Run whatever has no record yet.

        Args:
            cells: what to run.
            progress: of earlier cells of the same command, to go on with.

        Raises:
            StorageError: records cannot be written.
            WorkerError: our own processes keep dying.
        """
        self.progress = progress = progress or Progress()
        tasks = {cell.task.card.slug: n for n, cell in enumerate(cells)}
        own = [CellProgress(cell, (tasks[cell.task.card.slug], n)) for n, cell in enumerate(cells)]
        progress.cells += own
        try:
            for one in own:
                self._begin(one)
            self._observe(progress)
            while self._pending or self._flying:
                self._launch()
                self._collect()
        except KeyboardInterrupt:
            progress.interrupted = True
            self._executor.abort()
        except BaseException:
            self._executor.abort()
            raise
        progress.problems += [
            f"{one.method} on {one.task}: every run failed"
            for one in own
            if one.always_failed and not one.stopped
        ]
        return progress

    def _begin(self, cell: CellProgress) -> None:
        """Read what is recorded of a cell, and queue what is not."""
        specs = cell.cell.specs
        self.progress.total += len(specs)
        cell.waiting = cell.cell.missing(self._store)
        for run_id, spec in specs.items():
            if run_id not in cell.waiting:
                record = self._store.run(spec.task.slug, spec.method.slug, run_id)
                assert record is not None
                self.progress.reused += 1
                self._count(record, cell)
        self._go_on(cell)

    def _go_on(self, cell: CellProgress) -> None:
        """Queue all that is missing, or the next defaults to try while none has worked."""
        tried = list(cell.cell.extent.repetitions)[:TRIED]
        ended = [cell.defaults[number] for number in tried if number in cell.defaults]
        failed = [record for record in ended if record.status == "failed"]
        if len(failed) == len(tried):
            where = f"{len(failed)} repetition" + "s" * (len(failed) > 1)
            said = failed[-1].message[:MAX_SHOWN]
            self._stop(cell, f"the defaults failed in {where} ({said})")
        elif len(failed) < len(ended):
            for spec in list(cell.waiting.values()):
                self._push(spec, cell)
        else:
            following = next(
                (spec for spec in cell.waiting.values() if _are_defaults(spec, tried)), None
            )
            if following is not None:
                self._push(following, cell)
            else:  # workers died: the next command tries them again
                for spec in list(cell.waiting.values()):
                    self._push(spec, cell)

    def _stop(self, cell: CellProgress, why: str) -> None:
        """Leave the rest of a cell undone: its other points would end alike."""
        cell.stopped = True
        self.progress.total -= len(cell.waiting)
        cell.waiting.clear()
        self.progress.problems.append(
            f"{cell.method} on {cell.task}: {why}; no other point was tried"
        )

    def _push(self, spec: RunSpec, cell: CellProgress) -> None:
        """Queue a run: by task, then repetition, point and method.

        So the runs of a repetition follow each other and share its problem in memory.
        """
        del cell.waiting[spec.id]
        task, number = cell.place
        key = (task, spec.repetition, spec.point or 0, number)
        heapq.heappush(self._pending, (key, spec.id, spec, cell))

    def _count(self, record: RunRecord, cell: CellProgress) -> None:
        """Note how a run ended, and mirror it."""
        progress, method = self.progress, cell.method
        progress.by_status[record.status] = progress.by_status.get(record.status, 0) + 1
        progress.n_unsealed += not record.sealed
        cell.count(record)
        if record.status == "failed" and method not in progress.failures:
            said = record.message[:MAX_SHOWN]
            progress.failures[method] = f"{method} failed on {cell.task}: {said}"
        if self._mirror is not None:
            self._mirror.put(record, cell.cell.task.card.metric.direction)

    def _launch(self) -> None:
        while self._pending and len(self._flying) <= self._executor.n_slots:
            _, _, spec, cell = heapq.heappop(self._pending)
            if cell.task in self._given_up:
                continue
            if cell.stopped:
                self.progress.total -= 1
                continue
            job, reproduce = cell.cell.job(spec), cell.cell.reproduce(spec)
            future = self._executor.submit(job, reproduce, self.progress.notes.append)
            self._flying[future] = (spec, cell)

    def _collect(self) -> None:
        for future in self._executor.finished(WAIT_SECONDS):
            _, cell = self._flying.pop(future)
            try:
                record = future.result()
            except StorageError:
                raise
            except RunHung as error:
                self._hung(cell, error)
            except WorkerError as error:
                self._worker_error(error)
                if cell.waiting:
                    self._go_on(cell)
            except UnusableMethod as error:
                if not cell.stopped:
                    self._stop(cell, str(error))
            except AssayError as error:
                self._give_up(cell.task, str(error))
            else:
                self._ended(cell, record)

    def _ended(self, cell: CellProgress, record: RunRecord) -> None:
        """Record a run, and queue what waited for it."""
        self._worker_errors = 0
        self._store.write(record)
        self.progress.done += 1
        self.progress.latest = record
        self._count(record, cell)
        if cell.waiting:
            self._go_on(cell)
        self._observe(self.progress)

    def _hung(self, cell: CellProgress, error: RunHung) -> None:
        """Note that a run got no record; the next command tries it again."""
        if cell.waiting:  # no defaults have worked, and the next would take as long
            self._stop(cell, str(error).partition(": ")[2])
        else:
            self.progress.problems.append(str(error))

    def _worker_error(self, error: WorkerError) -> None:
        """Note that a run got no record; the next command will do it. Give up after too many.

        Raises:
            WorkerError: `error`, the last of MAX_WORKER_ERRORS in a row.
        """
        self.progress.problems.append(str(error))
        self._worker_errors += 1
        if self._worker_errors >= MAX_WORKER_ERRORS:
            raise error

    def _give_up(self, task: str, reason: str) -> None:
        """Skip the rest of a task, whose data are missing; the others go on."""
        if task not in self._given_up:
            self._given_up.add(task)
            self.progress.problems.append(f"{task}: {reason}")


def _are_defaults(spec: RunSpec, repetitions: Sequence[int]) -> bool:
    return spec.point == 0 and spec.repetition in repetitions
