"""/compare/: the page, and the script of each method that it loads.

The scripts carry finished text: what is better than what, and by how much, is decided here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from assay_leaderboard.format import NORMALISED, Format
from assay_leaderboard.schema.board import FamilySummary, Improvement, Row, TaskTable
from assay_leaderboard.schema.task_details import Pair
from assay_leaderboard.schema.values import Interval
from assay_leaderboard.site.html.links import DATA, Links
from assay_leaderboard.site.html.templates import human, page
from assay_leaderboard.site.html.text import NONE, minus, p_text, rank_text
from assay_leaderboard.site.views import SiteView

OPPOSITE = {"better": "worse", "worse": "better"}
_MINUS, _NO_P = (json.dumps(text)[1:-1] for text in (minus("-"), NONE))
MOST = 4
"""Methods that can be compared at once."""


def compare_page(view: SiteView, links: Links) -> dict[str, str]:
    """/compare/index.html."""
    return page(links, "compare", "compare.html", methods=_compared(view), most=MOST)


def _compared(view: SiteView) -> list[str]:
    """Methods with a ranked row."""
    rows = [row for table in view.board.tasks for row in table.rows]
    return sorted({row.method for row in rows if row.state == "ranked"})


def compare_data(
    view: SiteView,
    tasks: Mapping[str, Mapping[str, str]],
    families: Mapping[str, Mapping[str, str]],
) -> Iterator[tuple[str, str]]:
    """(path, script) of each method; the scripts call assayCompare(slug, data).

    data: {"tasks": {slug: {title, family, unit, text, rank, vs: {other: [verdict, difference, p,
    n, wins]}}}, "families": {name: {title, text, rank, vs: {other: [verdict,
    probability]}}}}.

    Args:
        view: the site.
        tasks: what task_entries says of each task, by slug.
        families: what family_entries says of each family, and of "overall", by name.
    """
    for method in _compared(view):
        data = f'{{"tasks":{_of(method, tasks)},"families":{_of(method, families)}}}'
        yield f"{DATA}/compare/{method}.js", f"assayCompare({json.dumps(method)},{data});\n"


def _of(method: str, entries: Mapping[str, Mapping[str, str]]) -> str:
    """What each entry says of a method, as one JSON object."""
    own = (f"{json.dumps(k)}:{found[method]}" for k, found in entries.items() if method in found)
    return f"{{{','.join(own)}}}"


def family_entries(summary: FamilySummary) -> dict[str, str]:
    """What compare_data needs of one family: an entry per ranked method, as JSON."""
    return {method: _compact(entry) for method, entry in _family_entries(summary).items()}


def task_entries(table: TaskTable, pairs: Sequence[Pair]) -> dict[str, str]:
    """What compare_data needs of one task: an entry per ranked method, as JSON."""
    form = Format(table.unit, table.margin)
    versus: dict[str, list[str]] = {row.method: [] for row in table.rows if row.state == "ranked"}
    keys = {method: json.dumps(method) for method in versus}
    for pair in pairs:
        if pair.a in versus and pair.b in versus:
            one, other = _versus(form, pair)
            versus[pair.a].append(f"{keys[pair.b]}:{one}")
            versus[pair.b].append(f"{keys[pair.a]}:{other}")
    entries = {}
    for row in table.rows:
        if row.method in versus:
            standing = _compact(_standing(table, row, form)).removesuffix("}")
            entries[row.method] = f'{standing},"vs":{{{",".join(versus[row.method])}}}}}'
    return entries


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def _standing(table: TaskTable, row: Row, form: Format) -> dict[str, str]:
    """What an entry says beside how its method fares against others."""
    better = "higher is better" if table.direction == "maximize" else "lower is better"
    return {
        "title": table.task,
        "family": human(table.family),
        "unit": f"{human(table.metric)}, {form.unit}, {better}",
        "text": _span(form, row.tuned.mean, row.tuned.interval) + f" n={row.tuned.n}",
        "rank": rank_text(row.rank),
    }


def _span(form: Format, value: float | None, interval: Interval | None) -> str:
    return NONE if value is None else minus(form.span(value, interval))


def _versus(form: Format, pair: Pair) -> tuple[str, str]:
    """Of `a` against `b` and the other way round, as JSON: words and numbers, none to escape."""
    one, other = _both_ways(form, pair.difference)
    if pair.interval:
        low, least = _both_ways(form, pair.interval.low)
        high, most = _both_ways(form, pair.interval.high)
        one, other = f"{one} [{low}, {high}]", f"{other} [{most}, {least}]"
    p = _NO_P if pair.p is None else p_text(pair.p)
    word, n, wins = pair.verdict, pair.n, pair.superiority
    return (
        f'["{word}","{one}","{p}",{n},"{wins:.2f}"]',
        f'["{OPPOSITE.get(word, word)}","{other}","{p}",{n},"{1 - wins:.2f}"]',
    )


def _both_ways(form: Format, value: float) -> tuple[str, str]:
    """A signed number and its opposite, with minus signs as JSON has them."""
    text = form.number(value, "+")
    plus, less = "+" + text[1:], _MINUS + text[1:]
    return (plus, less) if text[0] == "+" else (less, plus)


def _family_entries(summary: FamilySummary) -> dict[str, dict[str, Any]]:
    entries: dict[str, dict[str, Any]] = {
        row.method: {
            "title": human(summary.name),
            "text": _span(NORMALISED, row.iqm, row.iqm_interval) + f" n={row.n}",
            "rank": rank_text(row.rank),
            "vs": {},
        }
        for row in summary.rows
        if row.rank
    }
    for pair in summary.improvements:
        if pair.a in entries and pair.b in entries:
            entries[pair.a]["vs"][pair.b], entries[pair.b]["vs"][pair.a] = _wins(pair)
    return entries


def _wins(pair: Improvement) -> tuple[list[str], list[str]]:
    """How often a run of either beats one of the other, and whether that is more than chance."""
    share = pair.probability
    if pair.interval is None:
        return ["undecided", f"{share:.2f}"], ["undecided", f"{1 - share:.2f}"]
    low, high = pair.interval.low, pair.interval.high
    word = "better" if low > 0.5 else "worse" if high < 0.5 else "undecided"
    return (
        [word, f"{share:.2f} [{low:.2f}, {high:.2f}]"],
        [OPPOSITE.get(word, word), f"{1 - share:.2f} [{1 - high:.2f}, {1 - low:.2f}]"],
    )
