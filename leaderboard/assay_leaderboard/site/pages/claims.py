"""The ledger: what papers claim, and what the records say of it."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from markupsafe import Markup, escape

from assay_leaderboard.claims.ledger import ClaimRow, TierVerdict
from assay_leaderboard.claims.one_task import TaskFinding
from assay_leaderboard.evidence.cells import run_command
from assay_leaderboard.format import NORMALISED, Format
from assay_leaderboard.schema.board import TaskTable
from assay_leaderboard.site.html.links import Links, PageLinks
from assay_leaderboard.site.html.table import Column, Table, TableCell, TableRow
from assay_leaderboard.site.html.templates import human, page
from assay_leaderboard.site.html.text import NONE, link, p_text, said, span
from assay_leaderboard.site.views import SiteView

MARKS = {"supported": "▲", "contradicted": "▼", "inconclusive": "?", "not tested": "○"}


def claim_pages(view: SiteView, links: Links) -> dict[str, str]:
    """/claims/index.html."""
    place = links.at("claims")
    margins = {table.task: table for table in view.board.tasks}
    return page(
        links,
        "claims",
        "claims.html",
        ledger=view.ledger,
        marks=MARKS,
        grid=claim_grid(view.ledger.rows, place, ids=True),
        findings=[
            (row, [(finding, _tasks(row, finding, margins, place)) for finding in row.findings])
            for row in view.ledger.rows
            if row.findings
        ],
    )


@functools.cache
def ruling(word: str) -> Markup:
    """A claim's verdict."""
    return Markup('<span class="v {}"><span aria-hidden="true">{}</span> {}</span>').format(
        word.replace(" ", "-"), MARKS[word], word
    )


def effect(finding: TierVerdict) -> Markup:
    """The mean difference in the finding's own unit."""
    form = NORMALISED if finding.unit == "normalised" else Format(finding.unit, 0.01)
    unit = "points" if finding.unit == "share" else finding.unit
    text = span(form, finding.difference, finding.interval, "+")
    return text if finding.difference is None else text + f" {unit}"


def claim_grid(rows: Sequence[ClaimRow], place: PageLinks, *, ids: bool = False) -> Table | None:
    """One line a claim; `ids`: the details stand on the same page."""
    if not rows:
        return None
    columns = [
        Column("claim", "Claim", text=True),
        Column("method", "Method", text=True),
        Column("verdict", "Verdict", "at the highest tier tested", text=True),
        Column("effect", "Effect", "positive where it holds"),
        Column("p", "p", "sign-flip, Holm", low=True),
        Column("n", "n", "paired repetitions"),
        Column("tasks", "Tasks", "tested of named"),
        Column("against", "Against", text=True),
        Column("source", "Source", text=True),
    ]
    lines = [
        TableRow(_cells(row, place, ids), {"family": _families(row), "tier": row.tier or "none"})
        for row in rows
    ]
    return Table("claims", "Claims", columns, lines, csv=place.data("claims.csv"))


def _families(row: ClaimRow) -> str:
    found = {task.family for finding in row.findings for task in finding.tasks}
    return " ".join(sorted(found)) or "none"


def _cells(row: ClaimRow, place: PageLinks, ids: bool) -> list[TableCell]:
    first = row.findings[0] if row.findings else None
    anchor = f"{row.method}-{row.number}"
    address = f"#{anchor}" if ids else place.page("claims") + f"#{anchor}"
    preliminary = ", preliminary" if first and first.preliminary else ""
    tier = Markup(f" <small>{escape(row.tier)}{preliminary}</small>" if row.tier else "")
    tested = first.n_tasks if first else 0
    return [
        TableCell(link(address if first else None, said(row.text)), css="long"),
        TableCell(link(place.method(row.method), row.method)),
        TableCell(ruling(row.verdict) + tier),
        TableCell(effect(first) if first else NONE, first.difference if first else None),
        TableCell(p_text(first.p) if first else NONE, first.p if first else None),
        TableCell(str(first.n) if first else NONE, first.n if first else None),
        TableCell(f"{tested} of {_named(row)}", tested),
        TableCell(f"{row.better_than}{'' if row.tuned else ', defaults'}"),
        TableCell(said(row.source), css="long"),
    ]


def _named(row: ClaimRow) -> int:
    return len({t.task for f in row.findings for t in f.tasks} | set(row.untested))


def _tasks(
    row: ClaimRow, finding: TierVerdict, tables: dict[str, TaskTable], place: PageLinks
) -> Table:
    """The tasks behind a finding."""
    columns = [
        Column("task", "Task", text=True),
        Column("effect", "Effect", f"of {human(row.metric)}, positive where it holds"),
        Column("p", "p", "sign-flip"),
        Column("n", "n", "paired repetitions"),
        Column("mean", "Method", human(row.metric)),
        Column("other", "Other", row.better_than),
        Column("command", "Evidence", text=True),
    ]
    lines = [
        TableRow(_task_cells(row, task, tables.get(task.task), place)) for task in finding.tasks
    ]
    caption = f"{finding.tier}: {finding.verdict}"
    identity = f"{row.method}-{row.number}-{finding.tier}"
    return Table(identity, caption, columns, lines, live=False)


def _task_cells(
    row: ClaimRow, task: TaskFinding, table: TaskTable | None, place: PageLinks
) -> list[TableCell]:
    own = table is not None and table.metric == row.metric
    form = Format(task.unit, table.margin if table and own else 0.01)
    found = task.comparison
    evidence = (
        link(place.cell(task.task, row.method), "runs")
        if found
        else Markup(f"<code>{escape(run_command(row.method, task.task))}</code>")
    )
    return [
        TableCell(link(place.task(task.task), task.task)),
        TableCell(span(form, found.difference, found.interval, "+"), found.difference)
        if found
        else TableCell(said(task.note)),
        TableCell(p_text(found.p) if found else NONE, found.p if found else None),
        TableCell(str(found.n) if found else NONE, found.n if found else None),
        TableCell(span(form, task.mean, None), task.mean),
        TableCell(span(form, task.mean_other, None), task.mean_other),
        TableCell(evidence),
    ]
