"""Curves of several methods: over passes, over the tuning budget, and shares as steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from markupsafe import Markup

from assay_leaderboard.format import OTHER_DRAWS
from assay_leaderboard.schema.task_details import BudgetPoint, DrawnPoint
from assay_leaderboard.schema.values import Interval
from assay_leaderboard.site.pictures import axes as scales
from assay_leaderboard.site.pictures import svg
from assay_leaderboard.site.pictures.axes import Axis, number_text
from assay_leaderboard.site.pictures.frame import (
    LINE,
    SAMPLE,
    Measure,
    PictureTable,
    Plot,
    Words,
    absent,
    figure,
    names_width,
    repetitions,
)

Item = TypeVar("Item")
_NAME = 15
"""Characters of a name beside its curve."""
_STEP_WIDTH = 2.0
"""Steps closer than this, in units, are drawn as one."""


@dataclass(frozen=True)
class _Series:
    """One curve: points with increasing x, and an interval for some of them."""

    name: str
    points: Sequence[svg.Point]
    bands: Sequence[Interval | None] = ()

    def values(self) -> list[float]:
        """Every height that is drawn."""
        found = [y for _, y in self.points]
        return found + [end for band in self.bands if band for end in (band.low, band.high)]


def learning_curves(
    key: str, curves: Mapping[str, Sequence[DrawnPoint]], measure: Measure
) -> Markup:
    """Mean score over passes, with bands.

    Args:
        key: root of the ids, once on a page.
        curves: by method; the first eight that have points are drawn, the others' last points are
            among the numbers.
        measure: of the scores.
    """
    full = {name: points for name, points in curves.items() if points}
    if not full:
        return absent("No learning curves: no selected run was completed.")
    shown = _shown(full)
    series = [
        _Series(name, [(p.passes, p.test) for p in points], [p.interval for p in points])
        for name, points in shown.items()
    ]
    span = measure.format.span
    cells = [[f"{span(p.test, p.interval)}, n = {p.n}" for p in own] for own in shown.values()]
    words = Words(
        f"Learning curves: {measure.scored}",
        _ends(series, measure.format.number),
        f"Mean {measure.scored} of each repetition's selected run at each evaluation point, with "
        f"the {measure.percent} interval of the mean (Student's t), at the full tuning budget; "
        f"{repetitions(p.n for points in full.values() for p in points)} completed repetitions."
        + _left_out(len(full)),
    )
    x = scales.linear("forward-backward passes", [0, *_across(series)], pad=0.01)
    table = _numbers("passes", series, cells)
    return _lines(key, "curves", words, series, (x, measure.axis(_heights(series))), table)


def budget_curves(
    key: str, curves: Mapping[str, Sequence[BudgetPoint]], measure: Measure
) -> Markup:
    """Expected score after tuning with k points, by method; k = 1 is the defaults alone.

    Args:
        key: root of the ids, once on a page.
        curves: by method; the first eight that have points are drawn.
        measure: of the scores.
    """
    full = {name: points for name, points in curves.items() if points}
    if not full:
        return absent("No tuning-budget curves: no method is complete.")
    shown = _shown(full)
    series = [
        _Series(name, [(float(p.k), p.expected) for p in points], [p.interval for p in points])
        for name, points in shown.items()
    ]
    span = measure.format.span
    cells = [[span(p.expected, p.interval) for p in points] for points in shown.values()]
    ks = sorted({p.k for points in full.values() for p in points})
    words = Words(
        f"Tuning budget: expected {measure.scored}",
        _ends(series, measure.format.number),
        f"Expected {measure.scored} where the {measure.validation} score picks the best of k "
        "points: the defaults (k = 1) and k - 1 others, averaged over all choices of those others; "
        f"n = {ks[-1]} points in each repetition. {measure.percent} interval of the mean over the "
        f"repetitions. {OTHER_DRAWS}" + _left_out(len(full)),
    )
    x = _budget_axis(ks)
    table = _numbers("k", series, cells, dict(zip(x.ticks, x.texts, strict=True)))
    y = measure.axis(_heights(series), f"expected {measure.test}")
    return _lines(key, "budget", words, series, (x, y), table)


def performance_profile(
    key: str, profile: Mapping[str, Sequence[svg.Point]], n_tasks: int
) -> Markup:
    """Share of repetitions above a normalised score, by method (FamilySummary.profile)."""
    return _shares(
        key,
        "profile",
        profile,
        ("normalised score τ", "Share of repetitions above τ (%), higher is better"),
        Words(
            "Performance profile",
            "",
            f"Share of repetitions whose normalised test score (0 = chance, 1 = the task's "
            f"anchor) is above τ, at the full tuning budget; n = {n_tasks} task(s), weighing the "
            "same. Only methods with all tasks.",
        ),
        "No performance profile: no method is complete on all tasks.",
    )


def survival(
    key: str, curves: Mapping[str, Sequence[svg.Point]], target: str, n: int, split: str
) -> Markup:
    """Kaplan-Meier curves: share that has not reached the target yet (TargetReached.survival).

    Args:
        key: root of the ids, once on a page.
        curves: by method; the first eight that have steps are drawn.
        target: in words, for example "easy (90 %)".
        n: repetitions a method.
        split: where the target is measured, for example "validation".
    """
    return _shares(
        key,
        "survival",
        curves,
        ("forward-backward passes", "Not reached yet (%), lower is better"),
        Words(
            f"Time to target {target}",
            "",
            f"Kaplan-Meier estimate of the share of repetitions whose selected run has not reached "
            f"the target {target}, measured on {split}; n = {n} repetitions a method.",
        ),
        f"Nothing to draw: no repetition was measured against the target {target}.",
    )


def reached(key: str, curves: Mapping[str, Sequence[svg.Point]], n: int, split: str) -> Markup:
    """Share of (target, repetition) pairs reached within a number of passes (TaskDetail.ecdf).

    Args:
        key: root of the ids, once on a page.
        curves: by method; the first eight that have steps are drawn.
        n: pairs a method.
        split: where the targets are measured.
    """
    started = {
        name: [(0.0, 0.0), *steps] if steps[0][0] > 0 else list(steps)
        for name, steps in curves.items()
        if steps
    }
    return _shares(
        key,
        "reached",
        started,
        ("forward-backward passes", "Targets reached (%), higher is better"),
        Words(
            "Targets reached over passes",
            "",
            f"Share of the pairs of a target and a repetition that are reached within the passes, "
            f"measured on {split}; n = {n} pairs a method.",
        ),
        "Nothing to draw: no target was reached.",
    )


def _shares(
    key: str,
    kind: str,
    curves: Mapping[str, Sequence[svg.Point]],
    titles: tuple[str, str],
    words: Words,
    reason: str,
) -> Markup:
    """Step curves between 0 and 100 %."""
    full = {name: points for name, points in curves.items() if points}
    if not full:
        return absent(reason)
    x = scales.linear(titles[0], [x for points in full.values() for x, _ in points], pad=0.01)
    series = [_Series(name, _thinned(points, x)) for name, points in _shown(full).items()]
    table = _numbers(titles[0], series, [[_percent(y) for _, y in one.points] for one in series])
    words = Words(
        words.title, _ends(series, _percent, " %"), words.caption + _left_out(len(series))
    )
    return _lines(key, kind, words, series, (x, scales.share(titles[1])), table, stepped=True)


def _lines(
    key: str,
    kind: str,
    words: Words,
    series: Sequence[_Series],
    axes: tuple[Axis, Axis],
    table: PictureTable,
    *,
    stepped: bool = False,
) -> Markup:
    """The figure with the first eight of `series`, each named at its right end."""
    drawn = series[: svg.N_STYLES]
    aside = SAMPLE + names_width([one.name for one in drawn], _NAME)
    plot = Plot.fit(*axes, aside=aside)
    bands, curves = [], []
    for index, one in enumerate(drawn):
        bands.append(_band(plot, one, index))
        points = plot.points(one.points)
        marked = svg.markers(_marked(points, index), index)
        if stepped:
            points.append((plot.right, points[-1][1]))
        draw = svg.steps if stepped else svg.polyline
        curves.append(draw(points, f"line {svg.series(index)}") if len(points) > 1 else "")
        curves.append(marked)
    body = "".join([plot.drawn(), *bands, *curves, _names(plot, drawn, stepped)])
    return figure(key, kind, words, plot.height, body, table)


def _band(plot: Plot, one: _Series, index: int) -> str:
    """The intervals of a curve as an area, or as a bar where there is only one."""
    known = [(x, band) for (x, _), band in zip(one.points, one.bands, strict=False) if band]
    if not known:
        return ""
    if len(known) == 1:
        x, band = known[0]
        return svg.line(plot.at(x, band.low), plot.at(x, band.high), f"bar {svg.series(index)}")
    outline = [(x, band.high) for x, band in known]
    outline += [(x, band.low) for x, band in reversed(known)]
    return svg.polygon(plot.points(outline), f"band {svg.series(index)}")


def _marked(points: Sequence[svg.Point], index: int) -> list[svg.Point]:
    """A few points, others than those of the next curve, and always the last."""
    stride = max(1, math.ceil(len(points) / 6))
    chosen = list(points[index % stride :: stride])
    return chosen if chosen and chosen[-1] == points[-1] else [*chosen, points[-1]]


def _names(plot: Plot, drawn: Sequence[_Series], stepped: bool) -> str:
    """A sample and the name of each curve to the right, near the height of its end."""
    ends = [plot.at(*one.points[-1]) for one in drawn]
    # Curves that end at the same height stand in the order of the caller.
    order = sorted(range(len(drawn)), key=lambda index: (ends[index][1], index))
    heights = _spread([ends[index][1] for index in order], plot.top + 4, plot.bottom)
    parts = []
    for index, y in zip(order, heights, strict=True):
        x = plot.right if stepped else ends[index][0]
        style = f"leader {svg.series(index)}"
        parts.append(svg.line((x, ends[index][1]), (plot.right + 9, y), style))
        parts.append(svg.sample((plot.right + 10, y), index, drawn[index].name, _NAME))
    return "".join(parts)


def _spread(heights: Sequence[float], top: float, bottom: float) -> list[float]:
    """Increasing `heights` moved apart to a line of text, within [top, bottom] if they fit."""
    found: list[float] = []
    for height in heights:
        found.append(max(height, found[-1] + LINE if found else top))
    limit = bottom
    for index in reversed(range(len(found))):
        found[index] = min(found[index], limit)
        limit = found[index] - LINE
    return found


def _shown(curves: Mapping[str, Sequence[Item]]) -> dict[str, Sequence[Item]]:
    """The points of each curve; of those that are not drawn the last one, for the numbers."""
    return {
        name: points if index < svg.N_STYLES else points[-1:]
        for index, (name, points) in enumerate(curves.items())
    }


def _thinned(points: Sequence[svg.Point], axis: Axis) -> list[svg.Point]:
    """Steps at least _STEP_WIDTH apart; of closer ones the last counts."""
    found = [points[0]]
    for x, y in points[1:]:
        if len(found) > 1 and (axis.at(x) - axis.at(found[-2][0])) * 300 < _STEP_WIDTH:
            found[-1] = (x, y)
        else:
            found.append((x, y))
    return found


def _numbers(
    title: str,
    series: Sequence[_Series],
    cells: Sequence[Sequence[str]],
    names: Mapping[float, str] | None = None,
) -> PictureTable:
    """The values of each curve.

    Curves over (nearly) the same x become rows with a column for each x; others,
    and a single one, get a row for each point.

    Args:
        title: what x is.
        series: the curves.
        cells: a text for each point of each curve.
        names: how x is written, where not as a number.
    """
    found = [
        [(x, cell) for (x, _), cell in zip(one.points, own, strict=True)]
        for one, own in zip(series, cells, strict=True)
    ]
    across = sorted({x for own in found for x, _ in own})
    texts = {x: names[x] if names else number_text(x) for x in across}
    if len(found) > 1 and len(across) <= 2 * max(map(len, found)):
        rows = [
            [one.name, *(own.get(x, "") for x in across)]
            for one, own in zip(series, map(dict, found), strict=True)
        ]
        return PictureTable(["method", *(f"{title}: {texts[x]}" for x in across)], rows)
    long = [
        [one.name, texts[x], cell]
        for one, own in zip(series, found, strict=True)
        for x, cell in own
    ]
    return PictureTable(["method", title, "value"], long)


def _across(series: Sequence[_Series]) -> list[float]:
    return [x for one in series[: svg.N_STYLES] for x, _ in one.points]


def _heights(series: Sequence[_Series]) -> list[float]:
    return [value for one in series[: svg.N_STYLES] for value in one.values()]


def _ends(series: Sequence[_Series], number: Callable[[float], str], unit: str = "") -> str:
    """Where each curve ends, in words."""
    ends = [f"{one.name} {number(one.points[-1][1])}{unit}" for one in series[: svg.N_STYLES]]
    return f"Ends at: {', '.join(ends)}."


def _left_out(n: int) -> str:
    """How many curves are among the numbers alone."""
    rest = n - svg.N_STYLES
    return f" {rest} more: last points among the numbers." if rest > 0 else ""


def _budget_axis(ks: Sequence[int]) -> Axis:
    """The axis of tuning budgets."""
    places = [float(k) for k in ks]
    room = scales.linear("", places)
    names = ["defaults" if k == 1 else str(k) for k in ks]
    return Axis("hyperparameter points tried", room.low, room.high, places, names)


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"
