"""The index of all tasks."""

from __future__ import annotations

from assay.cards import TaskCard
from markupsafe import Markup

from assay_leaderboard.audit.tasks import TaskAudit
from assay_leaderboard.site.html.links import PageLinks, SiteMap
from assay_leaderboard.site.html.table import Column, Table, TableCell, TableRow
from assay_leaderboard.site.html.templates import human, page
from assay_leaderboard.site.html.text import NONE, link, said, verdict_word
from assay_leaderboard.site.pages.cells import first_names
from assay_leaderboard.site.pages.notices import notices
from assay_leaderboard.site.views import SiteView


def task_index_page(view: SiteView, site: SiteMap) -> dict[str, str]:
    """/task/index.html."""
    table = _index(view, site.at("task"))
    return page(site, "task", "tasks.html", table=table, notices=notices(view.board.tasks))


def _index(view: SiteView, links: PageLinks) -> Table:
    columns = [
        Column("task", "Task", text=True),
        Column("family", "Family", text=True),
        Column("tier", "Tier", text=True),
        Column("metric", "Metric", "and direction", text=True),
        Column("reference", "Reference", text=True),
        Column("methods", "Methods", "ranked"),
        Column("top", "Top tie group", "methods not shown to be worse", text=True),
        Column("separated", "Better than the reference", "methods"),
        Column("audit", "Audit", "of the task itself", text=True),
    ]
    tables = {table.task: table for table in view.board.tasks}
    audits = {task.task: task for task in view.audit.tasks}
    rows = []
    for slug, card in sorted(view.tasks.items(), key=lambda item: (item[1].family, item[0])):
        table = tables.get(slug)
        ranked = [row for row in table.rows if row.rank] if table else []
        top = [row.method for row in ranked if row.rank and row.rank[0] == 1]
        better = sum(verdict_word(row) == "better" for row in ranked)
        cells = [
            _head(links, card),
            TableCell(human(card.family)),
            TableCell(card.tier),
            TableCell(f"{human(card.metric.name)}, {card.metric.direction}"),
            TableCell(card.reference),
            TableCell(str(len(ranked)) if ranked else NONE, len(ranked) or None),
            TableCell(first_names(top)),
            TableCell(str(better) if ranked else NONE, better if ranked else None),
            TableCell(_audited(card, audits.get(slug))),
        ]
        rows.append(TableRow(cells, {"family": card.family, "tier": card.tier}))
    return Table("tasks", "All tasks, at the full tuning budget", columns, rows)


def _audited(card: TaskCard, found: TaskAudit | None) -> str:
    if card.deterministic:
        return "for claims alone"
    return found.verdict if found else "not measured"


def _head(links: PageLinks, card: TaskCard) -> TableCell:
    name = link(links.task(card.slug), card.slug)
    return TableCell(Markup(f"{name} <small>{said(card.title)}</small>"))
