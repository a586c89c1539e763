"""Views over tasks that rank nobody: profiles, pairwise improvement, critical differences."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc, ndtr

from leaderboard.memo import Memo
from leaderboard.paired import Floats, Interval, percentile_ends, resample_counts
from suite.identity import sha256
from suite.ruleset import Ruleset

TAUS = tuple(step / 1000 for step in range(-250, 1501, 25))
"""Normalised scores at which a performance profile is read."""
IMPROVEMENT_DRAWS = 1_000
"""First draws of the bootstrap, for intervals of all pairs: the end of a 95% interval is then
known to a tenth of a standard error, which its width does not show."""
_PAIRS = 256
"""Pairs worked on at once."""

Scores = Mapping[str, Floats]
"""A method's normalised scores {task: (n,)}."""


def performance_profile(scores: Scores) -> list[tuple[float, float]]:
    """(tau, share of runs with a score above tau) for each of TAUS, tasks weighing the same.

    Source: Agarwal et al., "Deep Reinforcement Learning at the Edge of the Statistical
    Precipice", NeurIPS 2021, section 4.2.
    """
    above = np.zeros(len(TAUS))
    for task in sorted(scores):
        values = np.sort(scores[task])
        above += 1 - values.searchsorted(TAUS, "right") / len(values)
    return list(zip(TAUS, (above / len(scores)).tolist(), strict=True))


def improvements(
    methods: Sequence[Scores], ruleset: Ruleset, memo: Memo | None = None
) -> dict[tuple[int, int], tuple[float, Interval | None]]:
    """Probability that a run of i scores above one of j, and its interval, for places i < j.

    Mann-Whitney's share per task (ties half), mean over tasks. The bootstrap resamples repetitions
    within tasks, of both methods by the same indices. There is no interval where each task has
    one run. All methods have the same tasks.
    Source: Agarwal et al. 2021, section 4.3.
    """
    tasks = sorted(methods[0]) if methods else []
    values = [[scores[task] for task in tasks] for scores in methods]
    pairs = list(itertools.combinations(range(len(methods)), 2))
    base = repr((tasks, ruleset.seed_root, ruleset.bootstrap_draws, ruleset.confidence,
                 IMPROVEMENT_DRAWS))  # fmt: skip
    own = [sha256(repr([value.tolist() for value in found])) for found in values]
    keys = [sha256(base + own[i] + own[j]) for i, j in pairs]

    def make(places: list[int]) -> Floats:
        return _improvements(values, [pairs[i] for i in places], tasks, ruleset)

    found = (memo or Memo()).rows("improvements", 3, keys, make).tolist()
    return {
        pair: (share, None if math.isnan(low) else Interval(low=low, high=high))
        for pair, (share, low, high) in zip(pairs, found, strict=True)
    }


def _improvements(
    values: Sequence[Sequence[Floats]],
    pairs: Sequence[tuple[int, int]],
    tasks: Sequence[str],
    ruleset: Ruleset,
) -> Floats:
    """Share and ends of its interval (pairs, 3); NaN where there is none."""
    sizes = [tuple(len(value) for value in found) for found in values]
    groups: dict[tuple[tuple[int, ...], tuple[int, ...]], list[int]] = {}
    for place, (i, j) in enumerate(pairs):
        groups.setdefault((sizes[i], sizes[j]), []).append(place)
    found = np.full((len(pairs), 3), math.nan)
    for (size_a, size_b), members in groups.items():
        products, factors, whole = _products(tasks, size_a, size_b, ruleset)
        varied = max(*size_a, *size_b) > 1
        for start in range(0, len(members), _PAIRS):
            part = members[start : start + _PAIRS]
            wins = _wins(values, [pairs[place] for place in part]).astype(products.dtype)
            # Whole numbers that the type holds exactly: a BLAS may add them in any order.
            found[part, 0] = (wins @ factors).astype(np.float64) / whole
            if varied:
                draws = (wins @ products).astype(np.float64) / whole
                found[part, 1:] = percentile_ends(draws, ruleset.confidence)
    return found


def _wins(values: Sequence[Sequence[Floats]], pairs: Sequence[tuple[int, int]]) -> NDArray[np.int8]:
    """(pairs, runs of a x runs of b over all tasks): 2 where that of a is better, 1 if equal."""
    columns = []
    for task in range(len(values[0])):
        a = np.stack([values[i][task] for i, _ in pairs])[:, :, np.newaxis]
        b = np.stack([values[j][task] for _, j in pairs])[:, np.newaxis, :]
        wins = (a > b).astype(np.int8) + (a >= b)
        columns.append(_folded(wins) if a.shape[1] == b.shape[2] else wins.reshape(len(pairs), -1))
    return np.concatenate(columns, axis=1)


def _folded(square: NDArray[np.int8]) -> NDArray[np.int8]:
    """Of (pairs, n, n), entries (i, j) and (j, i) added: they have the same weight in a draw."""
    n = square.shape[1]
    rows, columns = np.triu_indices(n)
    flat = square.reshape(len(square), n * n)
    folded: NDArray[np.int8] = flat.take(rows * n + columns, axis=1)
    folded += flat.take(columns * n + rows, axis=1) * (rows != columns).astype(np.int8)
    return folded


def _products(
    tasks: Sequence[str], size_a: Sequence[int], size_b: Sequence[int], ruleset: Ruleset
) -> tuple[NDArray[np.floating], NDArray[np.floating], int]:
    """What `_wins` are multiplied with: (columns, draws) and, for the sample itself, (columns,).

    Each is a whole number: how often a draw holds a pair of runs, times what makes tasks weigh the
    same. The third value is what the products of a certain winner add up to.
    """
    unit = math.lcm(*(a * b for a, b in zip(size_a, size_b, strict=True)))
    whole = 2 * unit * len(tasks)
    dtype = np.dtype(np.float32 if whole < 1 << 24 else np.float64)
    draws = min(IMPROVEMENT_DRAWS, ruleset.bootstrap_draws)
    blocks, factors = [], []
    for task, *sizes in zip(tasks, size_a, size_b, strict=True):
        factor = unit // math.prod(sizes)
        a, b = (
            resample_counts(ruleset.seed_root, task, n, ruleset.bootstrap_draws)[:, :draws]
            for n in sizes
        )
        if len(a) == len(b):
            rows, columns = np.triu_indices(len(a))
        else:
            rows, columns = (grid.ravel() for grid in np.indices((len(a), len(b))))
        blocks.append(np.multiply(a[rows], b[columns], dtype=dtype) * dtype.type(factor))
        factors.append(np.full(len(rows), factor, dtype=dtype))
    return np.concatenate(blocks), np.concatenate(factors), whole


def mean_ranks(scores: Floats) -> tuple[Floats, float]:
    """Mean ranks (m,) over tasks of scores (tasks, m), 1 for the largest, and Friedman's p.

    Source: Friedman, "The use of ranks to avoid the assumption of normality implicit in the
    analysis of variance", J. Am. Stat. Assoc. 1937; corrected for ties.
    """
    tasks, m = scores.shape
    above = (scores[:, np.newaxis, :] > scores[:, :, np.newaxis]).sum(axis=2)
    tied = (scores[:, np.newaxis, :] == scores[:, :, np.newaxis]).sum(axis=2)
    ranks = 1 + above + (tied - 1) / 2
    spread = 1 - float((tied.astype(np.float64) ** 2 - 1).sum()) / (tasks * m * (m * m - 1))
    mean = ranks.mean(axis=0)
    if spread <= 0:  # every task ties all methods
        return mean, 1.0
    statistic = 12 * tasks / (m * (m + 1)) * float(((mean - (m + 1) / 2) ** 2).sum()) / spread
    return mean, float(chdtrc(m - 1, statistic))


def critical_difference(m: int, tasks: int, alpha: float) -> float:
    """Nemenyi's smallest difference of mean ranks that tells two of m methods apart.

    Source: Demsar, "Statistical comparisons of classifiers over multiple data sets", JMLR 2006,
    section 3.2.2.
    """
    return _studentized_range(m, alpha) / math.sqrt(2) * math.sqrt(m * (m + 1) / (6 * tasks))


def _studentized_range(m: int, alpha: float) -> float:
    """Upper quantile of the range of m standard normal numbers (infinite degrees of freedom).

    P(range <= q) is the integral of m phi(x) (Phi(x) - Phi(x - q))^(m - 1); scipy.stats has it
    too, and takes a second to import.
    """
    x = np.linspace(-9.0, 9.0, 2_001)  # smooth and zero at both ends: the trapezoid is exact here
    density = np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)
    low, high = 0.0, 20.0
    for _ in range(60):
        middle = (low + high) / 2
        inside = density * (ndtr(x) - ndtr(x - middle)) ** (m - 1)
        if m * float(inside.sum()) * (x[1] - x[0]) < 1 - alpha:
            low = middle
        else:
            high = middle
    return low


def cliques(ranks: Sequence[float], difference: float) -> Iterator[tuple[int, int]]:
    """Maximal runs [start, end) of two or more sorted `ranks` that lie within `difference`."""
    reached = 0
    for start, first in enumerate(ranks):
        end = start + sum(rank - first < difference for rank in ranks[start:])
        if end > reached and end - start > 1:
            yield start, end
        reached = max(reached, end)
