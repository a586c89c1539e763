"""Weighted sums by matrix products that are the same on every machine.

A matrix product is ten times as fast as a loop, but the order in which a BLAS adds, and so the last
digits, differ by machine. Sums of whole numbers below 2^53 are exact in any order.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Weights = NDArray[np.signedinteger] | Floats
"""Whole numbers."""

_EXACT_BITS = 53
"""Bits of a whole number that a float holds."""
_VALUE_BITS = 64
"""Bits of precision, counted from the first bit of the largest value of a row."""
_SLICE = 2_000
"""Draws worked on at once, so that they fit the processor's cache."""


def inner_products(rows: Floats) -> Floats:
    """Products (m, m) of all pairs of m rows (m, n), the same on every machine.

    Numbers are rounded to a few bits (22 for rows of two hundred) relative to the largest of their
    row: precise enough for a standard deviation, not for the difference of nearly equal sums.

    Args:
        rows: finite.
    """
    bits = (_EXACT_BITS - rows.shape[1].bit_length()) // 2
    unit = np.abs(rows).max(axis=1, initial=0.0) / 2.0**bits
    unit[unit == 0] = 1.0
    whole = np.rint(rows / unit[:, np.newaxis])
    return np.asarray((whole @ whole.T) * np.multiply.outer(unit, unit))


def weighted_sums(rows: Floats, weights: Weights, total: int) -> Floats:
    """Sums (m, draws) of m rows of values (m, n) under weights (n, draws).

    Each value is split into digits so small that weighted sums of digits are exact.

    Args:
        rows: finite.
        weights: from 0.
        total: what the weights of a draw add up to, below 2^40.
    """
    bits = _EXACT_BITS - total.bit_length()
    exponents = np.frexp(np.abs(rows).max(axis=1, initial=0.0, keepdims=True))[1]
    digits, rest = [], np.ldexp(rows, -exponents)
    for _ in range(-(-_VALUE_BITS // bits)):
        rest *= 2.0**bits
        digits.append(np.rint(rest))
        rest -= digits[-1]
    sums = np.zeros((len(rows), weights.shape[1]))
    for start in range(0, weights.shape[1], _SLICE):
        part = slice(start, start + _SLICE)
        products = np.concatenate(digits) @ weights[:, part].astype(np.float64)
        for product in reversed(np.split(products, len(digits))):
            sums[:, part] += product
            sums[:, part] *= 2.0**-bits
    half = exponents // 2
    for power in (half, exponents - half):  # each is finite; np.ldexp of all would take longer
        sums *= np.ldexp(1.0, power)
    return sums
