"""The page of a method: what it is, where it stands, and how it does on each task."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from assay.detectors import Flag
from markupsafe import Markup

from assay_leaderboard.claims.ledger import ClaimRow
from assay_leaderboard.format import NORMALISED, Format
from assay_leaderboard.schema.board import Row, SummaryRow, TaskTable, Withdrawn
from assay_leaderboard.site.html.links import Links, PageLinks
from assay_leaderboard.site.html.table import Column, Table, TableCell, TableRow
from assay_leaderboard.site.html.templates import human, page
from assay_leaderboard.site.html.text import (
    link,
    number,
    p_text,
    rank_text,
    span,
    verdict,
    verdict_word,
)
from assay_leaderboard.site.pages.claims import claim_grid
from assay_leaderboard.site.pages.task import EMPTY, command_cell, sample_cell
from assay_leaderboard.site.views import MethodView, SiteView

_RESULTS = (
    Column("task", "Task", text=True),
    Column("rank", "Rank", "interval", low=True),
    Column("tuned", "Tuned", "test score, n"),
    Column("defaults", "Defaults", "test score, n"),
    Column("gain", "Gain on the reference", "positive is better"),
    Column("p", "p", "sign-flip, Holm", low=True),
    Column("verdict", "Verdict", "against the reference", text=True),
    Column("reference", "Reference", text=True),
    Column("score", "Score", "0 chance, 1 reference"),
    Column("trust", "Trust", "and isolation", text=True),
    Column("command", "Command", text=True),
)

_STANDING = (
    Column("family", "Family", text=True),
    Column("rank", "Rank", "interval, tuned"),
    Column("score", "Score", "0 chance, 1 reference"),
    Column("behind", "Ranked", "methods"),
    Column("default_rank", "Rank", "interval, defaults"),
    Column("default_score", "Score", "defaults"),
)


def method_lines(table: TaskTable, links: Links) -> dict[str, str]:
    """What each method's page says of a task, as a row of its table."""
    return {
        row.method: TableRow(
            _cells(table, row, links.at(f"method/{row.method}")),
            {"family": table.family, "tier": table.tier, "trust": row.trust},
            "" if row.state == "ranked" else "dim",
        ).html(_RESULTS)
        for row in table.rows
    }


@dataclass
class _History:
    """What the board says of a method beside its row of each task."""

    standing: list[TableRow] = field(default_factory=list)
    """Its ranks over families."""
    claims: list[ClaimRow] = field(default_factory=list)
    flags: list[tuple[str, Flag]] = field(default_factory=list)
    """And the task."""
    withdrawn: list[tuple[str, str, Withdrawn]] = field(default_factory=list)
    """Task, mean as it stood, and what became of it."""


def method_pages(view: SiteView, links: Links) -> dict[str, str]:
    """/method/<slug>/index.html of every method."""
    histories: defaultdict[str, _History] = defaultdict(_History)
    for table in view.board.tasks:
        form = Format(table.unit, table.margin)
        for row in table.rows:
            if row.flags:
                histories[row.method].flags += [(table.task, flag) for flag in row.flags]
        for past in table.withdrawn:
            said = table.task, number(form, past.mean), past
            histories[past.method].withdrawn.append(said)
    for claim in view.ledger.rows:
        histories[claim.method].claims.append(claim)
    for slug, line in _standings(view, links.at("method/any")):  # all these pages lie as deep
        histories[slug].standing.append(line)
    found: dict[str, str] = {}
    for slug, method in view.methods.items():
        found |= _page(links, method, histories[slug])
    return found


def _page(links: Links, method: MethodView, history: _History) -> dict[str, str]:
    path = f"method/{method.slug}"
    place = links.at(path)
    caption = "Task by task: mean [95 % interval] and n"
    lines = list(method.lines.values())
    return page(
        links,
        path,
        "method.html",
        slug=method.slug,
        card=method.card,
        local=method.card is None,
        standing=Table("standing", "Where it stands", _STANDING, history.standing, live=False)
        if history.standing
        else None,
        results=Table("results", caption, _RESULTS, lines) if lines else None,
        claims=claim_grid(history.claims, place),
        flags=history.flags,
        withdrawn=history.withdrawn,
    )


def _standings(view: SiteView, place: PageLinks) -> Iterator[tuple[str, TableRow]]:
    """The rank of each method over each family, tuned and by its defaults."""
    defaults = {
        summary.name: {row.method: row for row in summary.rows}
        for summary in (*view.defaults.families, view.defaults.overall)
        if summary
    }
    for summary in filter(None, (*view.board.families, view.board.overall)):
        untuned = defaults.get(summary.name, {})
        ranked = [row for row in summary.rows if row.rank]
        family = TableCell(link(place.family(summary.name), human(summary.name)))
        behind = TableCell(str(len(ranked)))
        for row in ranked:
            own = _standing(untuned[row.method]) if row.method in untuned else [EMPTY, EMPTY]
            yield row.method, TableRow([family, *_standing(row), behind, *own])


def _standing(row: SummaryRow) -> list[TableCell]:
    """Rank and score."""
    return [
        TableCell(rank_text(row.rank), row.rank[0] if row.rank else None),
        TableCell(span(NORMALISED, row.iqm, row.iqm_interval), row.iqm),
    ]


def _cells(table: TaskTable, row: Row, place: PageLinks) -> list[TableCell]:
    versus, form = row.versus_reference, Format(table.unit, table.margin)
    address = place.task(table.task)
    name = Markup('<a href="{}">{}</a>').format(address, table.task) if address else table.task
    unit = Markup(" <small>{}, {}</small>").format(
        form.unit, "higher is better" if table.direction == "maximize" else "lower is better"
    )
    return [
        TableCell(Markup("{}{}").format(name, unit)),
        TableCell(rank_text(row.rank), row.rank[0] if row.rank else None),
        sample_cell(place, table.task, row.method, row.tuned, form),
        sample_cell(place, table.task, row.method, row.defaults, form),
        TableCell(span(form, versus.difference, versus.interval, "+"), versus.difference)
        if versus
        else EMPTY,
        TableCell(p_text(versus.p_adjusted), versus.p_adjusted) if versus else EMPTY,
        TableCell(verdict(verdict_word(row))),
        TableCell(table.reference),
        TableCell(number(NORMALISED, row.score), row.score),
        TableCell(f"{row.trust} {row.isolation or ''}".strip()),
        command_cell(row.method, table.task),
    ]
