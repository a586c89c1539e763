"""What the page of a task shows beside its table: curves, targets, budgets, costs.

Every number is finite, whatever the records hold: scores and costs are clipped to +-MAX_SCORE, and
points of a path beyond that are left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from statistics import median
from typing import Literal

import numpy as np
from assay.cards import TaskCard
from assay.records.columns import PATH_REPETITIONS
from assay.records.schema import Compute, RunRecord

from assay_leaderboard.boards import search_spaces
from assay_leaderboard.boards.task_budgets import TaskBudgets
from assay_leaderboard.boards.task_comparisons import TaskComparisons
from assay_leaderboard.boards.task_records import TaskEvidence
from assay_leaderboard.evidence.cells import CellEvidence
from assay_leaderboard.schema.task_details import (
    BudgetPoint,
    Cost,
    Detail,
    DrawnPoint,
    Path,
    Selection,
    TargetReached,
    TaskDetail,
)
from assay_leaderboard.schema.values import MAX_SCORE, Interval
from assay_leaderboard.statistics import time_to_target
from assay_leaderboard.statistics.learning_curves import (
    bounded,
    curves,
    half_widths,
    means,
    n_starts,
    reached_at,
)
from assay_leaderboard.statistics.time_to_target import Attempt, Steps

Machine = tuple[tuple[tuple[str, str], ...], Compute]
"""Environment.machine_key and Compute of a run: seconds are compared between equal ones only."""


def detail(evidence: TaskEvidence, comparisons: TaskComparisons | None = None) -> TaskDetail:
    """What the page of a task shows beside its table.

    Args:
        evidence: on the task.
        comparisons: of its cells at the full budget, if they were made already.
    """
    full = evidence.comparisons() if comparisons is None else comparisons
    budgets = TaskBudgets.of(full)
    machines = _reference_cpu(evidence)
    views = [_Method(evidence, cell, machines) for cell in full.in_order]
    return TaskDetail(
        task=evidence.card.slug,
        details=[view.detail(budgets.points[view.cell.method]) for view in views],
        pairs=full.pairs,
        families=budgets.families,
        ecdf={view.cell.method: steps for view in views if (steps := view.ecdf())},
    )


class _Method:
    """One method on one task; its curves are computed once.

    All but the sensitivity is about the selected run of each repetition that counts.
    """

    def __init__(
        self, evidence: TaskEvidence, cell: CellEvidence, machines: Mapping[Machine, float]
    ) -> None:
        self.card = card = evidence.card
        self.evidence, self.cell, self.machines = evidence, cell, machines
        self.runs = evidence.selected(cell)
        self.completed = [run for run in self.runs if run.result]
        self.grid = card.evaluation.thresholds(card.budget)
        self.drawn = [run for run in self.completed if run.curve]
        self.curves = curves(self.drawn, self.grid, card.budget.batch_size)

    def detail(self, budget: list[BudgetPoint]) -> Detail:
        """All parts together."""
        return Detail(
            method=self.cell.method,
            curve=self.curve(),
            targets=self.targets(),
            budget=budget,
            sensitivity=search_spaces.audit(self.cell, self.card, self.evidence.runs),
            cost=self.cost(),
            selection=self.selection(),
            paths=_paths(self.completed),
        )

    def curve(self) -> list[DrawnPoint]:
        """Means over the completed repetitions at each evaluation point."""
        if not self.drawn:
            return []
        values = self.curves.values[..., : self.curves.end]
        n = (~np.isnan(values[-1])).sum(axis=0)
        seen = n > 0  # curves may all begin after the first evaluation point
        columns = means(values[..., seen]).tolist()
        halves = half_widths(values[-1][:, seen], self.evidence.ruleset.confidence).tolist()
        size = self.card.budget.batch_size
        batches = [spent // size for spent, kept in zip(self.grid, seen, strict=False) if kept]
        return [
            DrawnPoint(
                batch=batch,
                passes=passes_so_far,
                seconds=seconds_so_far,
                n=known,
                val=val_mean,
                test=test_mean,
                interval=Interval(test_mean - half, test_mean + half) if known > 1 else None,
            )
            for batch, known, passes_so_far, seconds_so_far, val_mean, test_mean, half in zip(
                batches, n[seen].tolist(), *columns, halves, strict=True
            )
        ]

    @property
    def target_split(self) -> Literal["val", "test"]:
        """A target is a score on clean labels; validation labels are noisy in one family."""
        return "test" if self.card.family == "noisy_labels" else "val"

    @cached_property
    def attempts(self) -> list[tuple[list[Attempt], list[Attempt]]]:
        """For each target: the attempts in passes and in seconds, per start, of all repetitions."""
        sign = 1.0 if self.card.metric.direction == "maximize" else -1.0
        _, _, val, test = values = self.curves.values
        scores = test if self.target_split == "test" else val
        targets = np.array([target.value for target in self.card.targets], dtype=np.float64)
        at = reached_at(scores, targets, sign)
        # A completed run without a curve is left out: it may have reached the target or not.
        runs = [*self.drawn, *(run for run in self.runs if not run.result)]
        spent = np.array([_spent(run, self.card) for run in runs]).reshape(-1, 2).T
        costs = np.repeat(spent[:, np.newaxis], len(targets), axis=1)
        reached = np.zeros(costs.shape[1:], dtype=np.bool_)
        target, there = np.nonzero(at < len(self.grid))
        costs[:, target, there] = values[:2, there, at[target, there]]
        reached[target, there] = True
        passes, seconds = np.where(costs > 0, costs, 0.0).tolist()
        return [
            (list(map(Attempt, a, success)), list(map(Attempt, b, success)))
            for a, b, success in zip(passes, seconds, reached.tolist(), strict=True)
        ]

    def targets(self) -> list[TargetReached]:
        """The targets of the card; empty without a repetition."""
        found, ended = [], len(self.drawn)
        # One that broke off would not have reached it later: it stays among those that have not.
        never = [Attempt(math.inf, False) for run in self.runs if not run.result]
        for target, (passes, seconds) in zip(self.card.targets, self.attempts, strict=True):
            if not passes:
                continue
            reached = sum(attempt.reached for attempt in passes)
            found.append(
                TargetReached(
                    name=target.name,
                    value=target.value,
                    split=self.target_split,
                    n=len(passes),
                    reached=reached,
                    rate=time_to_target.wilson(
                        reached, len(passes), self.evidence.ruleset.confidence
                    ),
                    passes=time_to_target.expected_running_time(passes),
                    seconds=time_to_target.expected_running_time(seconds),
                    survival=time_to_target.kaplan_meier([*passes[:ended], *never]),
                )
            )
        return found

    def ecdf(self) -> Steps:
        """Over all targets together; empty without a target or a repetition."""
        attempts = [attempt for passes, _ in self.attempts for attempt in passes]
        return time_to_target.ecdf(attempts) if attempts else []

    def cost(self) -> Cost | None:
        """Medians over the completed repetitions."""
        if not self.completed:
            return None
        own = {} if self.cell.stale else _least_cpu(self.completed)
        ratios = [own[m] / self.machines[m] for m in own.keys() & self.machines.keys()]
        usages = [run.usage for run in self.completed]
        return Cost(
            example_passes=_median([usage.example_passes for usage in usages]),
            passes=_median([usage.passes for usage in usages]),
            examples=_median([usage.examples for usage in usages]),
            seconds=_median([_seconds(run) for run in self.completed]),
            ratio=_median(ratios) if ratios else None,
            peak_bytes=_median([usage.peak_bytes for usage in usages]),
            optimizer_state_bytes=_median([usage.optimizer_state_bytes for usage in usages]),
        )

    def selection(self) -> Selection | None:
        """Means over the completed repetitions."""
        results = [run.result for run in self.completed if run.result]
        if not results:
            return None
        columns = zip(*((r.test, r.test_last, r.test_oracle) for r in results), strict=True)
        held = np.array([[*map(bounded, column)] for column in columns])
        selected, last, oracle = held.mean(axis=1).tolist()
        return Selection(selected=selected, last=last, oracle=oracle)


def _spent(run: RunRecord, card: TaskCard) -> tuple[float, float]:
    """Passes and seconds of a run per start, as in its curve."""
    starts = n_starts(card)
    return bounded(run.usage.passes) / starts, bounded(run.usage.train_seconds) / starts


def _reference_cpu(evidence: TaskEvidence) -> dict[Machine, float]:
    """The least CPU seconds of the reference's selected runs on each machine."""
    runs = [
        run
        for cell in evidence.cells
        if cell.method == evidence.card.reference and not cell.stale
        for run in evidence.selected(cell)
        if run.result
    ]
    return {machine: least for machine, least in _least_cpu(runs).items() if least > 1e-9}


def _least_cpu(runs: Sequence[RunRecord]) -> dict[Machine, float]:
    """The least CPU seconds on each machine: of the run that was disturbed least."""
    found: dict[Machine, float] = {}
    for run in runs:
        machine = run.environment.machine_key, run.spec.compute
        seconds = bounded(run.usage.cpu_seconds)
        found[machine] = min(seconds, found.get(machine, seconds))
    return found


def _seconds(run: RunRecord) -> float:
    return bounded(run.usage.train_seconds)


def _paths(runs: Sequence[RunRecord]) -> list[Path]:
    """The paths of the first repetitions, on tasks that record coordinates."""
    found = []
    for run in runs[:PATH_REPETITIONS]:
        starts: dict[int, list[tuple[float, ...]]] = {}
        for point in run.curve:
            place = tuple(c for c in (point.x, point.y) if c is not None)
            if place and max(map(abs, place)) <= MAX_SCORE:
                starts.setdefault(point.start, []).append(place)
        found += [
            Path(repetition=run.spec.repetition, start=start, points=points)
            for start, points in sorted(starts.items())
        ]
    return found


def _median(values: Sequence[float]) -> float:
    return median(map(bounded, values))
