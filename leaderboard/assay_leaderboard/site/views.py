"""What the pages are made from: plain values, with nothing left to compute or to look up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from assay.cards import SubmissionCard, TaskCard
from assay.records.log import Entry
from assay.records.schema import RunRecord, StudyRecord
from assay.ruleset import Ruleset

from assay_leaderboard.audit.tasks import Audit
from assay_leaderboard.claims.ledger import Ledger
from assay_leaderboard.schema.board import Board, BudgetTable, Row, TaskTable
from assay_leaderboard.schema.task_details import Detail, TaskDetail
from assay_leaderboard.schema.values import Part
from assay_leaderboard.site.reports import QueueEntry, Scorecard


class Landscape(Part):
    """A function of one or two unknowns on a grid (tasks/<slug>/landscape.json)."""

    schema_version: Literal[1] = 1
    axes: list[list[float]]
    values: list[float]
    """Row by row: the last axis runs fastest."""


@dataclass(frozen=True)
class TaskView:
    """One task: /task/<slug>/."""

    card: TaskCard
    tuned: TaskTable
    defaults: TaskTable
    """Ranked by the defaults; a row is unranked where the defaults were not run."""
    detail: TaskDetail
    landscape: Landscape | None
    methods: Mapping[str, SubmissionCard] = field(default_factory=dict)
    """Cards of the submissions of this checkout, by slug."""


@dataclass(frozen=True)
class CellView:
    """One method on one task: /run/<task>/<method>.html, with #<run id> for each of its runs."""

    card: TaskCard
    row: Row
    detail: Detail
    study: StudyRecord
    runs: Sequence[RunRecord]
    """Tuning runs by trial, then repetitions of the tuned point, then those of the defaults."""
    mlflow: Mapping[str, str] = field(default_factory=dict)
    """MLflow's run ids by record id, where the local mirror knows them."""


@dataclass(frozen=True)
class SiteView:
    """The whole board, for the pages beyond single tasks and families."""

    board: Board
    defaults: Board
    budgets: Sequence[BudgetTable]
    ledger: Ledger
    methods: Mapping[str, SubmissionCard | None]
    """By slug, those without records too; a local method has no card in this checkout."""
    tasks: Mapping[str, TaskCard]
    """Every task of the checkout, also those without records."""
    log: Sequence[Entry]
    scorecard: Scorecard | None
    """How attacks on the sandbox ended; None without a report."""
    controls: Audit | None
    """The report of `assay audit`; None without one."""
    queue: Sequence[QueueEntry]
    """Submissions not yet on the board."""
    ruleset: Ruleset
    with_local: bool
    version: str
    n_runs: int
    """Runs on the site; one that is a repetition of two points counts once."""
    problems: Sequence[str]
