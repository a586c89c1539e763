"""Best learning rates beside the reference's, and how often the ends of ranges win."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import median

import numpy as np
from assay.cards import TaskCard
from assay.ruleset import Ruleset

from assay_leaderboard.boards.search_spaces import OUTER
from assay_leaderboard.evidence.cells import CellEvidence
from assay_leaderboard.schema.board import View
from assay_leaderboard.schema.task_details import RangeUse
from assay_leaderboard.schema.translation import (
    FamilyRatio,
    MethodRanges,
    PooledRange,
    TaskRanges,
    Translation,
)
from assay_leaderboard.statistics import sensitivity

Ranges = Mapping[str, RangeUse]


def of_task(
    card: TaskCard, cells: Sequence[CellEvidence], ranges: Mapping[str, Ranges]
) -> TaskRanges:
    """The methods on a task.

    Args:
        card: of the task.
        cells: its cells, by slug of the method.
        ranges: by method, what `search_spaces.range_uses` says of its cell.
    """
    known = [cell for cell in cells if cell.state != "stale" and ranges.get(cell.method)]
    rates = {cell.method: sensitivity.learning_rate(ranges[cell.method]) for cell in known}
    best = {method: ranges[method][lr].median for method, lr in rates.items() if lr}
    anchor = best.get(card.reference)
    return TaskRanges(
        task=card.slug,
        family=card.family,
        reference=card.reference,
        methods=[
            MethodRanges(
                method=cell.method,
                state=cell.state,
                k=cell.k,
                lr=rates[cell.method],
                ratio=_ratio(best.get(cell.method), anchor)
                if cell.method != card.reference
                else None,
                ranges=dict(ranges[cell.method]),
            )
            for cell in known
        ],
    )


def _ratio(own: float | None, reference: float | None) -> float | None:
    """The one over the other; None where that is no positive number."""
    return own / reference if own and reference and own > 0 and reference > 0 else None


def assembled(
    tasks: Sequence[TaskRanges], ruleset: Ruleset, view: View, problems: Sequence[str] = ()
) -> Translation:
    """All tasks together."""
    found = [use for task in tasks for row in task.methods for use in row.ranges.values()]
    return Translation(
        ruleset=ruleset.version,
        view=view,
        outer=OUTER,
        limit=sensitivity.EXCESS,
        tasks=list(tasks),
        families=_families(tasks),
        pooled=_pooled(tasks),
        n_ranges=len(found),
        n_flagged=sum(use.flagged for use in found),
        n_by_chance=sum(use.flagged_by_chance for use in found),
        problems=list(problems),
    )


def _families(tasks: Sequence[TaskRanges]) -> list[FamilyRatio]:
    """The ratios of every method over the tasks of each family."""
    found = defaultdict(list)
    for task in tasks:
        for row in task.methods:
            if row.ratio is not None:
                found[task.family, row.method].append(row.ratio)
    return [
        FamilyRatio(
            family=family,
            method=method,
            n_tasks=len(ratios),
            ratio=float(np.exp(median(np.log(ratios)))),
            low=min(ratios),
            high=max(ratios),
        )
        for (family, method), ratios in sorted(found.items())
    ]


def _pooled(tasks: Sequence[TaskRanges]) -> list[PooledRange]:
    """Every range over the tasks that share it; methods have another on synthetic functions."""
    found = defaultdict(list)
    for task in tasks:
        for row in task.methods:
            for name, use in row.ranges.items():
                key = row.method, name, use.low, use.high, use.log, use.default
                found[key].append((task.task, row.k, use))
    rows = []
    for (method, name, low, high, log, default), parts in found.items():
        uses = [use for _, _, use in parts]
        n = sum(use.n for use in uses)
        at_low, at_high = sum(use.at_low for use in uses), sum(use.at_high for use in uses)
        chances = [use.by_chance for use in uses for _ in range(use.n)]
        pooled = PooledRange(
            method=method,
            hyperparameter=name,
            low=low,
            high=high,
            log=log,
            default=default,
            k=max(k for _, k, _ in parts),
            tasks=[task for task, _, _ in parts],
            n=n,
            at_low=at_low,
            at_high=at_high,
            by_chance=sum(chances) / n,
            flagged=sensitivity.exceeds(at_low + at_high, chances),
            flagged_tasks=[task for task, _, use in parts if use.flagged],
        )
        rows.append(pooled)
    return sorted(rows, key=lambda row: (-row.excess, row.method, row.hyperparameter))
