"""The evidence on one task: its cells, with the whole records behind them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from assay.cards import TaskCard
from assay.records.schema import RunRecord
from assay.ruleset import Ruleset

from assay_leaderboard.boards.task_comparisons import TaskComparisons
from assay_leaderboard.evidence.cells import CellEvidence, cells
from assay_leaderboard.evidence.flags import FlagFinder
from assay_leaderboard.evidence.results_folder import (
    ResultsFolder,
    TaskRecords,
    read_task,
    together,
)
from assay_leaderboard.evidence.runs import LOCAL, Catalogue, Evidence, Rules


@dataclass(frozen=True)
class TaskEvidence:
    """The evidence on one task; it can be pickled."""

    card: TaskCard
    ruleset: Ruleset
    cells: Sequence[CellEvidence]
    """Those of the board, by slug of the method."""
    runs: Mapping[str, RunRecord] = field(repr=False)
    """By id: the runs of the cells."""
    evidence: Evidence = field(repr=False)
    """What the cells were made from; of this task alone."""
    problems: Sequence[str] = ()
    """What could not be read or does not count, one line each."""

    def comparisons(self, budget: int | None = None) -> TaskComparisons:
        """The cells with the tests between them."""
        return TaskComparisons(self.card, self.cells, self.ruleset, budget)

    def of(self, cell: CellEvidence) -> list[RunRecord]:
        """All runs of a cell, by repetition and point."""
        return [self.runs[run] for row in cell.runs for run in row if run is not None]

    def selected(self, cell: CellEvidence) -> list[RunRecord]:
        """The selected run of each repetition that counts."""
        return [self.runs[run] for run in cell.selected_runs]


def from_folders(
    task: str,
    folders: Sequence[ResultsFolder],
    catalogue: Catalogue,
    ruleset: Ruleset,
    flag_finder: FlagFinder | None = None,
    rules: Rules = LOCAL,
) -> TaskEvidence:
    """The evidence on a task from folders of results; the first one wins where a run is in several.

    Args:
        task: slug of a task of the catalogue.
        folders: folders of results; only the records of this task are read.
        catalogue: cards and code hashes of the checkout.
        ruleset: the current one.
        flag_finder: flags suspicious results; nothing is flagged without it.
        rules: what may rank.
    """
    found = [records for folder in folders for records in read_task(folder, task, flag_finder)]
    return from_records(task, found, catalogue, ruleset, rules)


def from_records(
    task: str,
    found: Sequence[TaskRecords],
    catalogue: Catalogue,
    ruleset: Ruleset,
    rules: Rules = LOCAL,
) -> TaskEvidence:
    """The evidence on a task from records; the first ones win where a run is in several."""
    evidence = together([records.evidence for records in found], rules)
    card = catalogue.tasks[task][0]
    kept, problems = cells(card, evidence, catalogue, ruleset)
    wanted = {run for cell in kept for row in cell.runs for run in row if run is not None}
    runs: dict[str, RunRecord] = {}
    for records in reversed(found):
        runs |= {run: records.runs[run] for run in wanted & records.runs.keys()}
    problems = sorted({*evidence.problems, *problems})
    return TaskEvidence(card, ruleset, kept, runs, evidence, problems)
