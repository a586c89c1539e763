"""The page of a method, and the index of all methods."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from assay.cards import FAMILIES, SubmissionCard
from assay.detectors import Flag
from assay.detectors.source import SourceData
from assay.detectors.source_data import LIMITS
from markupsafe import Markup

from assay_leaderboard.claims.ledger import ClaimRow
from assay_leaderboard.format import (
    COARSE,
    NORMALISED,
    OTHER_DRAWS,
    Format,
    split_words,
    two_digits,
)
from assay_leaderboard.schema.board import BudgetRow, Former, Row, SummaryRow, TaskTable, Withdrawn
from assay_leaderboard.schema.task_details import RangeUse
from assay_leaderboard.schema.translation import MethodRanges, TaskRanges
from assay_leaderboard.site.html.links import PageLinks, SiteMap
from assay_leaderboard.site.html.table import Column, Table, TableCell, TableRow
from assay_leaderboard.site.html.templates import human, page
from assay_leaderboard.site.html.text import NONE, link, number, said, span, verdict_word
from assay_leaderboard.site.pages.cells import (
    EMPTY,
    SHOWN,
    command_cell,
    direction,
    ends_cell,
    facets,
    gain_cells,
    margin_text,
    method_cell,
    rank_cell,
    rate_cells,
    sample_cell,
)
from assay_leaderboard.site.pages.claims import claims_table
from assay_leaderboard.site.pages.notices import notices
from assay_leaderboard.site.reports import MethodParity, ParityLine
from assay_leaderboard.site.views import SiteView

_RESULTS = (
    Column("task", "Task", text=True),
    Column("rank", "Rank", "interval", low=True),
    Column("tuned", "Full budget", "ranked score, n"),
    Column("defaults", "Defaults", "the same without tuning"),
    Column("gain", "Gain on the reference", "positive is better; interval at the task's level"),
    Column("verdict", "Verdict", "against the reference", text=True),
    Column("p", "p", "exact sign flips", low=True),
    Column("reference", "Reference", text=True),
    Column("score", "Normalised", "0 chance, 1 anchor"),
    Column("trust", "Trust", "and isolation", text=True),
    Column("command", "Command", text=True),
)

_RANGES = (
    Column("task", "Task", text=True),
    Column("rate", "Best learning rate", "median [quartiles], of the selected points"),
    Column("default", "Default", "learning rate"),
    Column("searched", "Searched", "range of learning rates"),
    Column("times", "Times", "the best of the task's reference"),
    Column("reference", "Reference", text=True),
    Column("n", "n", "repetitions"),
    Column("others", "Others", "median of the selected points (range)", text=True),
    Column("edge", "Selected near an end", "% of repetitions (by chance)", text=True),
)

_STANDING = (
    Column("family", "Family", text=True),
    Column("rank", "Rank", "interval, full budget"),
    Column("score", "Score", "0 chance, 1 anchor"),
    Column("tasks", "Tasks", "ranked on"),
    Column("behind", "Ranked", "methods"),
    Column("default_rank", "Rank", "interval, defaults"),
    Column("default_score", "Score", "defaults"),
)


_REPLAYED = (
    Column("task", "Task", text=True),
    Column("seeds", "Seeds", text=True),
    Column("trust", "Trust", text=True),
    Column("n", "Runs repeated", "by others"),
    Column("identical", "Bit for bit", "as recorded"),
    Column("difference", "Recorded minus repeated", "mean on other machines; + claims better"),
    Column("allowed", "Allowed", "size of that"),
    Column("tries", "Tries", "bundles of all versions"),
    Column("refused", "Refused", "of these"),
)


_COMPARED = (
    Column("with", "Held against", text=True),
    Column("found", "Found", text=True),
    Column("detail", "In numbers", "differences as a share of how far the weights move", text=True),
)
_FOUND = {"ok": "holds", "note": "see", "failed": "does not hold"}
"""Statuses of `assay parity` in words."""
_MEASURED = ("loss_scale", "base")
"""Comparisons that have no right or wrong result."""


@dataclass
class _Results:
    """What the board says of one method."""

    families: list[TableRow] = field(default_factory=list)
    """Its ranks in families."""
    tasks: list[TableRow] = field(default_factory=list)
    """Its results on tasks."""
    replays: list[TableRow] = field(default_factory=list)
    """What came of repeating its published runs, and how often it was tried."""
    ranges: list[TableRow] = field(default_factory=list)
    """Its best learning rates, and how often the ends of its ranges win."""
    claims: list[ClaimRow] = field(default_factory=list)
    flags: list[tuple[str, Flag]] = field(default_factory=list)
    """With the task."""
    withdrawn: list[tuple[str, str, Withdrawn]] = field(default_factory=list)
    """With the task and the mean in its unit."""
    former: list[tuple[str, str, Former]] = field(default_factory=list)
    """Likewise, of earlier rulesets."""


def method_pages(view: SiteView, site: SiteMap) -> dict[str, str]:
    """/method/<slug>/index.html of every method."""
    links = site.at("method/any")  # addresses are the same from every page of this depth
    found: defaultdict[str, _Results] = defaultdict(_Results)
    for table in view.board.tasks:
        form = Format(table.unit, table.margin)
        for row in table.rows:
            own = found[row.method]
            own.tasks.append(_task_row(table, row, links))
            if row.replay or row.tries:
                own.replays.append(_replay_row(table, row, links))
            own.flags += [(table.task, flag) for flag in row.flags]
        for past in table.withdrawn:
            mean = number(form, past.mean)
            found[past.method].withdrawn.append((table.task, mean, past))
        for old in table.former:
            found[old.method].former.append((table.task, number(form, old.mean), old))
    for task in view.translation.tasks:
        for ranges in task.methods:
            found[ranges.method].ranges.append(_range_row(task, ranges, links))
    for claim in view.ledger.rows:
        found[claim.method].claims.append(claim)
    for slug, line in _family_rows(view, links):
        found[slug].families.append(line)
    compared = {one.slug: _compared(one, view.parity.versions) for one in view.parity.methods}
    pages: dict[str, str] = {}
    for slug, card in view.methods.items():
        pages |= _method_page(
            site, slug, card, found[slug], view.data.get(slug), compared.get(slug)
        )
    return pages


def _compared(found: MethodParity, versions: Mapping[str, str]) -> Table:
    """What a method's optimizer was held against."""
    used = ", ".join(f"{name} {number}" for name, number in sorted(versions.items()))
    caption = Markup(
        "A few steps on a small smooth problem, in double precision, taken as in a run; with {}"
    ).format(said(used))
    rows = [
        TableRow(
            [
                TableCell(said(row.label)),
                TableCell(_found(row)),
                TableCell(said(row.detail), css="long"),
            ],
            css="dim" if row.status == "note" else "",
        )
        for row in found.rows
    ]
    return Table("parity", caption, _COMPARED, rows, live=False)


def _found(row: ParityLine) -> str:
    """What came of a comparison, in words."""
    if row.name in _MEASURED and row.status == "ok":
        return "measured"
    return _FOUND.get(row.status, said(row.status))


def _method_page(
    site: SiteMap,
    slug: str,
    card: SubmissionCard | None,
    found: _Results,
    data: SourceData | None,
    compared: Table | None,
) -> dict[str, str]:
    path = f"method/{slug}"
    families = Table("standing", "Ranks in families", _STANDING, found.families, live=False)
    caption = (
        "Task by task, at the full tuning budget: mean [95 % interval] and n repetitions. Gains: "
        "intervals at the level of all pairs of the task, which its page names, so that the "
        "verdict can be read off them"
    )
    tasks = Table("results", caption, _RESULTS, found.tasks)
    caption = "Published runs that others repeated, and how often the method was submitted"
    replays = Table("repeated", caption, _REPLAYED, found.replays, live=False)
    caption = "Where its best points lie, from all runs at the full tuning budget"
    ranges = Table("ranges", caption, _RANGES, found.ranges)
    return page(
        site,
        path,
        "method.html",
        slug=slug,
        card=card,
        standing=families if found.families else None,
        results=tasks if found.tasks else None,
        ranges=ranges if found.ranges else None,
        coarse=COARSE,
        replays=replays if found.replays else None,
        data=data,
        limits=LIMITS,
        compared=compared,
        claims=claims_table(found.claims, site.at(path)),
        flags=found.flags,
        withdrawn=found.withdrawn,
        former=found.former,
        other_draws=OTHER_DRAWS,
    )


def _family_rows(view: SiteView, links: PageLinks) -> Iterator[tuple[str, TableRow]]:
    """(method, row) for each family in which a method has results, tuned and by its defaults."""
    defaults = {
        table.name: {row.method: row for row in table.rows}
        for table in view.budgets
        if table.k == 1
    }
    for summary in filter(None, (*view.board.families, view.board.overall)):
        untuned = defaults.get(summary.name, {})
        family = TableCell(link(links.family(summary.name), human(summary.name)))
        n_ranked = TableCell(str(sum(row.rank is not None for row in summary.rows)))
        for row in summary.rows:
            if row.rank or (row.lacks and row.n_tasks):
                own = untuned.get(row.method)
                cells = [*_rank_and_score(row), _tasks_cell(row), n_ranked]
                cells += _rank_and_score(own) if own else [EMPTY, EMPTY]
                yield row.method, TableRow([family, *cells])


def _tasks_cell(row: SummaryRow) -> TableCell:
    """On how many tasks a method has results, and which it must have to be ranked."""
    text = f"{row.n_tasks} of {row.of_tasks}"
    if row.lacks:
        lacking = ", ".join(row.lacks) if len(row.lacks) <= SHOWN else f"{len(row.lacks)} tasks"
        text += f"; not ranked without {lacking}"
    return TableCell(text)


def _rank_and_score(row: SummaryRow | BudgetRow) -> list[TableCell]:
    return [rank_cell(row.rank), TableCell(span(NORMALISED, row.score, row.interval), row.score)]


def _task_row(table: TaskTable, row: Row, links: PageLinks) -> TableRow:
    """The row of a task in the table of a method."""
    form = Format(table.unit, table.margin)
    name = link(links.task(table.task), table.task)
    score = split_words(table.family).scored(table.metric)
    unit = ", ".join(part for part in (score, form.unit, direction(table)) if part)
    cells = [
        TableCell(name + Markup(" <small>{}</small>").format(unit)),
        rank_cell(row.rank),
        sample_cell(links, table.task, row.method, row.tuned, form),
        sample_cell(links, table.task, row.method, row.defaults, form),
        *gain_cells(row.versus_reference, verdict_word(row), form),
        TableCell(table.reference),
        TableCell(number(NORMALISED, row.score), row.score),
        TableCell(f"{row.trust} {row.isolation or ''}".strip()),
        command_cell(row.method, table.task),
    ]
    values = {"family": table.family, "tier": table.tier, "trust": row.trust}
    return TableRow(cells, values, "" if row.state == "ranked" else "dim")


def _range_row(task: TaskRanges, row: MethodRanges, links: PageLinks) -> TableRow:
    """Where its best points lie on a task."""
    best, ratio = rate_cells(row)
    rate = row.ranges[row.lr] if row.lr else None
    others = [name for name in row.ranges if name != row.lr]
    n = max(use.n for use in row.ranges.values())
    cells = [
        TableCell(link(links.task(task.task), task.task)),
        best,
        TableCell(two_digits(rate.default), rate.default) if rate else EMPTY,
        TableCell(_ends(rate), rate.low) if rate else EMPTY,
        ratio,
        TableCell(task.reference),
        TableCell(str(n), n),
        TableCell(", ".join(_median(name, row.ranges[name]) for name in others) or NONE),
        ends_cell(row.ranges),
    ]
    return TableRow(cells, {"family": task.family})


def _median(name: str, use: RangeUse) -> str:
    return f"{name} {two_digits(use.median)} ({_ends(use)})"


def _ends(use: RangeUse) -> str:
    """The range of a hyperparameter."""
    return f"{two_digits(use.low)} to {two_digits(use.high)}"


def _replay_row(table: TaskTable, row: Row, links: PageLinks) -> TableRow:
    """What came of repeating the published runs on a task, and how often the method was tried."""
    form, found = Format(table.unit, table.margin), row.replay
    cells = [EMPTY] * 4
    if found:
        mean, allowed = found.mean_difference, found.allowed
        cells = [
            TableCell(
                link(f"{links.runs(table.task, row.method)}#repeated", str(found.n)), found.n
            ),
            TableCell(str(found.identical), found.identical),
            TableCell(number(form, mean, "+"), mean),
            TableCell(NONE if allowed is None else margin_text(form, allowed), allowed),
        ]
    return TableRow(
        [
            TableCell(link(links.task(table.task), table.task)),
            TableCell(f"hidden, epoch {row.epoch}" if row.epoch else "public"),
            TableCell(row.trust),
            *cells,
            TableCell(str(row.tries), row.tries),
            TableCell(str(row.refused), row.refused),
        ]
    )


def method_index_page(view: SiteView, site: SiteMap) -> dict[str, str]:
    """/method/index.html."""
    table = _index(view, site.at("method"))
    return page(site, "method", "methods.html", table=table, notices=notices(view.board.tasks))


def _index(view: SiteView, links: PageLinks) -> Table:
    families = view.board.families
    columns = [
        Column("method", "Method", text=True),
        *(Column(s.name, human(s.name), "rank, full budget", low=True) for s in families),
        Column("tasks", "Tasks", "with results"),
        Column("track", "Track", text=True),
        Column("year", "Year"),
        Column("access", "Access", "beyond inputs and labels", text=True),
        Column("families", "Enters", text=True),
    ]
    ranks = {summary.name: {row.method: row.rank for row in summary.rows} for summary in families}
    n_tasks = Counter(row.method for table in view.board.tasks for row in table.rows)
    rows = []
    for slug, card in sorted(view.methods.items()):
        head, *about = _card_cells(links, slug, card)
        cells = [head, *(rank_cell(ranks[summary.name].get(slug)) for summary in families)]
        cells += [TableCell(str(n_tasks[slug]), n_tasks[slug]), *about]
        entered = " ".join(card.families) if card else "unknown"
        css = "" if n_tasks[slug] else "dim"
        rows.append(TableRow(cells, {**facets(card), "family": entered}, css))
    return Table("methods", "All methods", columns, rows)


def _card_cells(links: PageLinks, slug: str, card: SubmissionCard | None) -> list[TableCell]:
    """The name of a method, then its track, year, access and families."""
    head = method_cell(links, slug)
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
