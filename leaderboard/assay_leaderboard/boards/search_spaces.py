"""The audit of a method's search space on a task, from all runs of its cell."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from assay.cards import TaskCard
from assay.records.schema import RunRecord
from assay.space import ChoiceRange, Range, Value
from numpy.typing import NDArray

from assay_leaderboard.evidence.cells import CellEvidence
from assay_leaderboard.schema.task_details import Sensitivity, TrialPoint
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
    best = [runs[run] for run in cell.selected_runs]
    own = [runs[run] for row in cell.runs for run in row if run is not None]
    ranges = own[0].space.ranges if own else {}
    name = sensitivity.learning_rate(ranges)
    rates = [run.spec.hyperparameters[name] for run in picked if name in run.spec.hyperparameters]
    return Sensitivity(
        n=n,
        default_gap=_default_gap(cell),
        near_best=float(near.sum() / n) if n else 0.0,
        lr_decades=sensitivity.decades(rates),
        diverged=cell.status_counts["diverged"] / n if n else 0.0,
        at_edge={
            key: sum(at_edge(run.spec.hyperparameters.get(key), known) for run in best) / len(best)
            for key, known in ranges.items()
            if best and not isinstance(known, ChoiceRange)
        },
        trials=_trials(cell, runs),
    )


def _near_best(cell: CellEvidence, margin: float) -> NDArray[np.bool_]:
    """(R, K): the runs within the margin of the best of their repetition, on validation."""
    if not cell.recorded.any():
        return cell.recorded
    signed = np.where(cell.recorded, cell.sign * cell.val, -np.inf)
    best = signed.max(axis=1, keepdims=True)
    # 0.95 - 0.94 is more than 0.01 in floating point.
    return np.asarray(cell.recorded & (signed >= best - margin * (1 + 1e-9)))


def _default_gap(cell: CellEvidence) -> float:
    """Mean over repetitions of the selected point minus the defaults, on validation."""
    rows = np.flatnonzero(cell.counted)
    if not len(rows):
        return 0.0
    gaps = cell.sign * (cell.val[rows, cell.selected[rows]] - cell.val[rows, 0])
    return float(gaps.mean())


def at_edge(value: Value | None, known: Range) -> bool:
    """Whether a value lies in the outer tenth of its range, on either side.

    Logarithmic ranges are measured in logarithms; choices have no edge.
    """
    if isinstance(known, ChoiceRange) or not isinstance(value, (int, float)):
        return False
    low, high, here = float(known.low), float(known.high), bounded(value)
    if known.log:
        if min(low, high, here) <= 0:
            return False
        low, high, here = math.log(low), math.log(high), math.log(here)
    width = high - low
    return width > 0 and min(here - low, high - here) <= OUTER * width


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
