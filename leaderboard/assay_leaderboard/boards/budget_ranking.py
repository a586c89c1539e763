"""The ranking at every tuning budget k, the number of points a tuner may try.

At k = 0 the defaults are ranked and at k = K the tuned point, both by their repetitions: these are
the summaries of the two boards. In between, the ranking is by what tuning with k of the stored
trials would have given (statistics.tuning_budgets): the interquartile mean over all tasks, weighing
the same, of the trials' normalised test scores, each weighted by its chance to be selected.

K is the largest number of trials of a reference, so no other entry changes which tables there are.
A study with fewer than k trials counts with all it has.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple

import numpy as np
from assay.identity import sha256
from assay.ruleset import Ruleset

from assay_leaderboard.schema.board import (
    Board,
    BudgetRow,
    BudgetTable,
    FamilySummary,
    Row,
    TaskTable,
)
from assay_leaderboard.schema.values import Floats
from assay_leaderboard.statistics import tuning_budgets
from assay_leaderboard.statistics.aggregate import Anchors
from assay_leaderboard.statistics.bootstrap import percentile_intervals
from assay_leaderboard.statistics.contrasts import Contrasts
from assay_leaderboard.statistics.corrections import rank_intervals
from assay_leaderboard.statistics.interquartile import LookedUp, middle_means
from assay_leaderboard.statistics.result_cache import ResultCache
from assay_leaderboard.statistics.tuning_budgets import Trials

StoredTrials = Mapping[str, Mapping[str, Trials]]
"""By task and method (TaskEvidence.all_trials)."""


def budget_tables(
    tuned: Board,
    defaults: Board,
    trials: StoredTrials,
    ruleset: Ruleset,
    cache: ResultCache | None = None,
) -> list[BudgetTable]:
    """The tables of each family and of "overall", by increasing budget.

    Args:
        tuned: the board of the tuned points.
        defaults: the board of the defaults, made from the same records.
        trials: of the studies that both boards show.
        ruleset: of both boards.
        cache: results of an earlier call; those of this call are added.
    """
    tables = {table.task: table for table in tuned.tasks}
    untuned = {summary.name: summary for summary in _summaries(defaults)}
    found = []
    for summary in _summaries(tuned):
        anchored = [tables[task] for task in summary.tasks]
        if summary.name in untuned:
            found.append(_repeated(untuned[summary.name], 0))
        if anchored:
            *below, largest = tuning_budgets.budgets(max(_reference(table).k for table in anchored))
            found += _between(summary, anchored, below, trials, ruleset, cache or ResultCache())
            found.append(_repeated(summary, largest))
    return [table for table in found if table.rows]


def _summaries(board: Board) -> list[FamilySummary]:
    return [*board.families, *([board.overall] if board.overall else [])]


def _reference(table: TaskTable) -> Row:
    """The reference's row of an anchored table, which has a mean."""
    return next(row for row in table.rows if row.is_reference)


def _repeated(summary: FamilySummary, k: int) -> BudgetTable:
    """The table at k = 0 or K: the numbers of the summary."""
    rows = [
        BudgetRow(method=row.method, score=row.iqm, interval=row.iqm_interval, rank=row.rank)
        for row in summary.rows
        if row.iqm is not None and row.rank is not None
    ]
    return BudgetTable(name=summary.name, k=k, basis="tuned" if k else "defaults", rows=rows)


def _between(
    summary: FamilySummary,
    tables: Sequence[TaskTable],
    ks: Sequence[int],
    trials: StoredTrials,
    ruleset: Ruleset,
    cache: ResultCache,
) -> list[BudgetTable]:
    """The tables at the budgets `ks` between 0 and K."""
    ranked = [row.method for row in summary.rows if row.iqm is not None]
    methods = [m for m in ranked if all(m in trials.get(t.task, {}) for t in tables)]
    anchors = [_anchors(table) for table in tables]
    stored = [
        [_Stored(t.task, a, trials[t.task][m]) for t, a in zip(tables, anchors, strict=True)]
        for m in methods
    ]

    def make(places: list[int]) -> Floats:
        return np.array([_positions(stored[i], ks, ruleset).ravel() for i in places])

    base = repr(
        ([t.task for t in tables], anchors, list(ks), ruleset.seed_root, tuning_budgets.DRAWS)
    )
    keys = [_key(found, base.encode()) for found in stored]
    size = 1 + tuning_budgets.DRAWS
    rows = cache.rows("positions", len(ks) * size, keys, make).reshape(-1, len(ks), size)
    return [_ranked(summary, k, methods, rows[:, i], ruleset) for i, k in enumerate(ks)]


class _Stored(NamedTuple):
    """The stored trials of a method on one task."""

    task: str
    anchors: Anchors
    trials: Trials


def _key(found: Sequence[_Stored], base: bytes) -> str:
    """A hash of all that `_positions` depends on; `base` is what all methods share."""
    numbers = repr([trials.numbers for *_, trials in found]).encode()
    return sha256(base + numbers + np.concatenate([t.tests for *_, t in found]).tobytes())


def _ranked(
    summary: FamilySummary, k: int, methods: Sequence[str], positions: Floats, ruleset: Ruleset
) -> BudgetTable:
    """The table of methods from `_positions` of each, (methods, 1 + DRAWS)."""
    scores, draws = positions[:, 0], positions[:, 1:]
    beats = Contrasts.of(scores, draws).beats(summary.margin or 0.0, ruleset.alpha)
    intervals = percentile_intervals(draws, ruleset.confidence)
    rows = [
        BudgetRow(method, score, interval, rank)
        for method, score, interval, rank in zip(
            methods, scores.tolist(), intervals, rank_intervals(beats), strict=True
        )
    ]
    return BudgetTable(
        name=summary.name,
        k=k,
        basis="trials",
        rows=sorted(rows, key=lambda row: (-row.score, row.method)),
    )


def _positions(found: Sequence[_Stored], ks: Sequence[int], ruleset: Ruleset) -> Floats:
    """(ks, 1 + DRAWS): the interquartile mean over tasks at each budget, and its resamples."""
    scores = np.concatenate(
        [anchors.normalised(trials.tests.tolist()) for _, anchors, trials in found]
    )
    sizes = sorted({trials.n for *_, trials in found})
    # One table of chances for all sizes of studies, stacked; `starts` says where each begins.
    starts = dict(zip(sizes, accumulate(((n + 1) ** 2 for n in sizes), initial=0), strict=False))
    places = np.empty((len(scores), 1 + tuning_budgets.DRAWS), dtype=np.int32)
    end = 0
    for task, _, trials in found:
        rows = places[end : end + trials.n]
        rows[:] = tuning_budgets.sampled_places(trials, task, ruleset)
        rows += starts[trials.n]
        end += trials.n
    positions: list[Floats] = []
    for part in tuning_budgets.together(ks):
        # Whole numbers, so that trials outside the middle half weigh exactly 0.
        unit = math.lcm(*(math.comb(n, min(k, n)) for n in sizes for k in part))
        dtype = np.int32 if 4 * unit * len(found) < 1 << 31 else np.float64
        table = np.concatenate([tuning_budgets.chances(n, part, 4 * unit, dtype) for n in sizes])
        means = middle_means(scores, LookedUp(table, places), unit * len(found))
        positions += [*means.reshape(-1, len(part)).T]
    return np.array(positions)


def _anchors(table: TaskTable) -> Anchors:
    """The same as TaskComparisons.anchors."""
    mean = _reference(table).tuned.mean
    if mean is None:
        raise ValueError(f"{table.task} has no anchors")
    return Anchors(table.chance, mean)
