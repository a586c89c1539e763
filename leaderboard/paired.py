"""One task, two methods: what their paired repetitions say.

Differences are oriented throughout: positive means that the first method is better, whatever the
direction of the metric.
"""

from __future__ import annotations

import functools
import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from scipy.special import ndtr, ndtri, stdtr

from suite.identity import derive_seed
from suite.ruleset import Ruleset

Floats = NDArray[np.float64]
Verdict = Literal["better", "worse", "equivalent", "undecided"]

MAX_REPETITIONS = 16
"""Repetitions up to which all 2^R sign flips are enumerated."""
_CHUNK = 1 << 21
"""Sign-flip sums held at once (16 MiB)."""


class Part(BaseModel):
    """Base of everything that is written out: frozen, known keys, finite numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Interval(Part):
    """A confidence interval at the ruleset's level."""

    low: float
    high: float


class Comparison(Part):
    """A method against another on one task; every difference is positive where it is better."""

    n: int
    """Paired repetitions."""
    difference: float
    """Mean paired difference, in the metric's unit."""
    interval: Interval | None = None
    """BCa bootstrap interval of the mean difference; none where n < 2."""
    p: float | None = None
    """Exact two-sided sign-flip test; none on a deterministic task."""
    p_adjusted: float | None = None
    """After the correction for the comparisons made beside this one."""
    p_equivalence: float | None = None
    """Two one-sided t tests against the task's margin; none where n < 2."""
    superiority: float
    """Share of the paired repetitions in which the method is better, ties counted half."""
    verdict: Verdict


@functools.lru_cache(maxsize=64)
def resamples(ruleset: str, stratum: str, n: int, draws: int) -> NDArray[np.int64]:
    """Bootstrap indices (n, draws) of a task with n repetitions, the same for all its methods.

    Args:
        ruleset: root of the seeds (Ruleset.seed_root).
        stratum: what is resampled: a task's slug.
        n: repetitions.
        draws: resamples.
    """
    generator = np.random.default_rng(derive_seed(ruleset, "bootstrap", stratum, n))
    indices = generator.integers(0, n, (n, draws))
    indices.setflags(write=False)
    return indices


def resampled_means(values: Floats, indices: NDArray[np.int64]) -> Floats:
    """Means (draws,) of the values (n,) under the bootstrap indices (n, draws)."""
    total = values[indices[0]]
    for row in indices[1:]:  # added one by one: no order of summation left to the platform
        total += values[row]
    mean: Floats = total / len(values)
    return mean


def percentiles(draws: Floats, confidence: float) -> Interval:
    """Percentile interval of bootstrap values (draws,)."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return Interval(low=float(low), high=float(high))


def bca_interval(values: Floats, indices: NDArray[np.int64], confidence: float) -> Interval | None:
    """Bias-corrected and accelerated bootstrap interval of the mean of values (n,).

    Source: Efron, "Better bootstrap confidence intervals", J. Am. Stat. Assoc. 1987, equations
    2.3 and 6.6; the acceleration is the jackknife's.

    Returns:
        The interval, or None where n < 2 leaves nothing to resample.
    """
    if len(values) < 2:
        return None
    centre = values.mean()
    deviations = values - centre
    scale = np.abs(deviations).max()
    if scale <= 1e-12 * np.abs(values).max():
        return Interval(low=float(values.min()), high=float(values.max()))
    means = resampled_means(values, indices)
    draws, slack = len(means), 1e-12 * scale  # a resample equal to the sample differs by rounding
    below = np.count_nonzero(means < centre - slack) + np.count_nonzero(means <= centre + slack)
    bias = ndtri(np.clip(below / (2 * draws), 0.5 / draws, 1 - 0.5 / draws))
    unit = deviations / scale  # the acceleration has no scale; cubes of large scores would overflow
    acceleration = (unit**3).sum() / (6 * (unit**2).sum() ** 1.5)
    tail = ndtri((1 - confidence) / 2)
    shifted = bias + np.array([tail, -tail])
    levels = ndtr(bias + shifted / (1 - acceleration * shifted))
    low, high = np.quantile(means, levels)
    return Interval(low=float(low), high=float(high))


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
    p = np.empty(m)
    rows = max(1, _CHUNK >> (n - 1))
    for start in range(0, m, rows):
        part = differences[start : start + rows]
        sums = part[:, :1]  # the first sign stays: the other half mirrors this one
        for column in range(1, n):
            step = part[:, column : column + 1]
            sums = np.concatenate((sums + step, sums - step), axis=1)
        # Equal sums reached by different additions differ by rounding.
        slack = 1e-9 * np.abs(part).sum(axis=1, keepdims=True)
        extreme = np.abs(sums) >= np.abs(sums[:, :1]) - slack
        p[start : start + rows] = extreme.mean(axis=1)
    return p


def equivalence_p(differences: Floats, margin: float) -> float | None:
    """p-value of two one-sided paired t tests: small where the mean lies within +-margin.

    Source: Schuirmann, "A comparison of the two one-sided tests procedure and the power
    approach", J. Pharmacokinet. Biopharm. 1987.

    Returns:
        The larger of the two one-sided p-values, or None where n < 2.
    """
    n = len(differences)
    if n < 2:
        return None
    mean = float(differences.mean())
    # In units of the margin: squares of large differences would overflow.
    spread = float(np.abs(differences - mean).max())
    if spread <= 1e-12 * max(abs(mean), margin):
        return 0.0 if abs(mean) < margin else 1.0
    unit = (differences - mean) / spread
    error = spread * math.sqrt(float((unit**2).sum()) / (n - 1) / n)
    return float(1 - stdtr(n - 1, (margin - abs(mean)) / error))


def superiority(differences: Floats) -> float:
    """Share of positive differences, zeros counted half."""
    return float((differences > 0).mean() + (differences == 0).mean() / 2)


def verdict(difference: float, p: float, p_equivalence: float | None, alpha: float) -> Verdict:
    """What the tests allow to say.

    Equivalence comes first: a difference that is certain but certainly smaller than the task's
    margin is of no practical use, and the margin was fixed for saying so.

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


def compared(differences: Floats, *, stratum: str, margin: float, ruleset: Ruleset) -> Comparison:
    """The comparison behind oriented paired differences (n,), not yet corrected for others.

    Args:
        differences: one per repetition, in the metric's unit.
        stratum: the task's slug, which seeds the bootstrap.
        margin: the task's equivalence margin.
        ruleset: levels and number of resamples.
    """
    n = len(differences)
    indices = resamples(ruleset.seed_root, stratum, n, ruleset.bootstrap_draws)
    difference = float(differences.mean())
    p = float(sign_flip_p(differences[np.newaxis])[0])
    p_equivalence = equivalence_p(differences, margin)
    return Comparison(
        n=n,
        difference=difference,
        interval=bca_interval(differences, indices, ruleset.confidence),
        p=p,
        p_adjusted=p,
        p_equivalence=p_equivalence,
        superiority=superiority(differences),
        verdict=verdict(difference, p, p_equivalence, ruleset.alpha),
    )


def adjusted(comparison: Comparison, p_adjusted: float, alpha: float) -> Comparison:
    """`comparison` judged by its corrected p-value."""
    found = verdict(comparison.difference, p_adjusted, comparison.p_equivalence, alpha)
    return comparison.model_copy(update={"p_adjusted": p_adjusted, "verdict": found})


def deterministic(difference: float, margin: float) -> Comparison:
    """One oriented difference on a task where nothing varies: no test, only the margin."""
    if abs(difference) <= margin:
        found: Verdict = "equivalent"
    else:
        found = "better" if difference > 0 else "worse"
    share = superiority(np.array([difference]))
    return Comparison(n=1, difference=difference, superiority=share, verdict=found)
