"""A cell: one method on one task. All its runs are known in advance."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from assay.cards import TaskCard
from assay.engine.descriptions import describe_method, reference_space
from assay.engine.points import points
from assay.engine.pool import Pool
from assay.engine.runs import REFERENCE_PREFIX, Job
from assay.errors import AssayError, StorageError
from assay.messages.worker import Description
from assay.plugins.registry import (
    MethodEntry,
    TaskEntry,
    method_argument,
    method_ref,
    task_argument,
    task_ref,
)
from assay.records.schema import Compute, MethodRef, RunSpec, TaskRef, reproduce_command
from assay.records.spec_ids import SpecIds
from assay.records.store import Store
from assay.ruleset import RULESET, Arm, Preset
from assay.space import Space, Value

Entry = TypeVar("Entry", TaskEntry, MethodEntry)


@dataclass(frozen=True)
class Extent:
    """Which runs of a cell are wanted."""

    repetitions: Sequence[int]
    k: int
    """Points of each repetition, where the search space has ranges."""


def extent(
    card: TaskCard,
    preset: Preset = "full",
    *,
    n_repetitions: int | None = None,
    arm: Arm = "first",
) -> Extent:
    """The runs that the ruleset asks for on a task.

    Args:
        card: the task's.
        preset: "quick" asks for a subset of "full".
        n_repetitions: instead of the tier's; a deterministic task has one all the same.
        arm: the second has the repetitions of the A/A control.
    """
    fixed = card.deterministic
    k = RULESET.k(card.tier, preset, deterministic=fixed)
    r = RULESET.r(card.tier, preset, deterministic=fixed)
    if n_repetitions is not None and not fixed:
        r = n_repetitions
    first = RULESET.control_repetition if arm == "second" else 0
    return Extent(range(first, first + r), k)


@dataclass(frozen=True)
class Cell:
    """One method on one task, with its search space and the runs that are wanted."""

    task: TaskEntry
    method: MethodEntry
    task_ref: TaskRef
    method_ref: MethodRef
    space: Space
    compute: Compute
    extent: Extent
    epoch: str | None = None
    """The epoch whose hidden seeds the repetitions have; their points are the public ones."""

    def points(self, repetition: int) -> list[dict[str, Value]]:
        """The hyperparameter points of a repetition, defaults first."""
        return points(self.space, repetition, self.extent.k)

    def spec(
        self, repetition: int, point: int | None, hyperparameters: dict[str, Value]
    ) -> RunSpec:
        """One run of this cell; `point` is None where the hyperparameters were chosen by hand."""
        return RunSpec(
            ruleset=RULESET.version,
            task=self.task_ref,
            method=self.method_ref,
            repetition=repetition,
            point=point,
            hyperparameters=hyperparameters,
            compute=self.compute,
            epoch=self.epoch,
        )

    @cached_property
    def specs(self) -> dict[str, RunSpec]:
        """Every run, by id, by repetition and point."""
        return {run_id: self.spec(*place) for run_id, place in self.places()}

    def missing(self, store: Store) -> dict[str, RunSpec]:
        """The runs that have no record, by id."""
        recorded = store.run_ids(self.task_ref.slug, self.method_ref.slug)
        return {
            run_id: self.spec(*place) for run_id, place in self.places() if run_id not in recorded
        }

    def places(self) -> Iterator[tuple[str, tuple[int, int, dict[str, Value]]]]:
        """The id, the repetition, the point and the hyperparameters of every run."""
        ids = SpecIds(self.spec(0, 0, {}))
        for repetition in self.extent.repetitions:
            for number, values in enumerate(self.points(repetition)):
                yield ids.of(repetition, number, values), (repetition, number, values)

    def job(self, spec: RunSpec) -> Job:
        """What the pool needs to do a run."""
        return Job(spec, self.task, self.method, self.space)

    def reproduce(self, spec: RunSpec) -> str:
        """The command that repeats one run and compares the weights, given where we are now."""
        return reproduce_command(method_argument(self.method), spec, task_argument(self.task))


def make_cells(
    pairs: Sequence[tuple[TaskEntry, MethodEntry]],
    pool: Pool,
    preset: Preset = "full",
    *,
    n_repetitions: int | None = None,
    arms: Sequence[Arm] = ("first",),
    problems: list[str] | None = None,
) -> list[Cell]:
    """Cells with their search spaces, as workers describe the methods.

    Args:
        pairs: what to run.
        pool: whose workers describe the methods.
        preset: which runs; see `extent`.
        n_repetitions: see `extent`.
        arms: of the A/A control; each pair gets a cell for each.
        problems: gets why methods cannot be loaded, which have no cells then.

    Raises:
        AssayError: no method can be loaded, or one cannot and there is no list of `problems`; names
            all of them.
    """
    described, wrong = _described([method for _, method in pairs], pool)
    if wrong and (problems is None or not described):
        raise AssayError("\n".join(wrong))
    if problems is not None:
        problems += wrong
    pairs = [(task, method) for task, method in pairs if method.card.slug in described]
    cells = []
    spaces = _spaces(pairs, described, pool)
    epoch = pool.epoch.name if pool.epoch else None
    # Files are hashed once each, not once a pair.
    tasks = {task.card.slug: task_ref(task) for task in _distinct(task for task, _ in pairs)}
    methods = {one.card.slug: method_ref(one) for one in _distinct(one for _, one in pairs)}
    for (task, method), space in zip(pairs, spaces, strict=True):
        refs = tasks[task.card.slug], methods[method.card.slug]
        for arm in arms:
            wanted = extent(task.card, preset, n_repetitions=n_repetitions, arm=arm)
            cells.append(Cell(task, method, *refs, space, pool.compute, wanted, epoch))
    return cells


def _distinct(entries: Iterable[Entry]) -> Iterable[Entry]:
    """One entry of each name."""
    return {entry.card.slug: entry for entry in entries}.values()


def _described(
    methods: Sequence[MethodEntry], pool: Pool
) -> tuple[dict[str, Description], list[str]]:
    """The descriptions of methods by slug, and why others have none."""
    described: dict[str, Description] = {}
    problems: list[str] = []
    for slug, method in {method.card.slug: method for method in methods}.items():
        try:
            described[slug] = describe_method(pool, method)
        except StorageError:
            raise
        except AssayError as error:
            problems.append(str(error))
    return described, problems


def _spaces(
    pairs: Sequence[tuple[TaskEntry, MethodEntry]], described: Mapping[str, Description], pool: Pool
) -> Iterator[Space]:
    """The search space of each pair: the method's, and the reference optimizer's if it uses it."""
    references: dict[str, Space] = {}
    for task, method in pairs:
        description = described[method.card.slug]
        space = description.spaces[task.card.family]
        if "configure_optimizer" not in description.hooks:
            if task.card.slug not in references:
                references[task.card.slug] = reference_space(pool, task)
            space = space.merged(REFERENCE_PREFIX, references[task.card.slug])
        yield space
