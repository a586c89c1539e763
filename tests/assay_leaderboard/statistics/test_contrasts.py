"""Paired bootstrap tests of pairs against counting."""

from __future__ import annotations

import numpy as np
import pytest
from assay_leaderboard.statistics.contrasts import Contrasts, bootstrap_p


@pytest.mark.parametrize("m", [0, 1, 2, 9])
def test_p_is_that_of_each_pair_alone(m: int) -> None:
    generator = np.random.default_rng(m)
    centres = generator.permutation(m) / 3  # near ones, far ones, and in no order
    draws = np.round(generator.normal(centres, 0.2, size=(200, m)).T, 1)
    first, second = (places.ravel() for places in np.indices((m, m)))
    found = bootstrap_p(draws, first, second)
    for i, j, p in zip(first, second, found, strict=True):
        rarer = min((draws[i] <= draws[j]).sum(), (draws[i] >= draws[j]).sum())
        assert p == pytest.approx(min(1.0, 2 * (1 + rarer) / 201))


def test_draws_that_differ_by_rounding_are_equal() -> None:
    draws = np.array([[1.0] * 10_000, [1 + 1e-15] * 10_000, [1.1] * 10_000])
    p = bootstrap_p(draws, np.array([0, 0, 1, 1]), np.array([1, 2, 2, 0]))
    assert p == pytest.approx([1.0, 2 / 10_001, 2 / 10_001, 1.0])


def test_a_win_needs_certainty_and_size() -> None:
    first, second = np.array([0, 0, 1]), np.array([1, 2, 2])
    pairs = Contrasts(
        3, first, second, np.array([0.5, -0.01, -0.6]), np.array([0.001, 0.001, 0.19])
    )
    assert pairs.beats(0.1, 0.05).tolist() == [[False, True, False], [False] * 3, [False] * 3]
    assert np.argwhere(pairs.beats(0.0, 0.05)).tolist() == [[0, 1], [2, 0]]
    assert np.argwhere(pairs.beats(0.1, 0.2)).tolist() == [[0, 1], [2, 1]]


def test_no_pairs() -> None:
    assert not Contrasts.none(2).beats(0.0, 0.05).any()
    joined = Contrasts.joined([Contrasts.none(2)] * 2)
    assert (joined.m, len(joined.p)) == (2, 0)
