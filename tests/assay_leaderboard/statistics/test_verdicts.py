"""Verdicts read off intervals, and the repetitions that an undecided pair needs."""

from __future__ import annotations

import math

import numpy as np
import pytest
from assay_leaderboard.schema.values import Interval
from assay_leaderboard.statistics import subset_means, verdicts
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.02, 0.05, "better"),
        (0.001, 0.05, "better"),
        (-0.05, -0.001, "worse"),
        (-0.005, 0.005, "equivalent"),
        (-0.01, 0.01, "equivalent"),
        (-0.01, 0.95 - 0.94, "equivalent"),  # 0.95 - 0.94 is more than 0.01
        (0.0, 0.0, "equivalent"),
        (0.0, 0.02, "undecided"),
        (-0.02, 0.0, "undecided"),
        (-0.02, 0.005, "undecided"),
        (0.001, 0.01, "better, negligible"),
        (-0.01, -0.001, "worse, negligible"),
    ],
)
def test_the_verdict_is_read_off_the_interval(low: float, high: float, expected: str) -> None:
    assert verdicts.verdict(Interval(low, high), 0.01, passed=True) == expected
    excludes = low > 0 or high < 0
    without = "undecided" if excludes else expected
    assert verdicts.verdict(Interval(low, high), 0.01, passed=False) == without


@given(st.floats(-1, 1), st.floats(0, 1), st.floats(0, 1), st.booleans())
def test_swapped_methods_have_the_mirrored_verdict(
    low: float, width: float, margin: float, passed: bool
) -> None:
    forth = verdicts.verdict(Interval(low, low + width), margin, passed=passed)
    back = verdicts.verdict(Interval(-low - width, -low), margin, passed=passed)
    swapped = {"better": "worse", "worse": "better"}
    first, comma, rest = forth.partition(",")
    assert back == swapped.get(first, first) + comma + rest


def test_repetitions_needed_are_those_of_a_normal_interval() -> None:
    # 1.96 * 1 / sqrt(n) < 0.2
    assert verdicts.repetitions_needed(0.2, 1.0, 12, 0.0, 0.05) == 97
    assert verdicts.repetitions_needed(-0.2, 1.0, 12, 0.0, 0.05) == 97
    # A difference near 0 is shown to be equivalent sooner than different from 0.
    assert verdicts.repetitions_needed(0.0, 1.0, 12, 0.2, 0.05) == 97
    assert verdicts.repetitions_needed(0.01, 1.0, 12, 0.21, 0.05) == 97
    assert verdicts.repetitions_needed(0.01, 1.0, 12, 0.0, 0.05) is None
    assert verdicts.repetitions_needed(0.0, 1.0, 12, 0.0, 0.05) is None


def test_repetitions_needed_are_more_than_there_are_and_allow_the_level() -> None:
    assert verdicts.repetitions_needed(1.0, 0.1, 12, 0.0, 0.05) == 13
    found = verdicts.repetitions_needed(1.0, 0.0, 2, 0.0, 0.001)
    assert found == 11
    assert 2 / 2**found <= 0.001 < 2 / 2 ** (found - 1)


def test_so_many_repetitions_decide_about_half_of_the_time() -> None:
    needed = verdicts.repetitions_needed(0.75, 1.0, 5, 0.0, 0.05)
    assert needed is not None and needed < 16
    draws = np.random.default_rng(0).normal(0.75, 1.0, (2_000, needed))
    share = (subset_means.intervals(draws, 0.05)[:, 0] > 0).mean()
    assert 0.35 < share < 0.65


@given(st.floats(-1e100, 1e100), st.floats(0, 1e100), st.floats(0, 1e100))
def test_any_numbers_have_an_answer(difference: float, sd: float, margin: float) -> None:
    found = verdicts.repetitions_needed(difference, sd, 12, margin, 0.001)
    assert found is None or 12 < found <= math.ceil(verdicts.MOST_REPETITIONS * (1 + 1e-9))
