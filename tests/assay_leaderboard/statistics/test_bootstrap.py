"""Bootstrap draws and percentiles against numpy."""

from __future__ import annotations

import numpy as np
import pytest
from assay_leaderboard.statistics import bootstrap
from hypothesis import given
from hypothesis import strategies as st


@given(st.integers(0, 99), st.sampled_from([0.5, 0.95]))
def test_ends_are_percentiles(seed: int, confidence: float) -> None:
    rows = np.random.default_rng(seed).normal(size=(3, 41))
    tail = 100 * (1 - confidence) / 2
    expected = [[np.percentile(row, tail), np.percentile(row, 100 - tail)] for row in rows]
    assert bootstrap.percentile_ends(rows, confidence) == pytest.approx(np.array(expected))
    assert bootstrap.percentile_ends(np.empty((0, 41)), confidence).shape == (0, 2)


def test_counts_are_those_of_the_resamples() -> None:
    indices = bootstrap.resamples("root", "task", 5, 30)
    counts = bootstrap.resample_counts("root", "task", 5, 30)
    for draw in range(30):
        assert counts[:, draw].tolist() == np.bincount(indices[:, draw], minlength=5).tolist()


def test_resamples_depend_on_their_names_alone() -> None:
    again = bootstrap.resamples("root", "task", 12, 50)
    assert (bootstrap.resamples("root", "task", 12, 50) == again).all()
    assert (bootstrap.resamples("root", "other", 12, 50) != again).any()
