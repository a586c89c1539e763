"""The audit of a method's search space on a task, from all runs of its cell."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from assay.cards import TaskCard
from assay.records.schema import RunRecord
from assay.space import ChoiceRange, FloatRange, IntRange, Range, Value
from numpy.typing import NDArray

from assay_leaderboard.evidence.cells import CellEvidence
from assay_leaderboard.schema.task_details import RangeUse, Sensitivity, TrialPoint
from assay_leaderboard.statistics import sensitivity
from assay_leaderboard.statistics.learning_curves import bounded

OUTER = 0.1
"""Share of a range, on either side, that is its edge."""


def audit(cell: CellEvidence, card: TaskCard, runs: Mapping[str, RunRecord]) -> Sensitivity:
    """How much the hyperparameters matter, and whether their ranges are wide enough.

    Args:
        cell: the method on the task.
        card: of the task.
        runs: records by id, those of the cell among them.
    """
    n = int(cell.recorded.sum())
    near = _near_best(cell, card.metric.margin)
    picked = [
        runs[run]
        for row, flags in zip(cell.runs, near.tolist(), strict=True)
        for run, flag in zip(row, flags, strict=True)
        if flag and run is not None
    ]
    own = [runs[run] for row in cell.runs for run in row if run is not None]
    ranges = own[0].space.ranges if own and cell.k > 1 else {}
    name = sensitivity.learning_rate(ranges)
    rates = [run.spec.hyperparameters[name] for run in picked if name in run.spec.hyperparameters]
    return Sensitivity(
        n=n,
        default_gap=_default_gap(cell),
        near_best=float(near.sum() / n) if n else 0.0,
        lr_decades=sensitivity.decades(rates),
        diverged=cell.status_counts["diverged"] / n if n else 0.0,
        ranges=range_uses(cell, runs),
        trials=_trials(cell, runs),
    )


def _near_best(cell: CellEvidence, margin: float) -> NDArray[np.bool_]:
    """(R, K): the runs within the margin of the best of their repetition, on validation.

    Only those that completed: the others all stand at the chance level, whatever their point is.
    """
    known = cell.completed_runs
    if not known.any():
        return known
    signed = np.where(known, cell.sign * cell.val, -np.inf)
    best = signed.max(axis=1, keepdims=True)
    # 0.95 - 0.94 is more than 0.01 in floating point.
    return np.asarray(known & (signed >= best - margin * (1 + 1e-9)))


def _default_gap(cell: CellEvidence) -> float:
    """Mean over repetitions of the selected point minus the defaults, on validation."""
    rows = np.flatnonzero(cell.counted)
    if not len(rows):
        return 0.0
    gaps = cell.sign * (cell.val[rows, cell.selected[rows]] - cell.val[rows, 0])
    return float(gaps.mean())


def range_uses(cell: CellEvidence, runs: Mapping[str, RunRecord]) -> dict[str, RangeUse]:
    """Where the selected points lie in each range of numbers; choices have no ends.

    A repetition whose selected run did not complete has no best point: all that failed are alike.
    Nor has one that tried the defaults alone.

    Args:
        cell: the method on the task.
        runs: records by id, those of the cell among them.
    """
    if cell.k < 2:
        return {}
    tried, best = [], []
    for row, selected in enumerate(cell.selected.tolist()):
        if cell.counted[row] and cell.completed_runs[row, selected]:
            points = [runs[run] for run in cell.runs[row][: cell.k] if run]
            tried.append(_chance_selects_among(points, selected))
            best.append(points[selected].spec.hyperparameters)
    if not best:
        return {}
    space, found = tried[0][0].space, {}
    for name, known in space.ranges.items():
        if not isinstance(known, ChoiceRange):
            among = [[run.spec.hyperparameters.get(name) for run in row] for row in tried]
            values = [point.get(name) for point in best]
            if use := _range_use(known, space.defaults[name], among, values):
                found[name] = use
    return found


def _chance_selects_among(points: Sequence[RunRecord], selected: int) -> Sequence[RunRecord]:
    """The points that could as well have been selected, if a range's ends did not matter.

    They are all that were drawn; but the defaults alone where they are selected: they win as a
    whole, and where one of them lies in its range was not drawn.
    """
    return points[1:] if selected else points[:1]


def _range_use(
    known: FloatRange | IntRange,
    default: Value,
    tried: Sequence[Sequence[Value | None]],
    selected: Sequence[Value | None],
) -> RangeUse | None:
    """One hyperparameter; None where no selected value lies on the scale of its range.

    Args:
        known: its range.
        default: its default.
        tried: by repetition, the values of the points that chance could have selected.
        selected: by repetition, the value of the selected point.
    """
    chances = [sum(map(bool, (end_of(v, known) for v in row))) / len(row) for row in tried]
    ends = Counter(end_of(value, known) for value in selected)
    numbers = [bounded(v) for v in selected if isinstance(v, (int, float))]
    if known.log:
        numbers = [math.log(value) for value in numbers if value > 0]
    if not numbers:
        return None
    quartiles = np.quantile(numbers, [0.25, 0.5, 0.75])
    lower, median, upper = (np.exp(quartiles) if known.log else quartiles).tolist()
    return RangeUse(
        low=float(known.low),
        high=float(known.high),
        log=known.log,
        default=bounded(float(default)),
        n=len(selected),
        median=median,
        lower_quartile=lower,
        upper_quartile=upper,
        at_low=ends["low"],
        at_high=ends["high"],
        by_chance=sum(chances) / len(chances),
        flagged=sensitivity.exceeds(ends["low"] + ends["high"], chances),
        flagged_by_chance=sensitivity.exceeded_by_chance(chances),
    )


def end_of(value: Value | None, known: Range) -> Literal["low", "high"] | None:
    """Which end of its range a value is near: in the outer tenth; None if neither.

    Logarithmic ranges are measured in logarithms; choices have no ends.
    """
    if isinstance(known, ChoiceRange) or not isinstance(value, (int, float)):
        return None
    low, high, here = float(known.low), float(known.high), bounded(value)
    if known.log:
        if min(low, high, here) <= 0:
            return None
        low, high, here = math.log(low), math.log(high), math.log(here)
    outer = OUTER * (high - low)
    if outer > 0 and here - low <= outer:
        return "low"
    return "high" if outer > 0 and high - here <= outer else None


def _trials(cell: CellEvidence, runs: Mapping[str, RunRecord]) -> list[TrialPoint]:
    """All runs of a cell, by repetition and point."""
    found = []
    for repetition, row in enumerate(cell.runs):
        chosen = int(cell.selected[repetition]) if cell.counted[repetition] else None
        for point, run in enumerate(row):
            if run is not None:
                found.append(
                    TrialPoint(
                        repetition=repetition,
                        point=point,
                        hyperparameters=runs[run].spec.hyperparameters,
                        val=float(cell.val[repetition, point]),
                        test=float(cell.test[repetition, point]),
                        status=runs[run].status,
                        selected=point == chosen,
                        run=run,
                    )
                )
    return found
