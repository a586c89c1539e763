"""Holm's levels against his procedure and statsmodels."""

from __future__ import annotations

import numpy as np
import pytest
from assay_leaderboard.statistics import holm, sign_flips, subset_means
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

values = st.lists(
    st.sampled_from([0.00051, 0.0011, 0.0101, 0.0126, 0.021, 0.041, 0.049, 0.3, 1.0]), min_size=1
)


def rejections(p: list[float], alpha: float) -> int:
    """How many tests Holm rejects, as in his paper: one after the other by increasing p."""
    for done, value in enumerate(sorted(p)):
        if value > alpha / (len(p) - done):
            return done
    return len(p)


@given(values)
def test_p_is_within_its_level_where_holm_rejects(p: list[float]) -> None:
    levels = holm.levels(p, 0.05)
    within = np.array(p) <= levels
    assert within.sum() == rejections(p, 0.05)
    assert max(np.array(p)[within], default=0) < min(np.array(p)[~within], default=2)


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
