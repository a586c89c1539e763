"""Learning curves of repetitions on one common grid, so that they can be averaged and timed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from leaderboard.evidence import MAX_SCORE
from leaderboard.paired import Floats, Interval
from suite.cards import TaskCard
from suite.records import CurvePoint, RunRecord


def bounded(value: float) -> float:
    """`value`, at most MAX_SCORE from zero: records may hold whole numbers of any size."""
    return float(max(-MAX_SCORE, min(MAX_SCORE, value)))


@dataclass(frozen=True)
class Trajectory:
    """The curve of one repetition at the evaluation points (g,) of its task.

    Means over its starts. A start that ended early, its passes spent, stays where it ended; before
    the first point of a start there is no value (NaN).
    """

    passes: Floats
    seconds: Floats
    val: Floats
    test: Floats
    end: int
    """Evaluation points up to which any start went on."""


def n_starts(card: TaskCard) -> int:
    """Starts of one repetition: recipe.n_starts on functions, else 1."""
    stated = card.recipe.get("n_starts", 1)
    return stated if type(stated) is int and stated > 0 else 1


def trajectory(run: RunRecord, grid: Sequence[int]) -> Trajectory | None:
    """The curve of a completed repetition at the batches of `grid`; None without a curve."""
    starts: dict[int, list[CurvePoint]] = {}
    for point in run.curve:
        starts.setdefault(point.start, []).append(point)
    if not starts:
        return None
    total = np.zeros((4, len(grid)))
    end = 0
    for points in starts.values():
        points.sort(key=lambda point: point.batch)
        batches = _floats([point.batch for point in points])
        index = np.searchsorted(batches, grid, side="right") - 1
        values = _floats([(p.passes, p.seconds, p.val, p.test) for p in points]).T[:, index]
        values[:, index < 0] = np.nan
        total += values
        end = max(end, 1 + int(np.searchsorted(grid, batches[-1])))
    passes, seconds, val, test = total / len(starts)
    return Trajectory(passes, seconds, val, test, min(end, len(grid)))


def _floats(values: Sequence[float] | Sequence[Sequence[float]]) -> Floats:
    """An array of `values`, each bounded."""
    try:
        array = np.array(values, dtype=np.float64)
    except OverflowError:  # a whole number that no float holds
        array = np.vectorize(bounded, otypes=[np.float64])(np.array(values, dtype=object))
    return np.clip(array, -MAX_SCORE, MAX_SCORE)


def reached_at(found: Trajectory, target: float, sign: float) -> int | None:
    """Index of the first evaluation point whose validation score is at least as good as `target`.

    Args:
        found: the curve.
        target: a score.
        sign: 1 where larger scores are better, -1 where smaller ones are.
    """
    good = sign * found.val >= sign * target  # NaN is not
    return int(good.argmax()) if good.any() else None


def t_interval(values: Floats, confidence: float) -> Interval | None:
    """Student's interval of the mean of values (n,); None where n < 2."""
    n = len(values)
    if n < 2:
        return None
    mean = float(values.mean())
    spread = float(np.abs(values - mean).max())
    if spread == 0.0:
        return Interval(low=mean, high=mean)
    unit = (values - mean) / spread  # squares of absurd scores would overflow
    error = spread * float(np.sqrt((unit**2).sum() / (n - 1) / n))
    half = float(stdtrit(n - 1, (1 + confidence) / 2)) * error
    return Interval(low=mean - half, high=mean + half)
