"""What a smaller tuning budget would have given, from the stored trials of a study.

Tuning with k points keeps the one that is best on validation; its score on **test** is what it is
worth. Averaged over all subsets of k of the K stored trials, the trial that is i-th from below on
validation counts with the share of subsets in which it is the best, C(i-1, k-1) / C(K, k). The
mean is unbiased (a U-statistic), where picking the best of all and pretending that it took k is
not.
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
"""Resamples of the trials. Fewer than the ruleset's: every method at every budget needs its own,
and the ends of a 95 % interval rest on 50 draws each."""
MAX_TRIALS = 64
"""Trials up to which a study has a budget curve; no ruleset has as many."""

_TOGETHER = 4
"""16 bytes of whole numbers, 32 of others."""


@dataclass(frozen=True)
class Trials:
    """The stored trials of one study in the order of selection, the winner last."""

    numbers: tuple[int, ...]
    tests: Floats
    """(K,) test scores."""

    @property
    def n(self) -> int:
        """How many there are."""
        return len(self.numbers)


def ordered(vals: Sequence[float], tests: Sequence[float], direction: Direction) -> Trials:
    """Trials by their scores on validation and test; the earlier of equals wins, as in select.

    Args:
        vals: validation scores (K,) by number of the trial.
        tests: test scores (K,) likewise.
        direction: of both.
    """
    sign = 1.0 if direction == "maximize" else -1.0
    numbers = sorted(range(len(vals)), key=lambda number: (sign * vals[number], -number))
    return Trials(tuple(numbers), np.array([tests[number] for number in numbers]))


def budgets(n: int) -> list[int]:
    """Positions of the slider for n trials: the powers of two below n, and n."""
    return [2**i for i in range(n.bit_length()) if 2**i < n] + [n]


def together(ks: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Budgets whose chances lie side by side: numbers of as many bytes are copied at once."""
    for start in range(0, len(ks), _TOGETHER):
        yield tuple(ks[start : start + _TOGETHER])


def expected(trials: Trials, k: int) -> float:
    """Expected test score of tuning with `k` of the trials, 1 <= k <= n."""
    return math.fsum((_best(trials.n, k) * trials.tests).tolist())


def sampled_places(trials: Trials, task: str, ruleset: Ruleset) -> NDArray[np.int16]:
    """(K, 1 + DRAWS): rows of `chances` for the trials as they are, and for each resample.

    All methods of a task resample the same numbers: methods with one space tried the same points.
    """
    upto = _counts(ruleset.seed_root, task, trials.n).take(trials.numbers, axis=0)
    for before, row in itertools.pairwise(upto):
        row += before
    places = upto.copy()
    places[1:] += upto[:-1] * (trials.n + 1)
    return places


@functools.lru_cache(maxsize=256)
def chances(n: int, ks: tuple[int, ...], unit: int, dtype: type[np.generic]) -> NDArray[Any]:
    """Chance that a copy of a trial is the best of k of a draw, times `unit`: (places, ks).

    Copies lie side by side in the order of selection, so that the trial whose copies are those
    from a + 1 to b is the best of C(b, k) - C(a, k) subsets: nothing is sorted again. Its place is
    a (n + 1) + b.

    Args:
        n: trials.
        ks: of more than there are, all are used.
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
