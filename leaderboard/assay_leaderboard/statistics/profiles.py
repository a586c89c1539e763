"""Views over several tasks beside the ranking: profiles, pairwise improvement, mean ranks."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from assay.identity import sha256
from assay.ruleset import Ruleset
from numpy.typing import NDArray
from scipy.special import chdtrc, ndtr

from assay_leaderboard.schema.values import Floats, Interval
from assay_leaderboard.statistics.aggregate import Scores
from assay_leaderboard.statistics.bootstrap import percentile_ends, resample_counts
from assay_leaderboard.statistics.result_cache import ResultCache

TAUS = tuple(step / 1000 for step in range(-250, 1501, 25))
"""Normalised scores at which a performance profile is read."""
IMPROVEMENT_DRAWS = 1_000
"""First draws of the bootstrap, used for the intervals of all pairs: the ends of a 95% interval
are then known to a tenth of a standard error."""
_PAIRS = 256
"""Pairs worked on at once."""


def performance_profile(scores: Scores) -> list[tuple[float, float]]:
    """(tau, share of runs with a score above tau) for each of TAUS, tasks weighing the same.

    Source: Agarwal et al., "Deep Reinforcement Learning at the Edge of the Statistical
    Precipice", NeurIPS 2021, section 4.2.
    """
    values = [scores[task] for task in sorted(scores)]
    sizes = [len(value) for value in values]
    unit = math.lcm(*sizes)
    weights = np.repeat(unit // np.array(sizes), sizes)
    reached = np.searchsorted(TAUS, np.concatenate(values))  # TAUS below each
    at = np.bincount(reached, weights, minlength=len(TAUS) + 1)
    above = at[:0:-1].cumsum()[::-1] / (unit * len(values))
    return list(zip(TAUS, above.tolist(), strict=True))


def improvements(
    methods: Sequence[Scores], ruleset: Ruleset, cache: ResultCache | None = None
) -> dict[tuple[int, int], tuple[float, Interval | None]]:
    """Probability that a run of i scores above one of j, and its interval, for places i < j.

    Mann-Whitney's share per task (ties half), mean over tasks. The bootstrap resamples repetitions
    within tasks, of both methods by the same indices. There is no interval where each task has one
    run.
    Source: Agarwal et al. 2021, section 4.3.

    Args:
        methods: the normalised scores of each; all have the same tasks.
        ruleset: seeds, confidence.
        cache: results of an earlier call; those that are used now are added.
    """
    tasks = sorted(methods[0]) if methods else []
    values = [[scores[task] for task in tasks] for scores in methods]
    pairs = list(itertools.combinations(range(len(methods)), 2))
    base = repr((tasks, ruleset.seed_root, ruleset.bootstrap_draws, ruleset.confidence,
                 IMPROVEMENT_DRAWS)).encode()  # fmt: skip
    own = [sha256(base + _bytes(found)) for found in values]
    keys = [own[i] + own[j] for i, j in pairs]

    def make(places: list[int]) -> Floats:
        return _improvements(values, [pairs[i] for i in places], tasks, ruleset)

    found = (cache or ResultCache()).rows("improvements", 3, keys, make).tolist()
    return {
        pair: (share, None if math.isnan(low) else Interval(low, high))
        for pair, (share, low, high) in zip(pairs, found, strict=True)
    }


def _bytes(values: Sequence[Floats]) -> bytes:
    """The values of a method as bytes, to be hashed."""
    return repr([len(value) for value in values]).encode() + np.concatenate(values).tobytes()


def _improvements(
    values: Sequence[Sequence[Floats]],
    pairs: Sequence[tuple[int, int]],
    tasks: Sequence[str],
    ruleset: Ruleset,
) -> Floats:
    """Probability and the ends of its interval (pairs, 3); NaN where there is no interval."""
    sizes = [tuple(len(value) for value in found) for found in values]
    groups: dict[tuple[tuple[int, ...], tuple[int, ...]], list[int]] = {}
    for place, (i, j) in enumerate(pairs):
        groups.setdefault((sizes[i], sizes[j]), []).append(place)
    places = _places(values)
    found = np.full((len(pairs), 3), math.nan)
    for (size_a, size_b), members in groups.items():
        columns = _columns(tuple(tasks), size_a, size_b, ruleset.seed_root, ruleset.bootstrap_draws)
        varied = max(*size_a, *size_b) > 1
        for start in range(0, len(members), _PAIRS):
            part = members[start : start + _PAIRS]
            first, second = np.array([pairs[place] for place in part]).T
            wins = _wins(places[:, first], places[:, second], columns)
            # Whole numbers are exact in whichever order a BLAS adds them.
            draws = (wins.T @ columns.products).astype(np.float64) / columns.whole
            found[part, 0] = draws[:, 0]
            if varied:
                found[part, 1:] = percentile_ends(draws[:, 1:], ruleset.confidence)
    return found


def _places(values: Sequence[Sequence[Floats]]) -> NDArray[np.signedinteger]:
    """(runs of all tasks, methods): the place of each score among the scores on its task.

    Equal scores have equal places. A method with fewer runs than another has zeros behind them.
    """
    sizes = np.array([[len(value) for value in found] for found in values])
    ends = sizes.cumsum(axis=1)
    columns = [np.concatenate(column) for column in zip(*values, strict=True)]
    ordered = [np.unique(column, return_inverse=True) for column in columns]
    # The smallest type is the fastest to compare.
    dtype = np.min_scalar_type(-max(len(known) for known, _ in ordered))
    places = np.zeros((int(ends.max()), len(values)), dtype=dtype)
    for (_, own), size, end in zip(ordered, sizes.T, ends.T, strict=True):
        method = np.arange(len(values)).repeat(size)
        run = np.arange(len(own)) + (end - size.cumsum()).repeat(size)
        places[run, method] = own
    return places


class _Columns(NamedTuple):
    """The comparisons between the runs of two methods on all tasks.

    Comparisons that have the same weight in every draw share a column, two and two: run i of the
    first method with j of the second, and j with i.
    """

    a: NDArray[np.intp]
    """(2, columns) the run of the first method, among its runs on all tasks."""
    b: NDArray[np.intp]
    """The same for the second method."""
    products: NDArray[np.floating]
    """(columns, 1 + draws) how often the sample and each draw hold both runs, times a factor that
    makes tasks weigh the same: whole numbers."""
    whole: int
    """The sum for a method that wins every comparison."""


@functools.lru_cache(maxsize=1)
def _columns(
    tasks: tuple[str, ...], size_a: tuple[int, ...], size_b: tuple[int, ...], root: str, draws: int
) -> _Columns:
    """The comparisons of methods with so many runs on each task; kept, as many pairs share them."""
    unit = math.lcm(*(a * b for a, b in zip(size_a, size_b, strict=True)))
    whole = 4 * unit * len(tasks)
    dtype = np.dtype(np.float32 if whole < 1 << 24 else np.float64)
    runs, blocks = [], []
    start_a = start_b = 0
    for task, n_a, n_b in zip(tasks, size_a, size_b, strict=True):
        if n_a == n_b:  # run i of a with j of b, and j with i
            i, j = np.triu_indices(n_a)
            both, weight = (i, j, j, i), np.where(i == j, 1, 2)
        else:
            i, j = (grid.ravel() for grid in np.indices((n_a, n_b)))
            both, weight = (i, i, j, j), np.ones_like(i)
        runs.append(np.array(both) + np.array([[start_a], [start_a], [start_b], [start_b]]))
        a, b = (_counts(task, n, root, draws).astype(dtype) for n in (n_a, n_b))
        block = a[i]
        block *= b[j]
        block *= (weight * (unit // (n_a * n_b)))[:, np.newaxis].astype(dtype)
        blocks.append(block)
        start_a, start_b = start_a + n_a, start_b + n_b
    together = np.concatenate(runs, axis=1)
    return _Columns(together[:2], together[2:], np.concatenate(blocks), whole)


def _counts(task: str, n: int, root: str, draws: int) -> NDArray[np.int8]:
    """How often the sample and each draw hold each of n runs, (n, 1 + draws)."""
    counts = resample_counts(root, task, n, draws)
    return np.hstack([np.ones((n, 1), dtype=np.int8), counts[:, :IMPROVEMENT_DRAWS]])


def _wins(
    a: NDArray[np.signedinteger], b: NDArray[np.signedinteger], columns: _Columns
) -> NDArray[np.floating]:
    """(columns, pairs): 2 for each comparison that the first wins, 1 for equals.

    Args:
        a: places of the runs of the first method of each pair, (runs, pairs).
        b: likewise of the second.
        columns: what is compared.
    """
    wins = np.zeros((columns.a.shape[1], a.shape[1]), dtype=np.int8)
    for run_a, run_b in zip(columns.a, columns.b, strict=True):
        of_a, of_b = a.take(run_a, axis=0), b.take(run_b, axis=0)
        wins += (of_a > of_b).view(np.int8)
        wins += (of_a >= of_b).view(np.int8)
    return wins.astype(columns.products.dtype)


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


@functools.cache
def _studentized_range(m: int, alpha: float) -> float:
    """Upper quantile of the range of m standard normal numbers (infinite degrees of freedom).

    P(range <= q) is the integral of m phi(x) (Phi(x) - Phi(x - q))^(m - 1). scipy.stats has this
    distribution too, but takes a second to import.
    """
    x = np.linspace(-9.0, 9.0, 2_001)  # smooth and zero at both ends: the trapezoid is exact here
    density = np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)
    below, low, high = ndtr(x), 0.0, 20.0
    for _ in range(60):
        middle = (low + high) / 2
        inside = density * (below - ndtr(x - middle)) ** (m - 1)
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
