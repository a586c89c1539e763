"""The audit of the suite: can its tasks tell methods apart, are its constants right?

The keys of `assay audit --json`, each documented under its field. That a method which learns
nothing fails is tested where a task is made (`assay check`); here the records are asked.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from assay.cards import Family, SubmissionCard, TaskCard
from assay.ruleset import Ruleset, Tier

from assay_leaderboard.audit.false_positives import ControlReport
from assay_leaderboard.audit.tiers import TierAgreement, calibrate, sentence
from assay_leaderboard.evidence.cells import run_command
from assay_leaderboard.schema.board import Anchor, FamilySummary, Row, TaskTable
from assay_leaderboard.schema.task_details import Pair, TargetReached, TaskDetail
from assay_leaderboard.schema.values import Comparison, Floats, Part, Problems
from assay_leaderboard.statistics import pair_family

Soundness = Literal["sound", "problem", "not measured"]
MOSTLY = 0.5
"""Share above which a target counts as reached, and a task as solved by its methods."""
FAR = 3.0
"""Standard errors by which the reference may be off the anchor on the card."""


class TargetCheck(Part):
    """How often the tuned reference reaches a frozen target."""

    name: Literal["easy", "reference", "stretch"]
    value: float
    n: int
    reached: int


class AnchorCheck(Part):
    """The anchor on the card against the records of the tuned reference now."""

    card: Anchor | None
    """None where this version of the task was not frozen yet."""
    now: Anchor
    """What the records say: mean of the tuned reference, repetitions, standard error."""
    difference: float | None
    """Now less card, in the metric's unit."""
    standard_error: float | None
    """Of the difference, as if the two were independent."""
    paste: str
    """The `[anchor]` table for card.toml; empty where the card has one."""


class TaskAudit(Part):
    """One task."""

    task: str
    family: Family
    tier: Tier
    unit: str
    verdict: Soundness
    """ "not measured": the reference is not complete, or there is nothing to tell apart; always so
    on deterministic tasks, which serve claims alone. On the paper tier, which gives no verdicts,
    methods need not be separated."""
    chance: float
    reference: str
    reference_mean: float | None
    above_chance: Comparison | None
    """The tuned reference against the chance level; None without a complete reference."""
    below_chance: list[str]
    """Ranked methods whose interval lies below the chance level by more than the margin."""
    targets: list[TargetCheck]
    anchor: AnchorCheck | None
    """None without a complete reference."""
    n_methods: int
    """Ranked methods."""
    n_pairs: int
    """Pairs of ranked methods that are not aliases."""
    n_aliases: int
    """Pairs of which one is derived from the other, or that score the same in every repetition."""
    n_separated: int
    """Pairs with the verdict better or worse, aliases left out."""
    widest: Pair | None
    """The separated pair with the largest difference."""
    ceiling: float | None
    """Share of the ranked methods within the margin of the best possible score; None where there is
    no best possible score."""
    problems: list[str]
    """What is wrong, and what to do about it: the banner on the task's page."""


class Audit(Part):
    """Everything `assay audit` says."""

    schema_version: Literal[2] = 2
    ruleset: int
    alpha: float
    confidence: float
    tasks: list[TaskAudit]
    calibration: list[TierAgreement]
    """Per family: how well ranks at the lite tier agree with those at the standard tier."""
    lite_predicts: str
    """The same in one sentence; empty where there are no results."""
    control: ControlReport | None
    """The reference against itself under other seeds; None where `assay aa` was not run."""
    problems: Problems


@dataclass(frozen=True)
class Audited:
    """What is known of one task: its table, its details and the reference's scores."""

    card: TaskCard
    table: TaskTable | None = None
    """At the full budget; None without records."""
    detail: TaskDetail | None = None
    reference: Floats | None = None
    """(R,) test scores of the tuned reference; None unless its cell is complete and current."""


def audit(
    tasks: Iterable[Audited],
    methods: Mapping[str, SubmissionCard],
    summaries: Iterable[FamilySummary],
    control: ControlReport | None,
    ruleset: Ruleset,
    problems: Sequence[str] = (),
) -> Audit:
    """Audit tasks by their records.

    Args:
        tasks: the tasks to audit, in the order to show them.
        methods: cards by slug; a method without one is derived from none.
        summaries: of the board, of all tiers.
        control: the A/A control, if it was run.
        ruleset: levels.
        problems: what could not be read.
    """
    calibration = calibrate(summaries, ruleset)
    return Audit(
        ruleset=ruleset.version,
        alpha=ruleset.alpha,
        confidence=ruleset.confidence,
        tasks=[_audit(task, methods, ruleset) for task in tasks],
        calibration=calibration,
        lite_predicts=sentence(calibration, ruleset.confidence),
        control=control,
        problems=list(problems),
    )


def _audit(task: Audited, methods: Mapping[str, SubmissionCard], ruleset: Ruleset) -> TaskAudit:
    card = task.card
    ranked = [row for row in task.table.rows if row.state == "ranked"] if task.table else []
    pairs = task.detail.pairs if task.detail else []
    apart = [pair for pair in pairs if not _aliases(pair, methods)]
    separated = [p for p in apart if p.comparison.verdict in ("better", "worse")]
    below = _below_chance(card, ranked)
    above = _above_chance(task, ruleset)
    targets = _targets(task)
    anchor = _anchor(task)
    ceiling = _ceiling(card, ranked)
    problems: list[str] = []
    if not card.deterministic:
        problems += _reference_problems(card, above, targets)
        problems += _constant_problems(card, below, anchor)
    judged = not card.deterministic and card.tier != "paper"
    if judged:
        problems += _spread_problems(card, len(ranked), apart, separated, ceiling)
    measured = above is not None and (len(ranked) > 1 or not judged)
    sound: Soundness = "problem" if problems else "sound"
    return TaskAudit(
        task=card.slug,
        family=card.family,
        tier=card.tier,
        unit=card.metric.unit,
        verdict=sound if measured else "not measured",
        chance=card.metric.chance,
        reference=card.reference,
        reference_mean=None if task.reference is None else float(task.reference.mean()),
        above_chance=above,
        below_chance=below,
        targets=targets,
        anchor=anchor,
        n_methods=len(ranked),
        n_pairs=len(apart),
        n_aliases=len(pairs) - len(apart),
        n_separated=len(separated),
        widest=max(separated, key=lambda p: abs(p.comparison.difference), default=None),
        ceiling=ceiling,
        problems=problems,
    )


def _aliases(pair: Pair, methods: Mapping[str, SubmissionCard]) -> bool:
    """Whether two methods are one and the same by their cards or in every score."""
    parents = {slug: methods[slug].derived_from for slug in (pair.a, pair.b) if slug in methods}
    if pair.b in parents.get(pair.a, ()) or pair.a in parents.get(pair.b, ()):
        return True
    interval = pair.comparison.interval
    return interval.low == interval.high == 0


def _sign(card: TaskCard) -> float:
    return 1.0 if card.metric.direction == "maximize" else -1.0


def _above_chance(task: Audited, ruleset: Ruleset) -> Comparison | None:
    """The reference compared with a method that always scores the chance level."""
    if task.reference is None or len(task.reference) < 2:
        return None
    metric = task.card.metric
    differences = _sign(task.card) * (task.reference - metric.chance)
    return pair_family.judge([differences], metric.margin, ruleset.alpha)[1][0]


def _below_chance(card: TaskCard, ranked: Sequence[Row]) -> list[str]:
    sign, metric = _sign(card), card.metric
    found = []
    for row in ranked:
        if row.tuned.interval:
            ends = row.tuned.interval.low, row.tuned.interval.high
            if max(sign * (end - metric.chance) for end in ends) < -metric.margin:
                found.append(row.method)
    return found


def _targets(task: Audited) -> list[TargetCheck]:
    details = task.detail.details if task.detail else []
    found: Sequence[TargetReached] = next(
        (d.targets for d in details if d.method == task.card.reference), ()
    )
    if task.reference is None:
        return []
    return [TargetCheck(name=t.name, value=t.value, n=t.n, reached=t.reached) for t in found]


def _anchor(task: Audited) -> AnchorCheck | None:
    """The card's anchor against the reference's scores now."""
    scores = task.reference
    if scores is None or len(scores) < 2:
        return None
    now = Anchor(
        value=float(scores.mean()),
        n=len(scores),
        standard_error=float(scores.std(ddof=1) / math.sqrt(len(scores))),
    )
    own = task.card.anchor
    if own is None:
        return AnchorCheck(card=None, now=now, difference=None, standard_error=None,
                           paste=anchor_table(now))  # fmt: skip
    return AnchorCheck(
        card=Anchor(value=own.value, n=own.n, standard_error=own.standard_error),
        now=now,
        difference=now.value - own.value,
        standard_error=math.hypot(now.standard_error, own.standard_error),
        paste="",
    )


def anchor_table(now: Anchor) -> str:
    """The lines to paste into card.toml: digits to a hundredth of the standard error."""
    error = now.standard_error
    digits = max(0, 2 - math.floor(math.log10(error))) if error > 0 else 6
    return (
        f"[anchor]\nvalue = {_toml(now.value, digits)}\nn = {now.n}\n"
        f"standard_error = {_toml(error, digits)}\n"
    )


def _toml(value: float, digits: int) -> str:
    """A float in TOML, which needs a point."""
    return f"{value:.{max(digits, 1)}f}"


def _ceiling(card: TaskCard, ranked: Sequence[Row]) -> float | None:
    """Only metrics that are shares have a best possible value."""
    metric = card.metric
    if metric.unit != "share" or not ranked:
        return None
    best = 1.0 if metric.direction == "maximize" else 0.0
    means = [row.tuned.mean for row in ranked if row.tuned.mean is not None]
    return float(np.mean([abs(best - mean) <= metric.margin for mean in means]))


def _reference_problems(
    card: TaskCard, above: Comparison | None, targets: Sequence[TargetCheck]
) -> list[str]:
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
        for check in targets
        if check.name != "stretch" and check.reached <= MOSTLY * check.n
    ]
    return found


def _constant_problems(
    card: TaskCard, below: Sequence[str], anchor: AnchorCheck | None
) -> list[str]:
    """What is wrong with the numbers on the card: chance and anchor."""
    found = []
    if below:
        found.append(
            f"{', '.join(below)}: scores below the chance level on the card "
            f"({card.metric.chance:g}) by more than the margin: correct metric.chance"
        )
    if anchor is None:
        return found
    if anchor.difference is None or anchor.standard_error is None:
        found.append(
            "the card has no anchor, so the task counts in no family: paste the [anchor] table "
            "that `assay audit` prints into its card.toml"
        )
    elif abs(anchor.difference) > max(FAR * anchor.standard_error, card.metric.margin):
        found.append(
            f"the reference now scores {anchor.now.value:.4g}, the anchor on the card is "
            f"{card.anchor.value if card.anchor else 0:.4g} (difference {anchor.difference:+.2g}, "
            f"standard error {anchor.standard_error:.2g}): freeze a new version of the task"
        )
    return found


def _spread_problems(
    card: TaskCard,
    n: int,
    apart: Sequence[Pair],
    separated: Sequence[Pair],
    ceiling: float | None,
) -> list[str]:
    found = []
    if n < 2:
        found.append("fewer than two methods are ranked; next: " + run_command("METHOD", card.slug))
    elif not apart:
        found.append(f"the {n} ranked methods are aliases of each other: run others")
    elif not separated:
        found.append(
            f"none of {len(apart)} pairs of methods is separated (aliases left out): the task "
            "tells nothing yet; make it harder, or its test set larger"
        )
    if ceiling is not None and ceiling > MOSTLY:
        found.append(
            f"{ceiling:.0%} of the methods are within the margin of a perfect score: make it harder"
        )
    return found
