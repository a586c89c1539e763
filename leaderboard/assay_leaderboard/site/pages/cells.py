"""Cells and words that the tables of several pages share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from assay.cards import SubmissionCard
from markupsafe import Markup, escape

from assay_leaderboard.evidence.cells import run_command
from assay_leaderboard.format import Format, two_digits
from assay_leaderboard.schema.board import Row, Sample, TaskTable
from assay_leaderboard.schema.task_details import RangeUse
from assay_leaderboard.schema.translation import MethodRanges
from assay_leaderboard.schema.values import Comparison, Interval
from assay_leaderboard.site.html.links import PageLinks
from assay_leaderboard.site.html.table import TableCell
from assay_leaderboard.site.html.text import (
    NONE,
    link,
    minus,
    p_text,
    rank_text,
    said,
    span,
    verdict,
)

EMPTY = TableCell(NONE)
SHOWN = 3
"""Most methods and tasks that are named; the others are counted."""


def direction(table: TaskTable) -> str:
    """Which scores of the task are good, in words."""
    return "higher is better" if table.direction == "maximize" else "lower is better"


def method_cell(links: PageLinks, slug: str, row: Row | None = None) -> TableCell:
    """The header of a row: a link to the method, with the tags of its row on a task."""
    name = link(links.method(slug), slug)
    return TableCell(Markup(f"{name}{_marks(row)}") if row else name)


def _marks(row: Row) -> str:
    words = ["reference"] if row.is_reference else []
    words += ["local"] if row.local or row.trust == "T0" else []
    words += [row.state] if row.state != "ranked" else []
    words += ["flagged"] if row.flags else []
    return "".join([f' <span class="tag {word}">{word}</span>' for word in words])


def rank_cell(rank: tuple[int, int] | None) -> TableCell:
    """A rank interval, sorted by its first rank."""
    return TableCell(rank_text(rank), rank[0] if rank else None)


def facets(card: SubmissionCard | None) -> dict[str, str]:
    """The filter values of a method's rows that come from its card."""
    if card is None:
        return {"track": "unknown", "access": "unknown"}
    return {"track": card.track, "access": " ".join(card.access) or "none"}


def linked(address: str, content: str | Markup) -> Markup:
    """A number with a link to the runs behind it."""
    return Markup(f'<a class="q" href="{escape(address)}">{escape(content)}</a>')


def mean_cell(
    links: PageLinks,
    cell: tuple[str, str],
    value: float,
    interval: Interval | None,
    form: Format,
) -> TableCell:
    """A mean score with its interval and a link to the runs; `cell` is (task, method)."""
    return TableCell(linked(links.runs(*cell), span(form, value, interval)), value)


def sample_cell(
    links: PageLinks, task: str, method: str, sample: Sample, form: Format
) -> TableCell:
    """Mean, interval and n, with a link to the runs."""
    if sample.mean is None:
        return EMPTY
    text = span(form, sample.mean, sample.interval)
    mean = linked(links.runs(task, method), text)
    return TableCell(Markup(f'{mean} <span class="of">n={sample.n}</span>'), sample.mean)


def gain_cells(versus: Comparison | None, word: str, form: Format) -> list[TableCell]:
    """Difference from the reference with its interval, verdict, and p."""
    if versus is None:
        return [EMPTY, TableCell(verdict(word)), EMPTY]
    difference = span(form, versus.difference, versus.interval, "+")
    return [
        TableCell(difference, versus.difference),
        TableCell(verdict(word)),
        TableCell(p_text(versus.p), versus.p),
    ]


def margin_text(form: Format, value: float) -> str:
    """A half-width with its sign: "±0.8"."""
    return "\N{PLUS-MINUS SIGN}" + minus(form.number(value))


def command_cell(method: str, task: str) -> TableCell:
    """The command that makes the records of a row."""
    return TableCell(Markup(f"<code>{escape(run_command(method, task))}</code>"))


def first_names(names: Sequence[str]) -> str:
    """The first few names and how many more there are."""
    if not names:
        return NONE
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def rate_cells(row: MethodRanges | None) -> list[TableCell]:
    """The best learning rate with its quartiles, and how many times the reference's it is."""
    if row is None or row.lr is None:
        return [EMPTY, EMPTY]
    best = row.ranges[row.lr]
    quartiles = f"[{two_digits(best.lower_quartile)}, {two_digits(best.upper_quartile)}]"
    text = Markup('{} <span class="i">{}</span>').format(two_digits(best.median), quartiles)
    return [TableCell(text, best.median), TableCell(times(row.ratio), row.ratio)]


def times(ratio: float | None) -> str:
    """A factor: "×0.17"."""
    return NONE if ratio is None else f"\N{MULTIPLICATION SIGN}{two_digits(ratio)}"


def ends_cell(ranges: Mapping[str, RangeUse]) -> TableCell:
    """How often each range's ends are selected, in percent, and how often chance would select them.

    The most often first; what is flagged has a tag that names the end.
    """
    parts = []
    for name, use in sorted(ranges.items(), key=lambda item: -item[1].at_edge):
        shares = f"{100 * use.at_edge:.0f} ({100 * use.by_chance:.0f})"
        text = Markup("{} {}").format(said(name), shares)
        parts.append(text + edge_tag(use.at_low, use.at_high) if use.flagged else text)
    return TableCell(Markup(", ").join(parts) if parts else NONE)


def edge_tag(at_low: int, at_high: int) -> Markup:
    """The tag of a flagged range: which of its ends wins the most often."""
    end = "lower end" if at_low > at_high else "upper end" if at_high > at_low else "both ends"
    return Markup(' <span class="tag edge">{}</span>').format(end)
