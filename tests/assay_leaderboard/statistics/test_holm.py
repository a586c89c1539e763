"""Holm's levels against statsmodels."""

from __future__ import annotations

import numpy as np
import pytest
from assay_leaderboard.statistics import holm, sign_flips, subset_means
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

values = st.lists(
    st.sampled_from([0.0005, 0.001, 0.01, 0.0125, 0.02, 0.04, 0.05, 0.3, 1.0]), min_size=1
)


@given(values)
@settings(max_examples=15)  # statsmodels collects garbage in every call of this method
def test_p_is_within_its_level_where_holm_rejects(p: list[float]) -> None:
    rejected = multipletests(p, alpha=0.05, method="holm")[0]
    assert (np.array(p) <= holm.levels(p, 0.05)).tolist() == rejected.tolist()


def test_levels_by_hand() -> None:
    assert holm.levels([], 0.05).tolist() == []
    assert holm.levels([0.3], 0.05).tolist() == [0.05]
    assert holm.levels([0.2, 0.3], 0.05).tolist() == [0.025] * 2
    assert holm.levels([0.3, 0.01], 0.05).tolist() == [0.05] * 2
    assert holm.levels([0.01, 0.04], 0.05).tolist() == [0.05] * 2
    assert holm.levels([0.03, 0.04], 0.05).tolist() == [0.025] * 2


@pytest.mark.parametrize("seed", range(8))
def test_intervals_at_these_levels_exclude_zero_where_holm_rejects(seed: int) -> None:
    generator = np.random.default_rng(seed)
    rows = generator.normal(size=(6, 12)) + generator.normal(size=(6, 1))
    p = sign_flips.p_values(rows)
    rejected = multipletests(p, alpha=0.05, method="holm")[0]
    for row, level, expected in zip(rows, holm.levels(p, 0.05), rejected, strict=True):
        low, high = subset_means.intervals(row[np.newaxis], level)[0]
        assert (low > 0 or high < 0) == expected
