"""Subset-mean intervals against brute force and against the test that they invert."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from assay_leaderboard.statistics import sign_flips, subset_means
from hypothesis import given
from hypothesis import strategies as st

ERRORS = st.sampled_from([0.001, 0.05, 0.1, 0.25, 0.5, 0.9, Fraction(1, 32), Fraction(5, 160)])
TENTHS = st.lists(st.integers(-3, 3), min_size=1, max_size=8)
SCALES = st.sampled_from([0.1, 1.0, 1e99, -1e-200])


def brute_force(values: np.ndarray, k: int) -> tuple[float, float]:
    """The k-th smallest and k-th largest of all subset means, sums exactly rounded."""
    means = sorted(
        math.fsum(subset) / n
        for n in range(1, len(values) + 1)
        for subset in itertools.combinations(values.tolist(), n)
    )
    return means[k - 1], means[-k]


@pytest.mark.parametrize("n", range(1, 13))
def test_the_ends_are_those_of_brute_force(n: int) -> None:
    rows = np.random.default_rng(n).gamma(1.0, size=(3, n)) - 0.7
    for error in (1e-6, 0.05, 0.3, 1.0):
        k = max(1, math.floor(error / 2 * 2**n))
        found = subset_means.intervals(rows, error)
        assert found == pytest.approx(np.array([brute_force(row, k) for row in rows]))


def test_the_order_is_the_one_of_the_protocol() -> None:
    assert subset_means.order(12, 0.05) == 102
    assert subset_means.order(6, 0.05) == subset_means.order(6, 1e-9) == 1
    assert subset_means.order(4, Fraction(1, 8)) == subset_means.order(4, 0.125) == 1
    assert subset_means.order(4, 0.249) == 1
    assert subset_means.order(4, 0.25) == 2
    # 0.1 is taken as one tenth, not as the slightly larger float.
    assert (
        subset_means.as_written(0.1) == subset_means.as_written(np.float64(0.1)) == Fraction("0.1")
    )


@given(TENTHS, SCALES, ERRORS)
def test_zero_is_outside_exactly_where_the_test_rejects(
    steps: list[int], scale: float, error: float | Fraction
) -> None:
    row = scale * np.array([steps], dtype=float)
    (low, high), p = subset_means.intervals(row, error)[0], sign_flips.p_values(row)[0]
    if Fraction(2, 2 ** len(steps)) <= subset_means.as_written(error):
        assert (low > 0 or high < 0) == (Fraction(p) <= subset_means.as_written(error))
    else:  # too few repetitions for the level: all of one sign
        assert (low > 0 or high < 0) == (abs(np.sign(steps).sum()) == len(steps))


@pytest.mark.parametrize("seed", range(5))
def test_every_mean_inside_passes_the_test_and_none_outside(seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=9)
    (low, high), reach = subset_means.intervals(values[np.newaxis], 0.1)[0], 1e-6
    means = np.array([low - reach, low + reach, values.mean(), high - reach, high + reach])
    p = sign_flips.p_values(values - means[:, np.newaxis])
    assert (p > 0.1).tolist() == [False, True, True, True, False]


@given(TENTHS, SCALES, st.floats(0.01, 0.5), st.floats(0.01, 0.5))
def test_a_higher_level_gives_a_wider_interval_around_the_mean(
    steps: list[int], scale: float, one: float, other: float
) -> None:
    row = scale * np.array([steps], dtype=float)
    wide, narrow = (subset_means.intervals(row, e)[0] for e in sorted((one, other)))
    rounding = 1e-9 * abs(scale)
    assert wide[0] <= narrow[0] <= row.mean() + rounding
    assert row.mean() - rounding <= narrow[1] <= wide[1]


@given(TENTHS, SCALES)
def test_swapped_methods_have_the_mirrored_interval(steps: list[int], scale: float) -> None:
    row = scale * np.array([steps], dtype=float)
    assert (subset_means.intervals(-row, 0.3) == -subset_means.intervals(row, 0.3)[:, ::-1]).all()


def test_constant_and_single_values() -> None:
    assert subset_means.intervals(np.full((1, 12), 0.5), 0.05).tolist() == [[0.5, 0.5]]
    assert subset_means.intervals(np.zeros((1, 12)), 0.05).tolist() == [[0.0, 0.0]]
    assert subset_means.intervals(np.array([[3.0]]), 0.05).tolist() == [[3.0, 3.0]]
    assert subset_means.intervals(np.array([[1.0, 2.0]]), 0.05).tolist() == [[1.0, 2.0]]
    assert subset_means.intervals(np.empty((0, 12)), 0.05).shape == (0, 2)


def test_many_rows_are_each_alone() -> None:
    rows = np.random.default_rng(0).normal(size=(70, 13))  # more than one block
    together = subset_means.intervals(rows, 0.02)
    assert (together == [subset_means.intervals(row[np.newaxis], 0.02)[0] for row in rows]).all()


def test_what_cannot_be_enumerated() -> None:
    assert subset_means.intervals(np.ones((1, 16)), 0.05).tolist() == [[1.0, 1.0]]
    for n in (0, 17):
        with pytest.raises(ValueError, match=f"expected 1 to 16 repetitions, got {n}"):
            subset_means.intervals(np.ones((1, n)), 0.05)
    for error in (0.0, 1.01, -1):
        with pytest.raises(ValueError, match="expected an error above 0 and at most 1"):
            subset_means.intervals(np.ones((1, 3)), error)
