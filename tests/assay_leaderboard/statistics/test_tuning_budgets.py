"""Tuning budgets against averages over all choices of points."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from assay_leaderboard.statistics.tuning_budgets import expected, expected_all
from hypothesis import given
from hypothesis import strategies as st


def exhaustive(val: list[float], test: list[float], k: int, sign: float) -> float:
    """The mean test score over all choices of k - 1 points beside the defaults."""
    scores = []
    for others in itertools.combinations(range(1, len(val)), k - 1):
        best = 0
        for point in others:  # increasing: the earliest of equal ones stays
            if sign * val[point] > sign * val[best]:
                best = point
        scores.append(test[best])
    return float(np.mean(scores))


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(-9, 9)), min_size=1, max_size=7),
    st.sampled_from([1.0, -1.0]),
)
def test_it_is_the_mean_over_all_choices(points: list[tuple[int, int]], sign: float) -> None:
    val, test = np.array(points, dtype=float).T
    everything = expected_all(val, test, sign)
    for k in range(1, len(val) + 1):
        by_hand = exhaustive(val.tolist(), test.tolist(), k, sign)
        assert expected(val, test, k, sign) == pytest.approx(by_hand)
        assert everything[k - 1] == expected(val, test, k, sign)


@given(st.integers(0, 99), st.sampled_from([1.0, -1.0]))
def test_the_ends_are_the_defaults_and_the_selected_point_to_the_digit(
    seed: int, sign: float
) -> None:
    generator = np.random.default_rng(seed)
    val = generator.integers(0, 5, (12, 8)) / 10
    test = generator.normal(size=(12, 8)) * 10.0 ** generator.integers(-9, 99, (12, 8))
    selected = (sign * val).argmax(axis=1)  # the first of equal ones
    assert (expected(val, test, 8, sign) == test[np.arange(12), selected]).all()
    assert (expected(val, test, 99, sign) == expected(val, test, 8, sign)).all()
    assert (expected(val, test, 1, sign) == test[:, 0]).all()


def test_repetitions_and_methods_are_each_alone() -> None:
    val, test = np.random.default_rng(0).normal(size=(2, 5, 12, 8))
    together = expected_all(val, test, 1.0)
    assert together.shape == (8, 5, 12)
    for k, method, repetition in np.ndindex(8, 5, 12):
        alone = expected(val[method, repetition], test[method, repetition], k + 1, 1.0)
        assert together[k, method, repetition] == alone


def test_more_points_never_make_validation_worse() -> None:
    val = np.random.default_rng(0).normal(size=(12, 8))
    curve = expected_all(val, val, 1.0)
    assert (np.diff(curve, axis=0) >= -1e-12).all()
    assert (np.diff(expected_all(val, val, -1.0), axis=0) <= 1e-12).all()


def test_one_point() -> None:
    one = np.array([[0.5], [0.7]])
    assert expected(one, one, 1, 1.0).tolist() == [0.5, 0.7]
    assert expected_all(one, one, 1.0).tolist() == [[0.5, 0.7]]


@pytest.mark.parametrize("where", ["val", "test"])
def test_a_repetition_that_lacks_a_score_has_none(where: str) -> None:
    val, test = np.random.default_rng(0).normal(size=(2, 3, 4))
    (val if where == "val" else test)[1, 2] = np.nan
    assert np.isnan(expected_all(val, test, 1.0)).tolist() == [[False, True, False]] * 4


def test_a_budget_without_a_point() -> None:
    with pytest.raises(ValueError, match="expected a budget of 1 or more points, got 0"):
        expected(np.ones((1, 2)), np.ones((1, 2)), 0, 1.0)
