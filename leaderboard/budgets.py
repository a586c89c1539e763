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
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leaderboard.paired import Floats, Interval, percentile_intervals, resample_counts
from suite.cards import Direction
from suite.ruleset import Ruleset

DRAWS = 2_000
"""Resamples of the trials. Fewer than the ruleset's: every method at every budget needs its own,
and the ends of a 95 % interval rest on 50 draws each."""
MAX_TRIALS = 64
"""Trials up to which a study has a budget curve; no ruleset has as many."""


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


def expected(trials: Trials, k: int) -> float:
    """Expected test score of tuning with `k` of the trials, 1 <= k <= n."""
    shares = np.diff(_shares(trials.n, k, 1))
    return math.fsum((shares * trials.tests).tolist())


def resampled_counts(trials: Trials, task: str, ruleset: Ruleset) -> NDArray[np.int8]:
    """(K, DRAWS): how many copies of the first i trials, worst first, each resample holds.

    All methods of a task resample the same numbers: methods with one space tried the same points.
    """
    return sampled_counts(trials, task, ruleset)[:, 1:]


def sampled_counts(trials: Trials, task: str, ruleset: Ruleset) -> NDArray[np.int8]:
    """(K, 1 + DRAWS): the same, and first of the trials themselves."""
    counts = _counts(ruleset.seed_root, task, trials.n)[list(trials.numbers)]
    for before, row in itertools.pairwise(counts):
        row += before
    return counts


def weigh(cumulative: NDArray[np.int8], ks: Sequence[int], unit: int, out: NDArray[Any]) -> None:
    """Chance that a copy of each trial is the best of k of a draw, times `unit`.

    Copies lie side by side in the order of selection, so that the trial whose copies are those
    from a + 1 to b is the best of C(b, k) - C(a, k) subsets: nothing is sorted again.

    Args:
        cumulative: copies of the first i trials (K, draws).
        ks: of more than there are, all are used.
        unit: where it is a multiple of C(K, k) for all ks, the weights are whole numbers.
        out: the weights are put here, (K, draws, ks).
    """
    n = len(cumulative)
    shares = np.stack([_shares(n, min(k, n), unit) for k in ks], axis=1).astype(out.dtype)
    reached = shares.take(cumulative, axis=0)
    out[0] = reached[0]
    np.subtract(reached[1:], reached[:-1], out=out[1:])


def intervals(
    trials: Trials, cumulative: NDArray[np.int8], ks: Sequence[int], confidence: float
) -> list[Interval | None]:
    """Percentile intervals of `expected` at each of `ks` over resamples of the trials.

    None for a single trial.
    """
    if trials.n < 2:
        return [None] * len(ks)
    # A draw's shares at all budgets lie side by side: they are looked up together.
    shares = np.stack([_shares(trials.n, k, 1) for k in ks], axis=1)
    total = np.zeros((cumulative.shape[1], len(ks)))
    below, reached = np.zeros_like(total), np.empty_like(total)
    for test, copies in zip(trials.tests.tolist(), cumulative, strict=True):
        shares.take(copies, axis=0, out=reached, mode="clip")  # "raise" would copy once more
        below -= reached  # less what a trial adds: see weigh
        below *= test
        total -= below
        below, reached = reached, below
    return [*percentile_intervals(total.T, confidence)]


@functools.lru_cache(maxsize=1024)
def _shares(n: int, k: int, unit: int) -> Floats:
    """C(i, k) / C(n, k) * unit for i = 0..n: how often k trials are all among the i worst."""
    total = math.comb(n, k)
    shares = np.array([float(Fraction(math.comb(i, k) * unit, total)) for i in range(n + 1)])
    shares.setflags(write=False)
    return shares


@functools.lru_cache(maxsize=64)
def _counts(root: str, task: str, n: int) -> NDArray[np.int8]:
    """How often each of n trials appears in the sample and in each resample, (n, 1 + DRAWS)."""
    once = np.ones((n, 1), dtype=np.int8)
    counts = np.hstack([once, resample_counts(root, f"{task}/trials", n, DRAWS)])
    counts.setflags(write=False)
    return counts
