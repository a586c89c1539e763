"""Confidence intervals of a mean from the means of all subsets: the inverted sign-flip test.

For values d of n repetitions, the sign-flip test of "the mean is mu" counts the assignments of
signs to d - mu whose sum is at least as extreme as the observed one. Flipping the signs of a subset
makes the sum larger or equal exactly if the mean of that subset is at most mu. So the values of mu
that the test does not reject lie between two of the 2^n - 1 subset means, in order.
Source: Hartigan, "Using subsample values as typical values", J. Am. Stat. Assoc. 1969.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from assay_leaderboard.schema.values import MAX_REPETITIONS, Floats

_BLOCK_BYTES = 1 << 20
"""Subset means worked on at once, so that they fit the processor's cache."""
_ROUNDING = 1e-9
"""Means closer to 0 than this, in units of the mean absolute value, are 0 but for rounding."""


def intervals(rows: Floats, error: float | Fraction) -> Floats:
    """Intervals (m, 2) of the means of m rows of values (m, n).

    The ends are the k-th smallest and the k-th largest subset mean, k = floor(error / 2 * 2^n); the
    smallest and the largest where that is 0. Where it is not, 0 lies outside the interval exactly
    if the p-value of the row (sign_flips) is at most `error`.

    Args:
        rows: finite; n from 1 to 16.
        error: 1 minus the level, above 0 and at most 1; a float is taken as the decimal that it
            is written as.

    Raises:
        ValueError: n or `error` is out of range.
    """
    m, n = rows.shape
    ends = np.empty((m, 2))
    if not m:
        return ends
    k = order(n, error)
    for part, means in blocks(rows):
        # Two partitions by one place each are twice as fast as one by both.
        means.partition(k - 1, axis=1)
        ends[part, 0] = means[:, k - 1]
        above = means[:, k - 1 :]
        last = means.shape[1] - k - (k - 1)
        above.partition(last, axis=1)
        ends[part, 1] = above[:, last]
    ends[np.abs(ends) <= slack(rows)[:, np.newaxis]] = 0.0
    return ends


def order(n: int, error: float | Fraction) -> int:
    """Which of the sorted subset means of n values is the end of an interval, counted from 1.

    Raises:
        ValueError: `error` is not above 0 and at most 1.
    """
    exact = as_written(error)
    if not 0 < exact <= 1:
        raise ValueError(f"expected an error above 0 and at most 1, got {error}")
    return max(1, math.floor(exact * (1 << n) / 2))


def as_written(number: float | Fraction) -> Fraction:
    """A float as the decimal that it is written as: 0.05 is 1/20; a fraction as it is."""
    return number if isinstance(number, Fraction) else Fraction(repr(float(number)))


def slack(rows: Floats) -> Floats:
    """How far from 0 (m,) a subset mean of each of m rows may be by rounding alone.

    Equal sums that are reached by different additions differ in their last digits. Whoever compares
    a subset mean with 0 takes all within the slack as 0.
    """
    return np.asarray(_ROUNDING * np.abs(rows).mean(axis=1))


def blocks(rows: Floats) -> Iterator[tuple[slice, Floats]]:
    """The means of all non-empty subsets of each of m rows (m, n), a few rows at a time.

    Yields:
        Which rows, and their means (rows, 2^n - 1) in an array that the next step overwrites.

    Raises:
        ValueError: n is not between 1 and 16.
    """
    m, n = rows.shape
    if not 1 <= n <= MAX_REPETITIONS:
        raise ValueError(f"expected 1 to {MAX_REPETITIONS} repetitions, got {n}")
    size = np.zeros(1)
    for _ in range(n):
        size = np.concatenate((size, size + 1))
    size[0] = 1.0  # of the empty subset, which is left out
    n_rows = max(1, _BLOCK_BYTES // size.nbytes)
    memory = np.empty((min(n_rows, m), len(size)))
    for start in range(0, m, n_rows):
        part = slice(start, start + n_rows)
        values = rows[part]
        means = memory[: len(values)]
        means[:, 0] = 0.0
        for place in range(n):  # the sums of subsets without, then with the next value
            known = 1 << place
            with_next = means[:, known : 2 * known]
            np.add(means[:, :known], values[:, place : place + 1], out=with_next)
        means /= size
        yield part, means[:, 1:]
