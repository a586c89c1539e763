"""Points in the plane: cost against score, score against the learning rate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from assay_leaderboard.schema.task_details import Sensitivity, TrialPoint
from assay_leaderboard.schema.values import Interval
from assay_leaderboard.site.pictures import axes, svg
from assay_leaderboard.site.pictures.axes import number_text
from assay_leaderboard.site.pictures.frame import (
    LINE,
    Measure,
    PictureTable,
    Plot,
    Words,
    absent,
    figure,
    names_width,
    repetitions,
)
from assay_leaderboard.statistics import sensitivity

_NAME = 15

_Box = tuple[float, float, float]
"""Left end, middle height and width of something a line of text high."""
_SIDES: dict[bool, svg.Anchor] = {True: "start", False: "end"}
_LIFTS = (0.0, -9.0, 9.0, -13.0, 13.0)
"""Heights at which a name is tried beside its point, first to the right, then to the left."""


@dataclass(frozen=True)
class SpentPoint:
    """What a method costs and scores."""

    name: str
    cost: float
    score: float
    interval: Interval | None
    """Of the score."""
    n: int
    cost_interval: Interval | None = None


def cost_against_score(
    key: str, points: Sequence[SpentPoint], measure: Measure, cost: str
) -> Markup:
    """Methods by cost and score; those that no other one beats in both are joined.

    Args:
        key: root of the ids, once on a page.
        points: one per method.
        measure: of the scores.
        cost: title of the cost axis, for example "seconds, times the reference's".
    """
    if not points:
        return absent("No cost against score: no selected run was completed.")
    front = pareto([(p.cost, p.score) for p in points], measure.direction == "maximize")
    ends = [v for p in points for i in [p.interval] if i for v in (i.low, i.high)]
    costs = [v for p in points for i in [p.cost_interval] if i for v in (i.low, i.high)]
    costs += [p.cost for p in points]
    # Ratios: half and double lie equally far from 1, and a dear method leaves room for the others.
    scale = axes.logarithmic if min(costs) > 0 else axes.linear
    x = scale(f"{cost}, lower is better", costs)
    y = measure.axis(ends + [p.score for p in points])
    plot = Plot.fit(x, y, aside=16 + names_width([p.name for p in points], _NAME))
    parts = [plot.drawn(), _front_line(plot, [points[index] for index in front])]
    for index, p in enumerate(points):
        parts.append(_crosshair(plot, p, index in front))
    rest = [p for index, p in enumerate(points) if index not in front]
    parts.append(_point_names(plot, [points[index] for index in front], rest))
    names = [points[index].name for index in front]
    words = Words(
        f"Cost against {measure.scored}",
        f"Not beaten in both: {', '.join(names)}.",
        f"Median cost of the selected runs against the mean {measure.scored} with its "
        f"{measure.percent} interval, at the full tuning budget; "
        f"{repetitions(p.n for p in points)} repetitions a method. Filled and joined: no other "
        "mean is at once cheaper and higher ranked; intervals may overlap.",
    )
    rows = [
        [
            p.name,
            _with_interval(p.cost, p.cost_interval),
            measure.format.span(p.score, p.interval),
            "yes" if index in front else "no",
            str(p.n),
        ]
        for index, p in enumerate(points)
    ]
    columns = [
        "method",
        cost,
        measure.column,
        "on the front",
        "n",
    ]
    return figure(key, "cost", words, plot.height, "".join(parts), PictureTable(columns, rows))


def learning_rate(key: str, found: Sensitivity, measure: Measure, method: str) -> Markup:
    """Validation score of each run over its learning rate.

    Args:
        key: root of the ids, once on a page.
        found: the runs of `method`; point 0 is the defaults.
        measure: of the scores.
        method: its name.
    """
    rated = [(rate, t) for t in found.trials if (rate := _rate(t)) is not None]
    drawn = [(rate, t) for rate, t in rated if t.status == "completed"]
    if not drawn:
        return absent(f"No scores over the learning rate: {method} tunes none, or none completed.")
    x = axes.logarithmic("learning rate", [rate for rate, _ in drawn])
    plot = Plot.fit(x, measure.axis([t.val for _, t in drawn], measure.validation))
    points = plot.points([(rate, t.val) for rate, t in drawn])
    parts = [plot.drawn(), svg.dots(points, 2.4, "dot open")]
    for point, (_, t) in zip(points, drawn, strict=True):
        if t.point == 0:
            parts.append(svg.markers([point], 3, 4.5, "mark open"))
        if t.selected:
            parts.append(svg.dot(point, 2.6, "dot"))
    words = Words(
        f"{method}: {measure.validation} {measure.name} over the learning rate",
        f"{len(drawn)} runs between {number_text(min(drawn, key=_first)[0])} and "
        f"{number_text(max(drawn, key=_first)[0])}.",
        f"{measure.validation.capitalize()} {measure.name} of each run over its learning rate, all "
        f"repetitions and the other hyperparameters mixed; n = {len(drawn)} of {len(rated)} runs "
        "have a score. Diamond: the defaults. Filled: selected in its repetition.",
    )
    rows = [
        [
            f"{t.repetition}.{t.point}",
            number_text(rate),
            measure.format.number(t.val) if t.status == "completed" else "-",
            "selected" if t.selected else t.status.replace("_", " "),
        ]
        for rate, t in rated
    ]
    title = f"{measure.validation} {measure.title}"
    columns = ["repetition.point", "learning rate", title, "status"]
    return figure(key, "rate", words, plot.height, "".join(parts), PictureTable(columns, rows))


def pareto(points: Sequence[tuple[float, float]], maximize: bool) -> list[int]:
    """Indices of the (cost, score) points that no other one beats, by increasing cost.

    A point is beaten by one that is no worse in both and better in one.
    """
    sign = 1.0 if maximize else -1.0
    order = sorted(range(len(points)), key=lambda i: (points[i][0], -sign * points[i][1], i))
    found: list[int] = []
    for index in order:
        last = points[found[-1]] if found else None
        if last is None or points[index] == last or sign * points[index][1] > sign * last[1]:
            found.append(index)
    return found


def _first(item: tuple[float, TrialPoint]) -> float:
    return item[0]


def _rate(trial: TrialPoint) -> float | None:
    """The learning rate of a trial, if it has one that a logarithmic axis can show."""
    value = trial.hyperparameters.get(sensitivity.learning_rate(trial.hyperparameters) or "")
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return float(value) if value > 0 else None


def _crosshair(plot: Plot, p: SpentPoint, on_front: bool) -> str:
    """A point with its intervals; its name shows where the pointer rests."""
    x, y = plot.at(p.cost, p.score)
    parts = [svg.hint(p.name)]
    if p.interval:
        low, high = plot.up(p.interval.low), plot.up(p.interval.high)
        parts.append(svg.line((x, low), (x, high), "cross"))
    if p.cost_interval:
        low, high = plot.across(p.cost_interval.low), plot.across(p.cost_interval.high)
        parts.append(svg.line((low, y), (high, y), "cross"))
    parts.append(svg.dot((x, y), 3.2, "dot" if on_front else "dot open"))
    return f"<g>{''.join(parts)}</g>"


def _front_line(plot: Plot, front: Sequence[SpentPoint]) -> str:
    points = [plot.at(p.cost, p.score) for p in front]
    return svg.polyline(points, "front") if len(points) > 1 else ""


def _point_names(plot: Plot, front: Sequence[SpentPoint], rest: Sequence[SpentPoint]) -> str:
    """Names beside the points, those of the front first, as far as there is room."""
    parts: list[str] = []
    room = _Room([_around(plot, p) for p in (*front, *rest)])
    for index, p in enumerate((*front, *rest)):
        x, y = plot.at(p.cost, p.score)
        width = names_width([p.name], _NAME)
        spots = [(left, y + dy, width) for left in (x + 6, x - 6 - width) for dy in _LIFTS]
        box = room.take([own for own in spots if _inside(plot, own)])
        if box is not None:
            style = "halo" if index < len(front) else "halo quiet"
            right = box[0] > x
            at, side = (x + 6 if right else x - 6), _SIDES[right]
            parts.append(svg.name((at, box[1] + 4), p.name, _NAME, style, side))
    return "".join(parts)


def _around(plot: Plot, p: SpentPoint) -> _Box:
    x, y = plot.at(p.cost, p.score)
    return x - 3, y, 6


def _inside(plot: Plot, box: _Box) -> bool:
    return box[0] > plot.left and plot.top <= box[1] <= plot.bottom


class _Room:
    """What is taken of a picture: a line of text overlaps no other, nor a point."""

    def __init__(self, points: Sequence[_Box]) -> None:
        # Each point can get a name. What is not there yet is nowhere: it overlaps nothing.
        self._taken = np.full((3, 2 * len(points)), np.nan)
        self._n = len(points)
        self._taken[:, : self._n] = np.transpose(points)

    def take(self, spots: Sequence[_Box]) -> _Box | None:
        """The first of `spots` that is free, which it is no longer then."""
        if not spots:
            return None
        x, y, width = np.transpose(spots)[:, :, None]
        left, other, wide = self._taken
        with np.errstate(invalid="ignore"):  # numbers may be too large for an axis
            met = (abs(y - other) < LINE - 4) & (x < left + wide) & (left < x + width)
        free = ~met.any(axis=1)
        if not free.any():
            return None
        box = spots[int(free.argmax())]
        self._taken[:, self._n] = box
        self._n += 1
        return box


def _with_interval(value: float, interval: Interval | None) -> str:
    if interval is None:
        return number_text(value)
    return f"{number_text(value)} [{number_text(interval.low)}, {number_text(interval.high)}]"
