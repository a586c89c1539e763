"""The first page, and the indexes of tasks and methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from assay.cards import FAMILIES, TaskCard
from markupsafe import Markup

from assay_leaderboard.site.html.links import Links, PageLinks
from assay_leaderboard.site.html.table import Column, Table, TableCell, TableRow
from assay_leaderboard.site.html.templates import human, page
from assay_leaderboard.site.html.text import NONE, link, said, verdict_word
from assay_leaderboard.site.pages import recommendation
from assay_leaderboard.site.pages.family import first_rank
from assay_leaderboard.site.pages.task import EMPTY, facets, method_cell
from assay_leaderboard.site.views import MethodView, SiteView


def home(view: SiteView, links: Links) -> dict[str, str]:
    """What should I use?"""
    found = recommendation.by_budget(view)
    largest = max(found, default=0)
    rows = [row for table in view.board.tasks for row in table.rows]
    return page(
        links,
        "",
        "home.html",
        answers=found,
        largest=largest,
        basis=recommendation.basis_text,
        families=[summary.name for summary in view.board.families],
        n_methods=len({row.method for row in rows}),
        n_tasks=len(view.board.tasks),
        n_runs=view.n_runs,
        counts=view.ledger.counts,
        overall=view.board.overall is not None,
        ruleset=view.ruleset,
    )


def indexes(view: SiteView, links: Links) -> dict[str, str]:
    """/task/ and /method/."""
    tasks, methods = links.at("task"), links.at("method")
    return {
        **page(links, "task", "tasks.html", grid=_task_index(view, tasks)),
        **page(links, "method", "methods.html", grid=_method_index(view, methods)),
    }


def _task_index(view: SiteView, place: PageLinks) -> Table:
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
            TableCell(human(card.family)),
            TableCell(card.tier),
            TableCell(f"{human(card.metric.name)}, {card.metric.direction}"),
            TableCell(card.reference),
            TableCell(str(len(ranked)) if ranked else NONE, len(ranked) or None),
            TableCell(_some(top)),
            TableCell(str(better) if ranked else NONE, better if ranked else None),
        ]
        lines.append(TableRow(cells, {"family": card.family, "tier": card.tier}))
    return Table("tasks", "All tasks", columns, lines)


def _task_head(place: PageLinks, card: TaskCard) -> TableCell:
    name = link(place.task(card.slug), card.slug)
    return TableCell(Markup(f"{name} <small>{said(card.title)}</small>"))


def _some(names: Sequence[str]) -> str:
    if not names:
        return NONE
    more = len(names) - recommendation.SHOWN
    return ", ".join(names[: recommendation.SHOWN]) + (f" and {more} more" if more > 0 else "")


def _method_index(view: SiteView, place: PageLinks) -> Table:
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
        cells = [head, *(first_rank(ranks[s.name].get(slug)) for s in view.board.families)]
        cells += [TableCell(str(len(method.lines)), len(method.lines)), *about]
        families = " ".join(method.card.families) if method.card else "unknown"
        lines.append(TableRow(cells, {**facets(method.card), "family": families}))
    return Table("methods", "All methods", columns, lines)


def _about(place: PageLinks, slug: str, method: MethodView) -> list[TableCell]:
    card = method.card
    head = method_cell(place, slug)
    if card is None:
        tag = Markup(' <span class="tag local">local</span>')
        return [TableCell(Markup(head.content) + tag), *[EMPTY] * 4]
    year = card.paper.year if card.paper else None
    every = len(card.families) == len(FAMILIES)
    return [
        TableCell(Markup("{} <small>{}</small>").format(head.content, said(card.title))),
        TableCell(human(card.track)),
        TableCell(NONE if year is None else str(year), year),
        TableCell(", ".join(human(name) for name in card.access) or "none"),
        TableCell(
            "every family" if every else ", ".join(human(family) for family in card.families)
        ),
    ]
