"""The page of claims: what papers claim, and whether the records support it."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup, escape

from assay_leaderboard.claims.ledger import ClaimRow, TierVerdict
from assay_leaderboard.claims.one_task import TaskFinding
from assay_leaderboard.evidence.cells import run_command
from assay_leaderboard.format import NORMALISED, Format
from assay_leaderboard.schema.board import TaskTable
from assay_leaderboard.site.html.links import PageLinks, SiteMap
from assay_leaderboard.site.html.table import Column, Table, TableCell, TableRow
from assay_leaderboard.site.html.templates import human, page
from assay_leaderboard.site.html.text import NONE, link, p_text, said, span
from assay_leaderboard.site.pages.recommendation import stale_note
from assay_leaderboard.site.views import SiteView

MARKS = {"supported": "▲", "contradicted": "▼", "inconclusive": "?", "not tested": "○"}


def claims_page(view: SiteView, site: SiteMap) -> dict[str, str]:
    """/claims/index.html."""
    links = site.at("claims")
    margins = {table.task: table for table in view.board.tasks}
    return page(
        site,
        "claims",
        "claims.html",
        ledger=view.ledger,
        marks=MARKS,
        stale=stale_note(view.board.tasks),
        table=claims_table(view.ledger.rows, links, ids=True),
        findings=[
            (row, [(finding, _tasks(row, finding, margins, links)) for finding in row.findings])
            for row in view.ledger.rows
            if row.findings
        ],
    )


def _verdict(word: str) -> Markup:
    """The verdict on a claim, with its mark."""
    return Markup('<span class="v {}"><span aria-hidden="true">{}</span> {}</span>').format(
        word.replace(" ", "-"), MARKS[word], word
    )


def _effect(finding: TierVerdict) -> Markup:
    """The mean difference and its interval, in its unit."""
    form = NORMALISED if finding.unit == "normalised" else Format(finding.unit, 0.01)
    unit = "points" if finding.unit == "share" else finding.unit
    text = span(form, finding.difference, finding.interval, "+")
    return text if finding.difference is None else text + f" {unit}"


def claims_table(
    claims: Sequence[ClaimRow], links: PageLinks, *, ids: bool = False
) -> Table | None:
    """One row a claim; `ids`: the page also holds the details that the rows link to."""
    if not claims:
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
    rows = [
        TableRow(_cells(row, links, ids), {"family": _families(row), "tier": row.tier or "none"})
        for row in claims
    ]
    return Table("claims", "Claims", columns, rows, csv=links.data("claims.csv"))


def _families(row: ClaimRow) -> str:
    found = {task.family for finding in row.findings for task in finding.tasks}
    return " ".join(sorted(found)) or "none"


def _cells(row: ClaimRow, links: PageLinks, ids: bool) -> list[TableCell]:
    first = row.findings[0] if row.findings else None
    anchor = f"{row.method}-{row.number}"
    address = f"#{anchor}" if ids else links.page("claims") + f"#{anchor}"
    preliminary = ", preliminary" if first and first.preliminary else ""
    tier = Markup(f" <small>{escape(row.tier)}{preliminary}</small>" if row.tier else "")
    tested = first.n_tasks if first else 0
    return [
        TableCell(link(address if first else None, said(row.text)), css="long"),
        TableCell(link(links.method(row.method), row.method)),
        TableCell(_verdict(row.verdict) + tier),
        TableCell(_effect(first) if first else NONE, first.difference if first else None),
        TableCell(p_text(first.p) if first else NONE, first.p if first else None),
        TableCell(str(first.n) if first else NONE, first.n if first else None),
        TableCell(f"{tested} of {_named(row)}", tested),
        TableCell(f"{row.better_than}{'' if row.tuned else ', defaults'}"),
        TableCell(said(row.source), css="long"),
    ]


def _named(row: ClaimRow) -> int:
    return len({t.task for f in row.findings for t in f.tasks} | set(row.untested))


def _tasks(
    row: ClaimRow, finding: TierVerdict, tables: dict[str, TaskTable], links: PageLinks
) -> Table:
    """The tasks that a verdict rests on."""
    columns = [
        Column("task", "Task", text=True),
        Column("effect", "Effect", f"of {human(row.metric)}, positive where it holds"),
        Column("p", "p", "sign-flip"),
        Column("n", "n", "paired repetitions"),
        Column("mean", "Method", human(row.metric)),
        Column("other", "Other", row.better_than),
        Column("command", "Evidence", text=True),
    ]
    rows = [
        TableRow(_task_cells(row, task, tables.get(task.task), links)) for task in finding.tasks
    ]
    caption = f"{finding.tier}: {finding.verdict}"
    identity = f"{row.method}-{row.number}-{finding.tier}"
    return Table(identity, caption, columns, rows, live=False)


def _task_cells(
    row: ClaimRow, task: TaskFinding, table: TaskTable | None, links: PageLinks
) -> list[TableCell]:
    own = table is not None and table.metric == row.metric
    form = Format(task.unit, table.margin if table and own else 0.01)
    found = task.comparison
    evidence = (
        link(links.runs(task.task, row.method), "runs")
        if found
        else Markup(f"<code>{escape(run_command(row.method, task.task))}</code>")
    )
    return [
        TableCell(link(links.task(task.task), task.task)),
        TableCell(span(form, found.difference, found.interval, "+"), found.difference)
        if found
        else TableCell(said(task.note)),
        TableCell(p_text(found.p) if found else NONE, found.p if found else None),
        TableCell(str(found.n) if found else NONE, found.n if found else None),
        TableCell(span(form, task.mean, None), task.mean),
        TableCell(span(form, task.mean_other, None), task.mean_other),
        TableCell(evidence),
    ]
