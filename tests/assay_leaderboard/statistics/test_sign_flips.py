"""Sign-flip tests against scipy, brute force and closed forms."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.stats
from assay_leaderboard.statistics.sign_flips import p_values, superiorities
from hypothesis import given
from hypothesis import strategies as st


def brute_force(differences: np.ndarray, slack: float = 1e-9) -> float:
    observed = abs(differences.sum())
    signs = np.array(list(itertools.product((-1, 1), repeat=len(differences))))
    return float(np.mean(np.abs(signs @ differences) >= observed - slack))


@pytest.mark.parametrize("seed", range(5))
def test_p_is_that_of_scipys_permutation_test(seed: int) -> None:
    differences = np.random.default_rng(seed).gamma(1.0, size=9) - 0.7
    expected = scipy.stats.permutation_test(
        (differences, np.zeros(9)),
        lambda x, y, axis: (x - y).mean(axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=2**9,
    ).pvalue
    assert p_values(differences[np.newaxis])[0] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("n", range(1, 13))
def test_p_is_that_of_brute_force(n: int) -> None:
    rows = np.random.default_rng(n).normal(0.3, size=(20, n))
    assert p_values(rows).tolist() == [brute_force(row) for row in rows]


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=8), st.sampled_from([0.1, 1e-200, -1e99]))
def test_ties_and_zeros_count_whatever_the_rounding(steps: list[int], scale: float) -> None:
    whole = np.array(steps, dtype=float)
    assert p_values(scale * whole[np.newaxis])[0] == brute_force(whole)


@given(st.lists(st.sampled_from([1.0, 2.0, 1e-3, 1e-7, 1e-13, 0.0]), max_size=8))
def test_differences_far_below_the_others_are_rounding(sizes: list[float]) -> None:
    differences = np.array([*sizes, 1.0])
    assert p_values(differences[np.newaxis])[0] == brute_force(differences)


def test_closed_forms() -> None:
    assert p_values(np.ones((1, 12)))[0] == 2 / 2**12
    assert p_values(-np.ones((1, 8)))[0] == 2 / 2**8
    assert p_values(np.zeros((1, 12)))[0] == 1.0
    assert p_values(np.array([[0.0, 0.0, 1.0, 1.0, 1.0]]))[0] == 2 / 2**3
    assert p_values(np.ones((1, 16)))[0] == 2 / 2**16
    assert p_values(np.array([[5.0]]))[0] == 1.0
    assert p_values(np.array([[1.0, 2.0], [1.0, -1.0]])).tolist() == [0.5, 1.0]
    assert p_values(np.empty((0, 12))).shape == (0,)
    with pytest.raises(ValueError, match="expected 1 to 16 repetitions, got 17"):
        p_values(np.ones((1, 17)))


def test_p_is_a_whole_number_of_assignments() -> None:
    rows = np.random.default_rng(0).normal(size=(300, 14))  # more than one block
    p = p_values(rows)
    assert (p * 2**14 == np.rint(p * 2**14)).all()
    assert p.tolist() == [p_values(row[np.newaxis])[0] for row in rows]
    assert (p_values(-rows) == p).all()


def test_superiority_counts_ties_half() -> None:
    rows = np.array([[1.0, 2.0, 0.0, -1.0], [0.0] * 4, [-1.0] * 4])
    assert superiorities(rows).tolist() == [2.5 / 4, 0.5, 0.0]
    assert (superiorities(rows) + superiorities(-rows) == 1.0).all()
