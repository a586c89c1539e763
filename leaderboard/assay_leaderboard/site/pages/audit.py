"""The section of the rules page about the A/A control, the audit of tasks and the tiers."""

from __future__ import annotations

from typing import Any

from assay_leaderboard.audit.false_positives import ControlReport
from assay_leaderboard.audit.tasks import Audit, TaskAudit
from assay_leaderboard.format import NORMALISED
from assay_leaderboard.site.html.links import PageLinks
from assay_leaderboard.site.html.table import Column, Table, TableCell, TableRow
from assay_leaderboard.site.html.templates import human
from assay_leaderboard.site.html.text import NONE, link, said, span


def audit_section(audit: Audit | None, links: PageLinks) -> dict[str, Any]:
    """The template's values from the report of `assay audit`, if there is one."""
    if audit is None:
        return {"audit": None}
    return {
        "audit": audit,
        "aa": _rates(audit.control) if audit.control else None,
        "audited": _tasks(audit, links),
        "calibrated": _calibration(audit),
    }


def _rates(control: ControlReport) -> dict[str, str]:
    """Shares of the control as percent."""
    low, high = 100 * control.interval.low, 100 * control.interval.high
    return {
        "rejected": f"{100 * control.rejected:.1f} %",
        "judged": f"{100 * control.judged:.1f} %",
        "equivalent": f"{100 * control.equivalent:.1f} %",
        "covered": f"{100 * control.covered:.1f} %",
        "interval": f"[{low:.1f}, {high:.1f}] %",
    }


def _tasks(audit: Audit, links: PageLinks) -> Table | None:
    if not audit.tasks:
        return None
    columns = [
        Column("task", "Task", text=True),
        Column("verdict", "Verdict", text=True),
        Column("pairs", "Pairs separated", "of the ranked methods, %"),
        Column("methods", "Methods", "ranked"),
        Column("widest", "Widest pair", text=True),
        Column("problems", "What is wrong", "and what to do", text=True),
    ]
    rows = [
        TableRow(_cells(task, links), {"family": task.family, "tier": task.tier})
        for task in audit.tasks
    ]
    return Table("audit", "Audit of the tasks", columns, rows)


def _cells(task: TaskAudit, links: PageLinks) -> list[TableCell]:
    share = task.n_separated / task.n_pairs if task.n_pairs else None
    pairs = NONE
    if share is not None:
        pairs = f"{100 * share:.0f} ({task.n_separated} of {task.n_pairs})"
    widest = f"{task.widest.best}, {task.widest.worst}" if task.widest else NONE
    return [
        TableCell(link(links.task(task.task), task.task)),
        TableCell(said(task.verdict)),
        TableCell(pairs, share),
        TableCell(str(task.n_methods), task.n_methods),
        TableCell(widest),
        TableCell(said("; ".join(task.problems)) if task.problems else "nothing", css="long"),
    ]


def _calibration(audit: Audit) -> Table | None:
    if not audit.calibration:
        return None
    columns = [
        Column("family", "Family", text=True),
        Column("tau", "Kendall's tau", "lite against standard"),
        Column("methods", "Methods", "with every task of both"),
        Column("note", "Note", text=True),
    ]
    rows = [
        TableRow(
            [
                TableCell(human(found.family)),
                TableCell(span(NORMALISED, found.tau, found.interval), found.tau),
                TableCell(str(len(found.methods)), len(found.methods)),
                TableCell(said(found.note) if found.note else "", css="long"),
            ]
        )
        for found in audit.calibration
    ]
    return Table("calibration", "What a lite result predicts", columns, rows, live=False)
