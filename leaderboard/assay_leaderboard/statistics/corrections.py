"""Corrections for many tests at once, and rank intervals from the corrected tests."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def holm(p: Sequence[float] | Floats) -> Floats:
    """Adjusted p-values (m,) that control the chance of any false finding.

    Source: Holm, "A simple sequentially rejective multiple test procedure", Scand. J. Stat. 1979.
    """
    values = np.asarray(p, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    factors = np.arange(len(values), 0, -1)
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(values[order] * factors))
    return adjusted


def benjamini_hochberg(p: Sequence[float] | Floats) -> Floats:
    """Adjusted p-values (m,) that control the expected share of false findings.

    Source: Benjamini and Hochberg, "Controlling the false discovery rate", J. R. Stat. Soc. B 1995.
    """
    values = np.asarray(p, dtype=np.float64)
    order = np.argsort(values, kind="stable")[::-1]
    factors = len(values) / np.arange(len(values), 0, -1)
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(1.0, np.minimum.accumulate(values[order] * factors))
    return adjusted


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
