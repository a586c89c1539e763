"""Methods ranked over the tasks of a family, and over families (protocol 4).

A family's score is the interquartile mean of the normalised scores over its tasks and repetitions;
overall is the mean of the families, functions being one of five. A method that cannot enter a task
is ranked on the others: two methods are compared on the tasks that both have. One that can enter a
task and has no result there is not ranked, or a submitter could choose the tasks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from assay.cards import FAMILIES
from assay.plugins.registry import illegal
from assay.ruleset import Ruleset

from assay_leaderboard.boards.task_comparisons import TaskComparisons
from assay_leaderboard.evidence.runs import Catalogue
from assay_leaderboard.schema.board import (
    CriticalDifference,
    FamilySummary,
    Improvement,
    SummaryRow,
)
from assay_leaderboard.schema.values import Floats, Interval
from assay_leaderboard.statistics import profiles
from assay_leaderboard.statistics.aggregate import Aggregates, Scores, Summary, interquartile_mean
from assay_leaderboard.statistics.corrections import rank_intervals
from assay_leaderboard.statistics.result_cache import ResultCache

MIN_CRITICAL_TASKS = 10
"""With fewer tasks a critical-difference diagram hardly tells anything apart."""
MIN_CRITICAL_METHODS = 3


class Field:
    """The methods of one tier at one budget: normalised scores, and their bootstrap.

    The families of the tier and their mean share it, so that each draw is made once.
    """

    def __init__(
        self,
        work: Sequence[TaskComparisons],
        catalogue: Catalogue,
        ruleset: Ruleset,
        cache: ResultCache | None = None,
    ) -> None:
        """Read the scores of all ranked cells.

        Args:
            work: the tasks, of one tier and at one budget; deterministic ones do not count.
            catalogue: says which tasks a method may enter; one without a card may enter all.
            ruleset: of the tasks.
            cache: bootstraps of an earlier call; those of this call are added.
        """
        self.ruleset, self.cache = ruleset, cache or ResultCache()
        self.cards = {slug: card for slug, (card, _) in catalogue.methods.items()}
        self.tasks = {task.card.slug: task for task in work if task.gap is not None}
        """Those with an anchor, by slug."""
        self.scores: dict[str, dict[str, Floats]] = {}
        """Normalised scores (n,) by method and task."""
        for task in work:
            for cell in task.cells:
                if not cell.stale:
                    self.scores.setdefault(cell.method, {})
            for cell in task.ranked if task.gap is not None else ():
                values = task.normalised(cell.values(task.budget))
                self.scores[cell.method][task.card.slug] = values
        self.scores = dict(sorted(self.scores.items()))
        self.aggregates = Aggregates(list(self.scores.values()), ruleset, self.cache)

    def lacks(self, method: str, tasks: Iterable[str]) -> list[str]:
        """Those of some anchored tasks that a method may enter and has no result on that ranks."""
        card = self.cards.get(method)
        return [
            task
            for task in tasks
            if task not in self.scores.get(method, {})
            and (card is None or illegal(card, self.tasks[task].card) is None)
        ]

    def families(self, work: Iterable[TaskComparisons]) -> list[list[str]]:
        """The anchored tasks of each family among `work`; families without one are left out."""
        found: dict[str, list[str]] = {name: [] for name in FAMILIES}
        for task in work:
            if task.card.slug in self.tasks:
                found[task.card.family].append(task.card.slug)
        return [sorted(slugs) for slugs in found.values() if slugs]


@dataclass(frozen=True)
class Ranking:
    """The methods that have a score over some families, from best to worst."""

    field: Field
    families: Sequence[Sequence[str]]
    """Anchored tasks of each."""

    @property
    def tasks(self) -> list[str]:
        """Those of all families."""
        return [task for family in self.families for task in family]

    @property
    def margin(self) -> float | None:
        """Mean over families of the mean of their tasks' margins, in normalised score."""
        tasks = self.field.tasks
        means = [
            np.mean([tasks[t].card.metric.margin / (tasks[t].gap or 1.0) for t in family])
            for family in self.families
        ]
        return float(np.mean(means)) if means else None

    @cached_property
    def _summary(self) -> Summary | None:
        complete = [
            place
            for place, method in enumerate(self.field.scores)
            if not self.field.lacks(method, self.tasks)
        ]
        return self.field.aggregates.over(self.families, complete) if self.families else None

    @cached_property
    def order(self) -> list[int]:
        """Places of the methods with a score among those of the field, from best to worst."""
        if self._summary is None:
            return []
        scores = self._summary.score
        methods = [*self.field.scores]
        known = np.flatnonzero(~np.isnan(scores)).tolist()
        return sorted(known, key=lambda i: (-scores[i], methods[i]))

    @property
    def methods(self) -> list[str]:
        """Their slugs."""
        methods = [*self.field.scores]
        return [methods[i] for i in self.order]

    def scores(self) -> list[tuple[float, Interval | None]]:
        """The score of each and its interval."""
        if self._summary is None:
            return []
        ends = self._summary.ends[self.order].tolist()
        return [
            (score, None if np.isnan(low) else Interval(low, high))
            for score, (low, high) in zip(
                self._summary.score[self.order].tolist(), ends, strict=True
            )
        ]

    def ranks(self) -> list[tuple[int, int] | None]:
        """The rank interval of each; None at the paper tier, which has no verdicts.

        Over a single task they are those of the task: a pair has one verdict (protocol 3).
        """
        if self._summary is None:
            return []
        if not all(self.field.tasks[task].judged for task in self.tasks):
            return [None] * len(self.order)
        if len(self.tasks) == 1:
            ranks = self.field.tasks[self.tasks[0]].ranks()
            return [ranks[method] for method in self.methods]
        rate = self.field.ruleset.false_discovery_rate
        beats = self._summary.contrasts.beats(self.margin or 0.0, rate)
        return [*rank_intervals(beats[np.ix_(self.order, self.order)])]


def summarise(name: str, work: Sequence[TaskComparisons], field: Field) -> FamilySummary:
    """The summary of the tasks of one family, or of several families of a tier.

    Args:
        name: of the summary.
        work: its tasks; no deterministic one.
        field: of all tasks of the tier, at the same budget.
    """
    ranking = Ranking(field, field.families(work))
    anchored = ranking.tasks
    listed = {cell.method for task in work for cell in task.cells if not cell.stale}
    rows = [*_ranked_rows(ranking, work), *_others(ranking, listed)]
    full = [m for m in ranking.methods if all(task in field.scores[m] for task in anchored)]
    scores = {m: {task: field.scores[m][task] for task in anchored} for m in full}
    return FamilySummary(
        name=name,
        tier=work[0].card.tier,
        families=sorted({task.card.family for task in work}, key=FAMILIES.index),
        tasks=anchored,
        unanchored=[task.card.slug for task in work if task.card.slug not in field.tasks],
        hidden={task.card.slug: task.epoch for task in work if task.epoch},
        margin=ranking.margin,
        rows=rows,
        improvements=_improvements(scores, field),
        profile={m: profiles.performance_profile(found) for m, found in scores.items()},
        critical=_critical(scores, field.ruleset.alpha),
    )


def _ranked_rows(ranking: Ranking, work: Sequence[TaskComparisons]) -> Iterable[SummaryRow]:
    field = ranking.field
    defaults = _defaults(ranking, work)
    over_tasks: list[Interval | None] = [None] * len(field.scores)
    if len(ranking.families) == 1:
        over_tasks = field.aggregates.over_other_tasks(ranking.families[0])
    columns = ranking.order, ranking.methods, ranking.scores(), ranking.ranks()
    for place, method, (score, interval), rank in zip(*columns, strict=True):
        means = _means(field.scores[method], ranking.families)
        yield _row(ranking, method).model_copy(
            update={
                "score": score,
                "interval": interval,
                "interval_tasks": over_tasks[place],
                "range_tasks": _range(field.scores[method], ranking.families),
                "mean": float(np.mean(means)),
                "defaults": defaults.get(method),
                "rank": rank,
            }
        )


def _others(ranking: Ranking, listed: Iterable[str]) -> list[SummaryRow]:
    """Rows of methods that have runs and are not ranked, by slug."""
    return [_row(ranking, method) for method in sorted({*listed} - {*ranking.methods})]


def _row(ranking: Ranking, method: str) -> SummaryRow:
    """The row of a method without its scores and rank."""
    tasks = ranking.tasks
    own = ranking.field.scores.get(method, {})
    return SummaryRow(
        method=method,
        n_tasks=sum(task in own for task in tasks),
        of_tasks=len(tasks),
        lacks=ranking.field.lacks(method, tasks),
        n=sum(len(own[task]) for task in tasks if task in own),
        score=None,
        interval=None,
        interval_tasks=None,
        range_tasks=None,
        mean=None,
        defaults=None,
        rank=None,
    )


def _means(scores: Mapping[str, Floats], families: Sequence[Sequence[str]]) -> list[float]:
    """Mean score over the tasks of each family that a method has."""
    return [
        float(np.mean([scores[task].mean() for task in family if task in scores]))
        for family in families
    ]


def _range(
    scores: Mapping[str, Floats], families: Sequence[Sequence[str]]
) -> tuple[float, float] | None:
    """Smallest and largest mean over tasks; over family scores where there are several."""
    if len(families) == 1:
        found = [float(scores[task].mean()) for task in families[0] if task in scores]
    else:
        found = [_point(scores, family) for family in families]
    return min(found), max(found)


def _point(scores: Mapping[str, Floats], family: Sequence[str]) -> float:
    """The family score of a method, without its bootstrap."""
    return interquartile_mean([scores[task] for task in family if task in scores])


def _defaults(ranking: Ranking, work: Sequence[TaskComparisons]) -> dict[str, float]:
    """The score at k = 1 of each method with a score."""
    scores: dict[str, dict[str, Floats]] = {method: {} for method in ranking.methods}
    for task in work:
        for cell in task.ranked if task.gap is not None else ():
            if cell.method in scores:
                scores[cell.method][task.card.slug] = task.normalised(cell.values(1))
    return {
        method: float(np.mean([_point(own, family) for family in ranking.families]))
        for method, own in scores.items()
    }


def _improvements(scores: Mapping[str, Scores], field: Field) -> list[Improvement]:
    methods = list(scores)
    found = profiles.improvements(list(scores.values()), field.ruleset, field.cache)
    return [
        Improvement(methods[i], methods[j], share, interval)
        for (i, j), (share, interval) in sorted(found.items())
    ]


def _critical(scores: Mapping[str, Scores], alpha: float) -> CriticalDifference | None:
    n_tasks = min((len(found) for found in scores.values()), default=0)
    if n_tasks < MIN_CRITICAL_TASKS or len(scores) < MIN_CRITICAL_METHODS:
        return None
    means = np.array([[found[task].mean() for task in found] for found in scores.values()])
    ranks, p = profiles.mean_ranks(means.T)
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
