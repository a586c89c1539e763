"""Two methods compared, task by task (`assay compare`).

A pair of ranked methods has the verdict that it has on the board, from the family of all pairs of
its task.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import numpy as np
from assay.cards import Family
from assay.ruleset import Ruleset, Tier

from assay_leaderboard.boards.task_comparisons import TaskComparisons
from assay_leaderboard.evidence.cells import CellEvidence, cells
from assay_leaderboard.evidence.runs import Catalogue, Evidence
from assay_leaderboard.schema.board import Seeds, View, not_ranking
from assay_leaderboard.schema.values import (
    Comparison,
    Floats,
    Interval,
    PairFamily,
    Part,
    Problems,
    Verdict,
)
from assay_leaderboard.statistics import sign_flips, subset_means

_POOLED = {*get_args(Verdict)} - {"neither completed"}
"""Verdicts of pairs that are pooled: at least one of the two has scores of its own."""


class Duel(Part):
    """One task."""

    task: str
    family: Family
    tier: Tier
    unit: str
    margin: float
    preliminary: bool
    """One of the two has only the runs of --quick: a difference, and no verdict."""
    mean_a: float | None
    """Mean over the repetitions recorded for both, at the same budget; None where `comparison` is.
    """
    mean_b: float | None
    seeds: Seeds
    """Those of the repetitions that are compared."""
    note: str
    """Why there is no comparison; empty if there is one."""
    comparison: Comparison | None
    """Of a with b; positive where a is better."""
    pairs: PairFamily | None
    """The family of pairs that the verdict and the level of the interval come from; None where
    there is no verdict, and the interval has the report's `confidence`."""


class Overall(Part):
    """All judged tasks of a tier that have an anchor together, weighing the same."""

    tier: Tier
    tasks: list[str]
    n: int
    """Repetitions that all these tasks have for both methods."""
    difference: float
    """Mean over these repetitions and tasks of the difference of the normalised scores (0 = chance,
    1 = anchor)."""
    interval: Interval
    """Of the difference at the report's `confidence`: from the means of all subsets of the
    repetitions, each of which is the mean over the tasks."""
    p: float
    """Exact two-sided sign-flip test of the same numbers."""


class ComparisonReport(Part):
    """Everything `assay compare` says."""

    schema_version: Literal[3] = 3
    view: View
    """By which rules results rank; see Board."""
    ruleset: int
    budget: int | None
    """Points that each repetition's score is selected from; None: all of the task's tier."""
    a: str
    b: str
    confidence: float
    false_discovery_rate: float
    tasks: list[Duel]
    counts: dict[str, int]
    """Tasks per verdict; preliminary ones are not counted."""
    overall: list[Overall]
    """One for each tier that has such tasks: tiers are never mixed."""
    problems: Problems


def compare(
    evidence: Evidence,
    catalogue: Catalogue,
    methods: tuple[str, str],
    tasks: Sequence[str],
    ruleset: Ruleset,
    budget: int | None = None,
) -> ComparisonReport:
    """Compare `methods` on those of `tasks` where either has a run, in the given order.

    The evidence holds the runs of all methods: the verdict of a pair depends on how many pairs of
    its task were judged.
    """
    problems = list(evidence.problems)
    duels: list[Duel] = []
    pooled: dict[Tier, dict[str, Floats]] = {}
    for slug in tasks:
        card = catalogue.tasks[slug][0]
        found, wrong = cells(card, evidence, catalogue, ruleset)
        problems += wrong
        task = TaskComparisons(card, found, ruleset, budget)
        if not task.by_method.keys() & set(methods):
            continue
        duels.append(duel(task, *methods, revealed=evidence.rules.revealed))
        comparison = duels[-1].comparison
        if task.gap is not None and comparison and comparison.verdict in _POOLED:
            by_repetition = _by_repetition(task, *methods) / task.gap
            pooled.setdefault(card.tier, {})[slug] = by_repetition
    counts = Counter(
        duel.comparison.verdict for duel in duels if duel.comparison and duel.comparison.verdict
    )
    return ComparisonReport(
        view=evidence.rules.view,
        ruleset=ruleset.version,
        budget=budget,
        a=methods[0],
        b=methods[1],
        confidence=ruleset.confidence,
        false_discovery_rate=ruleset.false_discovery_rate,
        tasks=duels,
        counts={name: counts[name] for name in get_args(Verdict)},
        overall=[
            together
            for tier, differences in pooled.items()
            if (together := _overall(tier, differences, ruleset))
        ],
        problems=problems,
    )


def duel(task: TaskComparisons, a: str, b: str, revealed: Mapping[str, str]) -> Duel:
    """Two methods on one task, with the verdict that they have on its board.

    Args:
        task: the task.
        a: slug of a method.
        b: the same.
        revealed: when each epoch was revealed.
    """
    card, known = task.card, task.by_method
    note = _why_not(known.get(a), a) or _why_not(known.get(b), b)
    if not note and card.deterministic:
        note = "one run, in which nothing varies: there is nothing to test"
    if not note and a == b:
        note = "the same method"
    comparison = None if note else task.comparison(a, b)
    mean_a = mean_b = None
    if comparison:
        mean_a, mean_b = (float(scores.mean()) for scores in task.paired(known[a], known[b]))
    elif not note:
        note = "no repetition is recorded for both"
    return Duel(
        task=card.slug,
        family=card.family,
        tier=card.tier,
        unit=card.metric.unit,
        margin=card.metric.margin,
        preliminary=any(cell.preliminary for cell in (known.get(a), known.get(b)) if cell),
        mean_a=mean_a,
        mean_b=mean_b,
        seeds=Seeds.of(task.epoch, revealed),
        note=note,
        comparison=comparison,
        pairs=task.family if comparison and comparison.verdict else None,
    )


def _why_not(cell: CellEvidence | None, method: str) -> str:
    """Why `method` cannot be compared on this task; empty if it can."""
    if cell is None:
        return f"{method} has no record here"
    if cell.stale:
        return f"{method} is stale: {cell.stale}"
    if why := not_ranking(cell.state):
        return f"{method}: {why}"
    if cell.state == "incomplete":
        return f"{method} is incomplete: fewer runs than --quick makes have a record"
    return ""


def _by_repetition(task: TaskComparisons, a: str, b: str) -> Floats:
    """(R,) differences by the number of the repetition, NaN where one of the two has none."""
    first, second = task.aligned(task.by_method[a], task.by_method[b])
    return task.sign * (first - second)


def _overall(tier: Tier, differences: dict[str, Floats], ruleset: Ruleset) -> Overall | None:
    """The pooled difference over tasks; None without a common repetition."""
    n = min((len(found) for found in differences.values()), default=0)
    if not n:
        return None
    pooled = np.array([found[:n] for found in differences.values()]).mean(axis=0)
    pooled = pooled[~np.isnan(pooled)]
    if not len(pooled):
        return None
    error = 1 - subset_means.as_written(ruleset.confidence)
    low, high = subset_means.intervals(pooled[np.newaxis], error)[0].tolist()
    return Overall(
        tier=tier,
        tasks=list(differences),
        n=len(pooled),
        difference=float(pooled.mean()),
        interval=Interval(low, high),
        p=float(sign_flips.p_values(pooled[np.newaxis])[0]),
    )
