"""Means of the middle half against one draw after the other."""

from __future__ import annotations

import numpy as np
import pytest
from assay_leaderboard.statistics.interquartile import middle_means


def plain(values: np.ndarray, weights: np.ndarray, quarter: int) -> float:
    """Each value as often as it weighs, sorted: the mean of the middle half."""
    copies = np.repeat(values, weights.astype(int))
    return float(np.sort(copies)[quarter : 3 * quarter].mean())


@pytest.mark.parametrize("dtype", [np.int16, np.int64])
@pytest.mark.parametrize(
    "values",
    [
        np.random.default_rng(0).normal(size=300),
        np.random.default_rng(1).integers(0, 4, 300) / 10,
        np.full(300, 0.1),
        np.append(np.random.default_rng(2).normal(size=299), -1e90),
        np.array([0.7]),
        np.array([2.0, 1.0]),
    ],
    ids=["distinct", "tied", "constant", "absurd", "one", "two"],
)
def test_each_draw_is_the_mean_of_its_middle_half(values: np.ndarray, dtype: type) -> None:
    n, n_draws = len(values), 7_000  # several blocks of rows
    shares = np.full(n, 1 / n)
    counts = np.random.default_rng(3).multinomial(n, shares, size=n_draws).T
    weights: np.ndarray = (4 * counts).astype(dtype)
    found = middle_means(values, weights, n)
    chosen = range(0, n_draws, 70)
    expected = [plain(values, weights[:, draw], n) for draw in chosen]
    assert found[chosen] == pytest.approx(expected, rel=1e-12)
