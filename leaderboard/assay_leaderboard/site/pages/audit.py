"""The section of the rules page about the A/A control, the audit of tasks and the tiers."""

from __future__ import annotations

from typing import Any

from assay_leaderboard.audit.false_positives import ControlReport, Pairs, Rate
from assay_leaderboard.audit.tasks import Audit, TaskAudit
from assay_leaderboard.format import NORMALISED, Format, p_text
from assay_leaderboard.site.html.links import PageLinks
from assay_leaderboard.site.html.table import Column, Table, TableCell, TableRow
from assay_leaderboard.site.html.templates import human
from assay_leaderboard.site.html.text import NONE, link, said, span
from assay_leaderboard.site.pages.cells import EMPTY


def audit_section(audit: Audit, links: PageLinks) -> dict[str, Any]:
    """The template's values."""
    return {
        "audit": audit,
        "control": audit.control,
        "rates": _rates(audit.control) if audit.control else None,
        "arms": _arms(audit.control, links) if audit.control else None,
        "audited": _tasks(audit, links),
        "calibrated": _calibration(audit),
    }


def _rates(control: ControlReport) -> Table:
    """How often the control found what is not there."""
    columns = [
        Column("kind", "Comparisons", text=True),
        Column("n", "n", "comparisons"),
        Column("r", "Repetitions", "in each arm"),
        Column("rejected", "Called different", f"p at most {control.alpha:g}; {_wilson(control)}"),
        Column("covered", "Interval holds 0", f"should be {100 * (1 - control.alpha):g} %"),
        Column("verdicts", "Verdicts", text=True),
    ]
    rows = [
        _pairs("one pair a task and method", control.pairs),
        _pairs("disjoint halves of each arm", control.halves),
    ]
    splits = control.splits
    words = ", ".join(f"{word} {100 * share:.1f} %" for word, share in splits.verdicts.items())
    rows.append(
        TableRow(
            [
                TableCell("random splits"),
                TableCell(f"{splits.n:,}", splits.n),
                EMPTY,
                TableCell(f"{100 * splits.rejected:.1f} %", splits.rejected),
                TableCell(f"{100 * splits.covered:.1f} %", splits.covered),
                TableCell(words, css="long"),
            ]
        )
    )
    return Table("control", "A/A control: a method against itself", columns, rows, live=False)


def _wilson(control: ControlReport) -> str:
    return f"should be at most {100 * control.alpha:g} %"


def _pairs(name: str, found: Pairs) -> TableRow:
    words = ", ".join(f"{word} {count}" for word, count in found.verdicts.items() if count)
    return TableRow(
        [
            TableCell(name),
            TableCell(str(found.rejected.n), found.rejected.n),
            TableCell(str(found.n_repetitions), found.n_repetitions),
            _rate(found.rejected),
            _rate(found.covered),
            TableCell(words or NONE, css="long"),
        ]
    )


def _rate(rate: Rate) -> TableCell:
    low, high = 100 * rate.interval.low, 100 * rate.interval.high
    text = f"{rate.count} of {rate.n} [{low:.0f}, {high:.0f}] %"
    return TableCell(text, rate.count / rate.n if rate.n else None)


def _arms(control: ControlReport, links: PageLinks) -> Table:
    """The two arms of each method and task."""
    columns = [
        Column("task", "Task", text=True),
        Column("method", "Method", text=True),
        Column("n", "n", "repetitions of each arm"),
        Column("first", "First", "mean, in the task's unit"),
        Column("second", "Second", "under other seeds"),
        Column("difference", "Difference", "all are false"),
        Column("p", "p", "exact sign flips"),
        Column("verdict", "Verdict", "of the pair alone", text=True),
    ]
    rows = []
    for cell in control.cells:
        form, found = Format(cell.unit, cell.margin), cell.comparison
        cells = [
            TableCell(link(links.task(cell.task), cell.task)),
            TableCell(link(links.method(cell.method), cell.method)),
            TableCell(str(cell.n), cell.n),
            TableCell(form.number(cell.mean), cell.mean),
            TableCell(form.number(cell.mean_control), cell.mean_control),
            TableCell(span(form, found.difference, found.interval, "+"), found.difference),
            TableCell(p_text(found.p), found.p),
            TableCell(said(found.verdict or NONE)),
        ]
        rows.append(TableRow(cells))
    return Table("arms", "A/A control: both arms", columns, rows, live=False)


def _tasks(audit: Audit, links: PageLinks) -> Table:
    columns = [
        Column("task", "Task", text=True),
        Column("verdict", "Verdict", text=True),
        Column("chance", "Reference over chance", "in the task's unit"),
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
    above = task.above_chance
    form = Format(task.unit, 0.005)
    return [
        TableCell(link(links.task(task.task), task.task)),
        TableCell(said(task.verdict)),
        TableCell(span(form, above.difference, above.interval, "+"), above.difference)
        if above
        else EMPTY,
        TableCell(pairs, share),
        TableCell(str(task.n_methods), task.n_methods),
        TableCell(f"{task.widest.a}, {task.widest.b}" if task.widest else NONE),
        TableCell(said("; ".join(task.problems)) if task.problems else "nothing", css="long"),
    ]


def _calibration(audit: Audit) -> Table | None:
    if not audit.calibration:
        return None
    columns = [
        Column("family", "Family", text=True),
        Column("tau", "Kendall's tau", "lite against standard"),
        Column("methods", "Methods", "with a score at both"),
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
