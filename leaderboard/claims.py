"""What papers claim, and what the records say of it: the ledger.

The keys of `assay claims --json`, each documented under its field.
"""

from __future__ import annotations

from typing import Literal

from leaderboard.paired import Comparison, Interval, Part
from suite.cards import Family
from suite.ruleset import Tier

Ruling = Literal["supported", "contradicted", "inconclusive", "not tested"]


class TaskFinding(Part):
    """One task that a claim names."""

    task: str
    family: Family
    tier: Tier
    unit: str
    mean: float | None
    """Of the claim's metric, of the method; None where `comparison` is."""
    mean_other: float | None
    note: str
    """Why there is no comparison; empty if there is one."""
    comparison: Comparison | None
    """Of the method with what it should be better than; positive where the claim holds."""
    studies: list[str]
    """Ids of the studies behind it."""


class Finding(Part):
    """All tasks of one tier together."""

    tier: Tier
    verdict: Ruling
    preliminary: bool
    n_tasks: int
    n: int
    """Paired repetitions of the mean over tasks."""
    difference: float | None
    """Mean over tasks of the paired difference, in `unit`."""
    unit: str
    """The metric's own where all tasks share it, else "normalised"."""
    interval: Interval | None
    p: float | None
    """Exact sign-flip test of the repetitions' means over tasks, Holm over the method's claims."""
    tasks: list[TaskFinding]


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
    """The slug as the card has it; "reference" stands for each task's own."""
    margin: float
    tuned: bool
    verdict: Ruling
    """Of the highest tier that was tested."""
    tier: Tier | None
    """Which tier that is; None where nothing was tested."""
    findings: list[Finding]
    """Tiers that were tested, the highest first."""
    untested: list[str]
    """Tasks that the claim names and that have no comparison."""


class Ledger(Part):
    """Everything `assay claims` says."""

    schema_version: Literal[1] = 1
    ruleset: int
    confidence: float
    alpha: float
    rows: list[ClaimRow]
    """By method, in the order of its card."""
    counts: dict[str, int]
    """Claims per verdict."""
    problems: list[str]
