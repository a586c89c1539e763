"""Bootstrap draws, seeded by what is resampled, and percentile intervals."""

from __future__ import annotations

import functools

import numpy as np
from assay.identity import derive_seed
from numpy.typing import NDArray

from assay_leaderboard.schema.values import Floats, Interval


def resamples(ruleset: str, stratum: str, n: int, draws: int) -> NDArray[np.int64]:
    """Bootstrap indices (n, draws) into n repetitions; equal arguments give equal draws.

    Args:
        ruleset: root of the seeds (Ruleset.seed_root).
        stratum: what is resampled: a task's slug.
        n: repetitions.
        draws: resamples.
    """
    generator = np.random.default_rng(derive_seed(ruleset, "bootstrap", stratum, n))
    return generator.integers(0, n, (n, draws))


@functools.lru_cache(maxsize=256)
def resample_counts(ruleset: str, stratum: str, n: int, draws: int) -> NDArray[np.int8]:
    """How often each of n repetitions appears in each of `resamples`, (n, draws)."""
    # The smallest type is the fastest to compare.
    indices = resamples(ruleset, stratum, n, draws).astype(np.min_scalar_type(n))
    counts = np.empty(indices.shape, dtype=np.int8)
    for repetition, row in enumerate(counts):
        np.sum(indices == repetition, axis=0, dtype=np.int8, out=row)
    counts.setflags(write=False)
    return counts


def sort_ends(rows: Floats, levels: Floats) -> None:
    """Sort in place the ends of rows (m, draws) that `quantiles` at levels (m, 2) reads.

    The middle stays unsorted, which takes a third of the time.
    """
    last = rows.shape[1] - 1
    low = int(levels[:, 0].max(initial=0.0) * last) + 1
    high = int(levels[:, 1].min(initial=1.0) * last)
    if low >= high:
        rows.sort(axis=1)
        return
    rows.partition(low, axis=1)
    rows[:, : low + 1].sort(axis=1)
    rest = rows[:, low + 1 :]
    rest.partition(high - low - 1, axis=1)
    rest[:, high - low - 1 :].sort(axis=1)


def quantiles(ordered: Floats, levels: Floats) -> Floats:
    """Linearly interpolated quantiles (m, k) of sorted rows (m, draws) at levels (m, k) or (k,)."""
    rows = np.arange(len(ordered))[:, np.newaxis]
    position = np.broadcast_to(levels, (len(ordered), levels.shape[-1])) * (ordered.shape[1] - 1)
    below = position.astype(np.intp)
    low = ordered[rows, below]
    high = ordered[rows, np.minimum(below + 1, ordered.shape[1] - 1)]
    return np.asarray(low + (position - below) * (high - low))


def percentile_intervals(rows: Floats, confidence: float) -> list[Interval]:
    """Percentile interval of each row of bootstrap values (m, draws)."""
    found = percentile_ends(rows, confidence).tolist()
    return [Interval(low, high) for low, high in found]


def percentile_ends(rows: Floats, confidence: float) -> Floats:
    """`percentile_intervals` as an array (m, 2)."""
    tail = (1 - confidence) / 2
    levels = np.array([tail, 1 - tail])
    ordered = rows.copy()
    sort_ends(ordered, levels[np.newaxis])
    return quantiles(ordered, levels)
