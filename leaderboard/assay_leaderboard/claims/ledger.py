"""The ledger: what papers claim, and whether the records support it.

The keys of `assay claims --json`, each documented under its field.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from assay.cards import Claim, SubmissionCard, TaskCard
from assay.ruleset import Ruleset, Tier

from assay_leaderboard.boards.task_comparisons import TaskComparisons
from assay_leaderboard.claims.one_task import (
    ClaimOnTask,
    TaskFinding,
    evaluate_on_tasks,
    named_tasks,
)
from assay_leaderboard.schema.values import Floats, Interval, Part
from assay_leaderboard.statistics import corrections, paired_tests

Ruling = Literal["supported", "contradicted", "inconclusive", "not tested"]


class TierVerdict(Part):
    """The verdict on a claim from all its tasks of one tier together."""

    tier: Tier
    verdict: Ruling
    preliminary: bool
    n_tasks: int
    n: int
    """Paired repetitions; each is a mean over the tasks."""
    difference: float | None
    """Mean over tasks of the paired difference, in `unit`."""
    unit: str
    """The unit of the metric where all tasks share it, else "normalised"."""
    interval: Interval | None
    p: float | None
    """Exact sign-flip test of the repetitions' means over tasks, Holm over the method's claims."""
    tasks: list[TaskFinding]
    note: str
    """What else the verdict rests on; empty if on the test alone."""


class ClaimRow(Part):
    """One claim of one card."""

    method: str
    number: int
    """Of the claim on its card, from 1."""
    text: str
    source: str
    paper_value: str | float | None
    metric: str
    better_than: str
    """A slug, or "reference" for the reference of each task."""
    margin: float
    tuned: bool
    verdict: Ruling
    """Of the highest tier that was tested."""
    tier: Tier | None
    """That tier; None where nothing was tested."""
    findings: list[TierVerdict]
    """One for each tier that was tested, the highest first."""
    untested: list[str]
    """Tasks that the claim names and that have no comparison, the lowest tier first; patterns as
    they are on the card if they match no task."""
    reasons: dict[str, str]
    """Why they are untested, for those that have records."""


class Ledger(Part):
    """Everything `assay claims` says."""

    schema_version: Literal[1] = 1
    ruleset: int
    confidence: float
    alpha: float
    rows: list[ClaimRow]
    """By method, in the order of the claims on its card."""
    counts: dict[str, int]
    """Claims per verdict."""
    problems: list[str]


@dataclass(frozen=True)
class _TierTest:
    """One claim on the tasks of one tier, before the correction for the card's other claims."""

    tier: Tier
    tasks: list[TaskFinding]
    preliminary: bool
    unit: str
    claimed: float
    """The claim's margin."""
    margin: float
    """Of equivalence, in `unit`: mean over the tasks that were tested."""
    differences: Floats
    """(n,) means over the tested tasks, one per common repetition."""
    excess: Floats
    """(n,) the same beyond the claim's margin."""
    certain: list[_Certain]
    """Deterministic tasks."""
    notes: list[str]

    @property
    def p(self) -> float | None:
        """Exact sign-flip test of the excess; None where nothing varied."""
        if not len(self.excess):
            return None
        return float(paired_tests.sign_flip_p(self.excess[np.newaxis])[0])


@dataclass(frozen=True)
class _Certain:
    """A claim on a deterministic task."""

    difference: float
    holds: bool
    fails: bool
    """Worse by more than the margin."""


def evaluate(
    compared: Iterable[TaskComparisons],
    methods: Mapping[str, SubmissionCard],
    tasks: Mapping[str, TaskCard],
    ruleset: Ruleset,
    problems: Sequence[str] = (),
) -> Ledger:
    """Judge every claim of every card.

    A claim is tested on all its tasks of one tier together: repetition r counts with its mean over
    the tasks, and the exact sign-flip test asks whether the method is better by more than the
    claim's margin (Holm over the claims of the card).

    Supported: significantly better. Contradicted: significantly not better; or, where the claim's
    margin is not negative, shown to be equivalent within it (for a margin of 0, within the mean
    of the tasks' margins). Deterministic tasks are compared by the margin, without a test: the
    claim is supported if it holds on all, contradicted if it fails on one or holds on none. Where
    a tier has both kinds of tasks, support needs both, and one contradiction is enough.

    Args:
        compared: the tasks with records, in any order; their `basis` does not matter.
        methods: cards whose claims are judged, by slug.
        tasks: every task that a claim may name, by slug.
        ruleset: levels, tiers and number of resamples.
        problems: what could not be read.
    """
    by_task = {task.card.slug: task for task in compared}
    tiers = list(ruleset.tuning_points)
    order = sorted(tasks, key=lambda slug: (tiers.index(tasks[slug].tier), slug))
    cases = [
        (slug, number, claim, by_task[task])
        for slug in sorted(methods)
        for number, claim in enumerate(methods[slug].claims)
        for task in named_tasks(claim, order)
        if task in by_task
    ]
    by_claim: dict[tuple[str, int], list[ClaimOnTask]] = {}
    found = evaluate_on_tasks((slug, claim, task) for slug, _, claim, task in cases)
    for (slug, number, *_), one in zip(cases, found, strict=True):
        by_claim.setdefault((slug, number), []).append(one)
    rows = []
    for slug in sorted(methods):
        claims = methods[slug].claims
        own = [by_claim.get((slug, number), []) for number in range(len(claims))]
        rows += _judge(slug, claims, own, order, ruleset)
    counts = Counter(row.verdict for row in rows)
    return Ledger(
        ruleset=ruleset.version,
        confidence=ruleset.confidence,
        alpha=ruleset.alpha,
        rows=rows,
        counts={name: counts[name] for name in get_args(Ruling)},
        problems=list(problems),
    )


def _judge(
    method: str,
    claims: Sequence[Claim],
    on_tasks: Sequence[Sequence[ClaimOnTask]],
    order: Sequence[str],
    ruleset: Ruleset,
) -> list[ClaimRow]:
    """The claims of one card, Holm over them at each tier.

    Args:
        method: slug of the card.
        claims: of the card.
        on_tasks: the tasks of each claim.
        order: every task that a claim may name, in the order to list them.
        ruleset: as for `evaluate`.
    """
    tests = [_tier_tests(claim, own, ruleset) for claim, own in zip(claims, on_tasks, strict=True)]
    p = _corrected(tests)
    rows = []
    for number, claim in enumerate(claims):
        findings = [_finding(test, p.get((number, test.tier)), ruleset) for test in tests[number]]
        reasons = {h.finding.task: h.finding.note for h in on_tasks[number] if h.finding.note}
        compared = {h.finding.task for h in on_tasks[number]} - reasons.keys()
        named = named_tasks(claim, order) or claim.tasks
        untested = [slug for slug in named if slug not in compared]
        rows.append(_row(method, number + 1, claim, findings, untested, reasons))
    return rows


def _corrected(tests: Sequence[Sequence[_TierTest]]) -> dict[tuple[int, Tier], float]:
    """Adjusted p by number of the claim (from 0) and tier."""
    raw = {
        (number, test.tier): p
        for number, of_claim in enumerate(tests)
        for test in of_claim
        if (p := test.p) is not None
    }
    found: dict[tuple[int, Tier], float] = {}
    for tier in {tier for _, tier in raw}:
        keys = [key for key in raw if key[1] == tier]
        values = corrections.holm([raw[key] for key in keys])
        found |= dict(zip(keys, values.tolist(), strict=True))
    return found


def _row(
    method: str,
    number: int,
    claim: Claim,
    findings: list[TierVerdict],
    untested: list[str],
    reasons: dict[str, str],
) -> ClaimRow:
    return ClaimRow(
        method=method,
        number=number,
        text=claim.text,
        source=claim.source,
        paper_value=claim.paper_value,
        metric=claim.metric,
        better_than=claim.better_than,
        margin=claim.margin,
        tuned=claim.tuned,
        verdict=findings[0].verdict if findings else "not tested",
        tier=findings[0].tier if findings else None,
        findings=findings,
        untested=untested,
        reasons=reasons,
    )


def _tier_tests(claim: Claim, on_tasks: Sequence[ClaimOnTask], ruleset: Ruleset) -> list[_TierTest]:
    """The tests of a claim at each tier with a comparison, the highest tier first."""
    found = []
    for tier in reversed(ruleset.tuning_points):
        group = [h for h in on_tasks if h.finding.tier == tier]
        tested = [h for h in group if h.finding.comparison]
        if tested:
            found.append(_tier_test(tier, claim, [h.finding for h in group], tested))
    return found


def _tier_test(
    tier: Tier, claim: Claim, findings: list[TaskFinding], tested: Sequence[ClaimOnTask]
) -> _TierTest:
    varied = [h for h in tested if not h.task.card.deterministic]
    units = {h.finding.unit for h in tested}
    unit = units.pop() if len(units) == 1 else "normalised"
    notes = []
    if unit == "normalised":
        if odd := [h.finding.task for h in varied if h.gap is None]:
            notes.append(f"no normalised score, left out of the mean: {', '.join(odd)}")
        varied = [h for h in varied if h.gap is not None]
    scales = [1.0 if unit != "normalised" else h.gap or 1.0 for h in varied]
    common = sorted(set.intersection(*(set(h.differences) for h in varied)) if varied else ())
    means = np.zeros(len(common))
    shift = margin = 0.0
    for h, scale in zip(varied, scales, strict=True):
        means += np.array([h.differences[r] for r in common]) / scale / len(varied)
        shift += claim.margin / scale / len(varied)
        margin += h.task.card.metric.margin / scale / len(varied)
    return _TierTest(
        tier=tier,
        tasks=findings,
        preliminary=any(h.preliminary for h in tested),
        unit=unit,
        claimed=claim.margin,
        margin=margin,
        differences=means,
        excess=means - shift,
        certain=[_certain(claim, h) for h in tested if h.task.card.deterministic],
        notes=notes,
    )


def _certain(claim: Claim, on_task: ClaimOnTask) -> _Certain:
    """Judge a claim on a deterministic task, from its one difference."""
    difference = float(np.mean(list(on_task.differences.values())))
    bar = claim.margin or on_task.task.card.metric.margin
    return _Certain(difference, holds=difference > bar, fails=difference < min(bar, -bar))


def _finding(test: _TierTest, p: float | None, ruleset: Ruleset) -> TierVerdict:
    values = test.differences
    n = len(values)
    difference = interval = None
    notes = list(test.notes)
    if n:
        difference = float(values.mean())
        interval = paired_tests.bca_intervals(values[np.newaxis], ruleset.confidence)[0]
    elif test.certain and test.unit != "normalised":
        difference = float(np.mean([task.difference for task in test.certain]))
    if test.certain:
        holding = sum(task.holds for task in test.certain)
        notes.append(
            f"deterministic, one run each, no test: holds on {holding} of {len(test.certain)}"
        )
    equivalence = paired_tests.equivalence_p(values, test.margin) if n else None
    equivalent = equivalence is not None and equivalence <= ruleset.alpha
    if equivalent and test.claimed >= 0:
        notes.append("shown to lie within the margin")
    return TierVerdict(
        tier=test.tier,
        verdict=_ruling(test, p, equivalent, ruleset.alpha),
        preliminary=test.preliminary,
        n_tasks=sum(task.comparison is not None for task in test.tasks),
        n=n or min(len(test.certain), 1),
        difference=difference,
        unit=test.unit,
        interval=interval,
        p=p,
        tasks=test.tasks,
        note="; ".join(notes),
    )


def _ruling(test: _TierTest, p: float | None, equivalent: bool, alpha: float) -> Ruling:
    votes: set[Ruling] = set()
    if test.certain:
        if all(task.holds for task in test.certain):
            votes.add("supported")
        elif any(task.fails for task in test.certain):
            votes.add("contradicted")
        else:
            none_holds = not any(task.holds for task in test.certain)
            votes.add("contradicted" if none_holds else "inconclusive")
    if p is not None:
        if p <= alpha:
            votes.add("supported" if test.excess.mean() > 0 else "contradicted")
        else:
            votes.add("contradicted" if equivalent and test.claimed >= 0 else "inconclusive")
    if "contradicted" in votes:
        return "contradicted"
    return "supported" if votes == {"supported"} else "inconclusive"
