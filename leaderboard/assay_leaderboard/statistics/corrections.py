"""Benjamini-Hochberg over many tests at once, and rank intervals from what it shows."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from assay_leaderboard.schema.values import Floats
from assay_leaderboard.statistics.subset_means import as_written


def benjamini_hochberg(p: Sequence[float] | Floats, rate: float) -> int:
    """How many of m tests pass: k*, the largest k whose k-th smallest p is at most k rate / m.

    Those that pass are the tests with p <= k* rate / m, of which there are k*. The comparison is
    exact: p is taken as the float that it is, `rate` as the decimal that it is written as.
    Source: Benjamini and Hochberg, "Controlling the false discovery rate", J. R. Stat. Soc. B 1995.
    """
    values = np.sort(np.asarray(p, dtype=np.float64))
    numbers = np.arange(1, len(values) + 1)
    share = as_written(rate) / max(1, len(values))
    # Floats leave few candidates, so that fractions are few.
    near = numbers[values <= 1.001 * float(share) * numbers][::-1].tolist()
    return next((k for k in near if Fraction(float(values[k - 1])) <= k * share), 0)


def rank_intervals(beats: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Best and worst rank of each of m entries, from which is shown to be better than which.

    Args:
        beats: (m, m); `beats[i, j]` says that i is shown to be better than j.

    Returns:
        (1 + number shown to be better, m - number shown to be worse) for each entry.
    """
    losses = beats.sum(axis=0)
    wins = beats.sum(axis=1)
    m = len(beats)
    return [(1 + int(lost), m - int(won)) for lost, won in zip(losses, wins, strict=True)]
