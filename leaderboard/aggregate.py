"""Across tasks: normalised scores, their interquartile mean and stratified bootstrap."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from leaderboard.multiple import benjamini_hochberg
from leaderboard.paired import (
    Floats,
    Interval,
    percentile_interval,
    resample_counts,
    resampled_rows,
)
from suite.ruleset import Ruleset


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
    iqm_interval: Interval
    mean_interval: Interval
    iqm_draws: Floats
    """(draws,) bootstrap values of the interquartile mean; draw i resamples every method of a
    task by the same repetitions, so draws of two methods are paired."""


def aggregate(scores: Mapping[str, Floats], ruleset: Ruleset) -> Aggregate:
    """Aggregate normalised scores {task: (n,)} with percentile intervals.

    The bootstrap resamples repetitions within each task (stratified), so an interval says how
    far the score would move under other seeds on these same tasks.
    Source: Agarwal et al., "Deep Reinforcement Learning at the Edge of the Statistical
    Precipice", NeurIPS 2021, section 4.1.
    """
    tasks = sorted(scores)
    values = [scores[task] for task in tasks]
    keys = [(ruleset.seed_root, task, len(scores[task]), ruleset.bootstrap_draws) for task in tasks]
    iqm_draws = _iqm_draws(values, [resample_counts(*key) for key in keys])
    mean_draws = np.zeros(ruleset.bootstrap_draws)
    for value, key in zip(values, keys, strict=True):
        mean_draws += resampled_rows(value[np.newaxis], resample_counts(*key))[0]
    mean_draws /= len(tasks)
    return Aggregate(
        iqm=interquartile_mean(values),
        mean=float(np.mean([value.mean() for value in values])),
        iqm_interval=percentile_interval(iqm_draws, ruleset.confidence),
        mean_interval=percentile_interval(mean_draws, ruleset.confidence),
        iqm_draws=iqm_draws,
    )


def interquartile_mean(values: Sequence[Floats]) -> float:
    """Mean of the middle half of all runs, each task weighing the same.

    Runs at the two edges of the middle half count by the share of them that lies inside.
    """
    ones = [np.ones((len(value), 1), dtype=np.int8) for value in values]
    return float(_iqm_draws(values, ones)[0])


def _iqm_draws(values: Sequence[Floats], counts: Sequence[NDArray[np.int8]]) -> Floats:
    """Interquartile means (draws,) given how often each draw holds each run, (n, draws) a task.

    Each draw is the same sorted runs under other whole-number weights, so one sort serves all.
    A run outside the middle half has weight zero there, however extreme its score.
    """
    unit = math.lcm(*(len(value) for value in values))
    pooled = np.concatenate(values)
    order = np.argsort(pooled, kind="stable")
    ordered = pooled[order]
    weights = np.concatenate(
        [
            count.astype(np.int32) * np.int32(4 * unit // len(value))
            for value, count in zip(values, counts, strict=True)
        ]
    )
    low, high = unit * len(values), 3 * unit * len(values)
    cumulative = weights[order]
    for before, row in itertools.pairwise(cumulative):  # ten times as fast as np.cumsum(axis=0)
        row += before
    np.clip(cumulative, low, high, out=cumulative)
    inside = np.diff(cumulative, axis=0, prepend=np.int32(low))
    total = np.einsum("n,nd->d", ordered, inside)  # no BLAS: the same on every machine
    draws: Floats = total / (high - low)
    return draws


def beats(aggregates: Sequence[Drawn], margin: float, alpha: float) -> NDArray[np.bool_]:
    """(m, m): whose interquartile mean is shown to be larger, over all pairs.

    Two-sided p from the paired bootstrap of the difference, Benjamini-Hochberg over all pairs.
    Differences up to `margin` are not counted: a deterministic task has no spread, so the
    bootstrap alone would call any difference on it certain.
    """
    m = len(aggregates)
    found = np.zeros((m, m), dtype=np.bool_)
    pairs = [(i, j) for i in range(m) for j in range(i + 1, m)]
    p = []
    for i, j in pairs:
        draws = aggregates[i].iqm_draws - aggregates[j].iqm_draws
        below, above = int((draws <= 0).sum()), int((draws >= 0).sum())
        p.append(min(1.0, 2 * (1 + min(below, above)) / (1 + len(draws))))
    for (i, j), value in zip(pairs, benjamini_hochberg(p), strict=True):
        difference = aggregates[i].iqm - aggregates[j].iqm
        if value <= alpha and abs(difference) > margin:
            found[i, j], found[j, i] = difference > 0, difference < 0
    return found
