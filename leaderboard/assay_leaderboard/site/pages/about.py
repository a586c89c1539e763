"""Pages about the board itself: how it is computed, its sandbox, its log, its queue."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Sequence
from typing import Any

from assay.cards import HOOKS, TRACKS
from assay.records.log import Entry, cell_of
from assay.ruleset import Ruleset
from markupsafe import Markup, escape

from assay_leaderboard.site.html.links import Links, PageLinks
from assay_leaderboard.site.html.table import Column, Table, TableCell, TableRow
from assay_leaderboard.site.html.templates import human, page
from assay_leaderboard.site.html.text import NONE, link, said
from assay_leaderboard.site.pages.audit import controls
from assay_leaderboard.site.pages.task import EMPTY
from assay_leaderboard.site.reports import QueueEntry, Scorecard
from assay_leaderboard.site.views import SiteView


def about_pages(view: SiteView, links: Links) -> dict[str, str]:
    """/how/, /sandbox/, /log/, /queue/ and /404.html."""
    found = {
        **page(
            links,
            "how",
            "how.html",
            rules=rules(view.ruleset),
            ruleset=view.ruleset,
            **controls(view.controls, links.at("how")),
            tracks=[
                (track, [h for h in HOOKS if h in allowed]) for track, allowed in TRACKS.items()
            ],
        ),
        **page(links, "sandbox", "sandbox.html", **_sandbox(view.scorecard)),
        **page(
            links,
            "log",
            "log.html",
            grid=_log(view.log, links.at("log")),
            problems=view.problems,
            head=view.log[-1].hash if view.log else "",
            queued=len(view.queue),
        ),
    }
    if view.queue:
        found |= page(links, "queue", "queue.html", grid=_queue(view.queue))
    (missing,) = page(links, "", "404.html").values()
    return {**found, "404.html": missing}


def rules(ruleset: Ruleset) -> list[tuple[str, str, str]]:
    """(name, value, what its docstring says) of every constant of the ruleset."""
    told = _told(type(ruleset))
    return [
        (name, _value(getattr(ruleset, name)), told.get(name, ""))
        for name in type(ruleset).model_fields
    ]


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {item}" for key, item in value.items())
    return f"{value:,}" if isinstance(value, int) else str(value)


def _told(model: type) -> dict[str, str]:
    """The docstring under each field of `model`, which Python itself forgets."""
    (node,) = ast.parse(textwrap.dedent(inspect.getsource(model))).body
    assert isinstance(node, ast.ClassDef)
    found = {}
    for field, text in zip(node.body, node.body[1:], strict=False):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(text, ast.Expr)
            and isinstance(text.value, ast.Constant)
        ):
            found[field.target.id] = inspect.cleandoc(str(text.value.value))
    return found


def _sandbox(scorecard: Scorecard | None) -> dict[str, Any]:
    if scorecard is None:
        return {"grid": None, "counts": {}, "level": "", "mechanism": ""}
    columns = [
        Column("attack", "Attack", text=True),
        Column("ended", "Ended", text=True),
        Column("expected", "Admitted", "in the registry", text=True),
        Column("does", "What it does", text=True),
        Column("stopped", "Stopped by", text=True),
        Column("evidence", "Evidence", "what the record showed", text=True),
    ]
    lines = [
        TableRow(
            [
                TableCell(said(attack.slug)),
                TableCell(_ending(attack.ended)),
                TableCell(said(attack.expected)),
                TableCell(said(attack.does), css="long"),
                TableCell(said(attack.stopped_by), css="long"),
                TableCell(said(attack.evidence), css="long"),
            ]
        )
        for attack in scorecard.attacks
    ]
    return {
        "grid": Table("attacks", "Attacks on the sandbox, and how each ended", columns, lines),
        "counts": scorecard.counts,
        "level": scorecard.level,
        "mechanism": scorecard.mechanism or "",
    }


def _ending(word: str) -> Markup:
    """An attack that fails is good news."""
    css, mark = {
        "failed": ("better", "▲"),
        "no gain": ("better", "▲"),
        "flagged": ("undecided", "?"),
        "open": ("worse", "▼"),
        "broken": ("worse", "▼"),
    }.get(word, ("none", "○"))
    return Markup('<span class="v {}"><span aria-hidden="true">{}</span> {}</span>').format(
        css, mark, said(word)
    )


def _log(log: Sequence[Entry], place: PageLinks) -> Table | None:
    """What was published, newest first."""
    if not log:
        return None
    columns = [
        Column("n", "Entry"),
        Column("at", "When", "UTC", text=True),
        Column("kind", "What", text=True),
        Column("task", "Task", text=True),
        Column("method", "Method", text=True),
        Column("tier", "Trust", text=True),
        Column("note", "Note", text=True),
        Column("bundle", "Bundle", "first 16 of its SHA-256", text=True),
    ]
    about = [cell_of(entry.file) for entry in log]
    tasks = {slug: TableCell(link(place.task(slug), slug)) for slug in {task for task, _ in about}}
    methods = {
        slug: TableCell(link(place.method(slug), slug)) for slug in {name for _, name in about}
    }
    lines = [
        TableRow(
            [
                TableCell(str(entry.n), entry.n),
                TableCell(entry.at.replace("T", " ").removesuffix("+00:00")),
                TableCell(entry.kind),
                tasks[task],
                methods[method],
                TableCell(entry.tier or NONE),
                TableCell(said(entry.note), css="long") if entry.note else EMPTY,
                TableCell(Markup(f"<code>{escape(entry.sha256[:16])}</code>")),
            ]
        )
        for entry, (task, method) in zip(reversed(log), reversed(about), strict=True)
    ]
    return Table("log", "What was published, newest first", columns, lines)


def _queue(queue: Sequence[QueueEntry]) -> Table:
    columns = [
        Column("slug", "Submission", text=True),
        Column("state", "State", text=True),
        Column("tasks", "Tasks", text=True),
        Column("since", "Since", "UTC", text=True),
        Column("next", "Next", text=True),
    ]
    lines = [
        TableRow(
            [
                TableCell(said(item.slug)),
                TableCell(said(human(item.state))),
                TableCell(said(", ".join(item.tasks)), css="long"),
                TableCell(said(item.since)),
                TableCell(Markup("<code>{}</code>").format(said(item.next_action))),
            ]
        )
        for item in queue
    ]
    return Table("queue", "Submissions on their way to the board", columns, lines)
