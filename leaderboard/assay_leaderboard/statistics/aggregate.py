"""Methods over several tasks: interquartile means of normalised scores, and their bootstrap.

A family of tasks is one interquartile mean over all its runs, tasks weighing the same; several
families are the mean of theirs. Two methods are compared on the tasks that both have.
Source: Agarwal, Schwarzer, Castro, Courville and Bellemare, "Deep reinforcement learning at the
edge of the statistical precipice", NeurIPS 2021, section 4.1.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from assay.identity import derive_seed, sha256
from assay.ruleset import Ruleset
from numpy.typing import NDArray

from assay_leaderboard.schema.values import Floats, Interval
from assay_leaderboard.statistics.bootstrap import percentile_ends, resample_counts
from assay_leaderboard.statistics.contrasts import Contrasts, bootstrap_p
from assay_leaderboard.statistics.interquartile import Weights, middle_means
from assay_leaderboard.statistics.result_cache import ResultCache

MIN_TASKS = 8
"""With fewer tasks there is no interval for other tasks of the kind: a percentile interval over
three tasks that is called 95 % holds 51 to 84 %."""
_COUNTED = 128
"""Draws worked on at once, so that they fit the processor's cache."""

Scores = Mapping[str, Floats]
"""A method's normalised scores {task: (n,)}."""
Tasks = tuple[str, ...]
"""By slug."""


def interquartile_mean(values: Sequence[Floats]) -> float:
    """Mean of the middle half of all runs of several tasks, each task weighing the same.

    Runs at the two edges of the middle half count by the share of them that lies inside.
    """
    unit = math.lcm(*(len(value) for value in values))
    weights = np.concatenate([np.full((len(v), 1), 4 * unit // len(v)) for v in values])
    return float(middle_means(np.concatenate(values), weights, unit * len(values))[0])


@dataclass(frozen=True)
class Summary:
    """m methods over one family, or over several that weigh the same."""

    score: Floats
    """(m,) each over the tasks that it has; NaN for one that is left out, or has no task of some
    family."""
    ends: Floats
    """(m, 2) percentile interval of the score over other repetitions on the same tasks; NaN where
    there is no score, or nothing to resample (a single run on each task)."""
    contrasts: Contrasts
    """The differences of all pairs of methods that have tasks in common in every family."""


class Aggregates:
    """Interquartile means of m methods, and draws of a bootstrap; each is computed once.

    The bootstrap resamples repetitions within each task, by the same indices for all methods that
    have equally many of them: draws of two methods are paired.
    """

    def __init__(
        self, methods: Sequence[Scores], ruleset: Ruleset, cache: ResultCache | None = None
    ) -> None:
        """Keep the scores.

        Args:
            methods: finite normalised scores of each; a method may lack tasks.
            ruleset: seeds, number of draws, confidence.
            cache: results of an earlier call; those that are used now are added.
        """
        self._methods = methods
        self._ruleset = ruleset
        self._cache = cache or ResultCache()
        self._rows: dict[tuple[int, Tasks], Floats] = {}

    def over(
        self, families: Sequence[Sequence[str]], members: Iterable[int] | None = None
    ) -> Summary:
        """Summarise methods over families of tasks, each family weighing the same.

        Args:
            families: the tasks of each, one or more.
            members: places of the methods; None: all. The others have no score and no difference.
        """
        groups: dict[tuple[Tasks, ...], list[int]] = {}
        for method in range(len(self._methods)) if members is None else members:
            scores = self._methods[method]
            own = tuple(tuple(sorted(scores.keys() & {*tasks})) for tasks in families)
            if all(own):
                groups.setdefault(own, []).append(method)
        m = len(self._methods)
        score, ends = np.full(m, math.nan), np.full((m, 2), math.nan)
        for own, members in groups.items():
            rows = self._mean_rows(members, own)
            score[members] = rows[:, 0]
            varied = [any(len(self._methods[i][t]) > 1 for f in own for t in f) for i in members]
            ends[np.array(members)[varied]] = percentile_ends(
                rows[varied, 1:], self._ruleset.confidence
            )
        return Summary(score, ends, self._contrasts(groups))

    def over_other_tasks(self, tasks: Sequence[str]) -> list[Interval | None]:
        """Interval of each method's score over one family, for other tasks of this kind.

        The bootstrap draws tasks, then repetitions of each drawn task. None for a method that has
        fewer than MIN_TASKS of the tasks.
        """
        found: list[Interval | None] = [None] * len(self._methods)
        groups: dict[Tasks, list[int]] = {}
        for method, scores in enumerate(self._methods):
            own = tuple(sorted(scores.keys() & {*tasks}))
            if len(own) >= MIN_TASKS:
                groups.setdefault(own, []).append(method)
        for own, members in groups.items():
            for design, alike in self._designs(members, own):
                width, confidence = 2, self._ruleset.confidence
                keys = [self._key(i, design, confidence) for i in alike]
                make = functools.partial(self._other_tasks, alike, design)
                ends = self._cache.rows("other tasks", width, keys, make).tolist()
                for method, (low, high) in zip(alike, ends, strict=True):
                    found[method] = Interval(low, high)
        return found

    def _other_tasks(self, alike: list[int], design: _Design, places: list[int]) -> Floats:
        weights = _over_tasks(design)
        draws = [
            middle_means(self._runs(alike[i], design.tasks), weights, design.quarter)
            for i in places
        ]
        return percentile_ends(np.array(draws), self._ruleset.confidence)

    def _contrasts(self, groups: Mapping[tuple[Tasks, ...], list[int]]) -> Contrasts:
        """The pairs of methods of all groups, which are by the tasks that a method has."""
        parts = [Contrasts.none(len(self._methods))]
        for common, pairs in _common_tasks([*groups]).items():
            members = sorted({i for pair in pairs for own in pair for i in groups[own]})
            rows = self._mean_rows(members, common)
            place = {method: place for place, method in enumerate(members)}
            first, second = np.array(
                [
                    (place[i], place[j])
                    for a, b in pairs
                    for i in groups[a]
                    for j in groups[b]
                    if a != b or i < j
                ],
                dtype=np.intp,
            ).reshape(-1, 2).T  # fmt: skip
            names = np.array(members, dtype=np.intp)
            difference = rows[first, 0] - rows[second, 0]
            p = bootstrap_p(rows[:, 1:], first, second)
            parts.append(Contrasts(len(self._methods), names[first], names[second], difference, p))
        return Contrasts.joined(parts)

    def _mean_rows(self, members: Sequence[int], families: Sequence[Tasks]) -> Floats:
        """(members, 1 + draws): mean over families of the interquartile mean, then of its draws."""
        total = np.zeros((len(members), 1 + self._ruleset.bootstrap_draws))
        for tasks in families:
            self._compute(members, tasks)
            for row, method in zip(total, members, strict=True):
                row += self._rows[method, tasks]
        total /= len(families)
        return total

    def _compute(self, members: Sequence[int], tasks: Tasks) -> None:
        """Add the rows (1 + draws,) of these methods on these tasks to those that are known."""
        missing = [i for i in members if (i, tasks) not in self._rows]
        for design, alike in self._designs(missing, tasks):
            keys = [self._key(i, design) for i in alike]
            make = functools.partial(self._middles, alike, design)
            rows = self._cache.each("middles", 1 + design.draws, keys, make)
            self._rows |= {(i, tasks): row for i, row in zip(alike, rows, strict=True)}

    def _middles(self, alike: list[int], design: _Design, places: list[int]) -> Floats:
        weights = _within(design)
        return np.array(
            [
                middle_means(self._runs(alike[i], design.tasks), weights, design.quarter)
                for i in places
            ]
        )

    def _designs(self, members: Sequence[int], tasks: Tasks) -> Iterator[tuple[_Design, list[int]]]:
        """Methods by how many repetitions they have of each task."""
        found: dict[_Design, list[int]] = {}
        ruleset = self._ruleset
        for i in members:
            sizes = tuple(len(self._methods[i][task]) for task in tasks)
            design = _Design(tasks, sizes, ruleset.seed_root, ruleset.bootstrap_draws)
            found.setdefault(design, []).append(i)
        yield from found.items()

    def _runs(self, method: int, tasks: Tasks) -> Floats:
        return np.concatenate([self._methods[method][task] for task in tasks])

    def _key(self, method: int, design: _Design, *more: object) -> str:
        """A hash of everything that a row depends on."""
        return sha256(repr((design, more)).encode() + self._runs(method, design.tasks).tobytes())


def _common_tasks(
    groups: Sequence[tuple[Tasks, ...]],
) -> dict[tuple[Tasks, ...], list[tuple[tuple[Tasks, ...], tuple[Tasks, ...]]]]:
    """Pairs of groups by the tasks that both have; none where they share no task of a family."""
    found: dict[tuple[Tasks, ...], list[tuple[tuple[Tasks, ...], tuple[Tasks, ...]]]] = {}
    for place, a in enumerate(groups):
        for b in groups[place:]:
            common = tuple(tuple(sorted({*x} & {*y})) for x, y in zip(a, b, strict=True))
            if all(common):
                found.setdefault(common, []).append((a, b))
    return found


@dataclass(frozen=True)
class _Design:
    """The resampling of a group of methods: the same for all of them."""

    tasks: Tasks
    sizes: tuple[int, ...]
    """Repetitions of each task."""
    root: str
    """Root of the seeds."""
    draws: int

    @property
    def unit(self) -> int:
        """A quarter of the weight of a task, so chosen that every run has a whole weight."""
        return math.lcm(*self.sizes)

    @property
    def quarter(self) -> int:
        """A quarter of the weight of all tasks."""
        return self.unit * len(self.tasks)

    @property
    def dtype(self) -> type[np.int16] | type[np.int64]:
        """The smallest type that holds the weight of all runs, for speed."""
        return np.int16 if 4 * self.quarter < 1 << 15 else np.int64


@functools.lru_cache(maxsize=4)
def _within(design: _Design) -> Weights:
    """Weights (runs, 1 + draws) of a bootstrap of repetitions within tasks.

    The first column is the sample itself. Kept, since all tuning budgets have the same design.
    """
    parts = []
    for task, n in zip(design.tasks, design.sizes, strict=True):
        once = np.ones((n, 1), dtype=np.int8)
        counts = np.hstack([once, resample_counts(design.root, task, n, design.draws)])
        parts.append(np.multiply(counts, 4 * design.unit // n, dtype=design.dtype))
    return np.concatenate(parts)


@functools.lru_cache(maxsize=4)
def _over_tasks(design: _Design) -> Weights:
    """Weights (runs, draws) of a bootstrap that draws tasks, then repetitions of each drawn."""
    sizes = np.array(design.sizes)
    n_runs = int(sizes.sum())
    shares = np.repeat(4 * design.unit // sizes, sizes)[:, np.newaxis]
    drawn = _drawn_runs(design)
    weights = np.empty((n_runs, design.draws), dtype=design.dtype)
    for start in range(0, design.draws, _COUNTED):
        part = slice(start, start + _COUNTED)
        runs = drawn[:, :, part]
        columns = runs.shape[2]
        places = runs * columns + np.arange(columns)
        counts = np.bincount(places.ravel(), minlength=(n_runs + 1) * columns)
        counts = counts.reshape(n_runs + 1, columns)[:n_runs]
        np.multiply(counts, shares, out=weights[:, part], casting="unsafe")
    return weights


def _drawn_runs(design: _Design) -> NDArray[np.int32]:
    """The runs drawn, as row numbers (tasks, most repetitions, draws).

    Where the drawn task has fewer repetitions, the rest is one past the last row.
    """
    n_tasks, most, n_draws = len(design.tasks), max(design.sizes), design.draws
    seed = derive_seed(design.root, "bootstrap tasks", *design.tasks, *design.sizes)
    generator = np.random.default_rng(seed)
    sizes = np.array(design.sizes, dtype=np.int32)
    offsets = np.cumsum(sizes, dtype=np.int32) - sizes
    repetitions = np.arange(most)[:, np.newaxis]
    runs = np.empty((n_tasks, most, n_draws), dtype=np.int32)
    for row in runs:
        task = generator.integers(0, n_tasks, n_draws)
        n = sizes[task]
        row[:] = generator.integers(0, design.unit, (most, n_draws), dtype=np.int32)
        row *= n
        row //= design.unit
        row += offsets[task]
        row[repetitions >= n] = sizes.sum()
    return runs
