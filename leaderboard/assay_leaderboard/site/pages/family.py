"""The page of a family, or of all tasks: its ranking at every tuning budget, and task by task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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
from assay_leaderboard.site.html.links import PageLinks, SiteMap
from assay_leaderboard.site.html.table import Column, Table, TableCell, TableRow
from assay_leaderboard.site.html.templates import human, page
from assay_leaderboard.site.html.text import (
    NONE,
    minus,
    number,
    span,
    verdict,
    verdict_word,
)
from assay_leaderboard.site.pages import figures, recommendation
from assay_leaderboard.site.pages.task import EMPTY, facets, linked, method_cell, rank_cell

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


def family_page(
    summary: FamilySummary,
    budgets: Sequence[BudgetTable],
    tasks: Sequence[TaskTable],
    cards: Mapping[str, SubmissionCard],
    site: SiteMap,
) -> dict[str, str]:
    """/family/<name>/index.html.

    Args:
        summary: the family's, tuned.
        budgets: the same at each position of the slider.
        tasks: at least those of the family, in the order of the board.
        cards: of the methods, by slug; a local method has none.
        site: which pages there are.
    """
    path = f"family/{summary.name}"
    links = site.at(path)
    largest = max((table.k for table in budgets), default=0)
    scored = [table for table in tasks if table.task in summary.tasks]
    references = [table.reference for table in scored]
    return page(
        site,
        path,
        "family.html",
        summary=summary,
        tables=[
            (
                table.k,
                recommendation.basis_text(table.k, largest),
                _budget_table(table, cards, links),
            )
            for table in sorted(budgets, key=lambda table: table.k)
            if table.basis != "tuned"
        ],
        largest=largest,
        answer=next((recommendation.top(t, references) for t in budgets if t.k == largest), None),
        full=_tuned_table(summary, cards, links),
        matrix=_matrix(summary, scored, links),
        stale=recommendation.stale_note(
            table for table in tasks if table.task in (*summary.tasks, *summary.unanchored)
        ),
        lacking=[row for row in summary.rows if row.rank is None],
        pictures=figures.of_summary(summary),
    )


def _budget_table(
    table: BudgetTable, cards: Mapping[str, SubmissionCard], links: PageLinks
) -> Table:
    """The ranking of a family at one budget."""
    rows = [
        TableRow(
            [
                method_cell(links, row.method),
                rank_cell(row.rank),
                TableCell(span(NORMALISED, row.score, row.interval), row.score),
            ],
            facets(cards.get(row.method)),
            css,
        )
        for row, css in zip(table.rows, _tie_groups(table.rows), strict=True)
    ]
    caption = f"{human(table.name)}, k = {table.k}"
    return Table(f"k{table.k}", caption, _STANDING, rows, sorted_by="rank")


def _tie_groups(rows: Sequence[BudgetRow | SummaryRow]) -> list[str]:
    """A class for each ranked row: "group" draws a rule above the first row of a tie group."""
    first = [row.rank and row.rank[0] for row in rows]
    changes = zip(first[1:], first, strict=False)
    return ["", *("group" if own != before else "" for own, before in changes)][: len(rows)]


def _tuned_table(
    summary: FamilySummary, cards: Mapping[str, SubmissionCard], links: PageLinks
) -> Table | None:
    """The ranking of the tuned methods with all its columns."""
    ranked = [row for row in summary.rows if row.rank]
    if not ranked:
        return None
    rows = [
        TableRow(_tuned_cells(row, links), facets(cards.get(row.method)), css)
        for row, css in zip(ranked, _tie_groups(ranked), strict=True)
    ]
    n = len(summary.tasks)
    over = f"{n} task" if n == 1 else f"{n} tasks"
    caption = f"{human(summary.name)}: tuned, over {over}; mean [95 % interval]"
    csv = links.data(f"families/{summary.name}.csv")
    return Table("tuned", caption, _TUNED, rows, sorted_by="rank", csv=csv)


def _tuned_cells(row: SummaryRow, links: PageLinks) -> list[TableCell]:
    tasks = row.iqm_interval_tasks
    between = NONE if tasks is None else minus(f"[{tasks.low:.3f}, {tasks.high:.3f}]")
    head = method_cell(links, row.method)
    if row.preliminary:
        head = TableCell(head.content + _PRELIMINARY)
    return [
        head,
        rank_cell(row.rank),
        TableCell(span(NORMALISED, row.iqm, row.iqm_interval), row.iqm),
        TableCell(str(row.n), row.n),
        TableCell(between, tasks.low if tasks else None),
        TableCell(span(NORMALISED, row.mean, row.mean_interval), row.mean),
        TableCell(
            span(NORMALISED, row.optimality_gap, row.optimality_gap_interval), row.optimality_gap
        ),
        TableCell(number(NORMALISED, row.defaults_mean), row.defaults_mean),
        rank_cell(row.rank_without_task),
        rank_cell(row.rank_without_method),
    ]


def _matrix(summary: FamilySummary, tasks: Sequence[TaskTable], links: PageLinks) -> Table:
    """Methods by tasks."""
    columns = [_METHOD, *(Column(table.task, table.task, "score") for table in tasks)]
    found = [{row.method: row for row in table.rows if row.state == "ranked"} for table in tasks]
    rows = [
        TableRow(
            [
                method_cell(links, row.method),
                *(
                    _score_cell(links, table.task, own.get(row.method))
                    for table, own in zip(tasks, found, strict=True)
                ),
            ]
        )
        for row in summary.rows
    ]
    caption = "Task by task: normalised score (0 = chance, 1 = tuned reference) and verdict"
    return Table("matrix", caption, columns, rows)


def _score_cell(links: PageLinks, task: str, row: Row | None) -> TableCell:
    """The normalised score, linked to its runs, and the verdict."""
    if row is None:
        return EMPTY
    text = linked(links.runs(task, row.method), number(NORMALISED, row.score))
    return TableCell(text + Markup(" ") + verdict(verdict_word(row)), row.score)
