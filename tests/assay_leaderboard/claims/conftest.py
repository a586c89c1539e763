"""Claims judged on made-up records, and their p and intervals by brute force."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from assay.cards import Claim, SubmissionCard
from assay.ruleset import RULESET
from assay_leaderboard.boards.task_comparisons import TaskComparisons, all_comparisons
from assay_leaderboard.claims.ledger import ClaimRow, Ledger, evaluate
from assay_leaderboard.claims.pooled import TierVerdict

from tests.assay_leaderboard.making import Records

GAP = 0.8
"""Anchor less chance of the made-up tasks."""


def claim(**changes: Any) -> Claim:
    values: dict[str, Any] = {
        "text": "It is better.",
        "source": "made up",
        "metric": "accuracy",
        "better_than": "sgd",
        "tasks": ["digits"],
    }
    return Claim.model_validate(values | changes)


def compared(
    records: Records,
    secondary: Mapping[tuple[str, str], Mapping[str, Sequence[float]]] | None = None,
) -> list[TaskComparisons]:
    """The tasks; `secondary` holds values of each repetition by (task, method), then by name."""
    evidence = records.evidence
    runs = {}
    for key, run in evidence.runs.items():
        values = (secondary or {}).get((run.task.slug, run.method.slug), {})
        known = {n: v[run.repetition] for n, v in values.items()} if run.test is not None else {}
        runs[key] = replace(run, secondary=known)
    work, problems = all_comparisons(replace(evidence, runs=runs), records.catalogue, RULESET)
    assert not problems
    return work


def judged(records: Records, *claims: Claim, method: str = "new", secondary: Any = None) -> Ledger:
    """The ledger of a card with these claims."""
    card = SubmissionCard(slug=method, title=method, claims=list(claims))
    return evaluate(compared(records, secondary), {method: card}, records.cards, RULESET)


def only(ledger: Ledger) -> ClaimRow:
    assert len(ledger.rows) == 1
    return ledger.rows[0]


def first(ledger: Ledger) -> TierVerdict:
    return only(ledger).findings[0]


def flips(values: Sequence[float], bar: float = 0.0) -> float:
    """Exact sign-flip p by brute force."""
    row = [value - bar for value in values]
    observed = abs(sum(row)) * (1 - 1e-9)
    signs = itertools.product((-1, 1), repeat=len(row))
    return float(np.mean([abs(np.dot(sign, row)) >= observed for sign in signs]))


def subset_ends(values: Sequence[float], error: float) -> tuple[float, float]:
    """The ends of the interval from the sorted means of all subsets, by brute force."""
    n = len(values)
    means = sorted(
        float(np.mean(subset))
        for size in range(1, n + 1)
        for subset in itertools.combinations(values, size)
    )
    k = max(1, int(error / 2 * 2**n))
    return means[k - 1], means[-k]
