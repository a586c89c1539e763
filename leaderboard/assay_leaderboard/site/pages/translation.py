"""The page of best learning rates beside the reference's, and of ranges whose ends win."""

from __future__ import annotations

from collections.abc import Sequence

from assay.cards import FAMILIES, Family
from markupsafe import Markup

from assay_leaderboard.format import COARSE, OTHER_DRAWS, two_digits
from assay_leaderboard.schema.translation import (
    FamilyRatio,
    MethodRanges,
    PooledRange,
    TaskRanges,
    Translation,
)
from assay_leaderboard.site.html.links import PageLinks, SiteMap
from assay_leaderboard.site.html.table import Column, Table, TableCell, TableRow
from assay_leaderboard.site.html.templates import human, page
from assay_leaderboard.site.html.text import link, said
from assay_leaderboard.site.pages.cells import (
    EMPTY,
    edge_tag,
    first_names,
    linked,
    method_cell,
    times,
)
from assay_leaderboard.site.pages.notices import notices
from assay_leaderboard.site.views import SiteView

_POOLED = (
    Column("method", "Method", text=True),
    Column("name", "Hyperparameter", text=True),
    Column("excess", "Near an end", "beyond chance, % of repetitions"),
    Column("range", "Range", text=True),
    Column("low", "Lower end", "%"),
    Column("high", "Upper end", "%"),
    Column("chance", "By chance", "%, both ends", low=True),
    Column("n", "n", "repetitions of all tasks"),
    Column("apart", "Points apart", "a factor, or a length"),
    Column("tasks", "Tasks", text=True),
    Column("flagged", "Flagged alone by", "tasks", text=True),
)


def translation_page(view: SiteView, site: SiteMap) -> dict[str, str]:
    """/translation/index.html."""
    found, links = view.translation, site.at("translation")
    families = [
        (family, _family_table(family, found, links))
        for family in FAMILIES
        if any(row.lr for task in found.tasks if task.family == family for row in task.methods)
    ]
    caption = "Every range over all tasks that share it, the largest excess over chance first"
    csv = links.data("translation.csv")
    rows = [_pooled_row(row, links) for row in found.pooled]
    pooled = Table("pooled", caption, _POOLED, rows, csv=csv)
    return page(
        site,
        "translation",
        "translation.html",
        found=found,
        families=families,
        pooled=pooled if found.pooled else None,
        n_pooled=sum(row.flagged for row in found.pooled),
        coarse=COARSE,
        other_draws=OTHER_DRAWS,
        notices=notices(view.board.tasks),
    )


def _family_table(family: Family, found: Translation, links: PageLinks) -> Table:
    """Methods by tasks: best learning rates, and what to multiply the reference's by."""
    tasks = [task for task in found.tasks if task.family == family]
    columns = [
        Column("method", "Method", text=True),
        Column("times", "Times the reference's", "median over tasks [least, most]"),
        Column("over", "Tasks", "of these"),
        *(Column(task.task, task.task, f"times the best of {task.reference}") for task in tasks),
    ]
    ratios = {row.method: row for row in found.families if row.family == family}
    rates = [{row.method: row for row in task.methods if row.lr} for task in tasks]
    rows = [
        TableRow(
            [
                method_cell(links, method),
                *_ratio_cells(ratios.get(method)),
                *(
                    _rate_cell(task, own.get(method), links)
                    for task, own in zip(tasks, rates, strict=True)
                ),
            ]
        )
        for method in sorted({method for own in rates for method in own})
    ]
    caption = (
        f"{human(family)}: median best learning rate over the repetitions of each task, and how "
        "many times the reference's it is"
    )
    return Table(f"{family}_rates", caption, columns, rows)


def _ratio_cells(found: FamilyRatio | None) -> list[TableCell]:
    if found is None:
        return [EMPTY, EMPTY]
    ends = f"[{two_digits(found.low)}, {two_digits(found.high)}]"
    text = Markup('{} <span class="i">{}</span>').format(times(found.ratio), ends)
    return [TableCell(text, found.ratio), TableCell(str(found.n_tasks), found.n_tasks)]


def _rate_cell(task: TaskRanges, row: MethodRanges | None, links: PageLinks) -> TableCell:
    """The median best learning rate, linked to its runs, and the factor."""
    if row is None or row.lr is None:
        return EMPTY
    best = row.ranges[row.lr].median
    number = linked(links.runs(task.task, row.method), two_digits(best))
    word = "reference" if row.method == task.reference else times(row.ratio)
    return TableCell(Markup('{} <span class="i">{}</span>').format(number, word), best)


def _pooled_row(row: PooledRange, links: PageLinks) -> TableRow:
    scale = " log" if row.log else ""
    excess: str | Markup = f"{100 * row.excess:+.0f}".replace("-", "\N{MINUS SIGN}")
    if row.flagged:
        excess = Markup("{}{}").format(excess, edge_tag(row.at_low, row.at_high))
    shares = (row.at_low / row.n, row.at_high / row.n, row.by_chance)
    return TableRow(
        [
            method_cell(links, row.method),
            TableCell(said(row.hyperparameter)),
            TableCell(excess, row.excess),
            TableCell(f"{two_digits(row.low)} to {two_digits(row.high)}{scale}", row.low),
            *(TableCell(f"{100 * share:.0f}", share) for share in shares),
            TableCell(str(row.n), row.n),
            _apart(row),
            TableCell(_names(row.tasks, links)),
            TableCell(_names(row.flagged_tasks, links)),
        ]
    )


def _apart(row: PooledRange) -> TableCell:
    """How far K points that fill the range evenly lie apart: how coarse the best of them is."""
    if row.log:
        factor = (row.high / row.low) ** (1 / row.k)
        return TableCell(times(factor), factor)
    length = (row.high - row.low) / row.k
    return TableCell(two_digits(length), length)


def _names(tasks: Sequence[str], links: PageLinks) -> Markup | str:
    """The task where it is one, with a link; else the first few, and how many more."""
    return link(links.task(tasks[0]), tasks[0]) if len(tasks) == 1 else first_names(tasks)
