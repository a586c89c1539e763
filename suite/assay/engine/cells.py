"""A cell: one method on one task, with its hyperparameter points, runs and study record."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from assay.engine.descriptions import describe_method, reference_space
from assay.engine.points import study_points
from assay.engine.pool import Pool
from assay.engine.runs import REFERENCE_PREFIX
from assay.errors import AssayError
from assay.messages import Description
from assay.plugins.registry import (
    MethodEntry,
    TaskEntry,
    method_argument,
    method_ref,
    task_argument,
    task_ref,
)
from assay.records.schema import (
    Compute,
    MethodRef,
    Purpose,
    RunRecord,
    RunSpec,
    StudyRecord,
    TaskRef,
    Trial,
    reproduce_command,
    select,
    study_id,
)
from assay.records.store import Store
from assay.ruleset import RULESET, Preset
from assay.space import Space, Value


@dataclass(frozen=True)
class Cell:
    """One method on one task, under one preset."""

    task: TaskEntry
    method: MethodEntry
    task_ref: TaskRef
    method_ref: MethodRef
    space: Space
    compute: Compute
    preset: Preset
    epoch: str | None = None
    """The epoch whose hidden seeds the repetitions have. Tuning keeps the public seeds: its runs
    need not be done again, and what it selects cannot have been fitted to the hidden ones."""

    @property
    def r(self) -> int:
        """Repetitions of the selected point."""
        return RULESET.r(self.preset, deterministic=self.task.card.deterministic)

    @cached_property
    def points(self) -> list[dict[str, Value]]:
        """The hyperparameter points to try, defaults first."""
        card = self.task.card
        return study_points(self.space, card.family, card.tier, self.preset)

    @cached_property
    def study_id(self) -> str:
        """Id of the cell's study record."""
        return study_id(
            self.task_ref,
            self.method_ref,
            self.compute,
            RULESET.version,
            self.points,
            self.r,
            self.epoch,
        )

    def spec(self, point: dict[str, Value], purpose: Purpose, repetition: int) -> RunSpec:
        """One run of this cell."""
        return RunSpec(
            ruleset=RULESET.version,
            task=self.task_ref,
            method=self.method_ref,
            hyperparameters=point,
            purpose=purpose,
            repetition=repetition,
            compute=self.compute,
            epoch=self.epoch if purpose == "repetition" else None,
        )

    @cached_property
    def tuning(self) -> list[RunSpec]:
        """The K tuning runs; all have the same split, so that their scores can be compared."""
        return [self.spec(point, "tuning", 0) for point in self.points]

    def repetitions(self, point: dict[str, Value]) -> list[RunSpec]:
        """The R repetitions of one point."""
        return [self.spec(point, "repetition", number) for number in range(self.r)]

    @property
    def n_runs(self) -> int:
        """Most runs there can be; fewer if tuning selects the defaults."""
        return len(self.points) + self.r + self.r_defaults

    @property
    def r_defaults(self) -> int:
        """Repetitions of the defaults, besides those of the selected point."""
        fixed = self.task.card.deterministic
        return RULESET.r_defaults(self.preset, len(self.points), deterministic=fixed)

    def reproduce(self, spec: RunSpec) -> str:
        """The command that repeats one run and compares the weights, given where we are now."""
        return reproduce_command(method_argument(self.method), spec, task_argument(self.task))


def make_cells(
    pairs: Sequence[tuple[TaskEntry, MethodEntry]], pool: Pool, preset: Preset
) -> list[Cell]:
    """Cells with their search spaces, as workers describe the methods.

    Raises:
        AssayError: methods cannot be loaded; names all of them.
    """
    described: dict[str, Description] = {}
    references: dict[str, Space] = {}
    problems: list[str] = []
    for _, method in pairs:
        if method.card.slug not in described:
            try:
                described[method.card.slug] = describe_method(pool, method)
            except AssayError as error:
                problems.append(str(error))
                described[method.card.slug] = Description(hooks=[], spaces={})
    if problems:
        raise AssayError("\n".join(problems))
    cells = []
    for task, method in pairs:
        description = described[method.card.slug]
        space = description.spaces[task.card.family]
        if "configure_optimizer" not in description.hooks:
            if task.card.slug not in references:
                references[task.card.slug] = reference_space(pool, task)
            space = space.merged(REFERENCE_PREFIX, references[task.card.slug])
        refs = (task_ref(task), method_ref(method))
        epoch = pool.epoch.name if pool.epoch else None
        cells.append(Cell(task, method, *refs, space, pool.compute, preset, epoch))
    return cells


def study_record(cell: Cell, runs: Sequence[RunRecord]) -> StudyRecord:
    """The study of a cell from the records of its tuning runs, in the order of its points."""
    metric = cell.task.card.metric
    trials = [
        Trial(
            number=number,
            hyperparameters=cell.points[number],
            run_id=run.id,
            status=run.status,
            val=run.result.val if run.result is not None else metric.chance,
        )
        for number, run in enumerate(runs)
    ]
    selected = select(trials, metric.direction)
    return StudyRecord(
        id=cell.study_id,
        ruleset=RULESET.version,
        preset=cell.preset,
        task=cell.task_ref,
        method=cell.method_ref,
        family=cell.task.card.family,
        tier=cell.task.card.tier,
        compute=cell.compute,
        space=cell.space,
        trials=trials,
        selected=selected,
        selected_runs=[spec.id for spec in cell.repetitions(cell.points[selected])],
        default_runs=(
            [spec.id for spec in cell.repetitions(cell.points[0])] if cell.r_defaults else []
        ),
        epoch=cell.epoch,
        created_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )


def missing_runs(cells: Sequence[Cell], store: Store) -> Iterator[tuple[Cell, int]]:
    """For each cell, how many runs have no record yet (an upper bound before tuning is done)."""
    for cell in cells:
        slugs = (cell.task_ref.slug, cell.method_ref.slug)
        have = sum(store.run_path(*slugs, spec.id).is_file() for spec in cell.tuning)
        missing = len(cell.tuning) - have
        study = store.study(*slugs, cell.study_id)
        if study is None:
            yield cell, missing + cell.n_runs - len(cell.tuning)
        else:
            ids = set(study.repetition_ids)
            done = sum(store.run_path(*slugs, run_id).is_file() for run_id in ids)
            yield cell, missing + len(ids) - done
