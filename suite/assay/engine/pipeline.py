"""From a selection of methods and tasks to records: plan, tune, repeat, resume.

A cell is one (task, method). Its defaults are tried first; if that run fails, so would the others,
and the cell stops. Then come the other tuning runs. When all are recorded, the best point on
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
from assay.errors import AssayError, RunHung, StorageError, WorkerError
from assay.records.schema import RunRecord, RunSpec, Status, StudyRecord
from assay.records.store import Store

MAX_WORKER_ERRORS = 5
MAX_SHOWN = 300
"""Characters of a run's message in a line on the terminal."""


@dataclass
class CellProgress:
    """What is known of a cell: its runs of this command and those recorded before."""

    cell: Cell
    order: tuple[int, int]
    """Its place among the cells: number of the task, then its own."""
    statuses: dict[str, Status] = field(default_factory=dict)
    """By the run's id."""
    tests: dict[str, float] = field(default_factory=dict)
    """Test scores of the completed repetitions, by the run's id."""
    selected: list[str] = field(default_factory=list)
    """Ids of the repetitions of the selected point; empty until tuning is done."""
    stopped: bool = False
    """Whether the rest is not run because the defaults failed."""
    trials: dict[str, RunRecord] = field(default_factory=dict)
    """The tuning runs that are recorded, by id; cleared once a point is selected."""
    waiting: dict[str, RunSpec] = field(default_factory=dict)
    """The tuning runs that are not, by id, in the order of the points."""

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
        return bool(self.statuses) and set(self.statuses.values()) == {"failed"}


@dataclass
class Progress:
    """What a command has done so far; the observer gets it after every run."""

    total: int = 0
    reused: int = 0
    done: int = 0
    by_status: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    """By method: one line about its first run that failed."""
    cells: list[CellProgress] = field(default_factory=list)
    interrupted: bool = False
    latest: RunRecord | None = None


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
        self._pending: list[tuple[tuple[int, int, int, int], str, RunSpec, CellProgress]] = []
        self._flying: dict[Future[RunRecord], tuple[RunSpec, CellProgress]] = {}
        self._worker_errors = 0
        self._given_up: set[str] = set()

    def run(self, cells: Sequence[Cell], progress: Progress | None = None) -> Progress:
        """Tune and repeat whatever has no record yet.

        Args:
            cells: what to run.
            progress: of earlier cells of the same command, to go on with.

        Raises:
            StorageError: records cannot be written.
            WorkerError: our own processes keep dying.
        """
        total = sum(cell.n_runs for cell in cells)
        return self._work(cells, total, self._begin, progress or Progress())

    def repeat(
        self, cells: Sequence[Cell], numbers: Sequence[int], progress: Progress | None = None
    ) -> Progress:
        """Run these repetitions of the defaults alone: no tuning, no study. Raises as `run`."""

        def begin(study: CellProgress) -> None:
            cell = study.cell
            for spec in (cell.spec(cell.points[0], "repetition", number) for number in numbers):
                if self._existing(spec, study) is None:
                    self._push(spec, study, phase=1)

        return self._work(cells, len(cells) * len(numbers), begin, progress or Progress())

    def _work(
        self,
        cells: Sequence[Cell],
        total: int,
        begin: Callable[[CellProgress], None],
        progress: Progress,
    ) -> Progress:
        self.progress = progress
        progress.total += total
        self._directions = {c.task.card.slug: c.task.card.metric.direction for c in cells}
        task_order = {cell.task.card.slug: n for n, cell in enumerate(cells)}
        studies = [CellProgress(c, (task_order[c.task.card.slug], n)) for n, c in enumerate(cells)]
        progress.cells += studies
        with ThreadPoolExecutor(self._pool.n_workers + 1) as threads:
            try:
                for study in studies:
                    begin(study)
                self._observe(progress)
                while self._pending or self._flying:
                    self._launch(threads)
                    self._collect()
            except KeyboardInterrupt:
                progress.interrupted = True
                self._pool.abort()
            except BaseException:
                self._pool.abort()
                raise
        progress.problems += [
            f"{study.method} on {study.task}: every run failed"
            for study in studies
            if study.always_failed and not study.stopped
        ]
        return progress

    def _begin(self, study: CellProgress) -> None:
        """Queue the defaults; what follows depends on how they end."""
        default, *_ = study.cell.tuning
        for spec in study.cell.tuning:
            record = self._existing(spec, study)
            if record is not None:
                study.trials[record.id] = record
            else:
                study.waiting[spec.id] = spec
        if default.id in study.waiting:
            self._push(default, study, phase=0)
        else:
            self._go_on(study)

    def _go_on(self, study: CellProgress) -> None:
        """Queue the other points, unless the defaults failed; select if there is none left."""
        defaults = study.trials[study.cell.tuning[0].id]
        if defaults.status == "failed":
            self._stop(study, f"the defaults failed ({defaults.message[:MAX_SHOWN]})")
        elif not study.waiting:
            self._tuned(study)
        else:
            for spec in study.waiting.values():
                self._push(spec, study, phase=0)

    def _stop(self, study: CellProgress, why: str) -> None:
        """Leave the rest of a cell undone: its other points would end alike."""
        study.stopped = True
        self.progress.total -= study.cell.n_runs - len(study.trials)
        self.progress.problems.append(
            f"{study.method} on {study.task}: {why}; no other point was tried"
        )

    def _push(self, spec: RunSpec, study: CellProgress, phase: int) -> None:
        """Queue a run: by task, then tuning before repetitions, then by repetition.

        So the runs of a repetition follow each other and share its problem in memory.
        """
        task_number, number = study.order
        key = (task_number, phase, spec.repetition, number)
        heapq.heappush(self._pending, (key, spec.id, spec, study))

    def _existing(self, spec: RunSpec, study: CellProgress) -> RunRecord | None:
        record = self._store.run(spec.task.slug, spec.method.slug, spec.id)
        if record is not None:
            self.progress.reused += 1
            self._count(record, study)
        return record

    def _count(self, record: RunRecord, study: CellProgress) -> None:
        """Note how a run ended, and mirror it."""
        progress, method = self.progress, study.method
        progress.by_status[record.status] = progress.by_status.get(record.status, 0) + 1
        study.statuses[record.id] = record.status
        if record.result is not None and record.spec.purpose == "repetition":
            study.tests[record.id] = record.result.test
        if record.status == "failed" and method not in progress.failures:
            said = record.message[:MAX_SHOWN]
            progress.failures[method] = f"{method} failed on {study.task}: {said}"
        self._mirrored(record, study.task)

    def _mirrored(self, record: RunRecord | StudyRecord, task: str) -> None:
        if self._mirror is not None:
            self._mirror.put(record, self._directions[task])

    def _tuned(self, study: CellProgress) -> None:
        """Select a point once all trials are done, record the study, queue the repetitions."""
        cell = study.cell
        record = self._store.study(cell.task_ref.slug, cell.method_ref.slug, cell.study_id)
        if record is None:
            record = study_record(cell, [study.trials[spec.id] for spec in cell.tuning])
            self._store.write(record)
        study.trials.clear()
        self._mirrored(record, cell.task_ref.slug)
        study.selected = record.selected_runs
        chosen = cell.repetitions(record.trials[record.selected].hyperparameters)
        defaults = cell.repetitions(cell.points[0]) if cell.r_defaults else []
        specs = {spec.id: spec for spec in (*chosen, *defaults)}
        self.progress.total -= len(chosen) + len(defaults) - len(specs)
        for spec in specs.values():
            if self._existing(spec, study) is None:
                self._push(spec, study, phase=1)

    def _launch(self, threads: ThreadPoolExecutor) -> None:
        while self._pending and len(self._flying) <= self._pool.n_workers:
            _, _, spec, study = heapq.heappop(self._pending)
            if study.task in self._given_up:
                continue
            job = Job(spec, study.cell.task, study.cell.method)
            future = threads.submit(self._pool.run, job, study.cell.reproduce(spec))
            self._flying[future] = (spec, study)

    def _collect(self) -> None:
        finished, _ = wait(self._flying, timeout=0.5, return_when=FIRST_COMPLETED)
        for future in finished:
            spec, study = self._flying.pop(future)
            try:
                record = future.result()
            except StorageError:
                raise
            except RunHung as error:
                self._hung(spec, study, error)
            except WorkerError as error:
                self._worker_error(error)
                if _are_defaults(spec, study):
                    for other in list(study.waiting.values())[1:]:
                        self._push(other, study, phase=0)
            except AssayError as error:
                self._give_up(study.task, str(error))
            else:
                self._ended(spec, study, record)

    def _ended(self, spec: RunSpec, study: CellProgress, record: RunRecord) -> None:
        """Record a run, and queue what it was waited for."""
        self._worker_errors = 0
        self._store.write(record)
        self.progress.done += 1
        self.progress.latest = record
        self._count(record, study)
        if _are_defaults(spec, study):
            study.trials[spec.id] = record
            del study.waiting[spec.id]
            self._go_on(study)
        elif spec.id in study.waiting:
            study.trials[spec.id] = record
            del study.waiting[spec.id]
            if not study.waiting:
                self._tuned(study)
        self._observe(self.progress)

    def _hung(self, spec: RunSpec, study: CellProgress, error: RunHung) -> None:
        """Note that a run got no record; the next command tries it again."""
        if _are_defaults(spec, study):
            self._stop(study, str(error).partition(": ")[2])
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


def _are_defaults(spec: RunSpec, study: CellProgress) -> bool:
    """Whether this is the first run of the cell, which the other points wait for."""
    return spec.id == study.cell.tuning[0].id and spec.id in study.waiting
