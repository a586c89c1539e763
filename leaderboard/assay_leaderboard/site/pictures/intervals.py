"""A row per method along one axis of scores: intervals, and the trials of a tuning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from assay_leaderboard.format import Format, rank_text
from assay_leaderboard.schema.task_details import Sensitivity, TrialPoint
from assay_leaderboard.schema.values import Interval
from assay_leaderboard.site.pictures import svg
from assay_leaderboard.site.pictures.axes import Axis
from assay_leaderboard.site.pictures.frame import (
    LETTER,
    WIDTH,
    Measure,
    PictureTable,
    Plot,
    Words,
    absent,
    figure,
    horizontal,
    repetitions,
)

_NAME = 19
_ROW = 17.0
_TOP = 8.0


@dataclass(frozen=True)
class Estimate:
    """One row: a mean with its interval."""

    name: str
    value: float
    interval: Interval | None
    n: int
    rank: tuple[int, int] | None = None
    """Rows with the same first number are a tie group; None: not ranked."""


def intervals(
    key: str, estimates: Sequence[Estimate], measure: Measure, reference: str | None = None
) -> Markup:
    """A dot and an interval for each of `estimates`, in their order; a rule between tie groups.

    Args:
        key: root of the ids, once on a page.
        estimates: the rows, from top to bottom.
        measure: of the values.
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
        f"Intervals: {measure.title}",
        f"{len(estimates)} methods from best to worst. Highest: {best.name} "
        f"{found.span(best.value, best.interval)}.",
        f"Mean and {measure.percent} interval, {repetitions(one.n for one in estimates)}; rules "
        "separate tie groups, the number on the left is the group's first rank."
        + (f"{about}{found.number(measure.margin)} {found.unit}".rstrip() + "." if about else ""),
    )
    rows = [
        [one.name, rank_text(one.rank), found.span(one.value, one.interval), str(one.n)]
        for one in estimates
    ]
    table = PictureTable(["method", "rank", f"{measure.title} [{measure.percent}]", "n"], rows)
    return figure(key, "intervals", words, plot.height, "".join(parts), table)


def sensitivity_strip(key: str, studies: Mapping[str, Sensitivity], measure: Measure) -> Markup:
    """Each trial of a tuning as a tick along its validation score; a row per method.

    Args:
        key: root of the ids, once on a page.
        studies: by method; trial 0 is the defaults.
        measure: of the validation scores.
    """
    full = {name: _scored(found) for name, found in studies.items()}
    full = {name: trials for name, trials in full.items() if trials}
    if not full:
        return absent("No sensitivity strip: no trial has a score.")
    axis = measure.axis([t.val for trials in full.values() for t in trials], "validation ")
    plot = _rows(axis, list(full))
    parts = [_grid(plot)]
    for index, (name, trials) in enumerate(full.items()):
        parts.append(svg.name((4, _centre(index) + 4), name, _NAME + 3))
        parts.append(_strip(plot, trials, _centre(index)))
    parts.append(horizontal(plot, plot.bottom))
    n = sum(len(studies[name].trials) for name in full)
    words = Words(
        f"Sensitivity: validation {measure.title}",
        f"One tick for each of {n} trials of {len(full)} methods.",
        f"Validation score of every trial (n = {n}): a tick each, a diamond for the defaults, a "
        "dot for the selected point. Trials without a score are among the numbers only.",
    )
    rows = [[name, *_trial_texts(studies[name].trials, measure.format)] for name in full]
    columns = ["method", "defaults", "selected", f"all trials in order: {measure.title}", "n"]
    return figure(
        key, "sensitivity", words, plot.height, "".join(parts), PictureTable(columns, rows)
    )


def _rows(axis: Axis, names: Sequence[str]) -> Plot:
    """Room for a row for each of `names`, which stand on the left."""
    longest = max(min(_NAME + 3, len(name)) for name in names)
    left = min(34 + LETTER * longest, WIDTH / 2.4)
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


def _strip(plot: Plot, trials: Sequence[TrialPoint], y: float) -> str:
    """A tick for each trial; defaults and selected point on top of it."""
    parts = [svg.ticks([plot.across(t.val) for t in trials], y, 5, "trial")]
    for t in trials:
        if t.number == 0:
            parts.append(svg.markers([(plot.across(t.val), y)], 3, 4.2, "mark open"))
        if t.selected:
            parts.append(svg.dot((plot.across(t.val), y), 2.6, "dot"))
    return "".join(parts)


def _trial_texts(trials: Sequence[TrialPoint], form: Format) -> list[str]:
    """Score of the defaults and of the selected point, all scores (or why there is none), n."""
    texts = {t.number: form.number(t.val) if t.status == "completed" else t.status for t in trials}
    selected = next((texts[t.number] for t in trials if t.selected), "-")
    return [texts.get(0, "-"), selected, ", ".join(texts.values()), str(len(trials))]
