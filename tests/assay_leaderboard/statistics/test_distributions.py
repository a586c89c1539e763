"""Closed forms against scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.special
import scipy.stats
from assay_leaderboard.statistics import distributions

FREEDOMS = range(1, 16)
ENDS = (np.inf, 1e300, 1e160)


def both_signs(*values: float) -> np.ndarray:
    return np.concatenate([-np.array(values), [0.0], values])


T = both_signs(*np.geomspace(1e-9, 1e6, 2_000), *np.linspace(0.01, 20, 2_000), *ENDS)


@pytest.mark.parametrize("freedom", FREEDOMS)
def test_students_distribution_is_scipys(freedom: int) -> None:
    # scipy.special.stdtr(1, t) is off by 2e-9 near 0; the Cauchy distribution is not.
    law = scipy.stats.cauchy if freedom == 1 else scipy.stats.t(freedom)
    found = distributions.student_cdf(T, freedom)
    assert found == pytest.approx(law.cdf(T), rel=0, abs=1e-14)
    assert found.min() == 0.0 and found.max() == 1.0


@pytest.mark.parametrize("freedom", [*FREEDOMS, 30, 101])
@pytest.mark.parametrize("level", [0.5, 0.9, 0.975, 0.9995])
def test_students_quantiles_are_scipys(freedom: int, level: float) -> None:
    law = scipy.stats.cauchy if freedom == 1 else scipy.stats.t(freedom)
    found = distributions.student_quantile(level, freedom)
    assert found == pytest.approx(law.ppf(level), rel=1e-12, abs=1e-12)


def test_the_normal_distribution_is_scipys() -> None:
    x = both_signs(*np.linspace(1e-6, 12, 2_000), np.inf)
    found = distributions.normal_cdfs(x)
    assert found == pytest.approx(scipy.special.ndtr(x), rel=1e-13, abs=0)
    assert [distributions.normal_cdf(value) for value in x.tolist()] == found.tolist()
    square = x[1:].reshape(2, -1)
    assert distributions.normal_cdfs(square).tolist() == found[1:].reshape(2, -1).tolist()


def test_normal_quantiles_are_scipys() -> None:
    lower = np.geomspace(1e-9, 0.5, 500)
    for level in [*lower.tolist(), *(1 - lower).tolist()]:
        expected = float(scipy.special.ndtri(level))
        assert distributions.normal_quantile(level) == pytest.approx(expected, rel=1e-13, abs=1e-15)


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 9, 10, 98, 99])
def test_the_chi_square_tail_is_scipys(freedom: int) -> None:
    x = np.concatenate([[0.0], np.geomspace(1e-9, 1_000, 500)])
    found = [distributions.chi_square_tail(value, freedom) for value in x.tolist()]
    assert found == pytest.approx(scipy.special.chdtrc(freedom, x), rel=1e-12, abs=0)
    assert distributions.chi_square_tail(1e6, freedom) == 0.0
    assert not math.isnan(distributions.chi_square_tail(5e-324, freedom))
