"""What a smaller tuning budget would have given, from the stored trials of a study.

Tuning with k points selects the one that is best on validation, and its score on test counts. The
expected score is the mean over all subsets of k of the K stored trials: the trial that is i-th from
below on validation is the best in a share C(i-1, k-1) / C(K, k) of them. This is unbiased (a
U-statistic).
Sources: Dodge, Gururangan, Card, Schwartz and Smith, "Show your work: improved reporting of
experimental results", EMNLP 2019 (drawn with replacement, hence biased); Tang, Lee, Xin, Liu, Yu
and Lin, "Showing your work doesn't always work", ACL 2020 (the bias).
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from assay.cards import Direction
from assay.ruleset import Ruleset
from numpy.typing import NDArray

from assay_leaderboard.schema.values import Floats, Interval
from assay_leaderboard.statistics.bootstrap import percentile_intervals, resample_counts

DRAWS = 2_000
"""Resamples of the trials: fewer than in the ruleset, since every method at every budget needs its
own."""
MAX_TRIALS = 64
"""Studies with more trials have no budget curve; no ruleset allows as many."""

_TOGETHER = 4
"""Budgets computed together: their chances are copied in one go."""


@dataclass(frozen=True)
class Trials:
    """The stored trials of one study from worst to best on validation."""

    numbers: tuple[int, ...]
    tests: Floats
    """(K,) test scores."""

    @property
    def n(self) -> int:
        """How many there are."""
        return len(self.numbers)


def ordered(vals: Sequence[float], tests: Sequence[float], direction: Direction) -> Trials:
    """Sort trials by validation; of equal ones the earlier is better, as in records.schema.select.

    Args:
        vals: validation scores (K,) by number of the trial.
        tests: test scores (K,) likewise.
        direction: of both.
    """
    sign = 1.0 if direction == "maximize" else -1.0
    numbers = sorted(range(len(vals)), key=lambda number: (sign * vals[number], -number))
    return Trials(tuple(numbers), np.array([tests[number] for number in numbers]))


def budgets(n: int) -> list[int]:
    """The budgets shown for n trials: the powers of two below n, and n."""
    return [2**i for i in range(n.bit_length()) if 2**i < n] + [n]


def together(ks: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Split budgets into groups that are computed together."""
    for start in range(0, len(ks), _TOGETHER):
        yield tuple(ks[start : start + _TOGETHER])


def expected(trials: Trials, k: int) -> float:
    """Expected test score of tuning with `k` of the trials, 1 <= k <= n."""
    return math.fsum((_best(trials.n, k) * trials.tests).tolist())


def sampled_places(trials: Trials, task: str, ruleset: Ruleset) -> NDArray[np.int16]:
    """(K, 1 + DRAWS): rows of `chances` for the trials as they are, and for each resample.

    All methods of a task use the same draws: methods with equal search spaces tried equal points.
    """
    upto = _counts(ruleset.seed_root, task, trials.n).take(trials.numbers, axis=0)
    for before, row in itertools.pairwise(upto):
        row += before
    places = upto.copy()
    places[1:] += upto[:-1] * (trials.n + 1)
    return places


@functools.lru_cache(maxsize=256)
def chances(n: int, ks: tuple[int, ...], unit: int, dtype: type[np.generic]) -> NDArray[Any]:
    """Chance that a trial is the best of k drawn from a resample, times `unit`: (places, ks).

    In a resample, sorted from worst to best, the copies of a trial have numbers a + 1 to b. One of
    them is the best in C(b, k) - C(a, k) of the subsets of k. The row for (a, b) is a (n + 1) + b.

    Args:
        n: trials.
        ks: budgets; one above n counts as n.
        unit: where it is a multiple of C(n, k) for all ks, the chances are whole numbers.
        dtype: of the chances.
    """
    shares = np.stack([_shares(n, min(k, n), unit) for k in ks], axis=1).astype(dtype)
    table = (shares - shares[:, np.newaxis]).reshape(-1, len(ks))
    table.setflags(write=False)
    return table


def intervals(
    trials: Trials, places: NDArray[np.int16], ks: Sequence[int], confidence: float
) -> list[Interval | None]:
    """Percentile intervals of `expected` at each of `ks` over resamples of the trials.

    None for a single trial.

    Args:
        trials: of one study.
        places: of each trial in each resample (K, draws).
        ks: budgets, at most K.
        confidence: level.
    """
    if trials.n < 2:
        return [None] * len(ks)
    draws = []
    for part in together(ks):
        table = chances(trials.n, part, 1, np.float64)
        worths = trials.tests[:, np.newaxis, np.newaxis] * table
        total = np.zeros((places.shape[1], len(part)))
        added = np.empty_like(total)
        for worth, row in zip(worths, places, strict=True):
            worth.take(row, axis=0, out=added, mode="clip")  # "raise" would copy once more
            total += added
        draws.append(total.T)
    return [*percentile_intervals(np.concatenate(draws), confidence)]


@functools.lru_cache(maxsize=1024)
def _best(n: int, k: int) -> Floats:
    """Share of the subsets of k of n trials in which each is the best, (n,)."""
    best = np.diff(_shares(n, k, 1))
    best.setflags(write=False)
    return best


@functools.lru_cache(maxsize=1024)
def _shares(n: int, k: int, unit: int) -> Floats:
    """C(i, k) / C(n, k) * unit for i = 0..n: how often k trials are all among the i worst."""
    total = math.comb(n, k)
    shares = np.array([float(Fraction(math.comb(i, k) * unit, total)) for i in range(n + 1)])
    shares.setflags(write=False)
    return shares


@functools.lru_cache(maxsize=64)
def _counts(root: str, task: str, n: int) -> NDArray[np.int16]:
    """How often each of n trials appears in the sample and in each resample, (n, 1 + DRAWS)."""
    once = np.ones((n, 1), dtype=np.int16)
    counts = np.hstack([once, resample_counts(root, f"{task}/trials", n, DRAWS)])
    counts.setflags(write=False)
    return counts
