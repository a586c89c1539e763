"""What the pages are made from: plain values, nothing left to compute or to look up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from assay.cards import SubmissionCard, TaskCard
from assay.records.log import Entry
from assay.records.schema import RunRecord, StudyRecord
from assay.ruleset import Ruleset
from markupsafe import Markup

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
    """The same ranked by the defaults; its rows are not ranked where defaults were not run."""
    detail: TaskDetail
    landscape: Landscape | None
    methods: Mapping[str, SubmissionCard] = field(default_factory=dict)
    """Cards of the submissions of this checkout, by slug; for what the table can be filtered by."""


@dataclass(frozen=True)
class CellView:
    """One method on one task: /run/<task>/<method>.html, and #<run id> for each run behind it."""

    card: TaskCard
    row: Row
    detail: Detail
    study: StudyRecord
    runs: Sequence[RunRecord]
    """Tuning runs by trial, then repetitions of the tuned point, then those of the defaults."""
    mlflow: Mapping[str, str] = field(default_factory=dict)
    """MLflow's run ids by record id, where the local mirror knows them."""


@dataclass(frozen=True)
class MethodView:
    """One method: /method/<slug>/."""

    slug: str
    card: SubmissionCard | None
    """None for a local one, whose card is not in this checkout."""
    lines: Mapping[str, Markup]
    """Its row of each task where it has records, as its page shows it."""


@dataclass(frozen=True)
class SiteView:
    """Everything that is not about one task, or one family, alone."""

    board: Board
    defaults: Board
    budgets: Sequence[BudgetTable]
    ledger: Ledger
    methods: Mapping[str, MethodView]
    """Those with records and those of the checkout that have none yet, by slug."""
    tasks: Mapping[str, TaskCard]
    """Every task of the checkout, also those without records."""
    log: Sequence[Entry]
    scorecard: Scorecard | None
    """How attacks on the sandbox ended; None if nobody said."""
    controls: Audit | None
    """What the suite found about itself."""
    queue: Sequence[QueueEntry]
    """Submissions on their way."""
    ruleset: Ruleset
    with_local: bool
    version: str
    n_runs: int
    """Of all methods on all tasks; one that serves as two repetitions counts once."""
    problems: Sequence[str]
