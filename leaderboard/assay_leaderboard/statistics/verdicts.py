"""The verdict of a comparison, read off its interval."""

from __future__ import annotations

import math
from fractions import Fraction

from scipy.special import ndtri

from assay_leaderboard.schema.values import Interval, Verdict

MOST_REPETITIONS = 1_000
"""Larger numbers of repetitions are not worth saying."""
_ROUNDING = 1e-9
"""0.95 - 0.94 is more than 0.01 in floating point; the margin is widened by this share."""


def verdict(interval: Interval, margin: float, *, passed: bool) -> Verdict:
    """Read the verdict off the interval of a mean difference.

    Wholly above 0: better; wholly below: worse; wholly within +-margin: equivalent, or "better,
    negligible" and "worse, negligible" where it excludes 0 as well; anything else: undecided.

    Args:
        interval: of the difference, positive where the first method is better.
        margin: differences within +-margin are equivalent in practice.
        passed: the pair passed its correction (p <= 1 - level). An interval that excludes 0
            without that has not its level, since there are too few repetitions: undecided. This
            happens only where no pair of the family passed, or where one has fewer repetitions
            than others.
    """
    above, below = interval.low > 0, interval.high < 0
    if (above or below) and not passed:
        return "undecided"
    largest = max(abs(interval.low), abs(interval.high))
    if largest <= margin * (1 + _ROUNDING):
        if above:
            return "better, negligible"
        return "worse, negligible" if below else "equivalent"
    if above:
        return "better"
    return "worse" if below else "undecided"


def repetitions_needed(
    difference: float, sd: float, n: int, margin: float, error: float | Fraction
) -> int | None:
    """About how many repetitions would decide an undecided pair, if mean and spread stay.

    As many as a normal interval needs to exclude 0 or to lie within +-margin, whichever is sooner.

    Args:
        difference: observed mean difference.
        sd: sample standard deviation of the differences.
        n: repetitions so far, which were too few.
        margin: differences within +-margin are equivalent in practice.
        error: 1 minus the level of the interval.

    Returns:
        More than n; None where more than 1,000 would be needed.
    """
    half = max(abs(difference), margin - abs(difference))
    z = -float(ndtri(float(error) / 2))
    if half <= 0 or z * sd > half * math.sqrt(MOST_REPETITIONS):
        return None
    # With fewer repetitions than the second number, no p is as small as the error.
    smallest = math.ceil(1 - math.log2(error))
    return max(n + 1, smallest, math.ceil((z * sd / half) ** 2))
