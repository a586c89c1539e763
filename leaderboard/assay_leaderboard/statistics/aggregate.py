"""Normalised scores over several tasks: interquartile mean, mean, gap, bootstrap intervals."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from assay.identity import derive_seed, sha256
from assay.ruleset import Ruleset
from numpy.typing import NDArray

from assay_leaderboard.schema.values import Floats, Interval
from assay_leaderboard.statistics.bootstrap import percentile_ends, resample_counts
from assay_leaderboard.statistics.exact_sums import Weights, weighted_sums
from assay_leaderboard.statistics.interquartile import middle_means
from assay_leaderboard.statistics.result_cache import ResultCache

STABILITY_DRAWS = 200
"""First draws of the bootstrap; ranks with each task left out in turn use these alone."""
_COUNTED = 128
"""Draws worked on at once, so that they fit the processor's cache."""
MIN_TASKS = 3
"""With fewer tasks, tasks are not resampled."""


@dataclass(frozen=True)
class Anchors:
    """The two fixed points of a task's normalised score."""

    zero: float
    """The chance level."""
    one: float
    """The reference's mean."""

    def normalised(self, scores: Sequence[float]) -> Floats:
        """Scores (n,) on the scale where chance is 0 and the reference 1."""
        return (np.asarray(scores, dtype=np.float64) - self.zero) / (self.one - self.zero)

    @property
    def gap(self) -> float:
        """One normalised unit in the metric's unit."""
        return abs(self.one - self.zero)


def sample_means(samples: Sequence[Sequence[float] | Floats]) -> Floats:
    """Mean (m,) of each of m samples; in one call where all have the same size."""
    if len({len(sample) for sample in samples}) == 1:
        return np.asarray(np.array(samples, dtype=np.float64).mean(axis=1))
    return np.array([np.mean(sample) for sample in samples], dtype=np.float64)


@dataclass(frozen=True)
class Aggregate:
    """One method over several tasks, in normalised score; tasks weigh the same."""

    iqm: float
    mean: float
    gap: float
    """Optimality gap: mean of max(0, 1 - score)."""
    iqm_interval: Interval
    mean_interval: Interval
    gap_interval: Interval
    iqm_interval_tasks: Interval | None
    """With the tasks resampled too; None for fewer than three."""
    iqm_draws: Floats
    """(draws,) bootstrap values of the interquartile mean. Draw i takes the same repetitions of
    every method, so draws of two methods are paired."""
    iqm_without: Floats
    """(tasks,) interquartile mean with each task left out, by slug; empty for a single task."""
    draws_without: Floats
    """(tasks, STABILITY_DRAWS) the same for each of the first draws."""


def aggregate(scores: Mapping[str, Floats], ruleset: Ruleset) -> Aggregate:
    """Aggregate normalised scores {task: (n,)}: see `aggregates`."""
    return aggregates([scores], ruleset)[0]


def aggregates(
    methods: Sequence[Mapping[str, Floats]], ruleset: Ruleset, cache: ResultCache | None = None
) -> list[Aggregate]:
    """Aggregate the normalised scores {task: (n,)} of each method, with percentile intervals.

    The bootstrap resamples repetitions within each task (stratified), so its intervals are about
    other seeds on the same tasks. A second one draws tasks, then repetitions of each drawn task.
    Source: Agarwal et al., "Deep Reinforcement Learning at the Edge of the Statistical
    Precipice", NeurIPS 2021, section 4.1.

    Args:
        methods: normalised scores of each.
        ruleset: seeds, draws, confidence.
        cache: results of an earlier call; those of this call are added.
    """
    values = [[scores[task] for task in sorted(scores)] for scores in methods]
    designs: dict[_Design, list[int]] = {}
    for i, (scores, found) in enumerate(zip(methods, values, strict=True)):
        sizes = tuple(len(value) for value in found)
        design = _Design(tuple(sorted(scores)), sizes, ruleset.seed_root, ruleset.bootstrap_draws)
        designs.setdefault(design, []).append(i)
    results: dict[int, Aggregate] = {}
    for design, members in designs.items():
        own = [values[i] for i in members]
        alike = _known(own, design, ruleset.confidence, cache or ResultCache())
        results |= zip(members, alike, strict=True)
    return [results[i] for i in range(len(methods))]


@dataclass(frozen=True)
class _Design:
    """The resampling of a group of methods: the same for all of them."""

    tasks: tuple[str, ...]
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
    def n_without(self) -> int:
        """Number of tasks that can be left out in turn."""
        return len(self.tasks) if len(self.tasks) > 1 else 0

    @property
    def n_stable(self) -> int:
        """Draws for which tasks are left out in turn."""
        return min(STABILITY_DRAWS, self.draws)

    @property
    def dtype(self) -> type[np.int16] | type[np.int64]:
        """The smallest type that holds the weight of all runs, for speed."""
        return np.int16 if 4 * self.unit * len(self.tasks) < 1 << 15 else np.int64


def _known(
    methods: Sequence[Sequence[Floats]], design: _Design, confidence: float, cache: ResultCache
) -> list[Aggregate]:
    """The aggregates of methods of one design, from the cache where it has them.

    Args:
        methods: values (n,) of each task.
        design: of all methods.
        confidence: level.
        cache: see `aggregates`.
    """
    base = repr((design, confidence, STABILITY_DRAWS)).encode()
    keys = [sha256(base + np.concatenate(values).tobytes()) for values in methods]

    def make(places: list[int]) -> Floats:
        return _alike([methods[i] for i in places], design, confidence, cache)

    heads = 11
    ends = np.cumsum([heads, design.draws])
    width = int(ends[-1]) + design.n_without * (1 + design.n_stable)
    rows = cache.each("aggregates", width, keys, make)
    return [_unpacked(design, *np.split(row, ends)) for row in rows]


def _unpacked(design: _Design, heads: Floats, draws: Floats, without: Floats) -> Aggregate:
    iqm, mean, gap, *ends = heads.tolist()
    within, of_mean, of_gap = (Interval(ends[i], ends[i + 1]) for i in (0, 2, 4))
    over = None if math.isnan(ends[6]) else Interval(ends[6], ends[7])
    by_task = without.reshape(design.n_without, 1 + design.n_stable)
    return Aggregate(
        iqm, mean, gap, within, of_mean, of_gap, over, draws, by_task[:, 0], by_task[:, 1:]
    )


def _alike(
    methods: Sequence[Sequence[Floats]], design: _Design, confidence: float, cache: ResultCache
) -> Floats:
    """The numbers of an Aggregate in a row for each method; `_unpacked` reads them."""
    weights = _weights(design, cache)
    rows = np.array([np.concatenate(values) for values in methods])
    middles = _middles(rows, weights.within, design.quarter)
    whole = 4 * design.quarter
    both = np.concatenate((rows, np.maximum(0.0, 1 - rows)))
    means, gaps = np.split(weighted_sums(both, weights.within, whole) / whole, 2)
    over = np.full((len(rows), 2), math.nan)
    if weights.over is not None:
        over = percentile_ends(_middles(rows, weights.over, design.quarter), confidence)
    return np.hstack(
        [
            *(draws[:, :1] for draws in (middles, means, gaps)),
            *(percentile_ends(draws[:, 1:], confidence) for draws in (middles, means, gaps)),
            over,
            middles[:, 1:],
            _middles(rows, weights.without, design.quarter - design.unit),
        ]
    )


def _middles(rows: Floats, weights: Weights, quarter: int) -> Floats:
    """Interquartile means (m, draws) of m rows of runs (m, n) under weights (n, draws)."""
    if not weights.size:  # of a single task
        return np.empty((len(rows), 0))
    return np.array([middle_means(row, weights, quarter) for row in rows])


def interquartile_mean(values: Sequence[Floats]) -> float:
    """Mean of the middle half of all runs, each task weighing the same.

    Runs at the two edges of the middle half count by the share of them that lies inside.
    """
    unit = math.lcm(*(len(value) for value in values))
    weights = np.concatenate([np.full((len(v), 1), 4 * unit // len(v)) for v in values])
    return float(middle_means(np.concatenate(values), weights, unit * len(values))[0])


@dataclass(frozen=True)
class _Weights:
    """Bootstrap weights (runs, columns) of the runs of all tasks, one task after the other."""

    within: Weights
    """First column: the sample itself; then draws of repetitions within each task."""
    over: Weights | None
    """Draws of tasks and then of their repetitions; None for fewer than MIN_TASKS."""
    without: Weights
    """The first columns of `within`, with each task left out in turn."""


@functools.lru_cache(maxsize=1)
def _weights(design: _Design, cache: ResultCache) -> _Weights:
    """The weights of a design; kept, as tuned points and defaults often have the same design."""
    within = np.concatenate(
        [_task_weights(design, task, n) for task, n in zip(design.tasks, design.sizes, strict=True)]
    )
    n_columns = 1 + design.n_stable
    without = np.tile(within[:, :n_columns], design.n_without)
    ends = np.cumsum(design.sizes)
    for task in range(design.n_without):
        rows = slice(ends[task] - design.sizes[task], ends[task])
        without[rows, task * n_columns : (task + 1) * n_columns] = 0
    over = _known_over_tasks(design, cache) if len(design.tasks) >= MIN_TASKS else None
    return _Weights(within, over, without)


def _task_weights(design: _Design, task: str, n: int) -> Weights:
    """Weights of the n runs of a task: the sample, where each counts once, then its draws."""
    once = np.ones((n, 1), dtype=np.int8)
    counts = np.hstack([once, resample_counts(design.root, task, n, design.draws)])
    return np.multiply(counts, 4 * design.unit // n, dtype=design.dtype)


def _known_over_tasks(design: _Design, cache: ResultCache) -> Weights:
    """`_over_tasks`, from the cache where it has it: drawing takes longer than their use.

    The cache holds rows of floats, so the bytes of the weights are stored as if they were floats.
    """
    shape = sum(design.sizes), design.draws
    dtype: np.dtype[np.signedinteger] = np.dtype(design.dtype)
    n_bytes = math.prod(shape) * dtype.itemsize
    width = -(-n_bytes // 8)

    def make(_: list[int]) -> Floats:
        row = np.zeros((1, width))
        row.view(np.uint8)[0, :n_bytes] = _over_tasks(design).ravel().view(np.uint8)
        return row

    row = cache.each("over tasks", width, [sha256(repr(design))], make)[0]
    return np.frombuffer(row.data, dtype, math.prod(shape)).reshape(shape)


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
