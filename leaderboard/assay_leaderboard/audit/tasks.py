"""The audit of the suite (protocol 9): can its tasks tell methods apart, are false findings rare?

The keys of `assay audit --json`, each documented under its field.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import numpy as np
from assay.cards import Family, TaskCard
from assay.ruleset import Ruleset, Tier

from assay_leaderboard.audit.false_positives import ControlReport
from assay_leaderboard.audit.tiers import TierAgreement, calibrate
from assay_leaderboard.boards.task_comparisons import TaskComparisons, ranks
from assay_leaderboard.evidence.cells import run_command
from assay_leaderboard.schema.task_details import TargetReached
from assay_leaderboard.schema.values import Comparison, Part

Soundness = Literal["sound", "problem", "not measured"]
MOSTLY = 0.5
"""Share above which a target counts as reached, and a task as solved by its methods."""


class TargetCheck(Part):
    """How often the tuned reference reaches a frozen target."""

    name: Literal["easy", "reference", "stretch"]
    value: float
    n: int
    reached: int


class Widest(Part):
    """The ranked methods with the best and the worst mean."""

    best: str
    worst: str
    comparison: Comparison
    """Of the two; p is not corrected for having chosen them."""


class TaskAudit(Part):
    """One task."""

    task: str
    family: Family
    tier: Tier
    unit: str
    verdict: Soundness
    chance: float
    reference: str
    reference_mean: float | None
    above_chance: Comparison | None
    """The tuned reference against the chance level; None without a complete reference."""
    targets: list[TargetCheck]
    n_methods: int
    """Ranked methods."""
    n_pairs: int
    n_separated: int
    """Pairs of ranked methods shown to differ (Benjamini-Hochberg over all pairs)."""
    widest: Widest | None
    ceiling: float | None
    """Share of the ranked methods within the margin of the best possible score; None where there is
    no best possible score."""
    problems: list[str]
    """What is wrong, and what to do about it."""


class Audit(Part):
    """Everything `assay audit` says."""

    schema_version: Literal[1] = 1
    ruleset: int
    alpha: float
    confidence: float
    tasks: list[TaskAudit]
    calibration: list[TierAgreement]
    """Per family: how well ranks at the lite tier agree with those at the standard tier."""
    control: ControlReport | None
    """The reference against itself under other seeds; None where `assay aa` was not run."""
    problems: list[str]


def audit(
    tasks: Sequence[TaskComparisons],
    cards: Iterable[TaskCard],
    targets: Mapping[str, Sequence[TargetReached]],
    control: ControlReport | None,
    ruleset: Ruleset,
    problems: Sequence[str] = (),
) -> Audit:
    """Audit the tasks of `cards`.

    Args:
        tasks: those with records, ranked by the tuned point.
        cards: of the tasks to audit, in the order to show them.
        targets: by task, how the tuned reference does at the targets.
        control: the A/A control, if it was run.
        ruleset: levels.
        problems: what could not be read.
    """
    by_task = {task.card.slug: task for task in tasks}
    return Audit(
        ruleset=ruleset.version,
        alpha=ruleset.alpha,
        confidence=ruleset.confidence,
        tasks=[
            _audit(
                by_task.get(card.slug) or TaskComparisons(card, [], "tuned", ruleset),
                targets.get(card.slug, ()),
            )
            for card in cards
        ],
        calibration=calibrate(tasks, ruleset),
        control=control,
        problems=list(problems),
    )


def _audit(task: TaskComparisons, targets: Sequence[TargetReached]) -> TaskAudit:
    card, ranked, reference = task.card, task.ranked, task.reference
    above = _above_chance(task)
    checks = [
        TargetCheck(name=target.name, value=target.value, n=target.n, reached=target.reached)
        for target in targets
    ]
    separated = sum(low - 1 for low, _ in ranks(task).values())
    ceiling = _ceiling(task)
    problems = [
        *_reference_problems(task, above, checks),
        *_spread_problems(task, separated, ceiling),
    ]
    return TaskAudit(
        task=card.slug,
        family=card.family,
        tier=card.tier,
        unit=card.metric.unit,
        verdict=_soundness(task, problems),
        chance=card.metric.chance,
        reference=card.reference,
        reference_mean=float(np.mean(task.sample(reference).values)) if reference else None,
        above_chance=above,
        targets=checks,
        n_methods=len(ranked),
        n_pairs=len(ranked) * (len(ranked) - 1) // 2,
        n_separated=separated,
        widest=_widest(task),
        ceiling=ceiling,
        problems=problems,
    )


def _above_chance(task: TaskComparisons) -> Comparison | None:
    """The reference compared with a method that always scores the chance level."""
    if task.reference is None:
        return None
    values = task.sample(task.reference).values
    metric = task.card.metric
    sign = 1.0 if metric.direction == "maximize" else -1.0
    return task.compared(sign * (np.array(values, dtype=np.float64) - metric.chance))


def _widest(task: TaskComparisons) -> Widest | None:
    ranked = task.ranked
    if len(ranked) < 2:
        return None
    sign = 1.0 if task.card.metric.direction == "maximize" else -1.0
    mean = {cell.method: sign * float(np.mean(task.sample(cell).values)) for cell in ranked}
    order = sorted(ranked, key=lambda cell: (-mean[cell.method], cell.method))
    differences = task.differences(task.sample(order[0]), task.sample(order[-1]))
    if not len(differences):
        return None
    return Widest(
        best=order[0].method,
        worst=order[-1].method,
        comparison=task.compared(differences),
    )


def _ceiling(task: TaskComparisons) -> float | None:
    """Only metrics that are shares have a best possible value."""
    metric, ranked = task.card.metric, task.ranked
    if metric.unit != "share" or not ranked:
        return None
    best = 1.0 if metric.direction == "maximize" else 0.0
    near = [abs(best - np.mean(task.sample(c).values)) <= metric.margin for c in ranked]
    return sum(near) / len(near)


def _reference_problems(
    task: TaskComparisons, above: Comparison | None, checks: Sequence[TargetCheck]
) -> list[str]:
    card = task.card
    if above is None:
        command = run_command(card.reference, card.slug)
        return [f"the reference {card.reference} has no complete result; next: {command}"]
    found = []
    if above.verdict != "better":
        found.append(
            f"the reference is not shown to be better than chance ({above.verdict}): give it more "
            "budget, or make the task easier"
        )
    found += [
        f"the reference reaches the {check.name} target in {check.reached} of {check.n} "
        "repetitions: lower the target in the next version"
        for check in checks
        if check.name != "stretch" and check.reached <= MOSTLY * check.n
    ]
    return found


def _spread_problems(task: TaskComparisons, separated: int, ceiling: float | None) -> list[str]:
    n = len(task.ranked)
    found = []
    if n < 2:
        found.append(
            "fewer than two methods are ranked; next: " + run_command("METHOD", task.card.slug)
        )
    elif not separated:
        found.append(
            f"no pair of the {n} methods is separated: the task tells nothing yet; make it harder, "
            "or its test set larger"
        )
    if ceiling is not None and ceiling > MOSTLY:
        found.append(
            f"{ceiling:.0%} of the methods are within the margin of a perfect score: make it harder"
        )
    return found


def _soundness(task: TaskComparisons, problems: Sequence[str]) -> Soundness:
    if task.reference is None or len(task.ranked) < 2:
        return "not measured"
    return "problem" if problems else "sound"
