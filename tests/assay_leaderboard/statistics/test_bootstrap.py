"""Bootstrap draws and quantiles against numpy."""

from __future__ import annotations

import numpy as np
import pytest
from assay_leaderboard.statistics import bootstrap
from hypothesis import given
from hypothesis import strategies as st

scores = st.lists(
    st.floats(-1e6, 1e6, allow_nan=False).map(lambda x: round(x, 3)), min_size=2, max_size=10
)


@given(scores, st.lists(st.floats(0, 1), min_size=1, max_size=4))
def test_quantiles_are_numpys(values: list[float], levels: list[float]) -> None:
    ordered = np.sort(np.array([values, values[::-1]]), axis=1)
    found = bootstrap.quantiles(ordered, np.array(levels))
    expected = np.quantile(ordered, levels, axis=1).T
    assert found == pytest.approx(expected, rel=1e-12, abs=1e-9)


def test_resamples_depend_on_their_names_alone() -> None:
    again = bootstrap.resamples("root", "task", 12, 50)
    assert (bootstrap.resamples("root", "task", 12, 50) == again).all()
    assert (bootstrap.resamples("root", "other", 12, 50) != again).any()
