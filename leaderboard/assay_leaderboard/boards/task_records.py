"""The evidence on one task: its cells, with the whole records behind them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from assay.cards import TaskCard
from assay.records.schema import RunRecord, StudyRecord, Trial
from assay.ruleset import Ruleset

from assay_leaderboard.boards.task_comparisons import TaskComparisons
from assay_leaderboard.evidence.cells import Catalogue, CellEvidence, Evidence, with_studies
from assay_leaderboard.evidence.flags import FlagFinder
from assay_leaderboard.evidence.results_folder import (
    ResultsFolder,
    TaskRecords,
    read_task,
    together,
)
from assay_leaderboard.schema.board import Basis
from assay_leaderboard.schema.values import MAX_SCORE
from assay_leaderboard.statistics import tuning_budgets


@dataclass(frozen=True)
class TaskEvidence:
    """The evidence on one task; it can be pickled."""

    card: TaskCard
    ruleset: Ruleset
    cells: Sequence[CellEvidence]
    """Those of the board, by slug of the method."""
    studies: Mapping[str, StudyRecord] = field(repr=False)
    """Of the cells, by method."""
    runs: Mapping[str, RunRecord] = field(repr=False)
    """By id: tuning runs and repetitions that the studies of the cells name, as far as they have a
    record."""
    tests: Mapping[str, Sequence[float | None]] = field(repr=False)
    """Test scores of the trials by method, in the order of their numbers; see test_of."""
    evidence: Evidence = field(repr=False)
    """What the cells were made from; of this task alone."""
    problems: Sequence[str] = ()
    """What could not be read or does not fit together, one line each."""

    def comparisons(self, basis: Basis = "tuned") -> TaskComparisons:
        """The cells with the tests between them."""
        return TaskComparisons(self.card, self.cells, basis, self.ruleset)

    def tuned(self, cell: CellEvidence) -> list[RunRecord]:
        """Recorded repetitions of the tuned point, by their number."""
        found = [self.runs[i] for i in self.studies[cell.method].selected_runs if i in self.runs]
        return sorted(found, key=lambda run: run.spec.repetition)

    def test_of(self, cell: CellEvidence, trial: Trial) -> float | None:
        """Test score of a trial; the chance level of one without; None if its record is missing."""
        return self.tests[cell.method][trial.number]

    def trials(self, cell: CellEvidence) -> tuning_budgets.Trials | None:
        """The stored trials of a study in the order of selection.

        None where a test score is missing, or there are more than tuning_budgets.MAX_TRIALS.
        """
        stored = self.studies[cell.method].trials
        known = [score for score in self.tests[cell.method] if score is not None]
        if len(known) < len(stored) or len(stored) > tuning_budgets.MAX_TRIALS:
            return None
        vals = [trial.val for trial in stored]
        return tuning_budgets.ordered(vals, known, self.card.metric.direction)

    @property
    def all_trials(self) -> dict[str, tuning_budgets.Trials]:
        """Trials by method, of the studies that are not stale."""
        found = {cell.method: self.trials(cell) for cell in self.cells if not cell.stale}
        return {method: trials for method, trials in found.items() if trials is not None}


def from_folders(
    task: str,
    folders: Sequence[ResultsFolder],
    catalogue: Catalogue,
    ruleset: Ruleset,
    flag_finder: FlagFinder | None = None,
) -> TaskEvidence:
    """The evidence on a task from folders of results; the first one wins where a run is in several.

    Args:
        task: slug of a task of the catalogue.
        folders: folders of results; only the records of this task are read.
        catalogue: cards and code hashes of the checkout.
        ruleset: the current one.
        flag_finder: flags suspicious results; nothing is flagged without it.
    """
    found = [
        records
        for folder in folders
        for records in read_task(folder, task, flag_finder, trials=True)
    ]
    return from_records(task, found, catalogue, ruleset)


def from_records(
    task: str, found: Sequence[TaskRecords], catalogue: Catalogue, ruleset: Ruleset
) -> TaskEvidence:
    """The evidence on a task from records; the first ones win where a run is in several."""
    evidence = Evidence([], {})
    runs: dict[str, RunRecord] = {}
    for records in found:
        evidence = together(evidence, records.evidence)
        runs = {**records.runs, **runs}
    card = catalogue.tasks[task][0]
    kept, problems = with_studies(card, evidence, catalogue, ruleset)
    own: dict[str, RunRecord] = {}
    tests: dict[str, list[float | None]] = {}
    for cell, study in kept:
        scores = tests.setdefault(cell.method, [])
        own |= {i: runs[i] for i in study.repetition_ids if i in runs}
        for trial in study.trials:
            run = runs.get(trial.run_id)
            wrong = _misfit(study, trial, run) if run else ""
            if wrong:
                problems.append(wrong)
            if wrong or run is None:
                scores.append(None)
            else:
                own[run.id] = run
                scores.append(run.result.test if run.result else card.metric.chance)
    problems = sorted({*evidence.problems, *problems})
    by_method = {cell.method: study for cell, study in kept}
    return TaskEvidence(
        card, ruleset, [cell for cell, _ in kept], by_method, own, tests, evidence, problems
    )


def _misfit(study: StudyRecord, trial: Trial, run: RunRecord) -> str:
    """Why a run is not what a study says of its trial; empty if it is."""
    spec = run.spec
    expected = (study.task, study.method, study.ruleset, "tuning", trial.hyperparameters)
    if (spec.task, spec.method, spec.ruleset, spec.purpose, spec.hyperparameters) != expected:
        wrong = f"is not its trial {trial.number}"
    elif run.result and abs(run.result.test) > MAX_SCORE:
        wrong = f"has the score {run.result.test:g}, which is no score"
    else:
        return ""
    return f"study {study.id} ({study.task.slug}, {study.method.slug}): run {run.id} {wrong}"
