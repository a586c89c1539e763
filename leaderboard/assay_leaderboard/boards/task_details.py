"""A dossier to what the page of a task shows beside its table: curves, targets, budgets, costs.

Whatever a record says, every number here is finite: scores, costs and places that no run can have
are held within MAX_SCORE of zero, and places beyond it are left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from statistics import median

import numpy as np
from assay.cards import TaskCard
from assay.records.schema import Compute, RunRecord

from assay_leaderboard.boards.task_records import TaskEvidence
from assay_leaderboard.evidence.cells import CellEvidence
from assay_leaderboard.schema.board import TaskTable
from assay_leaderboard.schema.task_details import (
    BudgetPoint,
    Cost,
    Detail,
    DrawnPoint,
    Path,
    Selection,
    Sensitivity,
    TargetReached,
    TaskDetail,
    TrialPoint,
)
from assay_leaderboard.schema.values import MAX_SCORE, Interval
from assay_leaderboard.statistics import sensitivity, time_to_target, tuning_budgets
from assay_leaderboard.statistics.learning_curves import (
    bounded,
    curves,
    half_widths,
    means,
    n_starts,
    reached_at,
)
from assay_leaderboard.statistics.time_to_target import Attempt, Steps

Machine = tuple[tuple[str, ...], Compute]
"""Environment.machine_key, and what of that machine a run had: seconds compare on one alone."""

PATH_REPETITIONS = 3
"""Repetitions of a method whose ways over a function are kept: more than one picture can show."""


def detail(dossier: TaskEvidence, table: TaskTable) -> TaskDetail:
    """What the page of a task shows beside its table, but for the pairs of methods.

    Args:
        dossier: the task.
        table: its table; methods are in the order of its rows.
    """
    cells = {cell.method: cell for cell in dossier.cells}
    methods = [row.method for row in table.rows]
    machines = _reference_cpu(dossier)
    views = [_Method(dossier, cells[method], machines) for method in methods]
    return TaskDetail(
        task=dossier.card.slug,
        details=[view.detail() for view in views],
        pairs=[],
        ecdf={view.cell.method: steps for view in views if (steps := view.ecdf())},
    )


def reference_targets(dossier: TaskEvidence) -> list[TargetReached]:
    """How the tuned reference fares at the task's frozen targets; nothing without its records."""
    reference = dossier.card.reference
    return [
        target
        for cell in dossier.cells
        if cell.method == reference and not cell.stale
        for target in _Method(dossier, cell, {}).targets()
    ]


class _Method:
    """One method on one task, its tuned repetitions read once."""

    def __init__(
        self, dossier: TaskEvidence, cell: CellEvidence, machines: Mapping[Machine, float]
    ) -> None:
        self.card = card = dossier.card
        self.dossier, self.cell, self.machines = dossier, cell, machines
        self.runs = dossier.tuned(cell)
        self.completed = [run for run in self.runs if run.result]
        self.grid = card.evaluation.batches(card.budget.batches)
        self.drawn = [run for run in self.completed if run.curve]
        self.curves = curves(self.drawn, self.grid)

    def detail(self) -> Detail:
        """Everything."""
        return Detail(
            method=self.cell.method,
            curve=self.curve(),
            targets=self.targets(),
            budget=self.budget(),
            sensitivity=self.sensitivity(),
            cost=self.cost(),
            selection=self.selection(),
            paths=_paths(self.completed),
        )

    def curve(self) -> list[DrawnPoint]:
        """Means over what completed."""
        if not self.drawn:
            return []
        values = self.curves.values[..., : self.curves.end]
        n = (~np.isnan(values[-1])).sum(axis=0)
        seen = n > 0  # a curve may begin after the first evaluation point
        columns = means(values[..., seen]).tolist()
        halves = half_widths(values[-1][:, seen], self.dossier.ruleset.confidence).tolist()
        batches = [batch for batch, kept in zip(self.grid, seen, strict=False) if kept]
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

    @cached_property
    def attempts(self) -> list[tuple[list[Attempt], list[Attempt]]]:
        """Per target: passes, and seconds, of the repetitions on the way to it, per start."""
        sign = 1.0 if self.card.metric.direction == "maximize" else -1.0
        _, _, val, test = values = self.curves.values
        # A target is a score on clean labels, which noisy validation labels never show.
        scores = test if self.card.family == "noisy_labels" else val
        targets = np.array([target.value for target in self.card.targets], dtype=np.float64)
        at = reached_at(scores, targets, sign)
        # Nothing says whether one that completed and has no curve got there.
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
        """Of the card, where there is a repetition."""
        found = []
        for target, (passes, seconds) in zip(self.card.targets, self.attempts, strict=True):
            if not passes:
                continue
            reached = sum(attempt.reached for attempt in passes)
            found.append(
                TargetReached(
                    name=target.name,
                    value=target.value,
                    n=len(passes),
                    reached=reached,
                    rate=time_to_target.wilson(
                        reached, len(passes), self.dossier.ruleset.confidence
                    ),
                    passes=time_to_target.expected_running_time(passes),
                    seconds=time_to_target.expected_running_time(seconds),
                    survival=time_to_target.kaplan_meier(passes),
                )
            )
        return found

    def ecdf(self) -> Steps:
        """Over all targets; empty without a target or a repetition."""
        attempts = [attempt for passes, _ in self.attempts for attempt in passes]
        return time_to_target.ecdf(attempts) if attempts else []

    def budget(self) -> list[BudgetPoint]:
        """At the positions of the slider that the study has trials for."""
        trials, ruleset = self.dossier.trials(self.cell), self.dossier.ruleset
        if trials is None:
            return []
        places = tuning_budgets.sampled_places(trials, self.card.slug, ruleset)[:, 1:]
        ks = tuning_budgets.budgets(trials.n)
        intervals = tuning_budgets.intervals(trials, places, ks, ruleset.confidence)
        return [
            BudgetPoint(k, tuning_budgets.expected(trials, k), interval)
            for k, interval in zip(ks, intervals, strict=True)
        ]

    def sensitivity(self) -> Sensitivity:
        """From the trials, on validation."""
        study, metric = self.dossier.studies[self.cell.method], self.card.metric
        vals = [bounded(trial.val) for trial in study.trials]
        shortfalls = sensitivity.shortfalls(vals, metric.direction)
        near = sensitivity.near_best(shortfalls, metric.margin)
        name = sensitivity.learning_rate(study.space.ranges)
        rates = [
            trial.hyperparameters[name]
            for trial, is_near in zip(study.trials, near, strict=True)
            if is_near and name in trial.hyperparameters
        ]
        return Sensitivity(
            n=len(vals),
            default_gap=shortfalls[0],
            near_best=sum(near) / len(near),
            lr_decades=sensitivity.decades(rates),
            diverged=sum(trial.status == "diverged" for trial in study.trials) / len(vals),
            trials=[
                TrialPoint(
                    trial.number,
                    trial.hyperparameters,
                    val,
                    self.dossier.test_of(self.cell, trial),
                    trial.status,
                    trial.number == study.selected,
                    trial.run_id,
                )
                for trial, val in zip(study.trials, vals, strict=True)
            ],
        )

    def cost(self) -> Cost | None:
        """Medians over what completed."""
        if not self.completed:
            return None
        own = {} if self.cell.stale else _least_cpu(self.completed)
        ratios = [own[m] / self.machines[m] for m in own.keys() & self.machines.keys()]
        usages = [run.usage for run in self.completed]
        return Cost(
            passes=_median([usage.passes for usage in usages]),
            examples=_median([usage.examples for usage in usages]),
            seconds=_median([_seconds(run) for run in self.completed]),
            ratio=_median(ratios) if ratios else None,
            peak_bytes=_median([usage.peak_bytes for usage in usages]),
            optimizer_state_bytes=_median([usage.optimizer_state_bytes for usage in usages]),
        )

    def selection(self) -> Selection | None:
        """Means over what completed."""
        results = [run.result for run in self.completed if run.result]
        if not results:
            return None
        columns = zip(*((r.test, r.test_last, r.test_oracle) for r in results), strict=True)
        held = np.array([[*map(bounded, column)] for column in columns])
        selected, last, oracle = held.mean(axis=1).tolist()
        return Selection(selected=selected, last=last, oracle=oracle)


def _spent(run: RunRecord, card: TaskCard) -> tuple[float, float]:
    """Passes and seconds of a run, per start as its curve has them."""
    starts = n_starts(card)
    return bounded(run.usage.passes) / starts, bounded(run.usage.train_seconds) / starts


def _reference_cpu(dossier: TaskEvidence) -> dict[Machine, float]:
    """CPU seconds of the reference's tuned repetitions on each machine it was run on."""
    runs = [
        run
        for cell in dossier.cells
        if cell.method == dossier.card.reference and not cell.stale
        for run in dossier.tuned(cell)
        if run.result
    ]
    return {machine: least for machine, least in _least_cpu(runs).items() if least > 1e-9}


def _least_cpu(runs: Sequence[RunRecord]) -> dict[Machine, float]:
    """The smallest CPU time on each machine: of the run that others disturbed least."""
    found: dict[Machine, float] = {}
    for run in runs:
        machine = run.environment.machine_key, run.spec.compute
        seconds = bounded(run.usage.cpu_seconds)
        found[machine] = min(seconds, found.get(machine, seconds))
    return found


def _seconds(run: RunRecord) -> float:
    return bounded(run.usage.train_seconds)


def _paths(runs: Sequence[RunRecord]) -> list[Path]:
    """Where the weights went, of the first repetitions, where the task has such places."""
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
