"""The first page, the rankings of families, and the indexes of tasks and methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from leaderboard.format import NORMALISED
from leaderboard.site import answers, figures
from leaderboard.site.grids import Cell, Column, Grid, Line
from leaderboard.site.links import Links, Place
from leaderboard.site.pages.task import EMPTY, facets, linked, method_cell
from leaderboard.site.rendering import human, page
from leaderboard.site.views import Method, SiteView
from leaderboard.site.words import NONE, minus, number, rank_text, said, span, verdict, verdict_word
from leaderboard.tables import Board, BudgetTable, Row, Summary, SummaryRow
from suite.cards import FAMILIES, SubmissionCard, TaskCard


def home(view: SiteView, links: Links) -> dict[str, str]:
    """What should I use?"""
    found = answers.by_budget(view)
    largest = max(found, default=0)
    rows = [row for table in view.board.tasks for row in table.rows]
    return page(
        links,
        "",
        "home.html",
        answers=found,
        largest=largest,
        basis=answers.basis_text,
        families=[summary.name for summary in view.board.families],
        n_methods=len({row.method for row in rows}),
        n_tasks=len(view.board.tasks),
        n_runs=view.n_runs,
        counts=view.ledger.counts,
        overall=view.board.overall is not None,
        ruleset=view.ruleset,
    )


def families(view: SiteView, links: Links) -> dict[str, str]:
    """/family/<name>/ for each, and for "overall"."""
    found: dict[str, str] = {}
    overall = [view.board.overall] if view.board.overall else []
    scores = _scores(view.board, links.at("family/overall"))  # all these pages lie as deep
    for summary in [*view.board.families, *overall]:
        path = f"family/{summary.name}"
        place = links.at(path)
        tables = [table for table in view.budgets if table.name == summary.name]
        largest = max((table.k for table in tables), default=0)
        found |= page(
            links,
            path,
            "family.html",
            summary=summary,
            tables=[
                (table.k, answers.basis_text(table.k, largest), _budget_grid(view, table, place))
                for table in sorted(tables, key=lambda table: table.k)
                if table.basis != "tuned"
            ],
            largest=largest,
            answer=next((answers.answer(view, t) for t in tables if t.k == largest), None),
            full=_summary_grid(view, summary, place),
            matrix=_matrix(summary, scores, place),
            lacking=[row for row in summary.rows if row.rank is None],
            pictures=figures.of_summary(summary),
        )
    return found


def _card(view: SiteView, slug: str) -> SubmissionCard | None:
    method = view.methods.get(slug)
    return method.card if method else None


def _budget_grid(view: SiteView, table: BudgetTable, place: Place) -> Grid:
    """A family at one budget."""
    columns = [
        Column("method", "Method", text=True),
        Column("rank", "Rank", "interval", low=True),
        Column("iqm", "Score", "interquartile mean, higher is better"),
    ]
    lines = [
        Line(
            [
                method_cell(place, row.method),
                Cell(rank_text(row.rank), row.rank[0]),
                Cell(span(NORMALISED, row.score, row.interval), row.score),
            ],
            facets(_card(view, row.method)),
        )
        for row in table.rows
    ]
    caption = f"{human(table.name)}, k = {table.k}"
    return Grid(f"k{table.k}", caption, columns, _grouped(lines, table), by="rank")


def _grouped(lines: Sequence[Line], table: BudgetTable) -> list[Line]:
    """A rule between tie groups."""
    found = []
    for number_, (line, row) in enumerate(zip(lines, table.rows, strict=True)):
        new = number_ and row.rank[0] != table.rows[number_ - 1].rank[0]
        found.append(Line(line.cells, line.facets, "group") if new else line)
    return found


def _summary_grid(view: SiteView, summary: Summary, place: Place) -> Grid | None:
    """Everything a family says of its tuned methods."""
    ranked = [row for row in summary.rows if row.rank]
    if not ranked:
        return None
    columns = [
        Column("method", "Method", text=True),
        Column("rank", "Rank", "interval", low=True),
        Column("iqm", "Score", "interquartile mean, higher is better"),
        Column("n", "n", "runs"),
        Column("tasks", "Other tasks", "interval with tasks resampled"),
        Column("mean", "Mean", "higher is better"),
        Column("gap", "Optimality gap", "lower is better", low=True),
        Column("defaults", "Defaults", "mean, no tuning"),
        Column("notask", "Without a task", "first rank, leave one out"),
        Column("nomethod", "Without a method", "first rank, leave one out"),
    ]
    lines: list[Line] = []
    last = 0
    for row in ranked:
        first = row.rank[0] if row.rank else 0
        css = "group" if lines and first != last else ""
        last = first
        lines.append(Line(_summary_cells(row, place), facets(_card(view, row.method)), css))
    n = len(summary.tasks)
    over = f"{n} task" if n == 1 else f"{n} tasks"
    caption = f"{human(summary.name)}: tuned, over {over}; mean [95 % interval]"
    csv = place.data(f"families/{summary.name}.csv")
    return Grid("tuned", caption, columns, lines, by="rank", csv=csv)


def _summary_cells(row: SummaryRow, place: Place) -> list[Cell]:
    tasks = row.iqm_interval_tasks
    between = NONE if tasks is None else minus(f"[{tasks.low:.3f}, {tasks.high:.3f}]")
    head = method_cell(place, row.method)
    if row.preliminary:
        tag = Markup(' <span class="tag preliminary">preliminary</span>')
        head = Cell(Markup(head.content) + tag)
    return [
        head,
        Cell(rank_text(row.rank), row.rank[0] if row.rank else None),
        Cell(span(NORMALISED, row.iqm, row.iqm_interval), row.iqm),
        Cell(str(row.n), row.n),
        Cell(between, tasks.low if tasks else None),
        Cell(span(NORMALISED, row.mean, row.mean_interval), row.mean),
        Cell(span(NORMALISED, row.optimality_gap, row.optimality_gap_interval), row.optimality_gap),
        Cell(number(NORMALISED, row.defaults_mean), row.defaults_mean),
        _stable(row.rank_without_task),
        _stable(row.rank_without_method),
    ]


def _stable(ranks: tuple[int, int] | None) -> Cell:
    return Cell(rank_text(ranks), ranks[0] if ranks else None)


def _scores(board: Board, place: Place) -> Mapping[str, Mapping[str, Cell]]:
    """By task and method: the normalised score, which leads to its runs."""
    return {
        table.task: {
            row.method: _score_cell(place, table.task, row)
            for row in table.rows
            if row.state == "ranked"
        }
        for table in board.tasks
    }


def _matrix(summary: Summary, scores: Mapping[str, Mapping[str, Cell]], place: Place) -> Grid:
    """Methods by tasks."""
    tasks = [task for task in scores if task in summary.tasks]
    columns = [Column("method", "Method", text=True)]
    columns += [Column(task, task, "score") for task in tasks]
    lines = [
        Line(
            [
                method_cell(place, row.method),
                *(scores[task].get(row.method, EMPTY) for task in tasks),
            ]
        )
        for row in summary.rows
    ]
    caption = "Task by task: normalised score (0 = chance, 1 = tuned reference) and verdict"
    return Grid("matrix", caption, columns, lines)


def _score_cell(place: Place, task: str, row: Row) -> Cell:
    text = linked(place.cell(task, row.method), number(NORMALISED, row.score))
    return Cell(text + Markup(" ") + verdict(verdict_word(row)), row.score)


def indexes(view: SiteView, links: Links) -> dict[str, str]:
    """/task/ and /method/."""
    tasks, methods = links.at("task"), links.at("method")
    return {
        **page(links, "task", "tasks.html", grid=_task_index(view, tasks)),
        **page(links, "method", "methods.html", grid=_method_index(view, methods)),
    }


def _task_index(view: SiteView, place: Place) -> Grid:
    columns = [
        Column("task", "Task", text=True),
        Column("family", "Family", text=True),
        Column("tier", "Tier", text=True),
        Column("metric", "Metric", "and direction", text=True),
        Column("reference", "Reference", text=True),
        Column("methods", "Methods", "ranked"),
        Column("top", "Top tie group", "methods not shown to be worse", text=True),
        Column("separated", "Better than the reference", "methods"),
    ]
    tables = {table.task: table for table in view.board.tasks}
    lines = []
    for slug, card in sorted(view.tasks.items(), key=lambda item: (item[1].family, item[0])):
        table = tables.get(slug)
        ranked = [row for row in table.rows if row.rank] if table else []
        top = [row.method for row in ranked if row.rank and row.rank[0] == 1]
        better = sum(verdict_word(row) == "better" for row in ranked)
        cells = [
            _task_head(place, card),
            Cell(human(card.family)),
            Cell(card.tier),
            Cell(f"{human(card.metric.name)}, {card.metric.direction}"),
            Cell(card.reference),
            Cell(str(len(ranked)) if ranked else NONE, len(ranked) or None),
            Cell(_some(top)),
            Cell(str(better) if ranked else NONE, better if ranked else None),
        ]
        lines.append(Line(cells, {"family": card.family, "tier": card.tier}))
    return Grid("tasks", "All tasks", columns, lines)


def _task_head(place: Place, card: TaskCard) -> Cell:
    address = place.task(card.slug)
    name = Markup('<a href="{}">{}</a>').format(address, card.slug) if address else card.slug
    return Cell(Markup("{} <small>{}</small>").format(name, said(card.title)))


def _some(names: Sequence[str]) -> str:
    if not names:
        return NONE
    more = len(names) - answers.SHOWN
    return ", ".join(names[: answers.SHOWN]) + (f" and {more} more" if more > 0 else "")


def _method_index(view: SiteView, place: Place) -> Grid:
    columns = [
        Column("method", "Method", text=True),
        *(Column(s.name, human(s.name), "rank, tuned", low=True) for s in view.board.families),
        Column("tasks", "Tasks", "with results"),
        Column("track", "Track", text=True),
        Column("year", "Year"),
        Column("access", "Access", "beyond inputs and labels", text=True),
        Column("families", "Enters", text=True),
    ]
    ranks: Mapping[str, Mapping[str, tuple[int, int] | None]] = {
        summary.name: {row.method: row.rank for row in summary.rows}
        for summary in view.board.families
    }
    lines = []
    for slug, method in sorted(view.methods.items()):
        head, *about = _about(place, slug, method)
        cells = [head, *(_stable(ranks[s.name].get(slug)) for s in view.board.families)]
        cells += [Cell(str(len(method.lines)), len(method.lines)), *about]
        families = " ".join(method.card.families) if method.card else "unknown"
        lines.append(Line(cells, {**facets(method.card), "family": families}))
    return Grid("methods", "All methods", columns, lines)


def _about(place: Place, slug: str, method: Method) -> list[Cell]:
    card = method.card
    head = method_cell(place, slug)
    if card is None:
        tag = Markup(' <span class="tag local">local</span>')
        return [Cell(Markup(head.content) + tag), *[EMPTY] * 4]
    year = card.paper.year if card.paper else None
    every = len(card.families) == len(FAMILIES)
    return [
        Cell(Markup("{} <small>{}</small>").format(head.content, said(card.title))),
        Cell(human(card.track)),
        Cell(NONE if year is None else str(year), year),
        Cell(", ".join(human(name) for name in card.access) or "none"),
        Cell("every family" if every else ", ".join(human(family) for family in card.families)),
    ]
