"""Methods ranked over several tasks, by the interquartile mean of their normalised scores."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from assay.ruleset import Ruleset
from numpy.typing import NDArray

from assay_leaderboard.boards.task_comparisons import TaskComparisons
from assay_leaderboard.evidence.cells import CellEvidence
from assay_leaderboard.schema.board import (
    Basis,
    CriticalDifference,
    FamilySummary,
    Improvement,
    SummaryRow,
)
from assay_leaderboard.schema.values import Floats
from assay_leaderboard.statistics import aggregate, corrections, profiles
from assay_leaderboard.statistics import contrasts as contrasts_
from assay_leaderboard.statistics.aggregate import Aggregate
from assay_leaderboard.statistics.contrasts import Contrasts
from assay_leaderboard.statistics.profiles import Scores
from assay_leaderboard.statistics.result_cache import ResultCache


@dataclass(frozen=True)
class _Field:
    """The summarised methods, from best to worst interquartile mean, and their results."""

    methods: list[str]
    results: list[Aggregate]
    margins: list[float]
    """Of each anchored task in normalised score, by slug."""
    alpha: float

    @property
    def margin(self) -> float:
        """Mean of the tasks' margins."""
        return float(np.mean(self.margins)) if self.margins else 0.0

    @cached_property
    def contrasts(self) -> Contrasts:
        """The differences of all pairs of methods."""
        iqm = np.array([result.iqm for result in self.results])
        return Contrasts.of(iqm, np.array([result.iqm_draws for result in self.results]))

    def ranks(self) -> list[tuple[int, int]]:
        """Rank intervals."""
        return corrections.rank_intervals(self._beats)

    @cached_property
    def _beats(self) -> NDArray[np.bool_]:
        return self.contrasts.beats(self.margin, self.alpha)

    def without_task(self) -> list[tuple[int, int] | None]:
        """Smallest and largest first rank of each method with any one task left out."""
        if not self.methods:
            return []
        found = np.array(
            [
                1 + self._lost_without(task, margin)
                for task, margin in enumerate(self._margins_without())
            ]
        )
        return _extremes(found) if len(found) else [None] * len(self.methods)

    def _margins_without(self) -> list[float]:
        if len(self.margins) < 2:
            return []
        return [float(np.mean(np.delete(self.margins, i))) for i in range(len(self.margins))]

    def _lost_without(self, task: int, margin: float) -> NDArray[np.intp]:
        return contrasts_.lost_by_spread(
            np.array([result.iqm_without[task] for result in self.results]),
            np.array([result.draws_without[task] for result in self.results]),
            margin,
            self.alpha,
        )

    def without_method(self) -> list[tuple[int, int] | None]:
        """Smallest and largest first rank with any one other method left out of the correction."""
        m = len(self.methods)
        if m < 2:
            return [None] * m
        found = 1 + self.contrasts.lost_without(self.margin, self.alpha)
        # A method is never left out of its own rank.
        columns = [np.delete(column, place) for place, column in enumerate(found.T)]
        return _extremes(np.array(columns).T)


def _extremes(ranks: NDArray[np.int64]) -> list[tuple[int, int] | None]:
    """Smallest and largest of each column."""
    return [*zip(ranks.min(axis=0).tolist(), ranks.max(axis=0).tolist(), strict=True)]


def summarise(
    name: str, work: Sequence[TaskComparisons], cache: ResultCache | None = None
) -> FamilySummary:
    """Rank methods over the anchored tasks of `work`; one that lacks a task is listed, not ranked.

    Which tasks count depends on the references alone, so no other entry changes a score.

    Args:
        name: of the summary.
        work: its tasks.
        cache: results of an earlier call; those of this call are added.
    """
    anchored = {task.card.slug: task for task in work if task.anchors}
    cells_of: dict[str, dict[str, CellEvidence]] = {}
    for task in work:
        for cell in task.cells:
            if not cell.stale:
                cells_of.setdefault(cell.method, {})
        for cell in task.ranked if task.card.slug in anchored else ():
            cells_of[cell.method][task.card.slug] = cell
    full = [m for m in sorted(cells_of) if anchored and len(cells_of[m]) == len(anchored)]
    ruleset = work[0].ruleset
    scores = _normalised(anchored, {method: cells_of[method] for method in full})
    field = _field(scores, anchored, ruleset, cache)
    rows = [*_ranked_rows(field, anchored, cells_of)]
    rows += [_row(m, cells_of[m], anchored) for m in sorted(cells_of) if m not in scores]
    scores = {method: scores[method] for method in field.methods}
    return FamilySummary(
        name=name,
        margin=field.margin if anchored else None,
        tasks=list(anchored),
        unanchored=[task.card.slug for task in work if task.card.slug not in anchored],
        rows=rows,
        improvements=_improvements(scores, ruleset, cache),
        profile={m: profiles.performance_profile(found) for m, found in scores.items()},
        critical=_critical(scores, ruleset.alpha),
    )


def _normalised(
    tasks: Mapping[str, TaskComparisons],
    cells_of: Mapping[str, Mapping[str, CellEvidence]],
    basis: Basis | None = None,
) -> Mapping[str, Scores]:
    """Normalised scores {task: (n,)} of methods that have all `tasks`.

    Of the repetitions that are ranked, or of the defaults where `basis` says so.
    """
    found: dict[str, dict[str, Floats]] = {method: {} for method in cells_of}
    for slug, task in tasks.items():
        if task.anchors is None:
            continue
        cells = [own[slug] for own in cells_of.values()]
        values = [
            (cell.defaults if basis == "defaults" else task.sample(cell)).values for cell in cells
        ]
        # One call for all methods: the overhead of a call is larger than its work.
        normalised = task.anchors.normalised([*itertools.chain.from_iterable(values)])
        end = 0
        for own, value in zip(found.values(), values, strict=True):
            start, end = end, end + len(value)
            own[slug] = normalised[start:end]
    return found


def _means(scores: Mapping[str, Scores]) -> Floats:
    """Means (methods, tasks) of scores; all methods have the same tasks, in the same order."""
    tasks = list(next(iter(scores.values()), ()))
    means = np.empty((len(scores), len(tasks)))
    for column, task in zip(means.T, tasks, strict=True):
        column[:] = aggregate.sample_means([found[task] for found in scores.values()])
    return means


def _field(
    scores: Mapping[str, Scores],
    tasks: Mapping[str, TaskComparisons],
    ruleset: Ruleset,
    cache: ResultCache | None,
) -> _Field:
    found = aggregate.aggregates(list(scores.values()), ruleset, cache)
    by_method = sorted(zip(scores, found, strict=True), key=lambda item: (-item[1].iqm, item[0]))
    margins = {
        slug: task.card.metric.margin / task.anchors.gap
        for slug, task in tasks.items()
        if task.anchors
    }
    return _Field(
        methods=[method for method, _ in by_method],
        results=[result for _, result in by_method],
        margins=[margins[slug] for slug in sorted(margins)],
        alpha=ruleset.alpha,
    )


def _ranked_rows(
    field: _Field,
    tasks: Mapping[str, TaskComparisons],
    cells_of: Mapping[str, Mapping[str, CellEvidence]],
) -> Iterator[SummaryRow]:
    columns = field.ranks(), field.without_task(), field.without_method()
    defaults = _defaults_means(tasks, {method: cells_of[method] for method in field.methods})
    for method, result, *ranks in zip(field.methods, field.results, *columns, strict=True):
        found = cells_of[method]
        row = _row(method, found, tasks)
        # With one repetition a task there is nothing to resample within tasks.
        varied = result if row.n > len(found) else None
        yield row.model_copy(
            update={
                "iqm": result.iqm,
                "iqm_interval": varied and varied.iqm_interval,
                "iqm_interval_tasks": result.iqm_interval_tasks,
                "mean": result.mean,
                "mean_interval": varied and varied.mean_interval,
                "optimality_gap": result.gap,
                "optimality_gap_interval": varied and varied.gap_interval,
                "defaults_mean": defaults.get(method),
                "rank": ranks[0],
                "rank_without_task": ranks[1],
                "rank_without_method": ranks[2],
            }
        )


def _row(
    method: str, found: Mapping[str, CellEvidence], tasks: Mapping[str, TaskComparisons]
) -> SummaryRow:
    """The row of a method without its rank and scores: all there is where it lacks tasks."""
    return SummaryRow(
        method=method,
        n_tasks=len(found),
        n=sum(len(tasks[slug].sample(cell).scores) for slug, cell in found.items()),
        preliminary=any(cell.preliminary for cell in found.values()),
        iqm=None,
        iqm_interval=None,
        mean=None,
        mean_interval=None,
        defaults_mean=None,
        rank=None,
    )


def _defaults_means(
    tasks: Mapping[str, TaskComparisons], cells_of: Mapping[str, Mapping[str, CellEvidence]]
) -> dict[str, float]:
    """Mean score over tasks of each method whose defaults are complete on all of them."""
    complete = {
        method: found
        for method, found in cells_of.items()
        if all(cell.defaults.complete for cell in found.values())
    }
    if not complete:
        return {}
    means = _means(_normalised(tasks, complete, "defaults")).mean(axis=1)
    return dict(zip(complete, means.tolist(), strict=True))


def _improvements(
    scores: Mapping[str, Scores], ruleset: Ruleset, cache: ResultCache | None
) -> list[Improvement]:
    methods = list(scores)
    found = profiles.improvements(list(scores.values()), ruleset, cache)
    return [
        Improvement(methods[i], methods[j], share, interval)
        for (i, j), (share, interval) in sorted(found.items())
    ]


def _critical(scores: Mapping[str, Scores], alpha: float) -> CriticalDifference | None:
    n_tasks = min((len(found) for found in scores.values()), default=0)
    if n_tasks < 2 or len(scores) < 3:
        return None
    ranks, p = profiles.mean_ranks(_means(scores).T)
    by_method = dict(sorted(zip(scores, ranks.tolist(), strict=True), key=lambda x: (x[1], x[0])))
    difference = profiles.critical_difference(len(scores), n_tasks, alpha)
    groups = profiles.cliques(list(by_method.values()), difference)
    return CriticalDifference(
        mean_ranks=by_method,
        n_tasks=n_tasks,
        friedman_p=p,
        difference=difference,
        groups=[list(by_method)[start:end] for start, end in groups],
    )
