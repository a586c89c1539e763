"""What a smaller tuning budget would have given, from the points that each repetition tried.

A budget of k points is the defaults and k - 1 others. The point that is best on validation is
selected and its test score counts. The expected score is the mean over all choices of k - 1 of the
K - 1 others, in closed form: sort the points from worst to best on validation, and let the defaults
stand at place s and another point at place i, counted from 0. The other point is selected if it is
chosen, better than the defaults (i > s), and the remaining k - 2 are among the i - 1 others below
it: in C(i - 1, k - 2) of the C(K - 1, k - 1) choices. The defaults are selected in C(s, k - 1).
This is unbiased (a U-statistic), unlike a maximum over draws with replacement.
Sources: Dodge, Gururangan, Card, Schwartz and Smith, "Show your work: improved reporting of
experimental results", EMNLP 2019 (with replacement); Tang, Lee, Xin, Liu, Yu and Lin, "Showing your
work doesn't always work", ACL 2020 (its bias).
"""

from __future__ import annotations

import functools
import math

import numpy as np
from numpy.typing import NDArray

from assay_leaderboard.schema.values import Floats


def expected(val: Floats, test: Floats, k: int, sign: float) -> Floats:
    """Expected test score of tuning with a budget of k points, in each repetition.

    k = 1 gives the test score of the defaults and k = K that of the selected point, to the digit.

    Args:
        val: validation scores (..., K) of each repetition's points, the defaults first; of equal
            ones the earliest is the best.
        test: test scores (..., K).
        k: 1 or more; more than K counts as K.
        sign: 1 where larger scores are better, -1 where smaller ones are.

    Returns:
        Scores (...); NaN in a repetition one of whose scores is NaN.

    Raises:
        ValueError: k < 1.
    """
    n_points = val.shape[-1]
    if k < 1:
        raise ValueError(f"expected a budget of 1 or more points, got {k}")
    ranked, places = _from_worst(val, test, sign)
    chances = _chances(n_points, min(k, n_points))[places]
    return np.asarray((ranked * chances).sum(axis=-1))


def expected_all(val: Floats, test: Floats, sign: float) -> Floats:
    """`expected` (K, ...) at every budget k = 1 .. K."""
    n_points = val.shape[-1]
    ranked, places = _from_worst(val, test, sign)
    chances = np.stack([_chances(n_points, k)[places] for k in range(1, n_points + 1)])
    return np.asarray((ranked * chances).sum(axis=-1))


def _from_worst(val: Floats, test: Floats, sign: float) -> tuple[Floats, NDArray[np.intp]]:
    """Test scores (..., K) from worst to best on validation, and the defaults' place (...)."""
    # A stable sort from best to worst puts the earliest of equal ones first.
    order = np.argsort(-sign * val, axis=-1, kind="stable")[..., ::-1]
    known = np.where(np.isnan(val), math.nan, test)
    return np.take_along_axis(known, order, axis=-1), np.argmin(order, axis=-1)


@functools.lru_cache(maxsize=256)
def _chances(n_points: int, k: int) -> Floats:
    """(K, K): [s, i] is the chance that the point at place i is selected, the defaults at s."""
    total = math.comb(n_points - 1, k - 1)
    chances = np.zeros((n_points, n_points))
    for s in range(n_points):
        chances[s, s] = math.comb(s, k - 1) / total
        for i in range(s + 1, n_points if k > 1 else 0):
            chances[s, i] = math.comb(i - 1, k - 2) / total
    chances.setflags(write=False)
    return chances
