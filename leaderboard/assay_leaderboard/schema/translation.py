"""Best learning rates of methods beside the reference's, and the ranges whose ends win, as data.

The keys of `assay translate --json`, each documented under its field. A best point is the best of K
quasi-random ones, so its learning rate is coarse: it lies within about d / K decades of a better
one, where the range has d decades.
"""

from __future__ import annotations

from typing import Literal

from assay.cards import Family

from assay_leaderboard.schema.board import State, View
from assay_leaderboard.schema.task_details import RangeUse
from assay_leaderboard.schema.values import Part, Problems


class MethodRanges(Part):
    """One method on one task."""

    method: str
    state: State
    k: int
    """Points of each repetition, of which the best on validation counts."""
    lr: str | None
    """Which of `ranges` is the learning rate; None where no learning rate is tuned."""
    ratio: float | None
    """Median best learning rate over the reference's; None where one of the two is not known, and
    for the reference itself."""
    ranges: dict[str, RangeUse]
    """By tuned hyperparameter: all that have a range of numbers."""


class TaskRanges(Part):
    """One task."""

    task: str
    family: Family
    reference: str
    methods: list[MethodRanges]
    """By slug; those with a range of numbers, in which they tried more than the defaults, and a
    repetition that counts. Stale ones are left out."""


class FamilyRatio(Part):
    """What to multiply the reference's learning rate by, over the tasks of a family."""

    family: Family
    method: str
    n_tasks: int
    ratio: float
    """Median of the ratios of its tasks."""
    low: float
    """The smallest of them."""
    high: float


class PooledRange(Part):
    """One range of a method over all tasks on which it was searched."""

    method: str
    hyperparameter: str
    low: float
    high: float
    log: bool
    default: float
    k: int
    """Most points of a repetition."""
    tasks: list[str]
    n: int
    """Repetitions of all tasks."""
    at_low: int
    """Repetitions whose selected point lies near the lower end, in the outer tenth of the range."""
    at_high: int
    by_chance: float
    """Share of the repetitions with a point near an end if chance selected it (RangeUse)."""
    flagged: bool
    """Points near an end are selected in more than a fifth of all repetitions beyond chance."""
    flagged_tasks: list[str]
    """Tasks on which they are by themselves."""

    @property
    def at_edge(self) -> float:
        """Share of the repetitions whose selected point lies near an end."""
        return (self.at_low + self.at_high) / self.n

    @property
    def excess(self) -> float:
        """`at_edge` beyond what chance gives."""
        return self.at_edge - self.by_chance


class Translation(Part):
    """Everything `assay translate` says."""

    schema_version: Literal[1] = 1
    ruleset: int
    view: View
    outer: float
    """Share of a range, on either side, that is near an end."""
    limit: float
    """Share of the repetitions beyond chance from which on a range is flagged."""
    tasks: list[TaskRanges]
    families: list[FamilyRatio]
    """By family and method; methods that tune a learning rate on a task whose reference does."""
    pooled: list[PooledRange]
    """The largest excess over chance first."""
    n_ranges: int
    """Ranges of all methods on all tasks."""
    n_flagged: int
    """How many of them are flagged by their one task."""
    n_by_chance: float
    """How many would be if chance selected all points."""
    problems: Problems
