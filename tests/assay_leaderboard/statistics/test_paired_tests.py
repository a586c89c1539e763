"""The statistics of one pair of methods against scipy, statsmodels, brute force and algebra."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.stats
from assay.ruleset import RULESET
from assay_leaderboard.schema import values as values_
from assay_leaderboard.statistics import bootstrap, paired_tests
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.weightstats import ttost_paired

SEEDS = range(5)
scores = st.lists(
    st.floats(-1e6, 1e6, allow_nan=False).map(lambda x: round(x, 3)), min_size=2, max_size=10
)


def draw(seed: int, n: int = 12) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return generator.gamma(1.0, size=n) - 0.7  # skewed: BCa and percentile intervals differ


@given(scores, st.lists(st.floats(0, 1), min_size=1, max_size=4))
def test_quantiles_are_numpys(values: list[float], levels: list[float]) -> None:
    ordered = np.sort(np.array([values, values[::-1]]), axis=1)
    found = bootstrap.quantiles(ordered, np.array(levels))
    expected = np.quantile(ordered, levels, axis=1).T
    assert found == pytest.approx(expected, rel=1e-12, abs=1e-9)


def test_equivalence_of_many_rows_is_that_of_each() -> None:
    rows = np.stack([*(draw(seed) for seed in SEEDS), np.zeros(12), np.full(12, 0.5)])
    alone = [paired_tests.equivalence_p(row, 0.3) for row in rows]
    assert paired_tests.equivalence_ps(rows, 0.3).tolist() == alone


def test_one_value_has_no_interval() -> None:
    assert paired_tests.bca_intervals(np.array([[1.0], [2.0]]), 0.95) == [None, None]
    found = paired_tests.bca_intervals(np.array([[1.0, 2.0]]), 0.95)
    assert found == [values_.Interval(low=1.0, high=2.0)]


def brute_force(differences: np.ndarray) -> float:
    observed = abs(differences.sum())
    signs = itertools.product((-1, 1), repeat=len(differences))
    sums = [abs(float(np.dot(s, differences))) for s in signs]
    return float(np.mean([total >= observed - 1e-9 for total in sums]))


@pytest.mark.parametrize("seed", SEEDS)
def test_sign_flip_is_scipys_permutation_test(seed: int) -> None:
    differences = draw(seed, n=9)
    expected = scipy.stats.permutation_test(
        (differences, np.zeros(9)),
        lambda x, y, axis: (x - y).mean(axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=2**9,
    ).pvalue
    assert paired_tests.sign_flip_p(differences[np.newaxis])[0] == pytest.approx(
        expected, abs=1e-12
    )


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=8))
def test_sign_flip_is_brute_force_with_ties_and_zeros(steps: list[int]) -> None:
    differences = np.array(steps) * 0.1  # tenths: equal sums differ by rounding
    assert paired_tests.sign_flip_p(differences[np.newaxis])[0] == brute_force(differences)


@given(
    st.lists(st.sampled_from([1.0, 2.0, 1e-3, 1e-7, 1e-13, 0.0]), max_size=8),
    st.sampled_from([1.0, -1.0, 1e150, -1e-150]),
)
def test_sign_flip_of_one_sign_is_brute_force(sizes: list[float], scale: float) -> None:
    differences = np.array([*sizes, 1.0])  # beside it 1e-13 counts as rounding
    assert paired_tests.sign_flip_p(scale * differences[np.newaxis])[0] == brute_force(differences)


def test_sign_flip_closed_forms() -> None:
    assert paired_tests.sign_flip_p(np.ones((1, 12)))[0] == 2 / 2**12
    assert paired_tests.sign_flip_p(-np.ones((1, 8)))[0] == 2 / 2**8
    assert paired_tests.sign_flip_p(np.zeros((1, 12)))[0] == 1.0
    assert paired_tests.sign_flip_p(np.array([[0.0, 0.0, 1.0, 1.0, 1.0]]))[0] == 2 / 2**3
    assert paired_tests.sign_flip_p(np.ones((1, 16)))[0] == 2 / 2**16
    with pytest.raises(ValueError, match="expected 1 to 16"):
        paired_tests.sign_flip_p(np.ones((1, 17)))


def test_sign_flip_of_many_rows_is_that_of_each() -> None:
    rows = np.stack([draw(seed, n=14) for seed in range(300)])  # more than one chunk
    alone = [paired_tests.sign_flip_p(row[np.newaxis])[0] for row in rows]
    assert paired_tests.sign_flip_p(rows).tolist() == alone


def test_sign_flip_holds_its_level() -> None:
    rows = np.random.default_rng(1).standard_t(3, size=(4_000, 12))
    rate = (paired_tests.sign_flip_p(rows) <= 0.05).mean()
    assert abs(rate - 0.05) < 0.012  # 3.5 standard errors


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("margin", [0.2, 1.0, 3.0])
def test_equivalence_is_statsmodels_tost(seed: int, margin: float) -> None:
    differences = draw(seed)
    expected = ttost_paired(differences, np.zeros(12), -margin, margin)[0]
    assert paired_tests.equivalence_p(differences, margin) == pytest.approx(expected, abs=1e-12)


def test_equivalence_without_spread_or_repetitions() -> None:
    assert paired_tests.equivalence_p(np.zeros(5), 0.01) == 0.0
    assert paired_tests.equivalence_p(np.full(5, 0.02), 0.01) == 1.0
    assert paired_tests.equivalence_p(np.array([0.0]), 0.01) is None


@given(scores, scores)
def test_superiority_of_both_sides_adds_to_one(a: list[float], b: list[float]) -> None:
    n = min(len(a), len(b))
    differences = np.array(a[:n]) - np.array(b[:n])
    total = paired_tests.superiority(differences) + paired_tests.superiority(-differences)
    assert total == pytest.approx(1.0)


def test_superiority_counts_ties_half() -> None:
    assert paired_tests.superiority(np.array([1.0, 2.0, 0.0, -1.0])) == 2.5 / 4


@pytest.mark.parametrize(
    ("difference", "p", "p_equivalence", "expected"),
    [
        (0.1, 0.01, 0.9, "better"),
        (-0.1, 0.01, 0.9, "worse"),
        (0.1, 0.05, None, "better"),
        (0.1, 0.2, 0.9, "undecided"),
        (0.1, 0.2, 0.01, "equivalent"),
        (0.1, 0.001, 0.01, "equivalent"),
    ],
)
def test_verdict(difference: float, p: float, p_equivalence: float | None, expected: str) -> None:
    assert paired_tests.verdict(difference, p, p_equivalence, 0.05) == expected


@given(scores)
@settings(max_examples=30)
def test_swapping_the_methods_mirrors_everything(values: list[float]) -> None:
    differences = np.array(values)
    forth = paired_tests.compared(differences, margin=0.1, ruleset=RULESET)
    back = paired_tests.compared(-differences, margin=0.1, ruleset=RULESET)
    mirror = {"better": "worse", "worse": "better"}
    assert back.verdict == mirror.get(forth.verdict, forth.verdict)
    assert (back.p, back.difference) == (forth.p, -forth.difference)
    assert forth.interval is not None and back.interval is not None
    assert forth.interval.low == pytest.approx(-back.interval.high, rel=1e-6, abs=1e-6)


def test_deterministic_tasks_go_by_the_margin() -> None:
    assert paired_tests.deterministic(0.2, 0.1).verdict == "better"
    assert paired_tests.deterministic(-0.2, 0.1).verdict == "worse"
    assert paired_tests.deterministic(0.1, 0.1).verdict == "equivalent"
    assert paired_tests.deterministic(0.2, 0.1).p is None


def test_resamples_depend_on_their_names_alone() -> None:
    again = bootstrap.resamples("root", "task", 12, 50)
    assert (bootstrap.resamples("root", "task", 12, 50) == again).all()
    assert (bootstrap.resamples("root", "other", 12, 50) != again).any()
