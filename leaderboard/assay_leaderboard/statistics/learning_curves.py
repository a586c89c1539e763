"""Learning curves of repetitions on the evaluation points of their task."""

from __future__ import annotations

import functools
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import numpy as np
from assay.cards import TaskCard
from assay.records.schema import CurvePoint, RunRecord
from numpy.typing import NDArray
from scipy.special import stdtrit

from assay_leaderboard.schema.values import MAX_SCORE, Floats


def bounded(value: float) -> float:
    """`value` clipped to +-MAX_SCORE; records may hold whole numbers of any size."""
    return float(max(-MAX_SCORE, min(MAX_SCORE, value)))


@dataclass(frozen=True)
class Curves:
    """The curves of repetitions at the evaluation points of their task.

    Each is the mean over the starts of its repetition. A start that ended early keeps its last
    value; before the first point of a start the value is NaN.
    """

    values: Floats
    """(4, n, g): passes, seconds, val and test of n repetitions at g points."""
    end: int
    """Evaluation points up to the last that any start reached."""


def n_starts(card: TaskCard) -> int:
    """Starts of one repetition: recipe.n_starts on functions, else 1."""
    stated = card.recipe.get("n_starts", 1)
    return stated if type(stated) is int and stated > 0 else 1


def curves(runs: Sequence[RunRecord], grid: Sequence[int], batch_size: int) -> Curves:
    """The curves of completed repetitions, none of them empty, at the evaluation points of a task.

    Args:
        runs: their records.
        grid: example-passes at which snapshots are due.
        batch_size: examples of a batch, for records that do not say their example-passes.
    """
    alike: dict[tuple[int, ...], list[tuple[int, list[CurvePoint]]]] = {}
    n_starts = np.zeros(len(runs))
    for place, run in enumerate(runs):
        for points in _starts(run):
            n_starts[place] += 1
            spent = tuple([p.example_passes for p in points])
            if not all(spent):
                spent = tuple([p.batch * batch_size for p in points])
            else:
                spent = _due(spent, tuple(grid))
            alike.setdefault(spent, []).append((place, points))
    total = np.zeros((4, len(runs), len(grid)))
    end = 0
    for spent, members in alike.items():
        index, early, last = _places(spent, tuple(grid))
        known = _floats(
            [[(p.passes, p.seconds, p.val, p.test) for p in points] for _, points in members]
        )
        for (place, _), values in zip(members, known[:, index], strict=True):
            values[:early] = np.nan
            total[:, place] += values.T
        end = max(end, last)
    return Curves(total / n_starts[:, np.newaxis], end)


def _starts(run: RunRecord) -> Iterable[list[CurvePoint]]:
    """The points of each start by batch."""
    starts: dict[int, list[CurvePoint]] = {}
    for point in run.curve:
        starts.setdefault(point.start, []).append(point)
    for points in starts.values():
        points.sort(key=attrgetter("batch"))
    return starts.values()


@functools.lru_cache(maxsize=256)
def _due(spent: tuple[int, ...], grid: tuple[int, ...]) -> tuple[int, ...]:
    """When each snapshot was due that was taken after `spent` example-passes.

    The last batch before a snapshot may go beyond the point at which the snapshot was due.
    """
    return tuple([grid[n - 1] if (n := bisect_right(grid, now)) else now for now in spent])


@functools.lru_cache(maxsize=256)
def _places(spent: tuple[int, ...], grid: tuple[int, ...]) -> tuple[NDArray[np.intp], int, int]:
    """Which point of a start, with points at `spent`, applies at each point of the grid.

    Returns:
        The index (g,) of the last point so far; the number of points of the grid before the first;
        the number of points of the grid up to the last.
    """
    known = _floats(spent)
    index = np.searchsorted(known, grid, side="right") - 1
    last = 1 + int(np.searchsorted(grid, known[-1]))
    return index, int((index < 0).sum()), min(last, len(grid))


def _floats(values: Sequence[Any]) -> Floats:
    """An array of `values`, however deep their lists, each bounded."""
    try:
        array = np.array(values, dtype=np.float64)
    except OverflowError:  # a whole number that no float holds
        array = np.vectorize(bounded, otypes=[np.float64])(np.array(values, dtype=object))
    return np.clip(array, -MAX_SCORE, MAX_SCORE)


def reached_at(scores: Floats, targets: Floats, sign: float) -> NDArray[np.intp]:
    """Index (t, n) of the first score of each curve that is at least as good as a target; else g.

    Args:
        scores: (n, g); where a curve has none yet (NaN), nothing is reached.
        targets: scores (t,).
        sign: 1 where larger scores are better, -1 where smaller ones are.
    """
    hits = sign * scores >= sign * targets[:, np.newaxis, np.newaxis]
    first: NDArray[np.intp] = np.where(hits.any(axis=2), hits.argmax(axis=2), scores.shape[1])
    return first


def means(values: Floats) -> Floats:
    """Mean (..., g) over the rows of values (..., n, g) that have one; every column must."""
    known = ~np.isnan(values)
    mean: Floats = np.where(known, values, 0.0).sum(axis=-2) / known.sum(axis=-2)
    return mean


def half_widths(values: Floats, confidence: float) -> Floats:
    """Half the width (g,) of Student's interval of `means` of values (n, g).

    Infinite where only one value is known.
    """
    known = ~np.isnan(values)
    n = known.sum(axis=0)
    deviations = np.where(known, values - means(values), 0.0)
    spread = np.abs(deviations).max(axis=0)
    # Squares of absurd scores would overflow.
    unit = deviations / np.where(spread > 0, spread, 1.0)
    freedom = np.maximum(n - 1, 1)
    error = spread * np.sqrt((unit**2).sum(axis=0) / freedom / n)
    half: Floats = np.where(n > 1, stdtrit(freedom, (1 + confidence) / 2) * error, np.inf)
    return half
