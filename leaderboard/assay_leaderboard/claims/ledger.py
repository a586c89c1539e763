"""The ledger: what papers claim, and whether the records support it.

The keys of `assay claims --json`, each documented under its field.
"""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, get_args

from assay.cards import Claim, SubmissionCard, TaskCard
from assay.ruleset import Ruleset, Tier

from assay_leaderboard.boards.task_comparisons import TaskComparisons
from assay_leaderboard.claims.one_task import (
    ClaimOnTask,
    TaskAtBudgets,
    idle_patterns,
    named_tasks,
    on_tasks,
)
from assay_leaderboard.claims.pooled import (
    ClaimVerdict,
    TierTest,
    TierVerdict,
    tier_test,
    tier_verdict,
)
from assay_leaderboard.schema.board import View
from assay_leaderboard.schema.values import Part, Problems
from assay_leaderboard.statistics import holm


class ClaimRow(Part):
    """One claim of one card."""

    method: str
    number: int
    """Of the claim on its card, from 1."""
    text: str
    source: str
    paper_value: str | float | None
    checked: bool
    """The quotation was read in the paper or its official repository."""
    control: bool
    """It is a control of ours, and in no paper."""
    written: datetime.date | None
    """The day on which the claim was written or last changed on the card."""
    results_since: str | None
    """When the first results of the methods that it compares were there, of whatever version (UTC);
    None without a comparison."""
    edited_late: bool
    """Written or changed on a later day than `results_since`, so after results were known."""
    metric: str
    better_than: str
    """A slug, or "reference" for the reference of each task."""
    margin: float
    tuned: bool
    """False: about the defaults."""
    verdict: ClaimVerdict
    """Of the highest tier that gives one; never from preliminary results."""
    tier: Tier | None
    """That tier; None where the claim is not tested."""
    n_tasks: int
    """Tasks that this verdict rests on: "on 2 of its 8 tasks"."""
    of_tasks: int
    """Tasks that the claim names, of all tiers; patterns that match none count once."""
    findings: list[TierVerdict]
    """One for each tier with a comparison, the highest first."""
    untested: list[str]
    """Tasks that the claim names and that have no comparison, the lowest tier first; patterns as
    they are on the card if they match no task."""
    reasons: dict[str, str]
    """Why they are untested, for those that have records."""


class Ledger(Part):
    """Everything `assay claims` says."""

    schema_version: Literal[2] = 2
    view: View
    """By which rules results rank; see Board. What does not rank supports no claim."""
    ruleset: int
    confidence: float
    alpha: float
    rows: list[ClaimRow]
    """By method, in the order of the claims on its card."""
    counts: dict[ClaimVerdict, int]
    """Claims per verdict, of those whose quotation is checked."""
    counts_unchecked: dict[ClaimVerdict, int]
    """The same of those whose quotation is not."""
    counts_controls: dict[ClaimVerdict, int]
    """The same of controls, which are not in the paper."""
    problems: Problems


def evaluate(
    compared: Iterable[TaskComparisons],
    methods: Mapping[str, SubmissionCard],
    tasks: Mapping[str, TaskCard],
    ruleset: Ruleset,
    problems: Sequence[str] = (),
    view: View = "local",
) -> Ledger:
    """Judge every claim of every card.

    A claim is tested on all its tasks of one tier together (claims.pooled), Holm over the claims of
    the card. With the pooled interval less the bar (0, or the shortfall that the claim allows), the
    first that applies:

    - contradicted: the interval is below;
    - supported: it is above, and no named task is significantly worse;
    - mixed: some named tasks are significantly better, some significantly worse;
    - no meaningful difference: it is inside the margin, also if it excludes 0;
    - inconclusive: anything else.

    An interval below or above that lies inside the margin is negligible and counts as inside it.
    Deterministic tasks are compared by their numbers, without a test.

    Args:
        compared: the tasks with records, in any order; their budget does not matter.
        methods: cards whose claims are judged, by slug.
        tasks: every task that a claim may name, by slug.
        ruleset: levels and tiers.
        problems: what could not be read.
        view: by which rules results rank.
    """
    by_task = {task.card.slug: TaskAtBudgets(task) for task in compared}
    tiers = list(ruleset.tuning_points)
    order = sorted(tasks, key=lambda slug: (tiers.index(tasks[slug].tier), slug))
    rows = []
    for slug in sorted(methods):
        claims = methods[slug].claims
        own = [_by_tier(slug, claim, order, by_task, tasks, ruleset) for claim in claims]
        rows += _judged(slug, claims, own, order, ruleset)
    return Ledger(
        view=view,
        ruleset=ruleset.version,
        confidence=ruleset.confidence,
        alpha=ruleset.alpha,
        rows=rows,
        counts=_counts(row for row in rows if row.checked and not row.control),
        counts_unchecked=_counts(row for row in rows if not row.checked and not row.control),
        counts_controls=_counts(row for row in rows if row.control),
        problems=list(problems),
    )


def _counts(rows: Iterable[ClaimRow]) -> dict[ClaimVerdict, int]:
    counts = Counter(row.verdict for row in rows)
    return {name: counts[name] for name in get_args(ClaimVerdict)}


def _by_tier(
    method: str,
    claim: Claim,
    order: Sequence[str],
    by_task: Mapping[str, TaskAtBudgets],
    tasks: Mapping[str, TaskCard],
    ruleset: Ruleset,
) -> dict[Tier, list[ClaimOnTask]]:
    """A claim on the tasks with records that it names, by tier, the highest tier first."""
    named = [slug for slug in named_tasks(claim, order) if slug in by_task]
    found = {}
    for tier in reversed(ruleset.tuning_points):
        own = [by_task[slug] for slug in named if tasks[slug].tier == tier]
        if own:
            found[tier] = on_tasks(method, claim, own, ruleset)
    return found


def _judged(
    method: str,
    claims: Sequence[Claim],
    compared: Sequence[Mapping[Tier, list[ClaimOnTask]]],
    order: Sequence[str],
    ruleset: Ruleset,
) -> list[ClaimRow]:
    """The claims of one card, Holm over them at each tier.

    Args:
        method: slug of the card.
        claims: of the card.
        compared: each claim on its tasks, by tier.
        order: every task that a claim may name, in the order to list them.
        ruleset: as for `evaluate`.
    """
    tests = [
        [test for tier, own in by_tier.items() if (test := tier_test(tier, claim, own)) is not None]
        for claim, by_tier in zip(claims, compared, strict=True)
    ]
    errors = _errors([test for of_claim in tests for test in of_claim], ruleset)
    rows = []
    for number, (claim, of_claim) in enumerate(zip(claims, tests, strict=True)):
        verdicts = [
            tier_verdict(test, errors[test.tier] if test.tested else ruleset.alpha)
            for test in of_claim
        ]
        found = [one for own in compared[number].values() for one in own]
        rows.append(_row(method, number + 1, claim, verdicts, found, order))
    return rows


def _errors(tests: Sequence[TierTest], ruleset: Ruleset) -> dict[Tier, float]:
    """Holm's error level over the claims of a card, by tier."""
    p: dict[Tier, list[float]] = {}
    for test in tests:
        if test.tested:
            p.setdefault(test.tier, []).append(test.p)
    return {tier: float(holm.levels(own, ruleset.alpha)[0]) for tier, own in p.items()}


def _row(
    method: str,
    number: int,
    claim: Claim,
    findings: list[TierVerdict],
    compared: Sequence[ClaimOnTask],
    order: Sequence[str],
) -> ClaimRow:
    shown = next((finding for finding in findings if finding.verdict), None)
    tasks = [one.finding for one in compared]
    tested = {finding.task for finding in tasks if finding.kind != "none"}
    named = [*named_tasks(claim, order), *idle_patterns(claim, order)]
    since = min((finding.since for finding in tasks if finding.since), default=None)
    late = bool(since and claim.written and claim.written.isoformat() > since[:10])
    return ClaimRow(
        method=method,
        number=number,
        text=claim.text,
        source=claim.source,
        paper_value=claim.paper_value,
        checked=claim.checked,
        control=claim.control,
        written=claim.written,
        results_since=since,
        edited_late=late,
        metric=claim.metric,
        better_than=claim.better_than,
        margin=claim.margin,
        tuned=claim.tuned,
        verdict=shown.verdict if shown and shown.verdict else "not tested",
        tier=shown.tier if shown else None,
        n_tasks=shown.n_tasks if shown else 0,
        of_tasks=len(named),
        findings=findings,
        untested=[slug for slug in named if slug not in tested],
        reasons={finding.task: finding.note for finding in tasks if finding.note},
    )
