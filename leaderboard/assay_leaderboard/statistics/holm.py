"""Holm's correction of a few tests, as a level for their intervals."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from assay_leaderboard.schema.values import Floats
from assay_leaderboard.statistics.subset_means import as_written


def levels(p: Sequence[float] | Floats, alpha: float) -> Floats:
    """Error levels (n,) at which the interval of each test excludes 0 exactly if Holm rejects it.

    Holm rejects the tests by increasing p until the i-th has p > alpha / (n - i + 1). After r
    rejections, alpha / (n - r) lies between the p-values that are rejected and those that are not
    (alpha where all are rejected): it is the level of all n tests.
    Source: Holm, "A simple sequentially rejective multiple test procedure", Scand. J. Stat. 1979.

    Args:
        p: of each test, not corrected.
        alpha: the chance of any false rejection.
    """
    n, rejected = len(p), 0
    for value in sorted(p):
        if Fraction(float(value)) * (n - rejected) > as_written(alpha):
            break
        rejected += 1
    return np.full(n, alpha / max(1, n - rejected))
