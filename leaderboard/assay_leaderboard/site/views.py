"""What the pages are made from: plain values, with nothing left to compute or to look up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from assay.cards import SubmissionCard, TaskCard
from assay.detectors.source import SourceData
from assay.records.log import Entry, ReplayedRun
from assay.records.schema import RunRecord
from assay.records.solutions import Solutions
from assay.ruleset import Ruleset

from assay_leaderboard.audit.tasks import Audit, TaskAudit
from assay_leaderboard.claims.ledger import Ledger
from assay_leaderboard.schema.board import Board, BudgetTable, Row, TaskTable
from assay_leaderboard.schema.task_details import BudgetPoint, Detail, TaskDetail
from assay_leaderboard.schema.translation import TaskRanges, Translation
from assay_leaderboard.schema.values import Part
from assay_leaderboard.site.reports import Parity, QueueEntry, Scorecard


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
    table: TaskTable
    """At the full tuning budget."""
    detail: TaskDetail
    landscape: Landscape | None
    methods: Mapping[str, SubmissionCard] = field(default_factory=dict)
    """Cards of the submissions of this checkout, by slug."""
    audit: TaskAudit | None = None
    """What `assay audit` says of the task; None: not audited."""
    solutions: Solutions | None = None
    """What `assay diagnose` found of methods on the task, if anything."""
    ranges: TaskRanges | None = None
    """What `assay translate` says of it; None: not asked."""


@dataclass(frozen=True)
class Published:
    """The bundle that holds the published runs of a cell."""

    file: str
    """Its name."""
    entry: int
    """Number of the log's entry that published it."""
    run_ids: frozenset[str]
    """Runs in it; others of the cell are local."""
    replays: Sequence[ReplayedRun] = ()
    """Its runs that others did again, by the last replay."""


@dataclass(frozen=True)
class Epoch:
    """An epoch of hidden seeds, as the log tells of it."""

    name: str
    committed: str
    """When its commitment was published; UTC, ISO 8601."""
    commitment: str | None
    """SHA-256 that binds the organisers to its seeds; None where its file cannot be read."""
    entry: int
    """Number of the log's entry with the commitment."""
    revealed: str | None
    """When its seeds were published; None: they are still hidden."""


@dataclass(frozen=True)
class CellView:
    """One method on one task: /run/<task>/<method>.html, with #<run id> for each of its runs."""

    card: TaskCard
    row: Row
    detail: Detail
    runs: Sequence[RunRecord]
    """By repetition and point."""
    published: Published | None = None
    """None where all runs are local."""
    has_raw: bool = False
    """The site has the raw records as a file: those of a cell with local runs."""
    has_source: bool = False
    """The site has the method's source, and it is the code that these runs were made with."""
    mlflow: Mapping[str, str] = field(default_factory=dict)
    """MLflow's run ids by record id, where the local mirror knows them."""


@dataclass(frozen=True)
class SiteView:
    """The whole board, for the pages beyond single tasks and families."""

    board: Board
    budgets: Sequence[BudgetTable]
    standings: Mapping[str, Mapping[str, Sequence[BudgetPoint]]]
    """By task and method, at every tuning budget (Detail.budget)."""
    ledger: Ledger
    translation: Translation
    """Best learning rates, and ranges whose ends win."""
    methods: Mapping[str, SubmissionCard | None]
    """By slug, those without records too; a local method has no card in this checkout."""
    tasks: Mapping[str, TaskCard]
    """Every task of the checkout, also those without records."""
    log: Sequence[Entry]
    scorecard: Scorecard | None
    """How attacks on the sandbox ended; None without a report."""
    audit: Audit
    """Of every task of the checkout; its A/A control is None where `assay aa` was not reported."""
    data: Mapping[str, SourceData]
    """How many bits of data the source of each submission of this checkout carries, by slug."""
    parity: Parity
    """What the optimizers of this checkout were held against."""
    epochs: Sequence[Epoch]
    """In the order of their commitments."""
    queue: Sequence[QueueEntry]
    """Submissions not yet on the board."""
    ruleset: Ruleset
    with_local: bool
    version: str
    n_runs: int
    problems: Sequence[str]
