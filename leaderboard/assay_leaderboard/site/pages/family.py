"""The ranking of a family, or of all tasks, at every tuning budget, and task by task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from assay.cards import SubmissionCard
from markupsafe import Markup

from assay_leaderboard.format import NORMALISED
from assay_leaderboard.schema.board import (
    BudgetRow,
    BudgetTable,
    FamilySummary,
    Row,
    SummaryRow,
    TaskTable,
)
from assay_leaderboard.site.html.links import Links, PageLinks
from assay_leaderboard.site.html.table import Column, Table, TableCell, TableRow
from assay_leaderboard.site.html.templates import human, page
from assay_leaderboard.site.html.text import (
    NONE,
    minus,
    number,
    rank_text,
    span,
    verdict,
    verdict_word,
)
from assay_leaderboard.site.pages import figures, recommendation
from assay_leaderboard.site.pages.task import EMPTY, facets, linked, method_cell

_METHOD = Column("method", "Method", text=True)
_STANDING = (
    _METHOD,
    Column("rank", "Rank", "interval", low=True),
    Column("iqm", "Score", "interquartile mean, higher is better"),
)
_TUNED = (
    *_STANDING,
    Column("n", "n", "runs"),
    Column("tasks", "Other tasks", "interval with tasks resampled"),
    Column("mean", "Mean", "higher is better"),
    Column("gap", "Optimality gap", "lower is better", low=True),
    Column("defaults", "Defaults", "mean, no tuning"),
    Column("notask", "Without a task", "first rank, leave one out"),
    Column("nomethod", "Without a method", "first rank, leave one out"),
)
_PRELIMINARY = Markup(' <span class="tag preliminary">preliminary</span>')


@dataclass(frozen=True)
class FamilyScores:
    """What the pages of families say of one task."""

    reference: str
    cells: Mapping[str, Markup]
    """By method: `score_cells`."""


def score_cells(table: TaskTable, links: Links) -> dict[str, Markup]:
    """By ranked method: the normalised score, which leads to its runs, and the verdict.

    The same on the page of each family that the task is part of: all these pages lie as deep.
    """
    place, column = links.at("family/overall"), _score_column(table.task)
    return {
        row.method: Markup(column.html(_score_cell(place, table.task, row)))
        for row in table.rows
        if row.state == "ranked"
    }


def _score_cell(place: PageLinks, task: str, row: Row) -> TableCell:
    text = linked(place.cell(task, row.method), number(NORMALISED, row.score))
    return TableCell(text + Markup(" ") + verdict(verdict_word(row)), row.score)


def _score_column(task: str) -> Column:
    return Column(task, task, "score")


def family_page(
    summary: FamilySummary,
    budgets: Sequence[BudgetTable],
    scores: Mapping[str, FamilyScores],
    cards: Mapping[str, SubmissionCard],
    links: Links,
) -> dict[str, str]:
    """/family/<name>/index.html.

    Args:
        summary: the family's, tuned.
        budgets: the same at each position of the slider.
        scores: of each task of the family at least, in the order of the board.
        cards: of the methods, by slug, as far as there are any.
        links: of the site.
    """
    path = f"family/{summary.name}"
    rows = _Rows(links.at(path), cards)
    largest = max((table.k for table in budgets), default=0)
    tasks = {task: own for task, own in scores.items() if task in summary.tasks}
    references = [own.reference for own in tasks.values()]
    return page(
        links,
        path,
        "family.html",
        summary=summary,
        tables=[
            (table.k, recommendation.basis_text(table.k, largest), _budget_grid(table, rows))
            for table in sorted(budgets, key=lambda table: table.k)
            if table.basis != "tuned"
        ],
        largest=largest,
        answer=next((recommendation.top(t, references) for t in budgets if t.k == largest), None),
        full=_tuned_grid(summary, rows),
        matrix=_matrix(summary, tasks, rows),
        lacking=[row for row in summary.rows if row.rank is None],
        pictures=figures.of_summary(summary),
    )


class _Rows:
    """How rows of methods begin; each is written once and stands in every table of the page."""

    def __init__(self, place: PageLinks, cards: Mapping[str, SubmissionCard]) -> None:
        self.place, self._cards = place, cards
        self._heads: dict[str, Markup] = {}
        self._facets: dict[str, Mapping[str, str]] = {}

    def head(self, method: str) -> Markup:
        """The header."""
        if method not in self._heads:
            head = _METHOD.html(method_cell(self.place, method), head=True)
            self._heads[method] = Markup(head)
        return self._heads[method]

    def facets(self, method: str) -> Mapping[str, str]:
        """What it can be filtered by."""
        if method not in self._facets:
            self._facets[method] = facets(self._cards.get(method))
        return self._facets[method]


def _budget_grid(table: BudgetTable, rows: _Rows) -> Table:
    """A family at one budget."""
    groups = _new_groups(table.rows)
    lines = [
        TableRow(
            [
                rows.head(row.method),
                TableCell(rank_text(row.rank), row.rank[0]),
                TableCell(span(NORMALISED, row.score, row.interval), row.score),
            ],
            rows.facets(row.method),
            css,
        )
        for row, css in zip(table.rows, groups, strict=True)
    ]
    caption = f"{human(table.name)}, k = {table.k}"
    return Table(f"k{table.k}", caption, _STANDING, lines, by="rank")


def _new_groups(rows: Sequence[BudgetRow | SummaryRow]) -> list[str]:
    """The class of each of these ranked rows: a rule between tie groups."""
    first = [row.rank and row.rank[0] for row in rows]
    changes = zip(first[1:], first, strict=False)
    return ["", *("group" if own != before else "" for own, before in changes)][: len(rows)]


def _tuned_grid(summary: FamilySummary, rows: _Rows) -> Table | None:
    """Everything a family says of its tuned methods."""
    ranked = [row for row in summary.rows if row.rank]
    if not ranked:
        return None
    groups = _new_groups(ranked)
    lines = [
        TableRow(_tuned_cells(row, rows), rows.facets(row.method), css)
        for row, css in zip(ranked, groups, strict=True)
    ]
    n = len(summary.tasks)
    over = f"{n} task" if n == 1 else f"{n} tasks"
    caption = f"{human(summary.name)}: tuned, over {over}; mean [95 % interval]"
    csv = rows.place.data(f"families/{summary.name}.csv")
    return Table("tuned", caption, _TUNED, lines, by="rank", csv=csv)


def _tuned_cells(row: SummaryRow, rows: _Rows) -> list[TableCell | Markup]:
    tasks = row.iqm_interval_tasks
    between = NONE if tasks is None else minus(f"[{tasks.low:.3f}, {tasks.high:.3f}]")
    head: TableCell | Markup = rows.head(row.method)
    if row.preliminary:
        head = TableCell(Markup(method_cell(rows.place, row.method).content) + _PRELIMINARY)
    return [
        head,
        first_rank(row.rank),
        TableCell(span(NORMALISED, row.iqm, row.iqm_interval), row.iqm),
        TableCell(str(row.n), row.n),
        TableCell(between, tasks.low if tasks else None),
        TableCell(span(NORMALISED, row.mean, row.mean_interval), row.mean),
        TableCell(
            span(NORMALISED, row.optimality_gap, row.optimality_gap_interval), row.optimality_gap
        ),
        TableCell(number(NORMALISED, row.defaults_mean), row.defaults_mean),
        first_rank(row.rank_without_task),
        first_rank(row.rank_without_method),
    ]


def first_rank(ranks: tuple[int, int] | None) -> TableCell:
    """Ranks, sorted by the first."""
    return TableCell(rank_text(ranks), ranks[0] if ranks else None)


def _matrix(summary: FamilySummary, tasks: Mapping[str, FamilyScores], rows: _Rows) -> Table:
    """Methods by tasks."""
    columns = [_METHOD, *map(_score_column, tasks)]
    lacking = Markup(Column("", "").html(EMPTY))
    lines = [
        TableRow(
            [
                rows.head(row.method),
                *(own.cells.get(row.method, lacking) for own in tasks.values()),
            ]
        )
        for row in summary.rows
    ]
    caption = "Task by task: normalised score (0 = chance, 1 = tuned reference) and verdict"
    return Table("matrix", caption, columns, lines)
