"""Where the weights went on a function of one or two unknowns."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import zip_longest

import contourpy
import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from assay_leaderboard.schema.task_details import Path
from assay_leaderboard.site.pictures import axes as scales
from assay_leaderboard.site.pictures import svg
from assay_leaderboard.site.pictures.axes import number_text, power_text
from assay_leaderboard.site.pictures.frame import (
    LINE,
    SAMPLE,
    PictureTable,
    Plot,
    Words,
    absent,
    figure,
    horizontal,
    names_width,
)

_NAME = 15
_N_LEVELS = 10
_FINEST = 0.03
"""Share of the grid inside the lowest contour line."""
_MOST = 3
"""Paths drawn of one method."""
_APART = 2.0
"""Points of a contour line closer than this, in units, are dropped."""


def trajectories(
    key: str,
    axes: Sequence[Sequence[float]],
    values: Sequence[float],
    paths: Mapping[str, Sequence[Path]],
    function: str,
) -> Markup:
    """Paths over the contour of a function of two unknowns, or along the curve of one of one.

    Args:
        key: root of the ids, once on a page.
        axes: the grid's coordinates, one list per unknown.
        values: of the function on the grid, row by row; the last axis runs fastest.
        paths: by method; the first three of the first eight methods that have some are drawn.
        function: name of the function.
    """
    full = {name: found for name, own in paths.items() if (found := _usable(own, len(axes)))}
    drawn = dict(list(full.items())[: svg.N_STYLES])
    if not drawn or len(axes) not in (1, 2) or min(len(axis) for axis in axes) < 2:
        return absent(f"No trajectories on {function}: no path was recorded.")
    grid = np.array(values, dtype=np.float64).reshape([len(axis) for axis in axes])
    if len(axes) == 1:
        plot, body, drawing = _curve(axes[0], grid, drawn)
    else:
        plot, body, drawing = _contour(axes, grid, drawn)
    n = sum(map(len, drawn.values()))
    ends = [f"{name} at {_place(own[0].points[-1])}" for name, own in drawn.items()]
    rest = sum(map(len, paths.values())) - n
    words = Words(
        f"Trajectories on {function}",
        f"Ends: {', '.join(ends)}.",
        f"{drawing} n = {n} path(s); open circle: first evaluation, marker: end."
        + (f" {rest} more not drawn." if rest else ""),
    )
    return figure(key, "trajectories", words, plot.height, body, _numbers(drawn))


def _numbers(drawn: Mapping[str, Sequence[Path]]) -> PictureTable:
    """A column for each path, a row for each point."""
    paths = [(name, path) for name, own in drawn.items() for path in own]
    columns = [f"{name} ({path.repetition}, {path.start})" for name, path in paths]
    places = zip_longest(
        *([_place(point) for point in path.points] for _, path in paths), fillvalue=""
    )
    rows = [[str(step), *row] for step, row in enumerate(places)]
    return PictureTable(["point (repetition, start)", *columns], rows)


def _usable(paths: Sequence[Path], dimensions: int) -> list[Path]:
    """The first paths that have points of the right length."""
    fit = [
        path
        for path in paths
        if path.points and all(len(point) == dimensions for point in path.points)
    ]
    return fit[:_MOST]


def _aside(names: Mapping[str, object]) -> float:
    return SAMPLE + names_width(names, _NAME)


def _contour(
    axes: Sequence[Sequence[float]], grid: NDArray[np.float64], drawn: Mapping[str, Sequence[Path]]
) -> tuple[Plot, str, str]:
    """Contour lines at equal ratios above the minimum, and the paths."""
    x, y = (scales.linear(name, axis, pad=0.0) for name, axis in zip("xy", axes, strict=True))
    plot = Plot.fit(x, y, aside=_aside(drawn), height=240.0)
    above = grid - grid.min()
    levels = _levels(above)
    parts = [plot.drawn()]
    if levels:
        heights = np.log10(above + levels[0] / 10)  # lines between powers are smoother in logs
        generator = contourpy.contour_generator(axes[0], axes[1], heights.T)
        for level in levels:
            for line in generator.lines(math.log10(level + levels[0] / 10)):
                points = _sparse([plot.at(x, y) for x, y in np.asarray(line).tolist()])
                parts.append(svg.polyline(points, "contour"))
    for index, own in enumerate(drawn.values()):
        for path in own:
            points = [plot.at(x, y) for x, y in path.points]
            parts.append(svg.polyline(points, f"line {svg.series(index)}"))
            parts.append(svg.dot(points[0], 3.2, "dot open"))
            parts.append(svg.markers([points[-1]], index, 4))
    inside = svg.clipped("".join(parts[1:]), plot.left, plot.top, plot.right, plot.bottom)
    names = []
    for index, name in enumerate(drawn):
        at = plot.right + 8, plot.top + 8 + LINE * index
        names.append(svg.sample(at, index, name, _NAME))
    drawing = "The function is constant on the grid."
    if levels:
        low, high = (power_text(float(f"{level:.1g}")) for level in (levels[0], levels[-1]))
        drawing = (
            f"Contour lines of f above its minimum on the grid, at {_N_LEVELS} levels of equal "
            f"ratio from {low} to {high}."
        )
    return plot, parts[0] + inside + "".join(names), drawing


def _levels(above: NDArray[np.float64]) -> list[float]:
    """Levels of equal ratio up to half the largest value; the grid resolves nothing finer."""
    high = float(above.max()) / 2
    low = max(float(np.quantile(above, _FINEST)), 1e-12 * high)
    if high <= 0 or low >= high:
        return []
    ratio = (high / low) ** (1 / (_N_LEVELS - 1))
    return [low * ratio**i for i in range(_N_LEVELS)]


def _sparse(points: Sequence[svg.Point]) -> list[svg.Point]:
    """`points` without those too close to the one before; both ends stay."""
    found = [points[0]]
    for point in points[1:-1]:
        if math.dist(point, found[-1]) >= _APART:
            found.append(point)
    return [*found, points[-1]]


def _curve(
    axis: Sequence[float], grid: NDArray[np.float64], drawn: Mapping[str, Sequence[Path]]
) -> tuple[Plot, str, str]:
    """The curve of f with the ends on it, and below it the points that each method visited."""
    x = scales.linear("x", axis, pad=0.0)
    y = scales.linear("f(x), lower is better", grid.tolist())
    plot = Plot.fit(x, y, aside=_aside(drawn), height=130.0 + LINE * len(drawn))
    floor = plot.bottom - LINE * len(drawn) - 4
    upper = Plot(x, y, plot.left, plot.right, plot.top, floor)
    curve = [upper.at(*point) for point in zip(axis, grid.tolist(), strict=True)]
    parts = [svg.polyline(_sparse(curve), "function")]
    names = []
    for index, (name, own) in enumerate(drawn.items()):
        lane = floor + 4 + LINE * (index + 0.5)
        names.append(svg.markers([(plot.right + 14, lane)], index))
        names.append(svg.name((plot.right + 22, lane + 4), name, _NAME))
        for path in own:
            places = [plot.across(point[0]) for point in path.points]
            visited = _sparse([(place, lane) for place in places])
            parts.append(svg.ticks([place for place, _ in visited], lane, 4, "trial"))
            parts.append(svg.dot((places[0], lane), 3.2, "dot open"))
            parts.append(svg.markers([(places[-1], lane)], index))
            end = float(np.interp(path.points[-1][0], axis, grid))
            parts.append(svg.markers([(places[-1], upper.up(end))], index))
    inside = svg.clipped("".join(parts), plot.left - 4, plot.top, plot.right + 4, plot.bottom)
    scale = upper.drawn_vertically() + horizontal(plot, plot.bottom)
    drawing = "The curve of f, below it a tick at each point visited."
    return plot, scale + inside + "".join(names), drawing


def _place(point: Sequence[float]) -> str:
    return ", ".join(number_text(value) for value in point)
