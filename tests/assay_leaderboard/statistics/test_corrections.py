"""Corrections and ranks against scipy, statsmodels and algebra."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from assay_leaderboard.statistics.corrections import benjamini_hochberg, rank_intervals
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

values = st.lists(st.sampled_from([0.0005, 0.001, 0.01, 0.02, 0.04, 0.3, 1.0]), min_size=1)


@given(values, st.sampled_from([0.0312, 0.0712, 0.1123]))
@settings(max_examples=50)
def test_as_many_pass_as_in_statsmodels_and_scipy(p: list[float], rate: float) -> None:
    found = benjamini_hochberg(p, rate)
    assert found == multipletests(p, alpha=rate, method="fdr_bh")[0].sum()
    assert found == (scipy.stats.false_discovery_control(p) <= rate).sum()
    assert found == sum(value <= found * rate / len(p) for value in p)


@pytest.mark.parametrize("k", range(1, 9))
def test_equal_to_the_threshold_is_enough(k: int) -> None:
    p = [k / 128] * k + [1.0] * (8 - k)  # k * 0.0625 / 8
    assert benjamini_hochberg(p, 0.0625) == k
    assert benjamini_hochberg(p, 0.0624) == 0


def test_a_rate_is_the_decimal_that_it_is_written_as() -> None:
    assert benjamini_hochberg([1 / 32] * 5 + [1.0] * 3, 0.05) == 5


def test_nothing_to_correct() -> None:
    assert benjamini_hochberg([], 0.05) == 0


def test_rank_intervals() -> None:
    beats = np.zeros((4, 4), dtype=bool)
    assert rank_intervals(beats) == [(1, 4)] * 4
    beats[0, 1:] = True
    beats[1, 3] = True
    assert rank_intervals(beats) == [(1, 1), (2, 3), (2, 4), (3, 4)]
