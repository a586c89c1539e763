"""Which study of each (task, method) counts, and the scores of its repetitions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from assay.cards import SubmissionCard, TaskCard
from assay.detectors import Flag
from assay.errors import RecordError
from assay.records.log import Standing, TrustTier
from assay.records.schema import Level, MethodRef, Purpose, RunRecord, Status, StudyRecord, TaskRef
from assay.records.staleness import stale
from assay.ruleset import Preset, Ruleset

from assay_leaderboard.schema.values import MAX_REPETITIONS, MAX_SCORE


@dataclass(frozen=True)
class Catalogue:
    """The cards of this checkout and the hashes of its code, by slug."""

    tasks: Mapping[str, tuple[TaskCard, TaskRef]]
    methods: Mapping[str, tuple[SubmissionCard, MethodRef]]
    """A method that has records and is not here is local: its code cannot be checked."""


@dataclass(frozen=True, slots=True)
class Run:
    """What statistics need of a run record; small, because thousands are held at once."""

    cell: tuple[TaskRef, MethodRef, int]
    """Task, method and ruleset of its spec."""
    purpose: Purpose
    repetition: int
    status: Status
    test: float | None
    level: Level
    epoch: str | None = None
    secondary: Mapping[str, float] = field(default_factory=dict)
    """Values of the secondary metrics, by name."""

    @classmethod
    def of(cls, record: RunRecord) -> Run:
        """The facts of `record`."""
        spec, result = record.spec, record.result
        return cls(
            cell=(spec.task, spec.method, spec.ruleset),
            purpose=spec.purpose,
            repetition=spec.repetition,
            status=record.status,
            test=result.test if result else None,
            level=record.isolation.level,
            epoch=spec.epoch,
            secondary=result.secondary if result else {},
        )


@dataclass(frozen=True)
class Evidence:
    """Studies and runs as read, in no particular order."""

    studies: Sequence[StudyRecord]
    runs: Mapping[str, Run]
    """By id; a repetition that a study names and that is not here is missing."""
    problems: Sequence[str] = ()
    """What could not be read, one line each."""
    flags: Mapping[str, Sequence[Flag]] = field(default_factory=dict)
    """Signs that a result may be false, by the id of its study."""
    tiers: Mapping[str, TrustTier] = field(default_factory=dict)
    """Of published studies, by id; one that is not here is self-reported (T0)."""
    past: Sequence[Past] = ()
    """Published bundles that no longer count."""
    epoch: str | None = None
    """Only studies with the hidden seeds of this epoch count; None: with the public seeds.
    Repetitions are paired by index, and indices of different epochs have nothing in common."""


@dataclass(frozen=True)
class Past:
    """A bundle that was superseded, corrected or retracted; its values stay visible."""

    standing: Standing
    evidence: Evidence
    """The records in it."""


@dataclass(frozen=True)
class Repetitions:
    """The planned repetitions of one hyperparameter point, by index."""

    planned: int
    scores: Mapping[int, float]
    """Test score of each recorded repetition; the chance level for one without a score."""
    statuses: Mapping[Status, int] = field(default_factory=dict)
    level: Level | None = None
    """The weakest sandbox among the recorded ones."""
    secondary: Mapping[int, Mapping[str, float]] = field(default_factory=dict)
    """Values of the secondary metrics, of the repetitions with a score."""

    @property
    def missing(self) -> int:
        """Planned repetitions that have no record."""
        return self.planned - len(self.scores)

    @property
    def complete(self) -> bool:
        """There are planned repetitions, and all have a record."""
        return self.planned > 0 and self.missing == 0

    @cached_property
    def values(self) -> list[float]:
        """Scores by increasing number of the repetition."""
        return [self.scores[repetition] for repetition in sorted(self.scores)]


@dataclass(frozen=True, slots=True)
class StudyName:
    """What boards and claims need of a study; its record is a hundred times as large."""

    id: str
    preset: Preset
    n_trials: int
    selected: int
    """Number of the trial whose point was repeated."""


@dataclass(frozen=True)
class CellEvidence:
    """One method on one task: the study that counts and its repetitions."""

    method: str
    study: StudyName
    tuned: Repetitions
    defaults: Repetitions
    stale: str
    """Why the study may not be compared with current ones; empty if it may."""
    local: bool
    """The method is not among the submissions of this checkout."""
    flags: Sequence[Flag] = ()
    """Signs that the result may be false; they change no number."""
    tier: TrustTier = "T0"
    """How far the results can be trusted."""

    @property
    def preliminary(self) -> bool:
        """The study was made with --quick."""
        return self.study.preset == "quick"


def run_command(method: str, task: str) -> str:
    """The command that makes (or completes) the records of a cell."""
    return f"assay run {method} --task {task}"


def cells(
    card: TaskCard, evidence: Evidence, catalogue: Catalogue, ruleset: Ruleset
) -> tuple[list[CellEvidence], list[str]]:
    """The cell of each method with a study of this task, by slug, and a line for each problem."""
    found, problems = with_studies(card, evidence, catalogue, ruleset)
    return [cell for cell, _ in found], problems


def with_studies(
    card: TaskCard, evidence: Evidence, catalogue: Catalogue, ruleset: Ruleset
) -> tuple[list[tuple[CellEvidence, StudyRecord]], list[str]]:
    """`cells`, each with the record of its study."""
    problems: list[str] = []
    by_method: dict[str, list[StudyRecord]] = {}
    for study in evidence.studies:
        if study.task.slug == card.slug and study.epoch == evidence.epoch:
            by_method.setdefault(study.method.slug, []).append(study)
    found = []
    for method in sorted(by_method):
        refs = _current_refs(card.slug, method, by_method[method], catalogue)
        candidates = []
        for study in by_method[method]:
            try:
                candidates.append((_cell(study, card, evidence, refs, ruleset), study))
            except RecordError as error:
                problems.append(str(error))
        if candidates:
            counted = max(candidates, key=_weight)
            found.append(counted)
            if counted[0].tier != "T0" and any(other.tier == "T0" for other, _ in candidates):
                problems.append(f"{method} on {card.slug}: local results; the published ones count")
    return found, sorted(problems)


@dataclass(frozen=True)
class _Refs:
    task: TaskRef
    method: MethodRef
    local: bool


def _current_refs(
    task: str, method: str, studies: Iterable[StudyRecord], catalogue: Catalogue
) -> _Refs:
    task_ref = catalogue.tasks[task][1]
    if method in catalogue.methods:
        return _Refs(task_ref, catalogue.methods[method][1], local=False)
    newest = max(studies, key=lambda study: (study.created_at, study.id))
    return _Refs(task_ref, newest.method, local=True)


def _weight(
    candidate: tuple[CellEvidence, StudyRecord],
) -> tuple[bool, bool, bool, bool, int, int, str, str]:
    """Sort key: the largest counts.

    In this order: current, published, complete, full, most trials, most runs, newest.
    """
    cell, study = candidate
    return (
        not cell.stale,
        cell.tier != "T0",
        cell.tuned.complete,
        study.preset == "full",
        len(study.trials),
        len(study.selected_runs),
        study.created_at,
        study.id,
    )


def _cell(
    study: StudyRecord, card: TaskCard, evidence: Evidence, refs: _Refs, ruleset: Ruleset
) -> CellEvidence:
    return CellEvidence(
        method=study.method.slug,
        study=StudyName(study.id, study.preset, len(study.trials), study.selected),
        tuned=_repetitions(study, study.selected_runs, card, evidence),
        defaults=_repetitions(study, study.default_runs, card, evidence),
        stale=stale(study, refs.task, refs.method, ruleset),
        local=refs.local,
        flags=evidence.flags.get(study.id, ()),
        tier=evidence.tiers.get(study.id, "T0"),
    )


def _repetitions(
    study: StudyRecord, ids: Sequence[str], card: TaskCard, evidence: Evidence
) -> Repetitions:
    """The repetitions that a study names, checked to be its own and one per index.

    Raises:
        RecordError: a run belongs to another cell, two have the same index, or a score is absurd.
    """
    where = f"study {study.id} ({study.task.slug}, {study.method.slug})"
    if len(ids) > MAX_REPETITIONS:
        raise RecordError(
            f"{where}: names {len(ids)} repetitions, expected at most {MAX_REPETITIONS}"
        )
    scores: dict[int, float] = {}
    secondary: dict[int, Mapping[str, float]] = {}
    statuses: Counter[Status] = Counter()
    levels: list[Level] = []
    cell = (study.task, study.method, study.ruleset)
    for run_id in ids:
        run = evidence.runs.get(run_id)
        if run is None:
            continue
        if (run.cell, run.purpose, run.epoch) != (cell, "repetition", study.epoch):
            raise RecordError(f"{where}: run {run_id} is not a repetition of this study")
        if run.repetition in scores:
            raise RecordError(f"{where}: repetition {run.repetition} is named twice")
        score = card.metric.chance if run.test is None else run.test
        for value in (score, *run.secondary.values()):
            if abs(value) > MAX_SCORE:
                raise RecordError(
                    f"{where}: run {run_id} has the score {value:g}, which is no score"
                )
        scores[run.repetition] = score
        if run.test is not None:
            secondary[run.repetition] = run.secondary
        statuses[run.status] += 1
        levels.append(run.level)
    return Repetitions(len(ids), scores, dict(statuses), min(levels, default=None), secondary)
