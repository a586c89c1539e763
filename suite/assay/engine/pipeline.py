"""From a selection of methods and tasks to records: plan, tune, repeat, resume.

A cell is one (task, method). Its tuning runs come first. When all are recorded, the best point on
validation is selected, the study is recorded, and the paired repetitions follow. A run that has a
record is not run again, so the same command continues one that was killed.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field

from assay.engine.cells import Cell, study_record
from assay.engine.mirror import Mirror
from assay.engine.pool import Pool
from assay.engine.runs import Job
from assay.errors import AssayError, StorageError, WorkerError
from assay.records.schema import RunRecord, RunSpec, StudyRecord
from assay.records.store import Store

MAX_WORKER_ERRORS = 5


@dataclass
class Progress:
    """What a command has done so far; the observer gets it after every run."""

    total: int
    reused: int = 0
    done: int = 0
    by_status: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    interrupted: bool = False
    latest: RunRecord | None = None


@dataclass
class _Study:
    """A cell that is being run."""

    cell: Cell
    order: tuple[int, int]
    trials: dict[str, RunRecord] = field(default_factory=dict)
    waiting: set[str] = field(default_factory=set)


class Pipeline:
    """Runs cells on a pool into a store."""

    def __init__(
        self,
        pool: Pool,
        store: Store,
        mirror: Mirror | None,
        observe: Callable[[Progress], None],
    ) -> None:
        self._pool, self._store, self._mirror, self._observe = pool, store, mirror, observe
        self._pending: list[tuple[tuple[int, int, int, int], str, RunSpec, _Study]] = []
        self._flying: dict[Future[RunRecord], tuple[RunSpec, _Study]] = {}
        self._worker_errors = 0
        self._given_up: set[str] = set()

    def run(self, cells: Sequence[Cell]) -> Progress:
        """Tune and repeat whatever has no record yet.

        Raises:
            StorageError: records cannot be written.
            WorkerError: our own processes keep dying.
        """
        return self._work(cells, sum(cell.n_runs for cell in cells), self._begin)

    def repeat(self, cells: Sequence[Cell], numbers: Sequence[int]) -> Progress:
        """Run these repetitions of the defaults alone: no tuning, no study. Raises as `run`."""

        def begin(study: _Study) -> None:
            cell = study.cell
            for spec in (cell.spec(cell.points[0], "repetition", number) for number in numbers):
                if self._existing(spec) is None:
                    self._push(spec, study, phase=1)

        return self._work(cells, len(cells) * len(numbers), begin)

    def _work(self, cells: Sequence[Cell], total: int, begin: Callable[[_Study], None]) -> Progress:
        self.progress = Progress(total=total)
        self._directions = {c.task.card.slug: c.task.card.metric.direction for c in cells}
        task_order = {cell.task.card.slug: n for n, cell in enumerate(cells)}
        with ThreadPoolExecutor(self._pool.n_workers + 1) as threads:
            try:
                for number, cell in enumerate(cells):
                    order = (task_order[cell.task.card.slug], number)
                    begin(_Study(cell, order))
                self._observe(self.progress)
                while self._pending or self._flying:
                    self._launch(threads)
                    self._collect()
            except KeyboardInterrupt:
                self.progress.interrupted = True
                self._pool.abort()
            except BaseException:
                self._pool.abort()
                raise
        return self.progress

    def _begin(self, study: _Study) -> None:
        cell = study.cell
        for spec in cell.tuning:
            record = self._existing(spec)
            if record is not None:
                study.trials[record.id] = record
            else:
                study.waiting.add(spec.id)
                self._push(spec, study, phase=0)
        if not study.waiting:
            self._tuned(study)

    def _push(self, spec: RunSpec, study: _Study, phase: int) -> None:
        """Queue a run: by task, then tuning before repetitions, then by repetition.

        So the runs of a repetition follow each other and share its problem in memory.
        """
        task_number, number = study.order
        key = (task_number, phase, spec.repetition, number)
        heapq.heappush(self._pending, (key, spec.id, spec, study))

    def _existing(self, spec: RunSpec) -> RunRecord | None:
        record = self._store.run(spec.task.slug, spec.method.slug, spec.id)
        if record is not None:
            self.progress.reused += 1
            self._count(record)
            self._mirrored(record, record.spec.task.slug)
        return record

    def _count(self, record: RunRecord) -> None:
        by_status = self.progress.by_status
        by_status[record.status] = by_status.get(record.status, 0) + 1

    def _mirrored(self, record: RunRecord | StudyRecord, task: str) -> None:
        if self._mirror is not None:
            self._mirror.put(record, self._directions[task])

    def _tuned(self, study: _Study) -> None:
        """Select a point once all trials are done, record the study, queue the repetitions."""
        cell = study.cell
        record = self._store.study(cell.task_ref.slug, cell.method_ref.slug, cell.study_id)
        if record is None:
            record = study_record(cell, [study.trials[spec.id] for spec in cell.tuning])
            self._store.write(record)
        self._mirrored(record, cell.task_ref.slug)
        chosen = cell.repetitions(record.trials[record.selected].hyperparameters)
        defaults = cell.repetitions(cell.points[0]) if cell.r_defaults else []
        specs = {spec.id: spec for spec in (*chosen, *defaults)}
        self.progress.total -= len(chosen) + len(defaults) - len(specs)
        for spec in specs.values():
            if self._existing(spec) is None:
                self._push(spec, study, phase=1)

    def _launch(self, threads: ThreadPoolExecutor) -> None:
        while self._pending and len(self._flying) <= self._pool.n_workers:
            _, _, spec, study = heapq.heappop(self._pending)
            cell = study.cell
            if cell.task.card.slug in self._given_up:
                continue
            job = Job(spec, cell.task, cell.method)
            future = threads.submit(self._pool.run, job, cell.reproduce(spec))
            self._flying[future] = (spec, study)

    def _collect(self) -> None:
        finished, _ = wait(self._flying, timeout=0.5, return_when=FIRST_COMPLETED)
        for future in finished:
            spec, study = self._flying.pop(future)
            try:
                record = future.result()
            except StorageError:
                raise
            except WorkerError as error:
                self._worker_error(error)
                continue
            except AssayError as error:
                self._give_up(study.cell.task.card.slug, str(error))
                continue
            self._worker_errors = 0
            self._store.write(record)
            self.progress.done += 1
            self.progress.latest = record
            self._count(record)
            self._mirrored(record, spec.task.slug)
            if spec.id in study.waiting:
                study.waiting.discard(spec.id)
                study.trials[spec.id] = record
                if not study.waiting:
                    self._tuned(study)
            self._observe(self.progress)

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
