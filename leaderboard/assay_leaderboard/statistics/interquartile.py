"""The interquartile mean of values under thousands of sets of weights."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from assay_leaderboard.schema.values import Floats

Weights = NDArray[np.signedinteger]
"""Whole numbers from 0."""

_BLOCK_BYTES = 1 << 19
"""Weights worked on at once, so that they fit the processor's cache."""


def middle_means(values: Floats, weights: Weights, quarter: int) -> Floats:
    """Means (draws,) of the middle half of values (n,) under weights (n, draws).

    A value at an edge of the middle half counts with the share of its weight that lies inside;
    values outside do not count, however extreme they are.

    Args:
        values: finite.
        weights: whole numbers from 0; those of a draw add up to four quarters, which their type
            holds.
        quarter: a quarter of their sum.
    """
    n_draws = weights.shape[1]
    order = np.argsort(values, kind="stable")
    low, high = (weights.dtype.type(edge) for edge in (quarter, 3 * quarter))
    n_rows = min(len(values), max(1, _BLOCK_BYTES // (n_draws * weights.dtype.itemsize)))
    block = np.empty((n_rows, n_draws), dtype=weights.dtype)
    inside = np.empty_like(block)
    # The weight of all rows so far, and the part of it that is below or inside the middle half.
    reached, counted = np.zeros_like(block[0]), np.full_like(block[0], low)
    total = np.zeros(n_draws)
    for first in range(0, len(values), n_rows):
        rows = order[first : first + n_rows]
        block, inside = block[: len(rows)], inside[: len(rows)]
        weights.take(rows, axis=0, out=block, mode="clip")  # "raise" would copy
        for row in block:  # faster than np.cumsum(axis=0)
            reached = np.add(row, reached, out=row)
        reached = reached.copy()
        if reached.max() <= low:
            continue
        np.clip(block, low, high, out=block)
        np.subtract(block[0], counted, out=inside[0])
        np.subtract(block[1:], block[:-1], out=inside[1:])
        # No BLAS: the order of its additions depends on the machine.
        total += np.einsum("n,nd->d", values[rows], inside)
        counted = block[-1].copy()
        if counted.min() >= high:
            break
    total /= 2 * quarter
    return total
