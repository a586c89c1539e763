"""Exact sign-flip tests of paired differences.

Under the null hypothesis each difference is as likely as its negative, so every one of the 2^n
assignments of signs is equally likely.
Source: Fisher, "The Design of Experiments", 1935, section 21.
"""

from __future__ import annotations

import numpy as np

from assay_leaderboard.schema.values import MAX_REPETITIONS, Floats
from assay_leaderboard.statistics.subset_means import slack

_BLOCK = 1 << 19
"""Comparisons worked on at once, so that they fit the processor's cache."""


def p_values(rows: Floats) -> Floats:
    """Two-sided p-values (m,) of m rows of paired differences (m, n).

    The share of the assignments of signs whose sum is at least as far from 0 as the observed one: a
    whole number over 2^n, which a float holds exactly. A difference of 0 leaves p as it would be
    without it; a row of zeros has p = 1.

    Args:
        rows: finite; n from 1 to 16.

    Raises:
        ValueError: n is out of range.
    """
    m, n = rows.shape
    if not 1 <= n <= MAX_REPETITIONS:
        raise ValueError(f"expected 1 to {MAX_REPETITIONS} repetitions, got {n}")
    sides = np.where(rows.sum(axis=1) < 0, -1.0, 1.0)
    # Where the sum is positive, an assignment is as large exactly if the mean of the subset that it
    # flips is 0 or less, up to the slack; the slack is taken off each value. The mirrored
    # assignments are as small. Every subset is one of the first half and one of the second.
    lowered = rows * sides[:, np.newaxis] - slack(rows)[:, np.newaxis]
    first, second = _sums(lowered[:, : n // 2]), -_sums(lowered[:, n // 2 :])
    as_large = np.empty(m)
    n_rows = max(1, _BLOCK // (1 << n))
    for start in range(0, m, n_rows):
        part = slice(start, start + n_rows)
        pairs = first[part, :, np.newaxis] <= second[part, np.newaxis, :]
        as_large[part] = np.count_nonzero(pairs, axis=(1, 2))
    return np.asarray(np.minimum(1.0, 2 * as_large / (1 << n)))


def _sums(values: Floats) -> Floats:
    """The sums (m, 2^n) of all subsets of each of m rows (m, n), the empty one first."""
    sums = np.zeros((len(values), 1))
    for column in values.T:
        sums = np.concatenate((sums, sums + column[:, np.newaxis]), axis=1)
    return sums


def superiorities(rows: Floats) -> Floats:
    """Share (m,) of positive differences in each of m rows (m, n), zeros counted half."""
    return np.asarray((rows > 0).mean(axis=1) + (rows == 0).mean(axis=1) / 2)
