"""The distributions behind the tests and intervals, in closed form.

scipy.special has them all, and takes a third of a second to import: the start of every command.
"""

from __future__ import annotations

import functools
import math
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_NORMAL = NormalDist()
_ROOT_2 = math.sqrt(2)
_FAR = 1e150
"""Beyond it no distribution function differs from 0 or 1; its square is finite."""


def normal_cdf(x: float) -> float:
    """Share of the standard normal distribution below x."""
    return math.erfc(-x / _ROOT_2) / 2


def normal_cdfs(x: Floats) -> Floats:
    """`normal_cdf` of each element."""
    scaled = (x / -_ROOT_2).ravel().tolist()
    return np.fromiter(map(math.erfc, scaled), np.float64, x.size).reshape(x.shape) / 2


def normal_quantile(level: float) -> float:
    """Where `normal_cdf` reaches a level.

    Raises:
        statistics.StatisticsError: the level is not between 0 and 1.
    """
    return _NORMAL.inv_cdf(level)


def student_cdf(t: Floats, freedom: int) -> Floats:
    """Shares (m,) of Student's distribution below each of t (m,), to 1e-15.

    Source: Abramowitz and Stegun, "Handbook of Mathematical Functions", 26.7.3 and 26.7.4.

    Args:
        t: any numbers, infinite ones included.
        freedom: degrees of freedom, from 1.
    """
    tangent = np.clip(t / math.sqrt(freedom), -_FAR, _FAR)
    squared = 1 / (1 + tangent**2)  # of the cosine
    series = np.zeros_like(tangent)
    for power in range(freedom - 2, -1, -2):
        series = 1 + series * squared * ((power + 1) / (power + 2))
    inside = tangent * np.sqrt(squared) * series  # the share between -t and t
    if freedom % 2:
        angle = np.array([math.atan(x) for x in tangent.tolist()])  # NumPy's varies by machine
        inside = (angle + tangent * squared * series) * (2 / math.pi)
    return (1 + np.clip(inside, -1.0, 1.0)) / 2


@functools.cache
def student_quantile(level: float, freedom: int) -> float:
    """Where `student_cdf` reaches a level from 0.5 to below 1."""
    high = 1.0
    while student_cdf(np.array([high]), freedom)[0] < level:
        high *= 2
    low = 0.0
    while low < (middle := (low + high) / 2) < high:
        if student_cdf(np.array([middle]), freedom)[0] < level:
            low = middle
        else:
            high = middle
    return high


def chi_square_tail(x: float, freedom: int) -> float:
    """Share of the chi-square distribution above x, not negative.

    Source: Abramowitz and Stegun, 26.4.4 and 26.4.5.
    """
    half = x / 2
    if not half:
        return 1.0
    powers = [power / 2 for power in range(freedom % 2, freedom - 1, 2)]
    terms = [math.exp(p * math.log(half) - half - math.lgamma(p + 1)) for p in powers]
    return min(1.0, math.fsum(terms) + (math.erfc(math.sqrt(half)) if freedom % 2 else 0.0))
