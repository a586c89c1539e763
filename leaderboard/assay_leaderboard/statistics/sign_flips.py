"""Exact sign-flip tests of paired differences.

Under the null hypothesis each difference is as likely as its negative, so every one of the 2^n
assignments of signs is equally likely.
Source: Fisher, "The Design of Experiments", 1935, section 21.
"""

from __future__ import annotations

import numpy as np

from assay_leaderboard.schema.values import Floats
from assay_leaderboard.statistics.subset_means import blocks, slack


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
    sides = np.where(rows.sum(axis=1) < 0, -1.0, 1.0)
    oriented, rounding = rows * sides[:, np.newaxis], slack(rows)
    # Where the sum is positive, an assignment is as large exactly if the subset that it flips has
    # a mean of 0 or less. The empty subset is one of them, and the only one if all are positive.
    as_large = np.ones(m)
    mixed = np.flatnonzero(oriented.min(axis=1) <= rounding)
    limits = rounding[mixed, np.newaxis]
    for part, means in blocks(oriented[mixed]):
        as_large[mixed[part]] += np.count_nonzero(means <= limits[part], axis=1)
    # The mirrored assignments are as small.
    return np.asarray(np.minimum(1.0, 2 * as_large / (1 << n)))


def superiorities(rows: Floats) -> Floats:
    """Share (m,) of positive differences in each of m rows (m, n), zeros counted half."""
    return np.asarray((rows > 0).mean(axis=1) + (rows == 0).mean(axis=1) / 2)
