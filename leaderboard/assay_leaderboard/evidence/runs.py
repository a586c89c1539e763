"""What was read: the runs of tasks and methods, in a light form, and the checkout they are read
against.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from assay.cards import SubmissionCard, TaskCard
from assay.detectors import Flag
from assay.records.former import FormerResult
from assay.records.log import Standing, TrustTier
from assay.records.schema import Compute, Level, MethodRef, RunRecord, Status, TaskRef
from assay.space import Space

from assay_leaderboard.evidence.environments import Facts, facts_of
from assay_leaderboard.schema.board import View


@dataclass(frozen=True)
class Catalogue:
    """The cards of this checkout and the hashes of its code, by slug."""

    tasks: Mapping[str, tuple[TaskCard, TaskRef]]
    methods: Mapping[str, tuple[SubmissionCard, MethodRef]]
    """A method that has records and is not here is local: its code cannot be checked."""


@dataclass(frozen=True, slots=True)
class Run:
    """What statistics need of a run record; small, because many thousands are held at once."""

    id: str
    task: TaskRef
    method: MethodRef
    ruleset: int
    compute: Compute
    epoch: str | None
    space: Space
    repetition: int
    point: int | None
    status: Status
    val: float | None
    """None, as `test`, unless the run completed."""
    test: float | None
    level: Level
    created_at: str
    environment: Facts
    """Where it was made, as far as numbers may depend on it."""
    sealed: bool = True
    """RunRecord.sealed."""
    secondary: Mapping[str, float] = field(default_factory=dict)
    """Values of the secondary metrics, by name."""

    @classmethod
    def of(cls, record: RunRecord) -> Run:
        """The facts of `record`."""
        spec, result = record.spec, record.result
        return cls(
            id=record.id,
            task=spec.task,
            method=spec.method,
            ruleset=spec.ruleset,
            compute=spec.compute,
            epoch=spec.epoch,
            space=record.space,
            repetition=spec.repetition,
            point=spec.point,
            status=record.status,
            val=result.val if result else None,
            test=result.test if result else None,
            level=record.isolation.level,
            created_at=record.created_at,
            environment=facts_of(record.environment),
            sealed=record.sealed,
            secondary=result.secondary if result else {},
        )


@dataclass(frozen=True)
class Tries:
    """How often a method was submitted on a task, over all versions."""

    n: int = 0
    refused: int = 0
    """Those of the n that the gate refused."""
    first: str = ""
    """When the first bundle of it was published; UTC, ISO 8601. Empty if none was."""


@dataclass(frozen=True)
class Rules:
    """Whose board it is, which decides what may rank."""

    published: bool = False
    """Only sealed results that were replayed (T2) or have hidden seeds of a revealed epoch (T3)
    may rank. If not set: every complete, current result, under the seeds that are asked for."""
    revealed: Mapping[str, str] = field(default_factory=dict)
    """The epochs whose seeds are known to everybody: when each was revealed; UTC, ISO 8601."""

    @property
    def view(self) -> View:
        """Their name."""
        return "published" if self.published else "local"


LOCAL = Rules()


@dataclass(frozen=True)
class Evidence:
    """Runs as read, in no particular order."""

    runs: Mapping[str, Run]
    """By id."""
    problems: Sequence[str] = ()
    """What could not be read, one line each."""
    flags: Mapping[tuple[TaskRef, MethodRef], Sequence[Flag]] = field(default_factory=dict)
    """Signs that the result of a method on a task may be false."""
    tiers: Mapping[str, TrustTier] = field(default_factory=dict)
    """Of published runs, by id; one that is not here is local, that is self-reported (T0)."""
    bundles: Mapping[tuple[TaskRef, MethodRef, str | None], Standing] = field(default_factory=dict)
    """The current published bundles, by task, method and epoch."""
    tries: Mapping[tuple[str, str], Tries] = field(default_factory=dict)
    """Of each task and method."""
    past: Sequence[Past] = ()
    """Published bundles that no longer count."""
    former: Sequence[FormerResult] = ()
    """Results of earlier rulesets, which are only listed."""
    epoch: str | None = None
    """Only runs with the hidden seeds of this epoch count. None: those with the public seeds, or by
    the rules of the published board those with hidden ones, where there are some. Repetitions are
    paired by number, and those of different epochs have nothing in common."""
    rules: Rules = LOCAL

    @cached_property
    def by_task(self) -> Mapping[str, Sequence[Run]]:
        """The runs on each task, by its slug."""
        found: dict[str, list[Run]] = {}
        for run in self.runs.values():
            found.setdefault(run.task.slug, []).append(run)
        return found


@dataclass(frozen=True)
class Past:
    """A bundle that was superseded, corrected or retracted; its values stay visible."""

    standing: Standing
    evidence: Evidence
    """The records in it."""
