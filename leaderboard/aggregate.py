"""Across tasks: normalised scores, their interquartile mean, and the bootstraps behind it."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from leaderboard.memo import Memo
from leaderboard.multiple import benjamini_hochberg
from leaderboard.paired import (
    Floats,
    Interval,
    percentile_ends,
    resample_counts,
    resampled_rows,
)
from suite.identity import derive_seed, sha256
from suite.ruleset import Ruleset

STABILITY_DRAWS = 500
"""First draws of the bootstrap, for ranks with each task left out in turn."""
MIN_TASKS = 3
"""Fewest tasks that are resampled."""
_SLICE = 2_000
"""Draws worked on at once: few enough for the cache, enough for a loop over runs."""

Weights = NDArray[np.signedinteger]


@dataclass(frozen=True)
class Anchors:
    """The two fixed points of a task's normalised score."""

    zero: float
    """The chance level: a method that learns nothing."""
    one: float
    """The reference's mean."""

    def normalised(self, scores: Sequence[float]) -> Floats:
        """Scores (n,) on the scale where chance is 0 and the reference 1."""
        return (np.asarray(scores, dtype=np.float64) - self.zero) / (self.one - self.zero)

    @property
    def gap(self) -> float:
        """What a difference of one normalised unit is in the metric's unit."""
        return abs(self.one - self.zero)


class Drawn(Protocol):
    """An interquartile mean with the bootstrap behind it."""

    @property
    def iqm(self) -> float:
        """The mean of the middle half."""

    @property
    def iqm_draws(self) -> Floats:
        """Its (draws,) bootstrap values; draw i of two methods holds the same resamples."""


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
    """(draws,) bootstrap values of the interquartile mean; draw i resamples every method of a
    task by the same repetitions, so draws of two methods are paired."""
    iqm_without: Floats
    """(tasks,) interquartile mean with each task left out, in the order of their slugs; empty for
    one task."""
    draws_without: Floats
    """(tasks, STABILITY_DRAWS) the same in each of the first draws."""


def aggregate(scores: Mapping[str, Floats], ruleset: Ruleset) -> Aggregate:
    """Aggregate normalised scores {task: (n,)}: see `aggregates`."""
    return aggregates([scores], ruleset)[0]


def aggregates(
    methods: Sequence[Mapping[str, Floats]], ruleset: Ruleset, memo: Memo | None = None
) -> list[Aggregate]:
    """Aggregate the normalised scores {task: (n,)} of each method, with percentile intervals.

    The bootstrap resamples repetitions within each task (stratified), so an interval says how
    far the score would move under other seeds on these same tasks; that over tasks draws the
    tasks first, then repetitions of each task drawn.
    Source: Agarwal et al., "Deep Reinforcement Learning at the Edge of the Statistical
    Precipice", NeurIPS 2021, section 4.1.
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
        alike = _known(own, design, ruleset.confidence, memo or Memo())
        results |= zip(members, alike, strict=True)
    return [results[i] for i in range(len(methods))]


@dataclass(frozen=True)
class _Design:
    """What methods must share to be resampled together."""

    tasks: tuple[str, ...]
    sizes: tuple[int, ...]
    """Repetitions of each task."""
    root: str
    """Of the seeds."""
    draws: int

    @property
    def unit(self) -> int:
        """A quarter of the weight of a task; the runs of each share it in whole numbers."""
        return math.lcm(*self.sizes)

    @property
    def n_without(self) -> int:
        """Tasks that can be left out."""
        return len(self.tasks) if len(self.tasks) > 1 else 0

    @property
    def counts(self) -> list[NDArray[np.int8]]:
        """How often each draw holds each run, (n, draws) a task."""
        return [
            resample_counts(self.root, task, n, self.draws)
            for task, n in zip(self.tasks, self.sizes, strict=True)
        ]

    def weights(self, counts: Sequence[NDArray[np.int8]]) -> Weights:
        """The weight of each run in each draw, (runs, draws), from the counts of each task."""
        return np.concatenate(
            [
                np.multiply(count, 4 * self.unit // n, dtype=self.dtype)
                for count, n in zip(counts, self.sizes, strict=True)
            ]
        )

    @property
    def dtype(self) -> type[np.int16] | type[np.int64]:
        """Holds the weight of all runs; the narrower, the faster."""
        return np.int16 if 4 * self.unit * len(self.tasks) < 1 << 15 else np.int64


def _known(
    methods: Sequence[Sequence[Floats]], design: _Design, confidence: float, memo: Memo
) -> list[Aggregate]:
    """The aggregates of methods of one design; values (n,) a task."""
    base = repr((design, confidence, STABILITY_DRAWS)).encode()
    keys = [sha256(base + np.concatenate(values).tobytes()) for values in methods]

    def make(places: list[int]) -> Floats:
        return _alike([methods[i] for i in places], design, confidence)

    ends = np.cumsum([11, design.draws, design.n_without])
    width = int(ends[-1]) + design.n_without * min(STABILITY_DRAWS, design.draws)
    rows = memo.rows("aggregates", width, keys, make)
    return [_unpacked(*np.split(row, ends)) for row in rows]


def _unpacked(heads: Floats, draws: Floats, without: Floats, draws_without: Floats) -> Aggregate:
    iqm, mean, gap, *ends = heads.tolist()
    within, of_mean, of_gap = (Interval(low=ends[i], high=ends[i + 1]) for i in (0, 2, 4))
    over = None if math.isnan(ends[6]) else Interval(low=ends[6], high=ends[7])
    by_task = draws_without.reshape(len(without), min(STABILITY_DRAWS, len(draws)))
    return Aggregate(iqm, mean, gap, within, of_mean, of_gap, over, draws, without, by_task)


def _alike(methods: Sequence[Sequence[Floats]], design: _Design, confidence: float) -> Floats:
    """What the aggregates of methods of one design hold, a row each; values (n,) a task."""
    counts = design.counts
    mean, mean_draws = _means(methods, counts)
    short = [[np.maximum(0.0, 1 - value) for value in found] for found in methods]
    gap, gap_draws = _means(short, counts)
    middles = [_Middle(found, design.unit) for found in methods]
    plain = design.weights([np.ones((n, 1), dtype=np.int8) for n in design.sizes])
    weights = design.weights(counts)
    within = np.stack([middle.draws(weights) for middle in middles])
    over = np.full((len(methods), 2), math.nan)
    if len(design.tasks) >= MIN_TASKS:
        resampled = _task_weights(design)
        over = percentile_ends(
            np.stack([middle.draws(resampled) for middle in middles]), confidence
        )
    columns = (
        [middle.draws(plain) for middle in middles],
        mean,
        gap,
        percentile_ends(within, confidence),
        percentile_ends(mean_draws, confidence),
        percentile_ends(gap_draws, confidence),
        over,
        within,
        [middle.without(plain) for middle in middles],
        [middle.without(weights[:, :STABILITY_DRAWS]) for middle in middles],
    )
    return np.hstack([np.reshape(column, (len(methods), -1)) for column in columns])


def _means(
    methods: Sequence[Sequence[Floats]], counts: Sequence[NDArray[np.int8]]
) -> tuple[list[float], Floats]:
    """Mean over tasks of each method, and its draws (methods, draws)."""
    draws = np.zeros((len(methods), counts[0].shape[1]))
    for task, count in enumerate(counts):
        draws += resampled_rows(np.stack([found[task] for found in methods]), count)
    draws /= len(counts)
    return [float(np.mean([value.mean() for value in found])) for found in methods], draws


def interquartile_mean(values: Sequence[Floats]) -> float:
    """Mean of the middle half of all runs, each task weighing the same.

    Runs at the two edges of the middle half count by the share of them that lies inside.
    """
    unit = math.lcm(*(len(value) for value in values))
    weights = np.concatenate([np.full((len(v), 1), 4 * unit // len(v)) for v in values])
    return float(_Middle(values, unit).draws(weights)[0])


class _Middle:
    """Interquartile means of one method's runs under whole-number weights.

    Every draw is the same sorted runs under other weights, so one sort serves all. A run outside
    the middle half has weight zero there, however extreme its score.
    """

    def __init__(self, values: Sequence[Floats], unit: int) -> None:
        """Values (n,) a task; a task's runs weigh 4 `unit` together."""
        pooled = np.concatenate(values)
        self.order = np.argsort(pooled, kind="stable")
        self.ordered = pooled[self.order]
        task_of = np.repeat(np.arange(len(values)), [len(value) for value in values])
        self.task_of = task_of[self.order]
        self.unit, self.n_tasks = unit, len(values)

    def draws(self, weights: Weights) -> Floats:
        """Interquartile means (draws,) under weights (runs, draws)."""
        found, n_tasks = np.empty(weights.shape[1]), self.n_tasks
        for first in range(0, len(found), _SLICE):
            part = slice(first, first + _SLICE)
            cumulative = self._cumulative(weights[:, part])
            start, end = self._reach(cumulative, self.unit * n_tasks, 3 * self.unit * n_tasks)
            found[part] = self._mean(cumulative[start:end], n_tasks, start)
        return found

    def without(self, weights: Weights) -> Floats:
        """The same (tasks, draws) with each task left out; (0, draws) for one task."""
        n_tasks, n_draws = self.n_tasks, weights.shape[1]
        if n_tasks < 2:
            return np.empty((0, n_draws))
        cumulative = self._cumulative(weights)
        # A task weighs 4 units: outside these rows no draw reaches the middle half without it.
        start, end = self._reach(
            cumulative, self.unit * (n_tasks - 1), self.unit * (3 * n_tasks + 1)
        )
        found, rest = np.empty((n_tasks, n_draws)), np.empty_like(cumulative[start:end])
        for task in range(n_tasks):
            rows = np.flatnonzero(self.task_of == task)
            own = np.cumsum(weights[self.order[rows]], axis=0, dtype=weights.dtype)
            edges = [*np.clip(rows, start, end), end]
            rest[: edges[0] - start] = cumulative[start : edges[0]]
            for held, (first, last) in zip(own, itertools.pairwise(edges), strict=True):
                np.subtract(cumulative[first:last], held, out=rest[first - start : last - start])
            found[task] = self._mean(rest, n_tasks - 1, start)
        return found

    def _cumulative(self, weights: Weights) -> Weights:
        cumulative: Weights = weights[self.order]
        for before, row in itertools.pairwise(list(cumulative)):  # faster than np.cumsum(axis=0)
            np.add(row, before, out=row)
        return cumulative

    def _reach(self, cumulative: Weights, low: int, high: int) -> tuple[int, int]:
        """Rows between which some draw's cumulative weight lies between `low` and `high`."""
        start = int(cumulative.max(axis=1).searchsorted(low, "right"))
        end = int(cumulative.min(axis=1).searchsorted(high)) + 1
        return start, min(end, len(cumulative))

    def _mean(self, cumulative: Weights, n_tasks: int, start: int) -> Floats:
        """Means (draws,) of the middle half of `n_tasks` tasks: runs from `start` on.

        Overwrites the cumulative weights of these runs.
        """
        low, high = self.unit * n_tasks, 3 * self.unit * n_tasks
        np.clip(cumulative, low, high, out=cumulative)
        inside = np.empty_like(cumulative)
        np.subtract(cumulative[0], cumulative.dtype.type(low), out=inside[0])
        np.subtract(cumulative[1:], cumulative[:-1], out=inside[1:])
        ordered = self.ordered[start : start + len(inside)]
        total = np.einsum("n,nd->d", ordered, inside)  # no BLAS: the same on every machine
        means: Floats = total / (high - low)
        return means


@functools.lru_cache(maxsize=1)
def _task_weights(design: _Design) -> Weights:
    """Weights (runs, draws) of a bootstrap that draws tasks, then repetitions of each drawn."""
    n_tasks, n_draws = len(design.tasks), design.draws
    seed = derive_seed(design.root, "bootstrap tasks", *design.tasks, *design.sizes)
    generator = np.random.default_rng(seed)
    sizes = np.array(design.sizes)
    offsets = np.cumsum(sizes) - sizes
    weights = np.zeros((int(sizes.sum()), n_draws), dtype=design.dtype)
    flat, columns = weights.reshape(-1), np.arange(n_draws)  # one index is faster than two
    for _ in range(n_tasks):
        task = generator.integers(0, n_tasks, n_draws)
        share = (4 * design.unit // sizes[task]).astype(design.dtype)
        first, n = offsets[task] * n_draws + columns, sizes[task]
        for repetition in range(int(sizes.max())):
            drawn = generator.integers(0, design.unit, n_draws) * n // design.unit
            flat[first + drawn * n_draws] += share * (repetition < n)
    weights.setflags(write=False)
    return weights


@dataclass(frozen=True)
class Contrasts:
    """All pairs of m methods by their interquartile means."""

    iqm: Floats
    """(m,)"""
    p: Floats
    """(m, m) two-sided, from the paired bootstrap of the difference; not corrected."""

    @classmethod
    def normal(cls, iqm: Floats, draws: Floats) -> Contrasts:
        """From the means (m,) and few paired draws (m, draws), of which the spread alone counts.

        Counting draws would need thousands to find a p-value that survives the correction.
        """
        centred = draws - draws.mean(axis=1, keepdims=True)
        products = np.einsum("id,jd->ij", centred, centred) / draws.shape[1]  # no BLAS
        own = np.diagonal(products)
        variance = np.maximum(0.0, own[:, np.newaxis] + own - 2 * products)
        difference = np.abs(iqm[:, np.newaxis] - iqm)
        error = np.maximum(np.sqrt(variance), 1e-12)  # none: the difference is certain
        return cls(iqm, 2 * ndtr(-difference / error))

    @classmethod
    def of(cls, iqm: Floats, draws: Floats) -> Contrasts:
        """From the means (m,) and their paired draws (m, draws)."""
        m = len(iqm)
        p = np.ones((m, m))
        for i in range(m - 1):
            above = np.count_nonzero(draws[i] >= draws[i + 1 :], axis=1)
            below = np.count_nonzero(draws[i] <= draws[i + 1 :], axis=1)
            p[i, i + 1 :] = np.minimum(
                1.0, 2 * (1 + np.minimum(below, above)) / (1 + draws.shape[1])
            )
            p[i + 1 :, i] = p[i, i + 1 :]
        return cls(iqm, p)

    def without(self, place: int) -> Contrasts:
        """With one method left out: the others keep their p, with fewer to correct for."""
        kept = np.delete(np.arange(len(self.iqm)), place)
        return Contrasts(self.iqm[kept], self.p[np.ix_(kept, kept)])

    def beats(self, margin: float, alpha: float) -> NDArray[np.bool_]:
        """(m, m): whose interquartile mean is shown to be larger, Benjamini-Hochberg over pairs.

        Differences up to `margin` are not counted: a deterministic task has no spread, so the
        bootstrap alone would call any difference on it certain.
        """
        first, second = np.triu_indices(len(self.iqm), 1)
        difference = self.iqm[first] - self.iqm[second]
        adjusted = benjamini_hochberg(self.p[first, second])
        shown = (adjusted <= alpha) & (np.abs(difference) > margin)
        found = np.zeros(self.p.shape, dtype=np.bool_)
        found[first, second] = shown & (difference > 0)
        found[second, first] = shown & (difference < 0)
        return found


def beats(drawn: Sequence[Drawn], margin: float, alpha: float) -> NDArray[np.bool_]:
    """(m, m): whose interquartile mean is shown to be larger: see `Contrasts.beats`."""
    iqm, draws = [each.iqm for each in drawn], [each.iqm_draws for each in drawn]
    return Contrasts.of(np.array(iqm), np.array(draws)).beats(margin, alpha)
