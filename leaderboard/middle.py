"""The mean of the middle half of values under thousands of sets of weights."""

from __future__ import annotations

import numpy as np

from leaderboard.exact import Floats, Weights

_BLOCK_BYTES = 1 << 19
"""Weights worked on at once: few enough for the cache, enough for a loop over rows."""


def middle_means(values: Floats, weights: Weights, quarter: int) -> Floats:
    """Means (draws,) of the middle half of values (n,) under weights (n, draws).

    A value at an edge of the middle half counts by the share of its weight that lies inside. One
    outside has weight zero, however extreme it is.

    Args:
        values: finite.
        weights: whole numbers from 0; those of a draw add up to four quarters, which their type
            holds.
        quarter: a quarter of their sum.
    """
    n_draws = weights.shape[1]
    order = np.argsort(values, kind="stable")
    low, high = (weights.dtype.type(edge) for edge in (quarter, 3 * quarter))
    n_rows = min(len(values), max(1, _BLOCK_BYTES // weights[0].nbytes))
    block = np.empty((n_rows, n_draws), dtype=weights.dtype)
    sums = np.empty_like(block)
    reached = np.zeros_like(block[0])  # of all rows so far
    total = np.zeros(n_draws)
    for first in range(0, len(values), n_rows):
        rows = order[first : first + n_rows]
        block, sums = block[: len(rows)], sums[: len(rows)]
        weights.take(rows, axis=0, out=block, mode="clip")  # "raise" would copy
        before, last = reached, reached
        for row, out in zip(block, sums, strict=True):  # faster than np.cumsum(axis=0)
            last = np.add(row, last, out=out)
        reached, most = last.copy(), last.max()
        if most <= low:
            continue
        if most > high or before.min() < low:  # else all of these rows lies inside
            np.clip(sums, low, high, out=sums)
            np.subtract(sums[0], np.clip(before, low, high), out=block[0])
            np.subtract(sums[1:], sums[:-1], out=block[1:])
        # No BLAS, which orders its additions by the processor and the threads that it finds;
        # another build of NumPy may still change the last digit.
        total += np.einsum("n,nd->d", values[rows], block)
        if reached.min() >= high:
            break
    total /= 2 * quarter
    return total
