"""The page of a method: what it is, where it stands, and how it does on each task."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from leaderboard.format import NORMALISED, Format
from leaderboard.site.grids import Cell, Column, Grid, Line
from leaderboard.site.links import Links, Place
from leaderboard.site.pages.claims import claim_grid
from leaderboard.site.pages.task import EMPTY, command_cell, sample_cell
from leaderboard.site.rendering import human, page
from leaderboard.site.views import Method, SiteView
from leaderboard.site.words import number, p_text, rank_text, span, verdict, verdict_word
from leaderboard.tables import Row, Summary, SummaryRow, TaskTable, Withdrawn
from suite.detectors import Flag

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


def method_lines(table: TaskTable, links: Links) -> dict[str, str]:
    """What each method's page says of a task, as a row of its table."""
    return {
        row.method: Line(
            _cells(table, row, links.at(f"method/{row.method}")),
            {"family": table.family, "tier": table.tier, "trust": row.trust},
            "" if row.state == "ranked" else "dim",
        ).html(_RESULTS)
        for row in table.rows
    }


def method_pages(view: SiteView, links: Links) -> dict[str, str]:
    """/method/<slug>/index.html of every method."""
    flags: dict[str, list[tuple[str, Flag]]] = {}
    withdrawn: dict[str, list[tuple[str, str, Withdrawn]]] = {}
    for table in view.board.tasks:
        form = Format(table.unit, table.margin)
        for row in table.rows:
            flags.setdefault(row.method, []).extend((table.task, flag) for flag in row.flags)
        for past in table.withdrawn:
            said = table.task, number(form, past.mean), past
            withdrawn.setdefault(past.method, []).append(said)
    found: dict[str, str] = {}
    for slug, method in view.methods.items():
        found |= _page(view, links, method, flags.get(slug, []), withdrawn.get(slug, []))
    return found


def _page(
    view: SiteView,
    links: Links,
    method: Method,
    flags: Sequence[tuple[str, Flag]],
    withdrawn: Sequence[tuple[str, str, Withdrawn]],
) -> dict[str, str]:
    slug = method.slug
    path = f"method/{slug}"
    place = links.at(path)
    caption = "Task by task: mean [95 % interval] and n"
    lines = list(method.lines.values())
    return page(
        links,
        path,
        "method.html",
        slug=slug,
        card=method.card,
        local=method.card is None,
        standing=_standing(view, slug, place),
        results=Grid("results", caption, _RESULTS, lines) if lines else None,
        claims=claim_grid([row for row in view.ledger.rows if row.method == slug], place),
        flags=flags,
        withdrawn=withdrawn,
    )


def _standing(view: SiteView, slug: str, place: Place) -> Grid | None:
    """Its ranks over families, tuned and by its defaults."""
    defaults = {s.name: s for s in [*view.defaults.families, view.defaults.overall] if s}
    columns = [
        Column("family", "Family", text=True),
        Column("rank", "Rank", "interval, tuned"),
        Column("score", "Score", "0 chance, 1 reference"),
        Column("behind", "Ranked", "methods"),
        Column("default_rank", "Rank", "interval, defaults"),
        Column("default_score", "Score", "defaults"),
    ]
    lines = []
    for summary in [*view.board.families, view.board.overall]:
        row = _of(summary, slug)
        if summary is None or row is None or row.rank is None:
            continue
        untuned = _of(defaults.get(summary.name), slug)
        name = Markup('<a href="{}">{}</a>').format(place.family(summary.name), human(summary.name))
        cells = [
            Cell(name),
            Cell(rank_text(row.rank), row.rank[0]),
            Cell(span(NORMALISED, row.iqm, row.iqm_interval), row.iqm),
            Cell(str(sum(r.rank is not None for r in summary.rows))),
            Cell(rank_text(untuned.rank), untuned.rank[0] if untuned.rank else None)
            if untuned
            else EMPTY,
            Cell(span(NORMALISED, untuned.iqm, untuned.iqm_interval), untuned.iqm)
            if untuned
            else EMPTY,
        ]
        lines.append(Line(cells))
    if not lines:
        return None
    return Grid("standing", "Where it stands", columns, lines, live=False)


def _of(summary: Summary | None, slug: str) -> SummaryRow | None:
    rows = summary.rows if summary else []
    return next((row for row in rows if row.method == slug), None)


def _cells(table: TaskTable, row: Row, place: Place) -> list[Cell]:
    versus, form = row.versus_reference, Format(table.unit, table.margin)
    address = place.task(table.task)
    name = Markup('<a href="{}">{}</a>').format(address, table.task) if address else table.task
    unit = Markup(" <small>{}, {}</small>").format(
        form.unit, "higher is better" if table.direction == "maximize" else "lower is better"
    )
    return [
        Cell(Markup("{}{}").format(name, unit)),
        Cell(rank_text(row.rank), row.rank[0] if row.rank else None),
        sample_cell(place, table.task, row.method, row.tuned, form),
        sample_cell(place, table.task, row.method, row.defaults, form),
        Cell(span(form, versus.difference, versus.interval, "+"), versus.difference)
        if versus
        else EMPTY,
        Cell(p_text(versus.p_adjusted), versus.p_adjusted) if versus else EMPTY,
        Cell(verdict(verdict_word(row))),
        Cell(table.reference),
        Cell(number(NORMALISED, row.score), row.score),
        Cell(f"{row.trust} {row.isolation or ''}".strip()),
        command_cell(row.method, table.task),
    ]
