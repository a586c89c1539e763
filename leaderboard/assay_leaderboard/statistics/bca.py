"""Bias-corrected and accelerated bootstrap intervals (BCa) of means, without random numbers.

A resample is n draws from n values. Where there are few distinct resamples, all are enumerated;
elsewhere a saddlepoint approximation gives the distribution of their mean. It is more exact than
10,000 random draws, and about as exact where the values lie on a coarse lattice or one is far from
the rest (tests/assay_leaderboard/statistics/test_bca.py).

Sources: Efron, "Better bootstrap confidence intervals", J. Am. Stat. Assoc. 1987, equations 2.3 and
6.6, with the jackknife's acceleration; Davison and Hinkley, "Saddlepoint approximations in
resampling methods", Biometrika 1988, section 2, with Barndorff-Nielsen's form of the tail
(Biometrika 1986).
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

Floats = NDArray[np.float64]
Places = NDArray[np.intp]

MAX_COUNTED = 6_500
"""Most distinct resamples enumerated exactly: enough for 8 different values, or 6 among 12."""
_EQUAL = 1e-9
"""Values closer than this are equal, in units of the largest deviation from the mean."""
_DIGITS = 9
"""Digits of an end, in these units: exponentials differ by machine in the sixteenth digit."""
_STEPS = 8
"""Steps of Newton's method from the normal approximation; the eighth changes no such digit."""


def intervals(rows: Floats, confidence: float) -> Floats:
    """BCa intervals (m, 2) of the means of m rows of values (m, n).

    Args:
        rows: the samples, n > 1.
        confidence: level.
    """
    found = np.stack((rows.min(axis=1), rows.max(axis=1)), axis=1)
    centre = rows.mean(axis=1, keepdims=True)
    # The result does not depend on the scale; without scaling, large cubes would overflow.
    scale = np.abs(rows - centre).max(axis=1, keepdims=True)
    varied = np.flatnonzero((scale > 1e-12 * np.abs(rows).max(axis=1, keepdims=True))[:, 0])
    centre, scale = centre[varied], scale[varied]
    unit = np.sort((rows[varied] - centre) / scale, axis=1)
    tail = float(ndtri((1 - confidence) / 2))
    ends = np.empty((len(varied), 2))
    steps = np.diff(unit, axis=1) > _EQUAL
    different = 1 + steps.sum(axis=1)
    n = rows.shape[1]
    few = np.array([math.comb(n + m - 1, n) <= MAX_COUNTED for m in range(n + 1)])[different]
    patterns, pattern_of = np.unique(steps[few], axis=0, return_inverse=True)
    for i, pattern in enumerate(patterns):
        starts = np.flatnonzero(np.concatenate(([True], pattern)))
        times = tuple(np.diff(np.append(starts, n)).tolist())
        for own in _parts(np.flatnonzero(few)[pattern_of == i], 64):
            ends[own] = _counted(unit[own][:, starts], times, tail)
    for own in _parts(np.flatnonzero(~few), 512):
        ends[own] = _approximated(unit[own], tail)
    ends = centre + scale * np.round(ends, _DIGITS)
    found[varied] = np.clip(ends, found[varied, :1], found[varied, 1:])
    return found


def _parts(places: Places, size: int) -> Iterator[Places]:
    """Places in parts of a size that fits the processor's cache."""
    for start in range(0, len(places), size):
        yield places[start : start + size]


def _levels(bias: Floats, acceleration: Floats, tail: float) -> Floats:
    """(m, 2) normal quantiles of the bootstrap distribution at which the intervals end.

    Args:
        bias: (m,) normal quantiles of the shares of resamples below the sample's mean.
        acceleration: (m,).
        tail: the normal quantile of the lower end.
    """
    shifted = np.stack((bias + tail, bias - tail), axis=1)
    return np.asarray(bias[:, np.newaxis] + shifted / (1 - acceleration[:, np.newaxis] * shifted))


def _counted(values: Floats, times: tuple[int, ...], tail: float) -> Floats:
    """Ends (m, 2) from the whole bootstrap distribution, for samples of mean 0.

    Args:
        values: (m, k) different values of each row, ascending.
        times: (k,) how often each stands in the sample, the same for all rows.
        tail: the normal quantile of the lower end.
    """
    counts, shares = _ways(times)
    n = sum(times)
    # No BLAS, whose last digits differ by machine: equal means must compare as equal.
    means = np.einsum("mk,wk->mw", values, counts) / n
    weights = np.array(times) / n
    squares, cubes = (values**2 * weights).sum(axis=1), (values**3 * weights).sum(axis=1)
    acceleration = cubes / (6 * math.sqrt(n) * squares**1.5)
    # Half of the resamples that equal the sample count as below it.
    below = ((means < -_EQUAL) * shares).sum(axis=1) + ((means <= _EQUAL) * shares).sum(axis=1)
    bias = ndtri(below / 2)
    order = np.argsort(means, axis=1)
    reached = np.cumsum(shares[order], axis=1)
    ends = []
    for i, wanted in enumerate(ndtr(_levels(bias, acceleration, tail)) - 1e-12):
        ends.append(means[i, order[i, np.searchsorted(reached[i], wanted)]])
    return np.array(ends)


@functools.lru_cache(maxsize=1_024)
def _ways(times: tuple[int, ...]) -> tuple[Floats, Floats]:
    """All distinct resamples: how often each holds each value (ways, k), and its share (ways,).

    Args:
        times: (k,) how often each value is in the sample.
    """
    n, k = sum(times), len(times)
    # Stars and bars: k - 1 bars divide n draws among k values.
    bars = np.array([*itertools.combinations(range(n + k - 1), k - 1)], dtype=np.int64)
    counts = np.diff(bars, axis=1, prepend=-1, append=n + k - 1) - 1
    logarithms = np.array([math.lgamma(count + 1) for count in range(n + 1)])
    chances = counts @ np.log(np.array(times) / n) - logarithms[counts].sum(axis=1)
    shares = np.exp(chances + logarithms[n])
    return counts.astype(np.float64), shares


def _approximated(values: Floats, tail: float) -> Floats:
    """Ends (m, 2) by the saddlepoint approximation, for samples of mean 0.

    Args:
        values: (m, n), each row ascending.
        tail: the normal quantile of the lower end.
    """
    n = values.shape[1]
    squares, cubes = (values**2).mean(axis=1), (values**3).mean(axis=1)
    acceleration = cubes / (6 * math.sqrt(n) * squares**1.5)
    # Under the approximation the bias equals the acceleration.
    wanted = _levels(acceleration, acceleration, tail).T
    columns = np.ascontiguousarray(values.T)
    tilt = wanted / np.sqrt(n * squares)
    beyond = np.zeros(tilt.shape, dtype=np.bool_)
    with np.errstate(divide="ignore", invalid="ignore"):
        for _ in range(_STEPS):
            level, slope, _ = _tilted(columns, tilt)
            # No resample's mean reaches this level.
            beyond |= ~(slope > 0)
            moved = tilt + np.where(beyond, 0, (wanted - level) / slope)
            tilt = np.copysign(np.clip(np.abs(moved), np.abs(tilt) / 2, np.abs(tilt) * 2), tilt)
        _, _, ends = _tilted(columns, tilt)
    return np.where(beyond, columns[[0, -1]], ends).T


def _tilted(columns: Floats, tilt: Floats) -> tuple[Floats, Floats, Floats]:
    """Of distributions on values (n, m) with weights exp(tilt x value), tilts (2, m) not 0.

    Returns:
        The normal quantile of the share of resamples whose mean is below that of the tilted
        distribution; its derivative by the tilt; that mean.
    """
    n = len(columns)
    each = columns[:, np.newaxis]
    exponents = tilt * each
    top = exponents.max(axis=0)
    shares = np.exp(exponents - top)
    total = shares.sum(axis=0)
    shares /= total
    mean = (shares * each).sum(axis=0)
    deviations = each - mean
    shares *= deviations**2
    variance = shares.sum(axis=0)
    third = (shares * deviations).sum(axis=0)
    # The signed root of the likelihood ratio, and Wald's statistic.
    root = np.copysign(np.sqrt(2 * n * (tilt * mean - top - np.log(total / n))), tilt)
    wald = tilt * np.sqrt(n * variance)
    ratio = np.log(wald / root)
    turn = n * tilt * variance / root * (1 - (1 + ratio) / root**2)
    slope = turn + (1 / tilt + third / (2 * variance)) / root
    return root + ratio / root, slope, mean
