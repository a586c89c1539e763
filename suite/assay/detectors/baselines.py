"""What detectors look at: one method's runs on one task, and those of the task's baselines."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, chain
from operator import mul
from statistics import fmean, median
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from assay.cards import TaskCard
from assay.detectors.source import Source
from assay.records.schema import MethodRef, RunRecord, TaskRef
from assay.records.selection import Cell, cell_of, results
from assay.records.staleness import changed

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
    "derived",
]

MIN_CURVES, MIN_BASELINES = 4, 2
"""Fewest repetitions of a cell, and fewest methods, from which a spread is estimated."""


class Flag(BaseModel):
    """One sign that a result may be wrong, with its numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    code: Code
    message: str
    runs: list[str] = []
    """Ids of the runs concerned; empty if the flag concerns the source."""


CurveKey = tuple[int, int]
"""An evaluation point: start and batch."""


class CellGroup(tuple[RunRecord, ...]):
    """The selected runs of one cell that completed, one a repetition."""

    @cached_property
    def curves(self) -> Mapping[CurveKey, Sequence[float]]:
        """Their validation scores at each evaluation point."""
        found: dict[CurveKey, list[float]] = {}
        for run in self:
            for point in run.curve:
                found.setdefault((point.start, point.batch), []).append(point.val)
        return found

    @cached_property
    def vals(self) -> Sequence[float]:
        """Their validation scores at the end."""
        return [val_of(run) for run in self]

    @cached_property
    def tests(self) -> Sequence[float]:
        """Their test scores at the end."""
        return [test_of(run) for run in self]

    def residuals(self, slope: float, chance: float) -> list[float]:
        """Validation minus `chance + slope * (test - chance)`, for each repetition."""
        return [
            val - chance - slope * (test - chance)
            for val, test in zip(self.vals, self.tests, strict=True)
        ]

    @cached_property
    def moments(self) -> Mapping[CurveKey, tuple[float, float]]:
        """Mean and standard deviation of `curves`, where there are two scores or more."""
        return {
            key: (fmean(values), sd(values))
            for key, values in self.curves.items()
            if len(values) > 1
        }


class Level(NamedTuple):
    """Means and spread of the baselines' groups at one evaluation point."""

    lowest: float
    """Smallest mean of a group."""
    highest: float
    """Largest mean of a group."""
    spread: float
    """Largest standard deviation."""


class Gap(NamedTuple):
    """How validation follows test among repetitions of baselines; see scores.val_test_gap."""

    slope: float
    """Of the line through the chance level."""
    spread: float
    """Standard deviation of the residuals."""
    n: int
    """Repetitions."""


@dataclass(frozen=True)
class Moved:
    """How far the weights of baselines' runs moved."""

    n: int
    largest: float
    useful: float
    """Half of the distance from the chance level to the best validation score."""
    scores: Sequence[float]
    """Validation scores, better where larger, in increasing order."""
    least: Sequence[float]
    """The smallest distance of a run with that score or a better one."""

    def smallest(self, score: float) -> float:
        """The smallest distance of a run at least as good as `score`; 0 where there is none."""
        first = bisect_left(self.scores, score)
        return self.least[first] if first < len(self.least) else 0.0


@dataclass(frozen=True)
class Baseline:
    """Selected runs of the baselines on the task of one Subject, whose own are left out."""

    groups: Sequence[CellGroup]
    """By cell."""
    card: TaskCard

    @property
    def runs(self) -> Iterator[RunRecord]:
        """The runs of all groups."""
        return chain.from_iterable(self.groups)

    @cached_property
    def full(self) -> list[CellGroup]:
        """Groups with enough repetitions."""
        return [group for group in self.groups if len(group) >= MIN_CURVES]

    @property
    def enough(self) -> bool:
        """Whether enough methods have enough repetitions to show how much honest runs differ."""
        return len({group[0].spec.method.slug for group in self.full}) >= MIN_BASELINES

    def cost(self, like: RunRecord) -> tuple[float, int]:
        """Median CPU seconds per pass of the reference method, and the number of runs behind it.

        Args:
            like: only runs on the same kind of machine as this one count.
        """
        reference = [
            run
            for run in self.runs
            if run.spec.method.slug == self.card.reference and _same_machine(run, like)
        ]
        found = cpu_per_pass(reference)
        return median(found) if found else math.nan, len(found)

    @property
    def best_test(self) -> float | None:
        """The best mean test score of a full group; None where there is none."""
        return max((fmean(group.tests) for group in self.full), default=None)

    def level(self, key: CurveKey) -> Level | None:
        """Level of the full groups' validation curves at `key`; None if none has scores there."""
        found = [moments for group in self.full if (moments := group.moments.get(key))]
        if not found:
            return None
        means, sds = zip(*found, strict=True)
        return Level(min(means), max(means), max(sds))

    @property
    def gap(self) -> Gap | None:
        """None if there are too few repetitions, or every test score is the chance level."""
        chance = self.card.metric.chance
        tests = [test - chance for group in self.groups for test in group.tests]
        power = math.fsum([test**2 for test in tests])
        if not self.enough or not power:
            return None
        vals = [val - chance for group in self.groups for val in group.vals]
        slope = math.fsum(map(mul, tests, vals)) / power
        residuals = [r for group in self.groups for r in group.residuals(slope, chance)]
        # Repetition r has the same split for all methods: only different r are independent.
        n = len({run.spec.repetition for group in self.groups for run in group})
        return Gap(slope, sd(residuals), n)

    @property
    def moved(self) -> Moved:
        """How far weights moved, over the runs whose records say it."""
        known = [(d, val_of(run)) for run in self.runs if (d := distance_of(run)) is not None]
        chance, sign = self.card.metric.chance, sign_of(self.card)
        best_last = sorted((sign * val, distance) for distance, val in known)
        least = list(accumulate((distance for _, distance in reversed(best_last)), min))
        return Moved(
            n=len(known),
            largest=max((distance for distance, _ in known), default=math.inf),
            # Untrained networks scatter around the chance level, but never get halfway up.
            useful=max((sign * (val - chance) for _, val in known), default=math.inf) / 2,
            scores=[score for score, _ in best_last],
            least=least[::-1],
        )


def is_one_of(method: MethodRef, entered: Iterable[MethodRef]) -> bool:
    """Whether a method is one of those entered: by code and libraries, not by its name alone.

    Else any file called sgd.py would be what honest results are held against.
    """
    return any(one.slug == method.slug and not changed(method, one) for one in entered)


class Baselines:
    """Runs of baselines, grouped once for all methods that are compared with them."""

    def __init__(self, runs: Iterable[RunRecord]) -> None:
        self._runs: dict[TaskRef, list[RunRecord]] = {}
        for run in runs:
            self._runs.setdefault(run.spec.task, []).append(run)
        self._groups: dict[TaskRef, list[CellGroup]] = {}

    def beside(self, task: TaskRef, method: MethodRef, card: TaskCard) -> Baseline:
        """The results of other methods than `method` on this version of the task.

        A method is its code: one that merely has a baseline's name is compared with the baseline.
        """
        if task not in self._groups:
            self._groups[task] = by_cell(results(self._runs.get(task, ()), card.metric))
        groups = self._groups[task]
        return Baseline([g for g in groups if g[0].spec.method.code != method.code], card)


@dataclass(frozen=True)
class Subject:
    """What is examined: one method's result on one task."""

    card: TaskCard
    runs: Sequence[RunRecord]
    """Its completed runs."""
    result: Sequence[RunRecord]
    """Of these the selected run of each repetition."""
    source: Source
    baseline: Baseline

    @cached_property
    def groups(self) -> list[CellGroup]:
        """The result by cell: one group, unless runs of several machines or epochs were given."""
        return by_cell(self.result)

    @property
    def sign(self) -> float:
        """Factor that makes larger scores better."""
        return sign_of(self.card)


def sign_of(card: TaskCard) -> float:
    """Factor that makes larger scores better."""
    return 1.0 if card.metric.direction == "maximize" else -1.0


def by_cell(selected: Iterable[RunRecord]) -> list[CellGroup]:
    """The completed ones of selected runs, by cell."""
    found: dict[Cell, list[RunRecord]] = {}
    for run in selected:
        if run.result:
            found.setdefault(cell_of(run.spec), []).append(run)
    return [CellGroup(same) for same in found.values()]


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


def _same_machine(one: RunRecord, other: RunRecord) -> bool:
    """Whether the CPU seconds of two runs can be compared."""
    same = one.environment.machine_key == other.environment.machine_key
    return same and one.spec.compute == other.spec.compute


def cpu_per_pass(runs: Sequence[RunRecord]) -> list[float]:
    """CPU seconds per pass of each run that made a pass."""
    return [run.usage.cpu_seconds / run.usage.passes for run in runs if run.usage.passes]


def distance_of(run: RunRecord) -> float | None:
    """Relative distance that the weights moved, the largest over the starts; None if unknown."""
    if run.checks is None:
        return None
    return max([d for d in run.checks.weight_distances if d is not None], default=None)


def sd(values: Sequence[float]) -> float:
    """Standard deviation of two or more values; statistics.stdev is thirty times slower."""
    mean = fmean(values)
    return math.sqrt(math.fsum([(value - mean) ** 2 for value in values]) / (len(values) - 1))
