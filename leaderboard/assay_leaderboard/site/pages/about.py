"""The pages about the board itself: its rules, sandbox, log and queue, and the page not found."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections import Counter
from collections.abc import Sequence
from typing import Any, get_args

from assay.cards import HOOKS, REPLAY_MARGINS, TRACKS
from assay.records.log import Entry
from assay.ruleset import Ruleset, Tier
from markupsafe import Markup, escape

from assay_leaderboard.format import OTHER_DRAWS
from assay_leaderboard.site.html.links import PageLinks, SiteMap
from assay_leaderboard.site.html.table import Column, Table, TableCell, TableRow
from assay_leaderboard.site.html.templates import human, page
from assay_leaderboard.site.html.text import NONE, breakable, link, said
from assay_leaderboard.site.pages.audit import audit_section
from assay_leaderboard.site.pages.cells import EMPTY
from assay_leaderboard.site.reports import QueueEntry, Scorecard
from assay_leaderboard.site.views import Epoch, SiteView


def about_pages(view: SiteView, site: SiteMap) -> dict[str, str]:
    """/how/, /sandbox/, /log/, /queue/ and /404.html."""
    return {
        **_rules_page(view, site),
        **page(site, "sandbox", "sandbox.html", **_sandbox(view.scorecard)),
        **_log_page(view, site),
        **(page(site, "queue", "queue.html", table=_queue(view.queue)) if view.queue else {}),
        **page(site, "404.html", "404.html"),
    }


def _rules_page(view: SiteView, site: SiteMap) -> dict[str, str]:
    return page(
        site,
        "how",
        "how.html",
        rules=rules(view.ruleset),
        ruleset=view.ruleset,
        tiers=[_tier(view.ruleset, tier) for tier in get_args(Tier)],
        other_draws=OTHER_DRAWS,
        replay_margins=REPLAY_MARGINS,
        epochs=_epochs(view.epochs, site.at("how")),
        **audit_section(view.audit, site.at("how")),
        tracks=[(track, [h for h in HOOKS if h in allowed]) for track, allowed in TRACKS.items()],
    )


def _log_page(view: SiteView, site: SiteMap) -> dict[str, str]:
    return page(
        site,
        "log",
        "log.html",
        table=_log(view.log, site.at("log")),
        problems=view.problems,
        head=view.log[-1].hash if view.log else "",
        queued=len(view.queue),
    )


def _epochs(epochs: Sequence[Epoch], links: PageLinks) -> Table | None:
    """The epochs of hidden seeds, those that are not revealed too; None where none has begun."""
    if not epochs:
        return None
    columns = [
        Column("epoch", "Epoch", text=True),
        Column("committed", "Committed to", "UTC", text=True),
        Column("revealed", "Revealed", "UTC", text=True),
        Column("commitment", "Commitment", "SHA-256", text=True),
        Column("entry", "Log entry"),
    ]
    rows = []
    for epoch in epochs:
        entry = link(f"{links.page('log')}#entry{epoch.entry}", str(epoch.entry))
        commitment = Markup("<code>{}</code>").format(epoch.commitment or NONE)
        rows.append(
            TableRow(
                [
                    TableCell(epoch.name),
                    TableCell(_when(epoch.committed)),
                    TableCell(_when(epoch.revealed) if epoch.revealed else "still hidden"),
                    TableCell(commitment, css="long"),
                    TableCell(entry, epoch.entry),
                ]
            )
        )
    return Table("epochs", "Epochs of hidden seeds", columns, rows, live=False)


def _when(at: str) -> str:
    return at.replace("T", " ").removesuffix("+00:00")


def _tier(ruleset: Ruleset, tier: Tier) -> tuple[str, int, int, int, int]:
    """A tier's name, K and R, and those of --quick."""
    quick = ruleset.k(tier, "quick"), ruleset.r(tier, "quick")
    return tier, ruleset.k(tier), ruleset.r(tier), *quick


def rules(ruleset: Ruleset) -> list[tuple[str, str, str]]:
    """(name, value, docstring) of every constant of the ruleset."""
    meanings = _field_docstrings(type(ruleset))
    return [
        (name, _value(getattr(ruleset, name)), meanings.get(name, ""))
        for name in type(ruleset).model_fields
    ]


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {item}" for key, item in value.items())
    return f"{value:,}" if isinstance(value, int) else str(value)


def _field_docstrings(model: type) -> dict[str, str]:
    """The docstring under each field of `model`, from its source, as Python keeps none."""
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
        return {"table": None, "counts": {}, "level": "", "mechanism": ""}
    columns = [
        Column("attack", "Attack", text=True),
        Column("ended", "Ended", text=True),
        Column("expected", "Admitted", "in the registry", text=True),
        Column("does", "What it does", text=True),
        Column("stopped", "Stopped by", text=True),
        Column("evidence", "Evidence", "what the record showed", text=True),
    ]
    rows = [
        TableRow(
            [
                TableCell(breakable(said(attack.slug))),
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
        "table": Table("attacks", "Attacks on the sandbox, and how each ended", columns, rows),
        "counts": scorecard.counts,
        "level": scorecard.level,
        "mechanism": scorecard.mechanism or "",
    }


def _ending(word: str) -> Markup:
    """How an attack ended; one that failed is marked as good."""
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


def _log(log: Sequence[Entry], links: PageLinks) -> Table | None:
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
    rows = []
    for entry in reversed(log):
        task, method = entry.cell or (None, None)
        rows.append(
            TableRow(
                [
                    TableCell(Markup('<span id="entry{0}">{0}</span>').format(entry.n), entry.n),
                    TableCell(_when(entry.at)),
                    TableCell(entry.kind),
                    TableCell(link(links.task(task), task)) if task else EMPTY,
                    TableCell(link(links.method(method), method)) if method else EMPTY,
                    TableCell(entry.tier or NONE),
                    TableCell(said(note), css="long") if (note := _log_note(entry)) else EMPTY,
                    TableCell(Markup(f"<code>{escape(entry.sha256[:16])}</code>")),
                ]
            )
        )
    return Table("log", "What was published, newest first", columns, rows)


def _log_note(entry: Entry) -> str:
    """The note of an entry, after its epoch and what it says of repeated runs."""
    found = [f"hidden seeds of epoch {entry.epoch}"] if entry.epoch else []
    if entry.replays:
        verdicts = Counter(run.verdict for run in entry.replays)
        outcomes = ", ".join(f"{n} {verdict}" for verdict, n in sorted(verdicts.items()))
        found.append(f"{len(entry.replays)} runs repeated: {outcomes}")
    if entry.mean_difference:
        mean = entry.mean_difference
        found.append(
            f"recorded minus repeated {mean.mean:+.3g}, at most {mean.allowed:.3g} allowed"
        )
    return "; ".join([*found, *([entry.note] if entry.note else [])])


def _queue(queue: Sequence[QueueEntry]) -> Table:
    columns = [
        Column("slug", "Submission", text=True),
        Column("state", "State", text=True),
        Column("tasks", "Tasks", text=True),
        Column("since", "Since", "UTC", text=True),
        Column("next", "Next", text=True),
    ]
    rows = [
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
    return Table("queue", "Submissions not yet on the board", columns, rows)
