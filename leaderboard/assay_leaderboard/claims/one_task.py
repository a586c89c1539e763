"""A claim on one task: its metric, the method to compare with, and the verdict of their pair."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Literal

import numpy as np
from assay.cards import Claim, Family, Metric, TaskCard
from assay.ruleset import Ruleset, Tier
from numpy.typing import NDArray

from assay_leaderboard.boards.secondary_metrics import MEANINGS
from assay_leaderboard.boards.task_comparisons import TaskComparisons, common_budget
from assay_leaderboard.evidence.cells import CellEvidence
from assay_leaderboard.schema.board import not_ranking
from assay_leaderboard.schema.values import (
    Comparison,
    Floats,
    Interval,
    PairFamily,
    Part,
    Verdict,
)
from assay_leaderboard.statistics import pair_family, subset_means, verdicts

Kind = Literal["complete", "preliminary", "fixed", "none"]


class TaskFinding(Part):
    """What the records say of a claim on one task."""

    task: str
    family: Family
    tier: Tier
    unit: str
    margin: float
    """Differences within +-margin are equivalent in practice; in `unit`."""
    kind: Kind
    """ "complete": both methods have all their runs; "preliminary": one has those of --quick alone;
    "fixed": a deterministic task, compared by its one run; "none": not compared."""
    mean: float | None
    """Mean of the claim's metric for the method; None where the two are not compared."""
    mean_other: float | None
    """The same for the method it is compared with."""
    difference: float | None
    """Positive where the claim holds."""
    verdict: Verdict | None
    """Of the pair: the board's own where the claim is about the task's metric. None where it is
    preliminary, not compared, or on the paper tier."""
    comparison: Comparison | None
    """None also on a deterministic task, where nothing is tested."""
    pairs: PairFamily | None
    """The family in which the pair was judged: all pairs of the task, or for a secondary metric the
    claim's pairs on all its tasks of the tier. None without a verdict or a test."""
    epoch: str | None
    """Whose hidden seeds the comparison stands on; None: the public seeds."""
    note: str
    """Why the two are not compared; empty if they are."""
    since: str
    """When the first runs of both were there, of whatever version; UTC, empty where not compared.
    """


@dataclass(frozen=True)
class ClaimOnTask:
    """A claim on one task, with the differences that test it."""

    finding: TaskFinding
    differences: Floats
    """(R,) by repetition, positive where the claim holds; NaN where one of the two has none. Empty
    where nothing is tested."""
    own: bool = True
    """By the metric that the task ranks by, not a secondary one."""
    unit: float | None = None
    """What the differences are divided by to be pooled: one unit of the normalised score, or 1 for
    a secondary metric. None where the task has no anchor."""


def named_tasks(claim: Claim, tasks: Iterable[str]) -> list[str]:
    """Those of `tasks` that a claim names, in their order."""
    return [slug for slug in tasks if any(fnmatchcase(slug, pattern) for pattern in claim.tasks)]


def idle_patterns(claim: Claim, tasks: Iterable[str]) -> list[str]:
    """The patterns of a claim that match none of `tasks`."""
    known = [*tasks]
    return [part for part in claim.tasks if not any(fnmatchcase(slug, part) for slug in known)]


@dataclass(frozen=True)
class TaskAtBudgets:
    """One task at the two budgets that claims are about."""

    task: TaskComparisons

    @cached_property
    def tuned(self) -> TaskComparisons:
        """At all points of the tier."""
        return replace(self.task, budget=None)

    @cached_property
    def defaults(self) -> TaskComparisons:
        """At the defaults alone."""
        return replace(self.task, budget=1)


def on_tasks(
    method: str, claim: Claim, tasks: Sequence[TaskAtBudgets], ruleset: Ruleset
) -> list[ClaimOnTask]:
    """A claim on each of the tasks, which are of one tier, in their order."""
    found = [_on_task(method, claim, task, ruleset) for task in tasks]
    return _own_family(found, ruleset)


@dataclass(frozen=True)
class _Case:
    """A claim on a task on which both methods have comparable runs."""

    task: TaskComparisons
    """At the claim's budget."""
    metric: Metric
    """The claim's."""
    a: CellEvidence
    b: CellEvidence

    @property
    def own(self) -> bool:
        """The claim is about the metric that the task ranks by."""
        return self.metric.name == self.task.card.metric.name

    @property
    def kind(self) -> Kind:
        """How the two can be compared."""
        if self.task.card.deterministic:
            return "fixed"
        return "preliminary" if "preliminary" in (self.a.state, self.b.state) else "complete"

    def values(self, cell: CellEvidence) -> Floats:
        """(R,): the claim's metric by repetition; NaN where there is none."""
        budget = common_budget(self.task.budget, (self.a, self.b))
        if self.own:
            return cell.scores(budget)
        return cell.metric(_filled(cell, self.metric), budget)

    @property
    def lack(self) -> str:
        """Why a secondary metric cannot be compared: failed runs must not simply be left out."""
        for cell in (self.a, self.b):
            lacking = int(np.isnan(self.values(cell)[cell.counted]).sum())
            if lacking:
                return f"{cell.method}: {lacking} repetitions have no {self.metric.name}"
        return ""


def _filled(cell: CellEvidence, metric: Metric) -> Floats:
    """A secondary metric of the runs (R, K); its worst value where a run did not complete."""
    known = cell.secondary.get(metric.name, np.full(cell.test.shape, np.nan))
    if MEANINGS[metric.name].worst is None:
        return known
    failed = [[status not in (None, "completed") for status in row] for row in cell.statuses]
    return np.where(np.array(failed), metric.chance, known)


def _on_task(method: str, claim: Claim, both: TaskAtBudgets, ruleset: Ruleset) -> ClaimOnTask:
    """A claim on one task; pairs by a secondary metric are not judged yet."""
    task = both.tuned if claim.tuned else both.defaults
    case = _case(method, claim, task)
    if isinstance(case, str):
        return _absent(task.card, case)
    first, second = (case.values(cell) for cell in (case.a, case.b))
    n = min(len(first), len(second))
    sign = 1.0 if case.metric.direction == "maximize" else -1.0
    differences: Floats = sign * (first[:n] - second[:n])
    common = ~np.isnan(differences)
    if not common.any():
        return _absent(task.card, "no repetition is recorded for both")
    found = _compared(case, differences[common], ruleset).model_copy(
        update={"mean": _mean(first[:n], common), "mean_other": _mean(second[:n], common)}
    )
    unit = task.gap if case.own else 1.0
    tested = differences if case.kind != "fixed" else np.empty(0)
    return ClaimOnTask(found, tested, case.own, unit)


def _mean(values: Floats, common: NDArray[np.bool_]) -> float:
    return float(values[common].mean())


def _case(method: str, claim: Claim, task: TaskComparisons) -> _Case | str:
    """The two cells and the metric of a claim on a task, or why they cannot be compared."""
    other = task.card.reference if claim.better_than == "reference" else claim.better_than
    metric = _metric(claim, task.card)
    if metric is None:
        return f"the task does not record {claim.metric}"
    cells = {cell.method: cell for cell in task.cells}
    for name in (method, other):
        if why := _why_not(cells.get(name), name):
            return why
    if not any(cells[name].completed(task.budget) for name in (method, other)):
        return f"no run of {method} or {other} completed"
    case = _Case(task, metric, cells[method], cells[other])
    return case.lack or case


def _metric(claim: Claim, card: TaskCard) -> Metric | None:
    """The claim's metric; None if the task lacks it.

    A secondary metric has the claim's margin, if that is positive; the task's own metric keeps the
    task's, with which the board judges the pair.
    """
    if claim.metric == card.metric.name:
        return card.metric
    if claim.metric not in card.secondary or claim.metric not in MEANINGS:
        return None
    metric = MEANINGS[claim.metric].metric(claim.metric, card)
    return metric.model_copy(update={"margin": claim.margin}) if claim.margin > 0 else metric


def _why_not(cell: CellEvidence | None, method: str) -> str:
    """Why the runs of a method cannot be compared; empty if they can."""
    if cell is None:
        return f"{method} has no record here"
    if cell.state == "stale":
        return f"{method} is stale: {cell.stale}"
    if why := not_ranking(cell.state):
        return f"{method}: {why}"
    if cell.state == "incomplete":
        return f"{method} is incomplete: {cell.n} of {cell.planned} repetitions have all their runs"
    return ""


def _absent(card: TaskCard, note: str) -> ClaimOnTask:
    """A task on which a claim is not tested."""
    finding = _finding(card, card.metric, "none", note=note)
    return ClaimOnTask(finding, np.empty(0))


def _finding(card: TaskCard, metric: Metric, kind: Kind, **known: object) -> TaskFinding:
    values: dict[str, object] = {
        "mean": None,
        "mean_other": None,
        "difference": None,
        "verdict": None,
        "comparison": None,
        "pairs": None,
        "epoch": None,
        "note": "",
        "since": "",
    }
    return TaskFinding.model_validate(
        {
            "task": card.slug,
            "family": card.family,
            "tier": card.tier,
            "unit": metric.unit,
            "margin": metric.margin,
            "kind": kind,
            **values,
            **known,
        }
    )


def _compared(case: _Case, differences: Floats, ruleset: Ruleset) -> TaskFinding:
    """The pair compared, without the means; see `_on_task`.

    Args:
        case: the two methods.
        differences: (n,) of the common repetitions.
        ruleset: level of the interval of a preliminary pair.
    """
    difference = float(differences.mean())
    known: dict[str, object] = {
        "difference": difference,
        "since": max(case.a.since, case.b.since),
        "epoch": case.task.epoch,
    }
    if case.kind == "fixed":
        point = Interval(difference, difference)
        known["verdict"] = verdicts.verdict(point, case.metric.margin, passed=True)
    elif case.own and (comparison := case.task.comparison(case.a.method, case.b.method)):
        known |= {"comparison": comparison, "verdict": comparison.verdict}
        known["pairs"] = case.task.family if comparison.verdict else None
    elif case.kind == "preliminary" or not case.task.judged:
        error = 1 - subset_means.as_written(ruleset.confidence)
        known["comparison"] = pair_family.unjudged([differences], error)[0]
    return _finding(case.task.card, case.metric, case.kind, **known)


def _own_family(found: Sequence[ClaimOnTask], ruleset: Ruleset) -> list[ClaimOnTask]:
    """Judge the pairs by a secondary metric: those on the claim's tasks are one family."""
    places = [
        place
        for place, one in enumerate(found)
        if one.finding.kind == "complete" and one.finding.comparison is None
    ]
    judged = list(found)
    if not places:
        return judged
    rows = [found[place].differences for place in places]
    margin = found[places[0]].finding.margin
    pairs, comparisons = pair_family.judge(
        [row[~np.isnan(row)] for row in rows], margin, ruleset.false_discovery_rate
    )
    for place, comparison in zip(places, comparisons, strict=True):
        update = {"comparison": comparison, "verdict": comparison.verdict, "pairs": pairs}
        finding = found[place].finding.model_copy(update=update)
        judged[place] = replace(found[place], finding=finding)
    return judged
