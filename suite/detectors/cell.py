"""What detectors look at: one method's runs on one task, and the baselines' runs beside them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from pydantic import BaseModel, ConfigDict

from suite.cards import TaskCard
from suite.detectors.source import Source
from suite.records import RunRecord, TaskRef

Code = Literal[
    "first_loss",
    "repeated_result",
    "above_ceiling",
    "fast_convergence",
    "cost",
    "weight_distance",
    "val_test_gap",
    "source",
    "duplicate",
]

MIN_CURVES, MIN_BASELINES = 4, 2
"""Repetitions of one point, and methods, below which baselines say too little of a spread."""


class Flag(BaseModel):
    """One sign, with its numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    code: Code
    message: str
    runs: list[str] = []
    """Ids of the runs concerned; none for what concerns the source."""


Group = Sequence[RunRecord]
Curves = Mapping[tuple[int, int], Sequence[float]]
"""Validation scores of a group by start and batch."""


@dataclass(frozen=True)
class Baseline:
    """Completed runs of other methods on the same task."""

    runs: Sequence[RunRecord]
    groups: Sequence[Group]
    """Repetitions by method and hyperparameters."""
    reference: str
    """The method that the task's card names."""

    @cached_property
    def curves(self) -> list[Curves]:
        """Of every group with repetitions enough."""
        return [curves_of(group) for group in self.groups if len(group) >= MIN_CURVES]

    @property
    def enough(self) -> bool:
        """Whether several methods have repetitions enough to show how much honest runs differ."""
        methods = {g[0].spec.method.slug for g in self.groups if len(g) >= MIN_CURVES}
        return len(methods) >= MIN_BASELINES


class Baselines:
    """Runs of baselines on one task; what the methods beside them have in common is made once."""

    def __init__(self, runs: Sequence[RunRecord]) -> None:
        self._runs = [run for run in runs if run.result]
        self._methods = {run.spec.method.slug for run in self._runs}
        self._known: dict[tuple[TaskRef, str], Baseline] = {}

    def beside(self, task: TaskRef, method: str, card: TaskCard) -> Baseline:
        """Those of this version of the task that are not of `method` itself."""
        key = task, method if method in self._methods else ""
        if key not in self._known:
            others = [run for run in self._runs if run.spec.method.slug != method]
            own = [run for run in others if run.spec.task == task]
            self._known[key] = Baseline(own, by_point(own), card.reference)
        return self._known[key]


@dataclass(frozen=True)
class Cell:
    """One method on one task."""

    card: TaskCard
    runs: Sequence[RunRecord]
    """Completed."""
    named: frozenset[str]
    """Ids of the runs that its studies call repetitions."""
    source: Source
    baseline: Baseline

    @cached_property
    def groups(self) -> list[Group]:
        """Repetitions by hyperparameters: those the studies name, or all where there is none."""
        return by_point([run for run in self.runs if not self.named or run.id in self.named])

    @property
    def sign(self) -> float:
        """Factor that makes larger scores better."""
        return 1.0 if self.card.metric.direction == "maximize" else -1.0


def by_point(runs: Sequence[RunRecord]) -> list[Group]:
    """Repetitions by method and hyperparameters."""
    found: dict[str, list[RunRecord]] = {}
    for run in runs:
        if run.spec.purpose == "repetition":
            point = json.dumps([run.spec.method.slug, run.spec.hyperparameters], sort_keys=True)
            found.setdefault(point, []).append(run)
    return list(found.values())


def curves_of(group: Group) -> Curves:
    """The validation curves of a group, point by point."""
    found: dict[tuple[int, int], list[float]] = {}
    for run in group:
        for point in run.curve:
            found.setdefault((point.start, point.batch), []).append(point.val)
    return found


def ids(runs: Sequence[RunRecord]) -> list[str]:
    """Their ids, sorted."""
    return sorted(run.id for run in runs)


def val_of(run: RunRecord) -> float:
    """Validation score of a completed run."""
    assert run.result is not None
    return run.result.val


def test_of(run: RunRecord) -> float:
    """Test score of a completed run."""
    assert run.result is not None
    return run.result.test
