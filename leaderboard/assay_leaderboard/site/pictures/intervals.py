"""A row per method along one axis of scores: intervals, and all runs of a cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median

from markupsafe import Markup

from assay_leaderboard.format import OTHER_DRAWS, rank_text
from assay_leaderboard.schema.task_details import Sensitivity, TrialPoint
from assay_leaderboard.schema.values import Interval
from assay_leaderboard.site.pictures import svg
from assay_leaderboard.site.pictures.axes import Axis
from assay_leaderboard.site.pictures.frame import (
    WIDTH,
    Measure,
    PictureTable,
    Plot,
    Words,
    absent,
    figure,
    horizontal,
    names_width,
    repetitions,
)

_NAME = 22
_ROW = 17.0
_TOP = 8.0


@dataclass(frozen=True)
class Estimate:
    """One row: an estimate with its interval."""

    name: str
    value: float
    interval: Interval | None
    n: int
    rank: tuple[int, int] | None = None
    """Rows with the same first number are a tie group; None: not ranked."""


def intervals(
    key: str,
    estimates: Sequence[Estimate],
    measure: Measure,
    statistic: str,
    reference: str | None = None,
) -> Markup:
    """A dot and an interval for each of `estimates`, in their order; a rule between tie groups.

    Args:
        key: root of the ids, once on a page.
        estimates: the rows, from top to bottom.
        measure: of the values.
        statistic: what the dots are, for example "Mean over the repetitions".
        reference: name of the row whose value is drawn as a line, with the margin around it.
    """
    if not estimates:
        return absent("No intervals: no method has a score.")
    anchor = next((one.value for one in estimates if one.name == reference), None)
    zone = [] if anchor is None else [anchor - measure.margin, anchor + measure.margin]
    known = [one.interval for one in estimates if one.interval]
    values = [one.value for one in estimates] + [v for i in known for v in (i.low, i.high)]
    axis = measure.axis(values + _worth_showing(zone, values))
    plot = _rows(axis, [one.name for one in estimates])
    parts = [_zone(plot, zone), _grid(plot)]
    for index, one in enumerate(estimates):
        parts.append(_estimate(plot, estimates, index))
        parts.append(svg.name((26, _centre(index) + 4), one.name, _NAME, _weight(one, reference)))
    if anchor is not None:
        x = plot.across(anchor)
        parts.append(svg.line((x, plot.top), (x, plot.bottom), "reference"))
    parts.append(horizontal(plot, plot.bottom))
    found = measure.format
    best = estimates[0]
    about = f" The line is {reference}, the grey zone its margin of " if anchor is not None else ""
    words = Words(
        f"{statistic}: {measure.scored}",
        f"{len(estimates)} methods, those that rank from best to worst. First: {best.name} "
        f"{found.span(best.value, best.interval)}.",
        f"{statistic} of the {measure.scored} (dot) and its {measure.percent} interval, "
        f"{repetitions(one.n for one in estimates)}; rules separate tie groups, the number on the "
        f"left is the group's first rank. Each interval is of one method alone; whether two "
        f"differ is in the table. {OTHER_DRAWS}"
        + (f"{about}{found.number(measure.margin)} {found.unit}".rstrip() + "." if about else ""),
    )
    rows = [
        [one.name, rank_text(one.rank), found.span(one.value, one.interval), str(one.n)]
        for one in estimates
    ]
    table = PictureTable(["method", "rank", measure.column, "n"], rows)
    return figure(key, "intervals", words, plot.height, "".join(parts), table)


def sensitivity_strip(key: str, cells: Mapping[str, Sensitivity], measure: Measure) -> Markup:
    """Each run of a cell as a tick along its validation score; a row per method.

    Args:
        key: root of the ids, once on a page.
        cells: by method; point 0 is the defaults.
        measure: of the scores.
    """
    full = {name: _scored(found) for name, found in cells.items()}
    full = {name: runs for name, runs in full.items() if runs}
    if not full:
        return absent("No sensitivity strip: no run has a score.")
    axis = measure.axis([t.val for runs in full.values() for t in runs], measure.validation)
    plot = _rows(axis, list(full))
    parts = [_grid(plot)]
    for index, (name, runs) in enumerate(full.items()):
        parts.append(svg.name((4, _centre(index) + 4), name, _NAME))
        parts.append(_strip(plot, runs, _centre(index)))
    parts.append(horizontal(plot, plot.bottom))
    n = sum(len(cells[name].trials) for name in full)
    words = Words(
        f"Sensitivity to hyperparameters: {measure.validation} {measure.name}",
        f"One tick for each of {n} runs of {len(full)} methods.",
        f"{measure.validation.capitalize()} {measure.name} of every run at every hyperparameter "
        f"point (n = {n}): a tick each, a diamond for the mean of the defaults, a dot for the mean "
        "of the selected points. Runs without a score are only counted among the numbers.",
    )
    rows = [[name, *_texts(cells[name].trials, measure)] for name in full]
    title = f"{measure.validation} {measure.title}"
    columns = ["method", f"defaults: {title}", "selected", "lowest", "median", "highest", "n",
               "without a score"]  # fmt: skip
    return figure(
        key, "sensitivity", words, plot.height, "".join(parts), PictureTable(columns, rows)
    )


def _rows(axis: Axis, names: Sequence[str]) -> Plot:
    """Room for a row for each of `names`, which stand on the left."""
    left = min(34 + names_width(names, _NAME), WIDTH / 2.2)
    bottom = _TOP + _ROW * len(names) + 4
    # The rows are the vertical axis; nothing is placed along a scale there.
    return Plot(axis, Axis("", 0, 1, [], []), left, WIDTH - 14, _TOP, bottom)


def _centre(index: int) -> float:
    return _TOP + _ROW * (index + 0.5)


def _grid(plot: Plot) -> str:
    return "".join(
        svg.line((plot.across(tick), plot.top), (plot.across(tick), plot.bottom), "grid")
        for tick in plot.x.ticks
    )


def _zone(plot: Plot, zone: Sequence[float]) -> str:
    """The margin around the reference, as far as it is on the axis."""
    if not zone:
        return ""
    low, high = (min(plot.right, max(plot.left, plot.across(value))) for value in zone)
    return svg.rectangle(low, plot.top, high - low, plot.bottom - plot.top, "margin")


def _worth_showing(zone: Sequence[float], values: Sequence[float]) -> list[float]:
    """The zone, unless it would dwarf what is compared or is off a logarithmic axis."""
    wide = bool(zone) and zone[1] - zone[0] > 2 * (max(values) - min(values))
    return [] if wide or (zone and zone[0] <= 0 < min(values)) else list(zone)


def _estimate(plot: Plot, estimates: Sequence[Estimate], index: int) -> str:
    """The dot and interval of one row, and what stands before a tie group."""
    one, y = estimates[index], _centre(index)
    parts = []
    before = estimates[index - 1].rank if index else None
    if one.rank and (not before or before[0] != one.rank[0]):
        parts.append(svg.text((18, y + 4), str(one.rank[0]), "tick", "end"))
        if index:
            rule = y - _ROW / 2
            parts.append(svg.line((0, rule), (plot.right, rule), "rule"))
    if one.interval:
        low, high = plot.across(one.interval.low), plot.across(one.interval.high)
        parts.append(svg.line((low, y), (high, y), "bar s0"))
    style = "dot" if one.interval else "dot open"
    parts.append(svg.dot((plot.across(one.value), y), 3, style))
    return "".join(parts)


def _weight(one: Estimate, reference: str | None) -> str:
    return "strong" if one.name == reference else ""


def _scored(found: Sensitivity) -> list[TrialPoint]:
    return [trial for trial in found.trials if trial.status == "completed"]


def _strip(plot: Plot, runs: Sequence[TrialPoint], y: float) -> str:
    """A tick for each run; the means of the defaults and of the selected points on top of it."""
    parts = [svg.ticks([plot.across(t.val) for t in runs], y, 5, "trial")]
    if (defaults := _mean([t for t in runs if t.point == 0])) is not None:
        parts.append(svg.markers([(plot.across(defaults), y)], 3, 4.2, "mark open"))
    if (selected := _mean([t for t in runs if t.selected])) is not None:
        parts.append(svg.dot((plot.across(selected), y), 2.6, "dot"))
    return "".join(parts)


def _mean(runs: Sequence[TrialPoint]) -> float | None:
    return fmean(t.val for t in runs) if runs else None


def _texts(runs: Sequence[TrialPoint], measure: Measure) -> list[str]:
    """Means of the defaults and the selected points, the spread of all runs, and counts."""
    scored = [t for t in runs if t.status == "completed"]
    values = sorted(t.val for t in scored)
    found = [
        _mean([t for t in scored if t.point == 0]),
        _mean([t for t in scored if t.selected]),
        values[0],
        median(values),
        values[-1],
    ]
    texts = [measure.format.number(value) for value in found]
    return [*texts, str(len(values)), str(len(runs) - len(values))]
