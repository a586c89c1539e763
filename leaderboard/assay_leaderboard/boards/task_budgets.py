"""One task at every tuning budget: means, ranks and differences from the reference.

Every budget goes through the same code as the table, so at k = K they are its numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from assay_leaderboard.boards.task_comparisons import TaskComparisons, mean_intervals
from assay_leaderboard.evidence.cells import CellEvidence
from assay_leaderboard.schema.task_details import BudgetPoint
from assay_leaderboard.schema.values import PairFamily


@dataclass(frozen=True)
class TaskBudgets:
    """The methods of a task at every budget."""

    points: Mapping[str, list[BudgetPoint]]
    """By method, at k = 1 .. K; a preliminary cell up to its own points. Empty where stale or
    incomplete."""
    families: list[PairFamily]
    """Of the pairs at every budget; empty where fewer than two methods are ranked."""

    @classmethod
    def of(cls, full: TaskComparisons) -> TaskBudgets:
        """From the comparisons at the full budget."""
        points: dict[str, list[BudgetPoint]] = {cell.method: [] for cell in full.cells}
        families = []
        every = budgets([full])
        for k in every:
            task = full if k == every[-1] else replace(full, budget=k)
            families.append(task.family)
            for method, point in _points(task, k).items():
                points[method].append(point)
        return cls(points, [family for family in families if family])


def budgets(tasks: Sequence[TaskComparisons]) -> range:
    """The budgets 1 .. K of tasks of one tier, as the ruleset plans them."""
    most = [task.ruleset.k(task.card.tier, deterministic=task.card.deterministic) for task in tasks]
    return range(1, max(most, default=0) + 1)


def _most(cell: CellEvidence) -> float:
    """The largest budget at which a cell has a score; preliminary ones have fewer points."""
    return math.inf if cell.k == cell.planned_k else cell.k


def _points(task: TaskComparisons, k: int) -> dict[str, BudgetPoint]:
    """By method, of the cells that have so many points or have nothing more to tune."""
    shown = [
        cell
        for cell in task.cells
        if cell.state not in ("stale", "incomplete") and k <= _most(cell)
    ]
    values = [cell.values(k) for cell in shown]
    intervals = mean_intervals(values, task.ruleset.confidence)
    ranks = task.ranks()
    return {
        cell.method: BudgetPoint(
            k=k,
            expected=float(np.mean(own)),
            interval=interval,
            rank=ranks.get(cell.method),
            versus_reference=task.comparison(cell.method, task.card.reference)
            if cell.state == "ranked"
            else None,
        )
        for cell, own, interval in zip(shown, values, intervals, strict=True)
    }
