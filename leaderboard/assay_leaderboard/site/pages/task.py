"""The page of a task: its ranking at every tuning budget, pictures, and what stands behind them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from assay.cards import SubmissionCard

from assay_leaderboard.format import (
    COARSE,
    NORMALISED,
    OTHER_DRAWS,
    Format,
    budget_text,
    family_text,
    split_words,
)
from assay_leaderboard.schema.board import Row, TaskTable, not_ranking
from assay_leaderboard.schema.task_details import BudgetPoint, Detail
from assay_leaderboard.schema.values import Comparison, PairFamily
from assay_leaderboard.site.html.links import PageLinks, SiteMap
from assay_leaderboard.site.html.table import Column, Table, TableCell, TableRow
from assay_leaderboard.site.html.templates import page
from assay_leaderboard.site.html.text import (
    NONE,
    needed,
    number,
    runs_text,
    verdict_word,
)
from assay_leaderboard.site.pages import figures, recommendation, task_tables
from assay_leaderboard.site.pages.cells import (
    EMPTY,
    command_cell,
    direction,
    facets,
    gain_cells,
    margin_text,
    mean_cell,
    method_cell,
    rank_cell,
    sample_cell,
)
from assay_leaderboard.site.pages.notices import notices
from assay_leaderboard.site.pictures import Estimate
from assay_leaderboard.site.views import TaskView
from assay_leaderboard.statistics.verdicts import MOST_REPETITIONS


def task_page(view: TaskView, site: SiteMap) -> dict[str, str]:
    """/task/<slug>/index.html."""
    path = f"task/{view.card.slug}"
    links, form = site.at(path), Format(view.card.metric.unit, view.card.metric.margin)
    words = split_words(view.card.family)
    rankings = _rankings(view, links)
    return page(
        site,
        path,
        "task.html",
        card=view.card,
        form=form,
        direction=direction(view.table),
        table=view.table,
        words=words,
        notes=_notes(view.table),
        notices=notices([view.table]),
        audit=view.audit,
        rankings=rankings,
        waiting=any(not_ranking(row.state) for row in view.table.rows),
        mark=figures.UNRANKED,
        largest=rankings[0].k,
        budget=budget_text(rankings[0].k),
        other_draws=OTHER_DRAWS,
        targets=task_tables.targets(view, form, links),
        costs=task_tables.costs(view, links),
        sensitivity=task_tables.sensitivity(view, form, links),
        selection=task_tables.selection(view, form, links),
        solutions=task_tables.solutions(view, links),
        coarse=COARSE,
        pictures=figures.of_task(view),
        evaluations=view.card.evaluation.batches(view.card.budget.batches),
    )


def _rankings(view: TaskView, links: PageLinks) -> list[recommendation.Ranking]:
    """The ranking at each budget, the full one first."""
    details = {detail.method: detail for detail in view.detail.details}
    points = {method: detail.budget for method, detail in details.items()}
    largest = max((row.k for row in view.table.rows), default=1)
    largest = max([largest, *(p.k for own in points.values() for p in own)])
    references = [view.table.reference]
    ranks = {row.method: row.rank for row in view.table.rows if row.rank}
    full = recommendation.Ranking(
        k=largest,
        name=recommendation.budget_name(largest),
        answer=recommendation.top(ranks, references),
        table=_results(view.table, view.methods, details, largest, links),
        picture=figures.forest(
            "picture-intervals", view.table, figures.of_rows(by_rank(view.table.rows))
        ),
    )
    return [full, *(_at_budget(view, points, k, links) for k in range(largest - 1, 0, -1))]


def _at_budget(
    view: TaskView, budgets: Mapping[str, Sequence[BudgetPoint]], k: int, links: PageLinks
) -> recommendation.Ranking:
    """The ranking at a smaller budget."""
    sign = -1 if view.table.direction == "maximize" else 1
    found = [(m, point) for m, own in budgets.items() for point in own if point.k == k]
    rows = {row.method: row for row in view.table.rows}
    found = [(m, point) for m, point in found if point.rank or not_ranking(rows[m].state)]
    found.sort(
        key=lambda item: (
            item[1].rank is None, item[1].rank or (0, 0), sign * item[1].expected, item[0]
        )
    )  # fmt: skip
    ranks = {method: point.rank for method, point in found if point.rank}
    families = view.detail.families
    estimates = [
        Estimate(
            figures.name(rows[method]),
            point.expected,
            point.interval,
            rows[method].tuned.n,
            point.rank,
        )
        for method, point in found
    ]
    return recommendation.Ranking(
        k=k,
        name=recommendation.budget_name(k),
        answer=recommendation.top(ranks, [view.table.reference]),
        table=_budget_table(view, found, k, families[k - 1] if families else None, links),
        picture=figures.forest(f"picture-intervals-{k}", view.table, estimates, k),
    )


def _results(
    table: TaskTable,
    cards: Mapping[str, SubmissionCard],
    details: Mapping[str, Detail],
    k: int,
    links: PageLinks,
) -> Table:
    """The ranking at the full budget, with all its columns."""
    form, words = Format(table.unit, table.margin), split_words(table.family)
    score = words.scored(table.metric).capitalize()
    unit = f"{form.unit}, {direction(table)}".removeprefix(", ")
    columns = [
        Column("method", "Method", text=True),
        Column("rank", "Rank", "interval", low=True),
        Column("tuned", score, unit),
        *_gain_columns(table, form),
        Column("superiority", "Win count", "share of paired repetitions won"),
        Column("detectable", "Could show", "half the gain's interval", low=True),
        Column("needed", "Would decide", "repetitions, if undecided", text=True),
        Column("defaults", f"{score}, defaults", unit),
        Column("score", "Normalised", "0 chance, 1 anchor"),
        Column("time", "CPU time", "times the reference's", low=True),
        Column("runs", "Runs completed", "all repetitions and points", text=True),
        Column("trust", "Trust", "and isolation", text=True),
        Column("command", "Command", text=True),
    ]
    rows: list[TableRow] = []
    last = 0
    for row in by_rank(table.rows):
        first = row.rank[0] if row.rank else 0
        css = "" if row.state == "ranked" else "dim"
        css += " group" if rows and first != last else ""
        last = first
        values = {**facets(cards.get(row.method)), "trust": row.trust}
        cells = _result(table, row, details.get(row.method), form, links)
        rows.append(TableRow(cells, values, css.strip()))
    caption = f"{score}, {budget_text(k)}: mean [95 % interval] and n repetitions. "
    csv = links.data(f"tasks/{table.task}.csv")
    family = _gain_caption(table.pairs)
    return Table("tuned", caption + family, columns, rows, sorted_by="rank", csv=csv)


def by_rank(rows: Sequence[Row]) -> list[Row]:
    """Rows by their rank, equal ones from best to worst mean; those without a rank last."""
    return sorted(rows, key=lambda row: (row.rank is None, row.rank or (0, 0)))


def _gain_columns(table: TaskTable, form: Format) -> list[Column]:
    unit = f"{form.unit}, positive is better".removeprefix(", ")
    return [
        Column("gain", f"Gain on {table.reference}", unit),
        Column("verdict", "Verdict", f"against {table.reference}", text=True),
        Column("p", "p", "exact sign flips", low=True),
    ]


def _gain_caption(family: PairFamily | None) -> str:
    """What the intervals of the gains are."""
    return f"Gains: {family_text(family)}." if family else "No pair of methods is ranked yet."


def _result(
    table: TaskTable, row: Row, detail: Detail | None, form: Format, links: PageLinks
) -> list[TableCell]:
    versus = row.versus_reference
    ratio = detail.cost.ratio if detail and detail.cost else None
    return [
        method_cell(links, row.method, row),
        rank_cell(row.rank),
        sample_cell(links, table.task, row.method, row.tuned, form),
        *gain_cells(versus, verdict_word(row), form),
        TableCell(f"{versus.superiority:.2f}", versus.superiority) if versus else EMPTY,
        TableCell(margin_text(form, versus.detectable), versus.detectable) if versus else EMPTY,
        _needed_cell(versus, table.pairs),
        sample_cell(links, table.task, row.method, row.defaults, form),
        TableCell(number(NORMALISED, row.score), row.score),
        TableCell(NONE if ratio is None else f"{ratio:.2f}", ratio),
        TableCell(runs_text(row.runs), row.runs.completed),
        TableCell(f"{row.trust} {row.isolation or ''}".strip()),
        command_cell(row.method, table.task),
    ]


def _needed_cell(versus: Comparison | None, family: PairFamily | None) -> TableCell:
    """About how many repetitions would decide; "over 1,000" sorts beyond all numbers."""
    text = needed(versus, family)
    if versus is None or text == NONE:
        return EMPTY
    n = versus.repetitions_needed
    return TableCell(text, MOST_REPETITIONS + 1 if n is None else n)


def _budget_table(
    view: TaskView,
    found: Sequence[tuple[str, BudgetPoint]],
    k: int,
    family: PairFamily | None,
    links: PageLinks,
) -> Table:
    """The ranking at a smaller budget."""
    table = view.table
    form, words = Format(table.unit, table.margin), split_words(table.family)
    score = words.scored(table.metric).capitalize()
    columns = [
        Column("method", "Method", text=True),
        Column("rank", "Rank", "interval", low=True),
        Column("score", score, f"{form.unit}, {direction(table)}".removeprefix(", ")),
        *_gain_columns(table, form),
    ]
    rows = {row.method: row for row in table.rows}
    lines = []
    for method, point in found:
        row, versus = rows[method], point.versus_reference
        word = "reference" if row.is_reference else (versus and versus.verdict) or NONE
        word = row.state if not_ranking(row.state) else word
        cells = [
            method_cell(links, method, row),
            rank_cell(point.rank),
            mean_cell(links, (table.task, method), point.expected, point.interval, form),
            *gain_cells(versus, word, form),
        ]
        css = "" if row.state == "ranked" else "dim"
        lines.append(TableRow(cells, {**facets(view.methods.get(method)), "trust": row.trust}, css))
    caption = f"{score}, {budget_text(k)}: expected mean [95 % interval]. {_gain_caption(family)}"
    return Table(f"k{k}", caption, columns, lines, sorted_by="rank")


def _notes(table: TaskTable) -> list[tuple[str, list[str]]]:
    """What is to be said of rows: each note once, with the methods that it is about."""
    methods: dict[str, list[str]] = {}
    for row in table.rows:
        if row.note:
            spoken = row.state == "ranked" or not_ranking(row.state)
            note = row.note if spoken else f"{row.state}, {row.note}"
            methods.setdefault(note, []).append(row.method)
    return [*methods.items()]
