"""Tests between two methods on one task, from the differences of their paired repetitions.

Differences are oriented: positive means that the first method is better, whatever the direction of
the metric.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from assay.ruleset import Ruleset
from scipy.special import stdtr

from assay_leaderboard.schema.values import MAX_REPETITIONS, Comparison, Floats, Interval, Verdict
from assay_leaderboard.statistics import bca

_ROWS = 32
"""Rows whose sign-flip sums are held at once, to fit the cache: 512 KiB at 12 repetitions."""


def bca_intervals(rows: Floats, confidence: float) -> list[Interval | None]:
    """The BCa interval of the mean of each row of values (m, n); None where n < 2."""
    m, n = rows.shape
    if n < 2:
        return [None] * m
    found = bca.intervals(rows, confidence).tolist()
    return [Interval(low, high) for low, high in found]


def sign_flip_p(differences: Floats) -> Floats:
    """Exact two-sided p-values (m,) of m rows of paired differences (m, n).

    Every one of the 2^n assignments of signs is equally likely under the null hypothesis; p is
    the share whose sum is at least as far from zero as the observed one. A zero difference
    leaves p as it would be without it; a row of zeros has p = 1.
    Source: Fisher, "The Design of Experiments", 1935, section 21.

    Raises:
        ValueError: n is not between 1 and 16.
    """
    m, n = differences.shape
    if not 1 <= n <= MAX_REPETITIONS:
        raise ValueError(f"expected 1 to {MAX_REPETITIONS} paired repetitions, got {n}")
    size = np.abs(differences)
    # Equal sums reached by different additions differ by rounding.
    slack = 1e-9 * size.sum(axis=1)
    # With differences of one sign, only the mirrored assignment has as large a sum.
    one_sign = (differences > 0).all(axis=1) | (differences < 0).all(axis=1)
    mixed = np.flatnonzero(~one_sign | (size.min(axis=1) <= slack))
    rows, slack = differences[mixed], slack[mixed, np.newaxis]
    half = (n - 1) // 2
    # The first sign is fixed: the other half of the assignments mirrors this half.
    left = rows[:, :1] + _signed_sums(rows[:, 1 : 1 + half])
    right = _signed_sums(rows[:, 1 + half :])
    reached = np.ones(m)
    for start in range(0, len(rows), _ROWS):
        part = slice(start, start + _ROWS)
        sums = left[part, :, np.newaxis] + right[part, np.newaxis, :]
        sums = np.abs(sums, out=sums).reshape(len(sums), -1)
        extreme = sums >= sums[:, :1] - slack[part]
        reached[mixed[part]] = [np.count_nonzero(row) for row in extreme]
    reached /= 1 << (n - 1)
    return reached


def _signed_sums(rows: Floats) -> Floats:
    """Sums (m, 2^n) of m rows (m, n) under every assignment of signs, all positive first."""
    sums = np.zeros((len(rows), 1))
    for column in range(rows.shape[1]):
        step = rows[:, column : column + 1]
        sums = np.concatenate((sums + step, sums - step), axis=1)
    return sums


def equivalence_p(differences: Floats, margin: float) -> float | None:
    """p-value of two one-sided paired t tests: small where the mean lies within +-margin.

    Returns:
        The larger of the two one-sided p-values, or None where n < 2.
    """
    if len(differences) < 2:
        return None
    return float(equivalence_ps(differences[np.newaxis], margin)[0])


def equivalence_ps(rows: Floats, margin: float) -> Floats:
    """`equivalence_p` (m,) of m rows of paired differences (m, n), n > 1.

    Source: Schuirmann, "A comparison of the two one-sided tests procedure and the power
    approach", J. Pharmacokinet. Biopharm. 1987.
    """
    n = rows.shape[1]
    mean = rows.mean(axis=1)
    spread = np.abs(rows - mean[:, np.newaxis]).max(axis=1)
    p = np.where(np.abs(mean) < margin, 0.0, 1.0)
    varied = spread > 1e-12 * np.maximum(np.abs(mean), margin)
    mean, spread = mean[varied], spread[varied]
    # In units of the spread: squares of large differences would overflow.
    unit = (rows[varied] - mean[:, np.newaxis]) / spread[:, np.newaxis]
    error = spread * np.sqrt((unit**2).sum(axis=1) / (n - 1) / n)
    p[varied] = stdtr(n - 1, (np.abs(mean) - margin) / error)
    return np.asarray(p)


def superiority(differences: Floats) -> float:
    """Share of positive differences, zeros counted half."""
    return float(superiorities(differences[np.newaxis])[0])


def superiorities(rows: Floats) -> Floats:
    """`superiority` (m,) of m rows of paired differences (m, n)."""
    return np.asarray((rows > 0).mean(axis=1) + (rows == 0).mean(axis=1) / 2)


def verdict(difference: float, p: float, p_equivalence: float | None, alpha: float) -> Verdict:
    """The verdict of the tests.

    Equivalence comes first: a significant difference that is shown to be smaller than the task's
    margin is of no practical use.

    Args:
        difference: mean oriented difference.
        p: of the sign-flip test, adjusted.
        p_equivalence: of the equivalence test.
        alpha: level of both.
    """
    if p_equivalence is not None and p_equivalence <= alpha:
        return "equivalent"
    if p <= alpha:
        return "better" if difference > 0 else "worse"
    return "undecided"


def compared(differences: Floats, *, margin: float, ruleset: Ruleset) -> Comparison:
    """The comparison from paired differences (n,): see `compared_rows`."""
    return compared_rows(differences[np.newaxis], margin=margin, ruleset=ruleset)[0]


def compared_rows(rows: Floats, *, margin: float, ruleset: Ruleset) -> list[Comparison]:
    """The m comparisons from rows of paired differences (m, n), not corrected for each other.

    Args:
        rows: a row for each comparison; a difference per repetition, in the metric's unit.
        margin: the task's equivalence margin.
        ruleset: levels.
    """
    m, n = rows.shape
    differences, ps = rows.mean(axis=1).tolist(), sign_flip_p(rows).tolist()
    shares = superiorities(rows).tolist()
    intervals = bca_intervals(rows, ruleset.confidence)
    equivalent: list[float | None] = [None] * m
    if n > 1:
        equivalent = equivalence_ps(rows, margin).tolist()
    return [
        Comparison(
            n=n,
            difference=differences[i],
            interval=intervals[i],
            p=ps[i],
            p_adjusted=ps[i],
            p_equivalence=equivalent[i],
            superiority=shares[i],
            verdict=verdict(differences[i], ps[i], equivalent[i], ruleset.alpha),
        )
        for i in range(m)
    ]


def adjusted(comparison: Comparison, p_adjusted: float, alpha: float) -> Comparison:
    """`comparison` with the verdict by its corrected p-value."""
    found = verdict(comparison.difference, p_adjusted, comparison.p_equivalence, alpha)
    return replace(comparison, p_adjusted=p_adjusted, verdict=found)


def deterministic(difference: float, margin: float) -> Comparison:
    """The comparison from one difference on a deterministic task: by the margin, without a test."""
    if abs(difference) <= margin:
        found: Verdict = "equivalent"
    else:
        found = "better" if difference > 0 else "worse"
    share = superiority(np.array([difference]))
    return Comparison(n=1, difference=difference, superiority=share, verdict=found)
