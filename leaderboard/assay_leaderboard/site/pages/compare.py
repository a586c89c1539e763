"""The page of comparisons, and the script with the data of each method that it loads.

The scripts hold finished texts; static/compare.js only lays them side by side. What they say of one
task or family is made with that task or family, as JSON by method (`task_entries`,
`family_entries`), and put together at the end (`compare_scripts`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from assay_leaderboard.boards.task_comparisons import mirrored
from assay_leaderboard.format import NORMALISED, OTHER_DRAWS, Format, seeds_text, split_words
from assay_leaderboard.schema.board import FamilySummary, Improvement, Row, TaskTable
from assay_leaderboard.schema.task_details import Pair
from assay_leaderboard.schema.values import Comparison, Interval
from assay_leaderboard.site.html.links import DATA, SiteMap
from assay_leaderboard.site.html.templates import human, page
from assay_leaderboard.site.html.text import MARKS, NONE, minus, p_text, rank_text
from assay_leaderboard.site.pages.cells import direction
from assay_leaderboard.site.pages.notices import notices
from assay_leaderboard.site.views import SiteView

MOST = 4
"""Methods that can be compared at once."""


def compare_page(view: SiteView, site: SiteMap) -> dict[str, str]:
    """/compare/index.html."""
    return page(
        site,
        "compare",
        "compare.html",
        marks=json.dumps(MARKS),
        methods=_compared(view),
        most=MOST,
        notices=notices(view.board.tasks),
        other_draws=OTHER_DRAWS,
    )


def _compared(view: SiteView) -> list[str]:
    """Methods with a ranked row."""
    rows = [row for table in view.board.tasks for row in table.rows]
    return sorted({row.method for row in rows if row.state == "ranked"})


def compare_scripts(
    view: SiteView,
    tasks: Mapping[str, Mapping[str, str]],
    families: Mapping[str, Mapping[str, str]],
) -> Iterator[tuple[str, str]]:
    """(path, script) of each method; the scripts call assayCompare(slug, data).

    data: {"tasks": {slug: {title, family, unit, text, rank, vs: {other: [verdict, difference, p,
    n, wins]}}}, "families": {name: {title, text, rank, vs: {other: [win count]}}}}.

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


def task_entries(table: TaskTable, pairs: Sequence[Pair]) -> dict[str, str]:
    """The data of one task: JSON by ranked method."""
    form = Format(table.unit, table.margin)
    entries = {
        row.method: _standing(table, row, form) for row in table.rows if row.state == "ranked"
    }
    for pair in pairs:
        if pair.a in entries and pair.b in entries:
            entries[pair.a]["vs"][pair.b] = _versus(form, pair.comparison)
            entries[pair.b]["vs"][pair.a] = _versus(form, mirrored(pair.comparison))
    return {method: _json(entry) for method, entry in entries.items()}


def family_entries(summary: FamilySummary) -> dict[str, str]:
    """The data of one family: JSON by ranked method."""
    entries: dict[str, dict[str, Any]] = {
        row.method: {
            "title": human(summary.name),
            "text": _span(NORMALISED, row.score, row.interval)
            + f" n={row.n}, {row.n_tasks} of {row.of_tasks} tasks",
            "rank": rank_text(row.rank),
            "vs": {},
        }
        for row in summary.rows
        if row.rank
    }
    for pair in summary.improvements:
        if pair.a in entries and pair.b in entries:
            entries[pair.a]["vs"][pair.b], entries[pair.b]["vs"][pair.a] = _wins(pair)
    return {method: _json(entry) for method, entry in entries.items()}


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def _standing(table: TaskTable, row: Row, form: Format) -> dict[str, Any]:
    """The entry of a method on a task, not yet compared with any other."""
    score = split_words(table.family).scored(table.metric)
    seeds = seeds_text(table.seeds) if table.seeds.epoch else ""
    return {
        "title": table.task,
        "family": human(table.family),
        "unit": ", ".join(part for part in (score, form.unit, direction(table), seeds) if part),
        "text": _span(form, row.tuned.mean, row.tuned.interval) + f" n={row.tuned.n}",
        "rank": rank_text(row.rank),
        "vs": {},
    }


def _span(form: Format, value: float | None, interval: Interval | None) -> str:
    return NONE if value is None else minus(form.span(value, interval))


def _versus(form: Format, found: Comparison) -> list[Any]:
    """How the first of a pair does against the second: verdict, difference, p, n, share of wins."""
    difference = minus(form.span(found.difference, found.interval, "+"))
    wins = f"{found.superiority:.2f}"
    return [found.verdict or NONE, difference, p_text(found.p), found.n, wins]


def _wins(pair: Improvement) -> tuple[list[str], list[str]]:
    """The win count of either method: a share with its interval, no verdict."""
    share = pair.probability
    if pair.interval is None:
        return [f"{share:.2f}"], [f"{1 - share:.2f}"]
    low, high = pair.interval.low, pair.interval.high
    return (
        [f"{share:.2f} [{low:.2f}, {high:.2f}]"],
        [f"{1 - share:.2f} [{1 - high:.2f}, {1 - low:.2f}]"],
    )
