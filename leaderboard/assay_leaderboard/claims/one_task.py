"""One claim on one task: its repetitions, its metric, and the method to compare with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

import numpy as np
from assay.cards import Claim, Family, Metric, TaskCard
from assay.ruleset import Tier

from assay_leaderboard.boards.secondary_metrics import MEANINGS
from assay_leaderboard.boards.task_comparisons import TaskComparisons
from assay_leaderboard.boards.two_methods import meeting
from assay_leaderboard.evidence.cells import CellEvidence, Repetitions
from assay_leaderboard.schema.board import Basis
from assay_leaderboard.schema.values import Comparison, Part


class TaskFinding(Part):
    """What the records say of a claim on one task."""

    task: str
    family: Family
    tier: Tier
    unit: str
    mean: float | None
    """Mean of the claim's metric for the method; None without a comparison."""
    mean_other: float | None
    """The same for the method it is compared with."""
    note: str
    """Why there is no comparison; empty if there is one."""
    comparison: Comparison | None
    """Differences are positive where the claim holds."""
    studies: list[str]
    """Ids of the studies that were compared."""


@dataclass(frozen=True)
class ClaimOnTask:
    """A claim on one task, with the differences that test it."""

    task: TaskComparisons
    """With the claim's metric in place of the task's own."""
    finding: TaskFinding
    preliminary: bool
    differences: Mapping[int, float]
    """By repetition, positive where the claim holds; empty without a comparison."""
    gap: float | None
    """One unit of the normalised score in the metric's unit; None where the task has no anchors or
    the metric is a secondary one."""


def named_tasks(claim: Claim, tasks: Iterable[str]) -> list[str]:
    """Those of `tasks` that a claim names, in their order."""
    return [slug for slug in tasks if any(fnmatchcase(slug, pattern) for pattern in claim.tasks)]


def evaluate_on_tasks(cases: Iterable[tuple[str, Claim, TaskComparisons]]) -> list[ClaimOnTask]:
    """Evaluate (method, claim, task) cases; those on the same task are compared in one call."""
    found = [_on_task(*case) for case in cases]
    alike: dict[tuple[str, float, int], list[int]] = {}
    for place, one in enumerate(found):
        card, n = one.task.card, len(one.differences)
        if n:
            alike.setdefault((card.slug, card.metric.margin, n), []).append(place)
    for places in alike.values():
        rows = np.array([list(found[place].differences.values()) for place in places])
        comparisons = found[places[0]].task.compared_rows(rows)
        for place, comparison in zip(places, comparisons, strict=True):
            one = found[place]
            finding = one.finding.model_copy(update={"comparison": comparison})
            found[place] = replace(one, finding=finding)
    return found


def _on_task(method: str, claim: Claim, task: TaskComparisons) -> ClaimOnTask:
    """A claim on one task, without the comparison."""
    card = task.card
    other = card.reference if claim.better_than == "reference" else claim.better_than
    metric = _metric(claim, card)
    measured = _measured(task, claim, metric, {method, other}) if metric else task
    a, b = ({cell.method: cell for cell in measured.cells}.get(slug) for slug in (method, other))
    values, result = meeting(measured, a, b, (method, other))
    note = result.note
    if metric is None:
        note = f"the task does not record {claim.metric}"
    elif not note and a and b:
        note = next((lack for cell in (a, b) if (lack := _lack(measured, cell))), "")
    differences: dict[int, float] = {}
    if a and b and not note:
        common = sorted(measured.sample(a).scores.keys() & measured.sample(b).scores.keys())
        differences = dict(zip(common, values.tolist(), strict=True))
    own = metric is not None and metric.name == card.metric.name
    return ClaimOnTask(
        task=measured,
        preliminary=result.preliminary,
        differences=differences,
        gap=task.anchors.gap if own and task.anchors else None,
        finding=TaskFinding(
            task=card.slug,
            family=card.family,
            tier=card.tier,
            unit=measured.card.metric.unit,
            mean=None if note else result.mean_a,
            mean_other=None if note else result.mean_b,
            note=note,
            comparison=None,
            studies=[] if note else [cell.study.id for cell in (a, b) if cell],
        ),
    )


def _metric(claim: Claim, card: TaskCard) -> Metric | None:
    """The claim's metric, with the claim's margin if positive; None if the task lacks it."""
    metric = card.metric
    if claim.metric != metric.name:
        if claim.metric not in card.secondary or claim.metric not in MEANINGS:
            return None
        metric = MEANINGS[claim.metric].metric(claim.metric, card)
    return metric.model_copy(update={"margin": claim.margin}) if claim.margin > 0 else metric


def _measured(
    task: TaskComparisons, claim: Claim, metric: Metric, methods: set[str]
) -> TaskComparisons:
    """The task with the claim's metric and `methods` alone, at the claim's point."""
    card = task.card
    basis: Basis = "tuned" if claim.tuned else "defaults"
    cells = []
    for cell in task.cells:
        if cell.method in methods:
            # If the defaults (point 0) were selected, the tuned repetitions are theirs.
            known = claim.tuned or (not cell.defaults.planned and cell.study.selected == 0)
            chosen = cell.tuned if known else cell.defaults
            if metric.name != card.metric.name:
                chosen = _rescored(chosen, metric)
            cells.append(replace(cell, tuned=chosen, defaults=chosen))
    measured = card.model_copy(update={"metric": metric})
    return TaskComparisons(measured, cells, basis, task.ruleset)


def _rescored(repetitions: Repetitions, metric: Metric) -> Repetitions:
    """The same repetitions by a secondary metric; those without a value are left out."""
    scores = {}
    for repetition in repetitions.scores:
        if repetition in repetitions.secondary:
            value = repetitions.secondary[repetition].get(metric.name)
        else:
            value = metric.chance if MEANINGS[metric.name].worst else None
        if value is not None:
            scores[repetition] = value
    return replace(repetitions, scores=scores)


def _lack(task: TaskComparisons, cell: CellEvidence) -> str:
    """Why a secondary metric cannot be compared: failed runs must not simply be left out."""
    recorded = task.sample(cell)
    lacking = sum(recorded.statuses.values()) - len(recorded.scores)
    name = task.card.metric.name
    return f"{cell.method}: {lacking} repetitions have no {name}" if lacking else ""
