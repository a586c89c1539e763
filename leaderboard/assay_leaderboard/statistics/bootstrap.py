"""Bootstrap draws, seeded by what is resampled, and percentile intervals."""

from __future__ import annotations

import functools

import numpy as np
from assay.identity import derive_seed
from numpy.typing import NDArray

from assay_leaderboard.schema.values import Floats


def resamples(root: str, stratum: str, n: int, draws: int) -> NDArray[np.int64]:
    """Bootstrap indices (n, draws) into n repetitions; equal arguments give equal draws.

    Args:
        root: of the seeds (Ruleset.seed_root).
        stratum: what is resampled: a task's slug.
        n: repetitions.
        draws: resamples.
    """
    generator = np.random.default_rng(derive_seed(root, "bootstrap", stratum, n))
    return generator.integers(0, n, (n, draws))


@functools.lru_cache(maxsize=256)
def resample_counts(root: str, stratum: str, n: int, draws: int) -> NDArray[np.int8]:
    """How often each of n repetitions appears in each of `resamples`, (n, draws)."""
    # The smallest type is the fastest to compare.
    indices = resamples(root, stratum, n, draws).astype(np.min_scalar_type(n))
    counts = np.empty(indices.shape, dtype=np.int8)
    for repetition, row in enumerate(counts):
        np.sum(indices == repetition, axis=0, dtype=np.int8, out=row)
    counts.setflags(write=False)
    return counts


def percentile_ends(rows: Floats, confidence: float) -> Floats:
    """Percentile intervals (m, 2) of rows of bootstrap values (m, draws)."""
    tail = (1 - confidence) / 2
    return np.asarray(np.quantile(rows, [tail, 1 - tail], axis=1).T)
