"""Tuning-budget curves against the enumeration of all subsets, and of all resamples."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from assay.records.schema import Trial, select
from assay.ruleset import RULESET
from assay_leaderboard.statistics import tuning_budgets
from hypothesis import given
from hypothesis import strategies as st

scores = st.integers(0, 4).map(lambda x: x / 4)  # ties are common
trials = st.lists(st.tuples(scores, scores), min_size=1, max_size=7)
directions = st.sampled_from(["maximize", "minimize"])


def winner(vals: list[float], subset: tuple[int, ...], direction: str) -> int:
    """Who assay.records.schema.select takes from a subset."""
    made = [
        Trial(number=i, hyperparameters={}, run_id="0" * 16, status="completed", val=vals[i])
        for i in subset
    ]
    return select(made, direction)  # type: ignore[arg-type]


@given(trials, directions)
def test_expected_is_the_mean_over_all_subsets(pairs: list[tuple[float, float]], way: str) -> None:
    vals, tests = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    found = tuning_budgets.ordered(vals, tests, way)  # type: ignore[arg-type]
    for k in range(1, len(pairs) + 1):
        subsets = list(itertools.combinations(range(len(pairs)), k))
        values = [Fraction(tests[winner(vals, subset, way)]) for subset in subsets]
        assert tuning_budgets.expected(found, k) == pytest.approx(float(sum(values) / len(subsets)))


def test_at_both_ends() -> None:
    found = tuning_budgets.ordered([0.1, 0.9, 0.5], [3.0, 1.0, 2.0], "maximize")
    assert tuning_budgets.expected(found, 1) == pytest.approx(2.0)
    assert tuning_budgets.expected(found, 3) == 1.0


def test_the_estimate_from_few_trials_is_unbiased() -> None:
    """Where trials are drawn from a known law, its mean over studies is the truth."""
    generator = np.random.default_rng(3)
    k, n = 3, 5
    found = []
    for _ in range(4000):
        vals = generator.random(n)
        found.append(tuning_budgets.expected(tuning_budgets.ordered(vals, vals + 1, "maximize"), k))  # type: ignore[arg-type]
    truth = 1 + k / (k + 1)  # mean of the largest of k uniform numbers
    assert abs(np.mean(found) - truth) < 4 * np.std(found) / math.sqrt(len(found))


def resampled(found: tuning_budgets.Trials, k: int) -> tuple[np.ndarray, np.ndarray]:
    """(K, DRAWS): copies of each trial, and its chance to be the best of k."""
    places = tuning_budgets.sampled_places(found, "digits", RULESET)[:, 1:]
    below, upto = np.divmod(places, found.n + 1)
    return upto - below, tuning_budgets.chances(found.n, (k,), 1, np.float64)[places, 0]


@pytest.mark.parametrize("n", [1, 2, 4, 5, 12, 25])
def test_positions_of_the_slider(n: int) -> None:
    expected = {1: [1], 2: [1, 2], 4: [1, 2, 4], 5: [1, 2, 4, 5]}
    expected |= {12: [1, 2, 4, 8, 12], 25: [1, 2, 4, 8, 16, 25]}
    assert tuning_budgets.budgets(n) == expected[n]


@given(trials, directions)
def test_resamples_are_weighed_as_if_each_were_sorted(
    pairs: list[tuple[float, float]], way: str
) -> None:
    vals, tests = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    n = len(pairs)
    found = tuning_budgets.ordered(vals, tests, way)  # type: ignore[arg-type]
    copies = resampled(found, 1)[0]
    assert (copies.sum(axis=0) == n).all()
    copies = copies[:, 7]
    drawn = [number for number, c in zip(found.numbers, copies, strict=True) for _ in range(c)]
    again = tuning_budgets.ordered(
        [vals[i] for i in drawn],
        [tests[i] for i in drawn],
        way,  # type: ignore[arg-type]
    )
    for k in range(1, n + 1):
        chances = resampled(found, k)[1][:, 7]
        # Copies of equals: which of them comes first depends on the draw, their own order not.
        assert chances.sum() == pytest.approx(1.0)
        if len(set(vals)) == n:
            assert float(chances @ found.tests) == pytest.approx(tuning_budgets.expected(again, k))


def test_methods_with_the_same_trials_are_resampled_alike() -> None:
    one = tuning_budgets.ordered([0.1, 0.2, 0.3], [1.0, 2.0, 3.0], "maximize")
    other = tuning_budgets.ordered([0.3, 0.2, 0.1], [1.0, 2.0, 3.0], "maximize")
    first, second = (resampled(x, 1)[0] for x in (one, other))
    assert (first == second[::-1]).all()
    elsewhere = tuning_budgets.sampled_places(one, "letters", RULESET)
    assert (elsewhere != tuning_budgets.sampled_places(one, "digits", RULESET)).any()


def test_the_interval_is_that_of_the_resampled_expectations() -> None:
    generator = np.random.default_rng(1)
    vals = generator.random(12)
    found = tuning_budgets.ordered(
        vals.tolist(), (vals + generator.normal(0, 0.1, 12)).tolist(), "maximize"
    )
    copies, chances = resampled(found, 4)
    values = []
    for column in copies.T[:300]:
        tests = np.repeat(found.tests, column)
        ranks = range(len(tests))
        values.append(tuning_budgets.expected(tuning_budgets.ordered(ranks, tests, "maximize"), 4))  # type: ignore[arg-type]
    draws = (chances * found.tests[:, np.newaxis]).sum(axis=0)
    assert draws[:300] == pytest.approx(values)
    places = tuning_budgets.sampled_places(found, "digits", RULESET)[:, 1:]
    (interval,) = tuning_budgets.intervals(found, places, [4], 0.95)
    assert interval is not None
    assert (interval.low, interval.high) == pytest.approx(np.quantile(draws, [0.025, 0.975]))
    assert interval.low <= tuning_budgets.expected(found, 4) <= interval.high


def test_one_trial_leaves_nothing_to_resample() -> None:
    found = tuning_budgets.ordered([0.5], [0.4], "maximize")
    places = tuning_budgets.sampled_places(found, "digits", RULESET)[:, 1:]
    assert tuning_budgets.intervals(found, places, [1], 0.95) == [None]
    assert tuning_budgets.expected(found, 1) == 0.4
