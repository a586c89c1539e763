"""What detectors look at: one method's runs on one task, and the baselines' runs beside them."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from operator import mul
from statistics import fmean, median
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from assay.cards import TaskCard
from assay.detectors.source import Source
from assay.records.schema import Compute, RunRecord, TaskRef

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


CurveKey = tuple[int, int]
"""An evaluation point: start and batch."""


Machine = tuple[str, str, str, Compute]
"""Processor, version of torch, device, and what of them a run had."""


class CellGroup(tuple[RunRecord, ...]):
    """Repetitions of one method at one point of its hyperparameters."""

    @cached_property
    def curves(self) -> Mapping[CurveKey, Sequence[float]]:
        """Their validation scores."""
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
        """What a line through the chance level leaves of validation over test scores."""
        return [
            val - chance - slope * (test - chance)
            for val, test in zip(self.vals, self.tests, strict=True)
        ]

    @cached_property
    def _moments(self) -> dict[CurveKey, tuple[float, float] | None]:
        return {}

    def moments(self, place: CurveKey) -> tuple[float, float] | None:
        """Mean and standard deviation of the scores there; None for fewer than two."""
        if place not in self._moments:
            values = self.curves.get(place, ())
            self._moments[place] = (fmean(values), sd(values)) if len(values) > 1 else None
        return self._moments[place]


class Level(NamedTuple):
    """What groups of baselines show at one evaluation point."""

    lowest: float
    """Of the means."""
    highest: float
    spread: float
    """Largest standard deviation."""


class Gap(NamedTuple):
    """How validation follows test among repetitions of baselines; see scores.val_test_gap."""

    slope: float
    """Of the line through the chance level."""
    spread: float
    """Standard deviation of what it leaves over."""
    n: int
    """Repetitions."""


@dataclass(frozen=True)
class Moved:
    """How far the weights of baselines' runs moved."""

    n: int
    largest: float
    useful: float
    """Half of the best validation score's way up from the chance level."""
    scores: Sequence[float]
    """Validation scores, better where larger, in increasing order."""
    least: Sequence[float]
    """The smallest distance of a run with that score or a better one."""

    def smallest(self, score: float) -> float:
        """The smallest distance of a run at least as good as `score`; 0 where there is none."""
        place = bisect_left(self.scores, score)
        return self.least[place] if place < len(self.least) else 0.0


@dataclass(frozen=True)
class Baseline:
    """Completed runs of other methods on the same task.

    What depends on them alone is made once, when the first method is held against it.
    """

    runs: Sequence[RunRecord]
    groups: Sequence[CellGroup]
    """Repetitions by method and hyperparameters."""
    card: TaskCard
    _levels: dict[CurveKey, Level | None] = field(default_factory=dict, repr=False)
    _costs: dict[Machine, tuple[float, int]] = field(default_factory=dict, repr=False)

    @cached_property
    def full(self) -> list[CellGroup]:
        """Groups with repetitions enough."""
        return [group for group in self.groups if len(group) >= MIN_CURVES]

    @cached_property
    def enough(self) -> bool:
        """Whether several methods have repetitions enough to show how much honest runs differ."""
        return len({group[0].spec.method.slug for group in self.full}) >= MIN_BASELINES

    @cached_property
    def reference(self) -> list[RunRecord]:
        """Runs of the method that the task's card names."""
        return [run for run in self.runs if run.spec.method.slug == self.card.reference]

    def cost(self, machine: Machine) -> tuple[float, int]:
        """Median CPU seconds per pass of the reference on such a machine, and of how many runs."""
        if machine not in self._costs:
            found = cpu_per_pass([run for run in self.reference if machine_of(run) == machine])
            self._costs[machine] = median(found) if found else math.nan, len(found)
        return self._costs[machine]

    @cached_property
    def best_test(self) -> float | None:
        """The best mean test score of a full group; None where there is none."""
        return max((fmean(group.tests) for group in self.full), default=None)

    def level(self, place: CurveKey) -> Level | None:
        """What the validation curves of full groups show there; None where there are none."""
        if place not in self._levels:
            found = [known for group in self.full if (known := group.moments(place))]
            means, sds = [mean for mean, _ in found], [spread for _, spread in found]
            self._levels[place] = Level(min(means), max(means), max(sds)) if found else None
        return self._levels[place]

    @cached_property
    def gap(self) -> Gap | None:
        """None where the repetitions say too little, or no test score is off the chance level."""
        chance = self.card.metric.chance
        tests = [test - chance for group in self.groups for test in group.tests]
        power = math.fsum([test**2 for test in tests])
        if not self.enough or not power:
            return None
        vals = [val - chance for group in self.groups for val in group.vals]
        slope = math.fsum(map(mul, tests, vals)) / power
        left = [left for group in self.groups for left in group.residuals(slope, chance)]
        # Repetition r is one split for all methods, so baselines add repetitions, not independence.
        n = len({run.spec.repetition for group in self.groups for run in group})
        return Gap(slope, sd(left), n)

    @cached_property
    def moved(self) -> Moved:
        """Of the runs whose weights are known to have moved or not."""
        known = [(d, val_of(run)) for run in self.runs if (d := distance_of(run)) is not None]
        chance, sign = self.card.metric.chance, sign_of(self.card)
        best_last = sorted((sign * val, distance) for distance, val in known)
        least = list(accumulate((distance for _, distance in reversed(best_last)), min))
        return Moved(
            n=len(known),
            largest=max((distance for distance, _ in known), default=math.inf),
            # Untrained networks scatter around the chance level; half of the way up they never are.
            useful=max((sign * (val - chance) for _, val in known), default=math.inf) / 2,
            scores=[score for score, _ in best_last],
            least=least[::-1],
        )


class Baselines:
    """Runs of baselines on one task; what the methods beside them have in common is made once."""

    def __init__(self, runs: Sequence[RunRecord]) -> None:
        self._runs = [run for run in runs if run.result]
        self._methods = {run.spec.method.slug for run in self._runs}
        self._of_task: dict[TaskRef, tuple[list[RunRecord], list[CellGroup]]] = {}
        self._known: dict[tuple[TaskRef, str], Baseline] = {}

    def beside(self, task: TaskRef, method: str, card: TaskCard) -> Baseline:
        """Those of this version of the task that are not of `method` itself."""
        key = task, method if method in self._methods else ""
        if key not in self._known:
            runs, groups = self._of(task)
            self._known[key] = Baseline(
                runs=[run for run in runs if run.spec.method.slug != method],
                groups=[group for group in groups if group[0].spec.method.slug != method],
                card=card,
            )
        return self._known[key]

    def _of(self, task: TaskRef) -> tuple[list[RunRecord], list[CellGroup]]:
        if task not in self._of_task:
            runs = [run for run in self._runs if run.spec.task == task]
            self._of_task[task] = runs, by_point(runs)
        return self._of_task[task]


@dataclass(frozen=True)
class Subject:
    """One method on one task."""

    card: TaskCard
    runs: Sequence[RunRecord]
    """Completed."""
    named: frozenset[str]
    """Ids of the runs that its studies call repetitions."""
    source: Source
    baseline: Baseline

    @cached_property
    def groups(self) -> list[CellGroup]:
        """Repetitions by hyperparameters: those the studies name, or all where there is none."""
        return by_point([run for run in self.runs if not self.named or run.id in self.named])

    @property
    def sign(self) -> float:
        """Factor that makes larger scores better."""
        return sign_of(self.card)


def sign_of(card: TaskCard) -> float:
    """Factor that makes larger scores better."""
    return 1.0 if card.metric.direction == "maximize" else -1.0


def by_point(runs: Sequence[RunRecord]) -> list[CellGroup]:
    """Repetitions by method and hyperparameters."""
    found: dict[tuple[object, ...], list[RunRecord]] = {}
    for run in runs:
        spec = run.spec
        if spec.purpose == "repetition":
            values = sorted(spec.hyperparameters.items())
            # With the types, because 1, 1.0 and True are equal and not the same.
            point = spec.method.slug, *values, *[type(value) for _, value in values]
            found.setdefault(point, []).append(run)
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


def machine_of(run: RunRecord) -> Machine:
    """What CPU seconds depend on beside the work."""
    environment = run.environment
    return environment.cpu, environment.torch, environment.device, run.spec.compute


def cpu_per_pass(runs: Sequence[RunRecord]) -> list[float]:
    """CPU seconds per pass, of the runs that made one."""
    return [run.usage.cpu_seconds / run.usage.passes for run in runs if run.usage.passes]


def distance_of(run: RunRecord) -> float | None:
    """How far the weights moved, the largest over the starts."""
    if run.checks is None:
        return None
    return max([d for d in run.checks.weight_distances if d is not None], default=None)


def sd(values: Sequence[float]) -> float:
    """Of a sample of two or more; the library's is exact and thirty times slower."""
    mean = fmean(values)
    return math.sqrt(math.fsum([(value - mean) ** 2 for value in values]) / (len(values) - 1))
