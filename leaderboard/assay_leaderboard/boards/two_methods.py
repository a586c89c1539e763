"""Two methods against each other, task by task and over all.

The keys of `assay compare --json`, each documented under its field; see also schema.board.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal

import numpy as np
from assay.cards import Family
from assay.ruleset import Ruleset

from assay_leaderboard.boards.task_comparisons import TaskComparisons
from assay_leaderboard.evidence.cells import Catalogue, CellEvidence, Evidence, cells
from assay_leaderboard.schema import values
from assay_leaderboard.schema.board import Basis
from assay_leaderboard.schema.values import Comparison, Interval, Part
from assay_leaderboard.statistics import aggregate, corrections, paired_tests


class Duel(Part):
    """One task."""

    task: str
    family: Family
    unit: str
    margin: float
    deterministic: bool
    preliminary: bool
    """One of the two was run with --quick, or lacks repetitions."""
    mean_a: float | None
    """Mean over the repetitions recorded for both; None where `comparison` is."""
    mean_b: float | None
    note: str
    """Why there is no comparison; empty if there is one."""
    comparison: Comparison | None
    """Of a with b, Holm-adjusted over the tasks shown here; positive where a is better."""


class Overall(Part):
    """All compared tasks that are anchored, weighing the same."""

    tasks: list[str]
    difference: float
    """Mean difference of the normalised scores (0 = chance, 1 = the reference)."""
    interval: Interval
    """Percentile interval of the paired bootstrap within tasks."""
    superiority: float
    """P(a beats b) averaged over the tasks."""


class ComparisonReport(Part):
    """Everything `assay compare` says."""

    schema_version: Literal[1] = 1
    ruleset: int
    basis: Basis
    a: str
    b: str
    confidence: float
    alpha: float
    bootstrap_draws: int
    tasks: list[Duel]
    counts: dict[str, int]
    """Tasks per verdict."""
    overall: Overall | None
    """None where no compared task is anchored."""
    problems: list[str]


def compare(
    evidence: Evidence,
    catalogue: Catalogue,
    methods: tuple[str, str],
    tasks: Sequence[str],
    ruleset: Ruleset,
    basis: Basis = "tuned",
) -> ComparisonReport:
    """Compare `methods` on those of `tasks` where either has a record, in the given order."""
    problems = list(evidence.problems)
    duels: list[Duel] = []
    normalised: dict[str, values.Floats] = {}
    for slug in tasks:
        card = catalogue.tasks[slug][0]
        found, wrong = cells(card, evidence, catalogue, ruleset)
        problems += wrong
        task = TaskComparisons(card, found, basis, ruleset)
        a, b = ({cell.method: cell for cell in found}.get(method) for method in methods)
        if a is None and b is None:
            continue
        differences, result = duel(task, a, b, methods)
        duels.append(result)
        if result.comparison and task.anchors:
            normalised[slug] = differences / task.anchors.gap
    duels = _corrected(duels, ruleset.alpha)
    compared = [duel.comparison for duel in duels if duel.comparison]
    counts = Counter(comparison.verdict for comparison in compared)
    return ComparisonReport(
        ruleset=ruleset.version,
        basis=basis,
        a=methods[0],
        b=methods[1],
        confidence=ruleset.confidence,
        alpha=ruleset.alpha,
        bootstrap_draws=ruleset.bootstrap_draws,
        tasks=duels,
        counts={name: counts[name] for name in ("better", "worse", "equivalent", "undecided")},
        overall=_overall(normalised, ruleset) if normalised else None,
        problems=problems,
    )


def duel(
    task: TaskComparisons,
    a: CellEvidence | None,
    b: CellEvidence | None,
    methods: tuple[str, str],
) -> tuple[values.Floats, Duel]:
    """The differences (n,) on one task, positive where `a` is better, and their comparison.

    Not corrected for other tasks.
    """
    differences, found = meeting(task, a, b, methods)
    if not len(differences):
        return differences, found
    return differences, found.model_copy(update={"comparison": task.compared(differences)})


def meeting(
    task: TaskComparisons,
    a: CellEvidence | None,
    b: CellEvidence | None,
    methods: tuple[str, str],
) -> tuple[values.Floats, Duel]:
    """`duel` without the comparison, so that many can be compared in one call."""
    card = task.card
    note = _why_not(task, a, methods[0]) or _why_not(task, b, methods[1])
    left, right = (task.sample(cell) if cell else None for cell in (a, b))
    common = sorted(left.scores.keys() & right.scores.keys()) if left and right else []
    if not note and not common:
        note = "no repetition is recorded for both"
    differences = np.empty(0)
    mean_a = mean_b = None
    if left and right and not note:
        differences = task.differences(left, right)
        mean_a, mean_b = (float(np.mean([x.scores[i] for i in common])) for x in (left, right))
    return differences, Duel(
        task=card.slug,
        family=card.family,
        unit=card.metric.unit,
        margin=card.metric.margin,
        deterministic=card.deterministic,
        preliminary=any(
            cell.preliminary or not task.sample(cell).complete for cell in (a, b) if cell
        ),
        mean_a=mean_a,
        mean_b=mean_b,
        note=note,
        comparison=None,
    )


def _why_not(task: TaskComparisons, cell: CellEvidence | None, method: str) -> str:
    """Why `method` cannot be compared on this task; empty if it can."""
    if cell is None:
        return f"{method} has no record here"
    if cell.stale:
        return f"{method} is stale: {cell.stale}"
    if not task.sample(cell).planned:
        return f"{method}: the defaults were not repeated (--quick leaves them out)"
    if not task.sample(cell).scores:
        return f"{method}: no repetition is recorded yet"
    return ""


def _corrected(duels: Sequence[Duel], alpha: float) -> list[Duel]:
    """Holm over the tasks: each is one more chance for a false finding."""
    tested = {
        duel.task: (duel.comparison, duel.comparison.p)
        for duel in duels
        if duel.comparison and duel.comparison.p is not None
    }
    p = corrections.holm([value for _, value in tested.values()])
    judged = {
        task: paired_tests.adjusted(comparison, float(value), alpha)
        for (task, (comparison, _)), value in zip(tested.items(), p, strict=True)
    }
    return [
        duel.model_copy(update={"comparison": judged.get(duel.task, duel.comparison)})
        for duel in duels
    ]


def _overall(differences: dict[str, values.Floats], ruleset: Ruleset) -> Overall:
    """The mean normalised difference over tasks."""
    result = aggregate.aggregate(differences, ruleset)
    return Overall(
        tasks=list(differences),
        difference=result.mean,
        interval=result.mean_interval,
        superiority=float(np.mean([paired_tests.superiority(d) for d in differences.values()])),
    )
