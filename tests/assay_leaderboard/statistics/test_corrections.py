"""Corrections and ranks against statsmodels and algebra."""

from __future__ import annotations

import numpy as np
import pytest
from assay_leaderboard.statistics.corrections import benjamini_hochberg, holm, rank_intervals
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

values = st.lists(st.sampled_from([0.0005, 0.001, 0.01, 0.02, 0.04, 0.05, 0.3, 1.0]), min_size=1)


@given(values)
@settings(max_examples=15)  # statsmodels collects garbage in every call of this method
def test_holm_is_statsmodels(p: list[float]) -> None:
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1])


@given(values)
def test_benjamini_hochberg_is_statsmodels(p: list[float]) -> None:
    assert benjamini_hochberg(p) == pytest.approx(multipletests(p, method="fdr_bh")[1])


def test_nothing_to_correct() -> None:
    assert holm([]).tolist() == benjamini_hochberg([]).tolist() == []


def test_rank_intervals() -> None:
    beats = np.zeros((4, 4), dtype=bool)
    assert rank_intervals(beats) == [(1, 4)] * 4
    beats[0, 1:] = True
    beats[1, 3] = True
    assert rank_intervals(beats) == [(1, 1), (2, 3), (2, 4), (3, 4)]
