"""The page of a family, or of all families: its ranking at every tuning budget, and by task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from assay.cards import SubmissionCard
from markupsafe import Markup

from assay_leaderboard.format import NORMALISED, OTHER_DRAWS, budget_text
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
from assay_leaderboard.site.html.text import NONE, minus, number, span, verdict, verdict_word
from assay_leaderboard.site.pages import figures, recommendation
from assay_leaderboard.site.pages.cells import EMPTY, facets, linked, method_cell, rank_cell
from assay_leaderboard.site.pages.notices import notices

_METHOD = Column("method", "Method", text=True)
_STANDING = (
    _METHOD,
    Column("rank", "Rank", "interval", low=True),
    Column("score", "Score", "0 chance, 1 anchor; higher is better"),
    Column("tasks", "Tasks", "ranked on"),
)
_N = Column("n", "n", "repetitions")
_OTHERS = Column("others", "Other tasks", "interval for tasks of this kind")
_MEAN = Column("mean", "Mean", "of the normalised scores")
_DEFAULTS = Column("defaults", "Defaults", "score without tuning")


def family_page(
    summary: FamilySummary,
    budgets: Sequence[BudgetTable],
    tasks: Sequence[TaskTable],
    cards: Mapping[str, SubmissionCard],
    site: SiteMap,
) -> dict[str, str]:
    """/family/<name>/index.html.

    Args:
        summary: the family's, at the full budget.
        budgets: the same at each tuning budget.
        tasks: at least those of the family, in the order of the board.
        cards: of the methods, by slug; a local method has none.
        site: which pages there are.
    """
    path = f"family/{summary.name}"
    links = site.at(path)
    largest = max((table.k for table in budgets), default=0)
    scored = [table for table in tasks if table.task in summary.tasks]
    references = [table.reference for table in scored]
    rankings = [
        recommendation.Ranking(
            k=table.k,
            name=recommendation.budget_name(table.k),
            answer=recommendation.of_table(table, references),
            table=_full_table(summary, table.k, cards, links)
            if table.k == largest
            else _budget_table(table, len(summary.tasks), cards, links),
        )
        for table in sorted(budgets, key=lambda table: -table.k)
    ]
    if not rankings and any(row.score is not None for row in summary.rows):  # paper: no ranks
        made = _full_table(summary, 1, cards, links)
        rankings = [recommendation.Ranking(1, recommendation.budget_name(1), None, made)]
    return page(
        site,
        path,
        "family.html",
        summary=summary,
        rankings=rankings,
        largest=largest,
        unranked=_unranked(summary),
        matrix=_matrix(summary, scored, links),
        notices=notices(
            table for table in tasks if table.task in (*summary.tasks, *summary.unanchored)
        ),
        other_draws=OTHER_DRAWS,
        pictures=figures.of_summary(summary),
    )


def _budget_table(
    table: BudgetTable, of_tasks: int, cards: Mapping[str, SubmissionCard], links: PageLinks
) -> Table:
    """The ranking of a family at a smaller budget."""
    ranked = sorted(table.rows, key=lambda row: row.rank)
    rows = [
        TableRow(
            [
                method_cell(links, row.method),
                rank_cell(row.rank),
                TableCell(span(NORMALISED, row.score, row.interval), row.score),
                _tasks_cell(row.n_tasks, of_tasks),
            ],
            facets(cards.get(row.method)),
            css,
        )
        for row, css in zip(ranked, _tie_groups(ranked), strict=True)
    ]
    caption = f"{human(table.name)}, {budget_text(table.k)}: normalised test score [95 % interval]"
    return Table(f"k{table.k}", caption, _STANDING, rows, sorted_by="rank")


def _tasks_cell(n: int, of_tasks: int) -> TableCell:
    """On how many of the tasks a method is ranked; tagged where it lacks some."""
    text = f"{n} of {of_tasks}"
    if n < of_tasks:
        return TableCell(Markup('<span class="tag partial">{}</span>').format(text), n)
    return TableCell(text, n)


def _tie_groups(rows: Sequence[BudgetRow | SummaryRow]) -> list[str]:
    """A class for each ranked row: "group" draws a rule above the first row of a tie group."""
    first = [row.rank and row.rank[0] for row in rows]
    changes = zip(first[1:], first, strict=False)
    return ["", *("group" if own != before else "" for own, before in changes)][: len(rows)]


def _full_table(
    summary: FamilySummary, k: int, cards: Mapping[str, SubmissionCard], links: PageLinks
) -> Table:
    """The ranking at the full budget, with all its columns."""
    ranked = [row for row in summary.rows if row.score is not None]
    ranked.sort(key=lambda row: row.rank or (0, 0))  # the paper tier has no ranks
    over_others = any(row.interval_tasks for row in ranked)
    parts = "families" if len(summary.families) > 1 else "tasks"
    spread = Column("range", "Range", f"over its {parts}")
    columns = [*_STANDING, _N, *([_OTHERS] if over_others else []), spread, _MEAN, _DEFAULTS]
    rows = [
        TableRow(_full_cells(row, links, over_others), facets(cards.get(row.method)), css)
        for row, css in zip(ranked, _tie_groups(ranked), strict=True)
    ]
    n = len(summary.tasks)
    over = f"{n} task" if n == 1 else f"{n} tasks"
    caption = (
        f"{human(summary.name)}, {budget_text(k)}, over {over}: normalised test score "
        "[95 % interval]"
    )
    csv = links.data(f"families/{summary.name}.csv")
    return Table("tuned", caption, columns, rows, sorted_by="rank", csv=csv)


def _full_cells(row: SummaryRow, links: PageLinks, over_others: bool) -> list[TableCell]:
    others, spread = row.interval_tasks, row.range_tasks
    ends = (others.low, others.high) if others else None
    return [
        method_cell(links, row.method),
        rank_cell(row.rank),
        TableCell(span(NORMALISED, row.score, row.interval), row.score),
        _tasks_cell(row.n_tasks, row.of_tasks),
        TableCell(str(row.n), row.n),
        *([TableCell(_ends(ends), ends and ends[0])] if over_others else []),
        TableCell(_ends(spread), spread[0] if spread else None),
        TableCell(number(NORMALISED, row.mean), row.mean),
        TableCell(number(NORMALISED, row.defaults), row.defaults),
    ]


def _ends(pair: tuple[float, float] | None) -> str:
    """Two normalised scores in brackets."""
    return NONE if pair is None else minus(f"[{pair[0]:.3f}, {pair[1]:.3f}]")


def _unranked(summary: FamilySummary) -> dict[str, list[SummaryRow]]:
    """The methods that are not ranked, by the reason."""
    rows = [row for row in summary.rows if row.score is None]
    found = {
        "Not ranked before there is a result on every task that they may enter": [
            row for row in rows if row.lacks
        ],
        "Not ranked, as they may not enter every family": [row for row in rows if not row.lacks],
    }
    return {title: members for title, members in found.items() if members}


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
    caption = (
        "Task by task, at the full tuning budget: normalised test score (0 = chance, 1 = anchor) "
        "and the verdict against the task's reference"
    )
    return Table("matrix", caption, columns, rows)


def _score_cell(links: PageLinks, task: str, row: Row | None) -> TableCell:
    """The normalised score, linked to its runs, and the verdict."""
    if row is None:
        return EMPTY
    text = linked(links.runs(task, row.method), number(NORMALISED, row.score))
    return TableCell(text + Markup(" ") + verdict(verdict_word(row)), row.score)
