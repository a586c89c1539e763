"""Views over tasks against scipy, scikit-posthocs, published tables and brute force."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import scipy.stats
from assay.ruleset import RULESET
from assay_leaderboard.statistics import profiles
from assay_leaderboard.statistics.bootstrap import resamples
from hypothesis import given
from hypothesis import strategies as st

SMALL = RULESET.model_copy(update={"bootstrap_draws": 60})
DEMSAR = [1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164]
"""Demsar 2006, table 5a: critical values q at 0.05 for 2 to 10 classifiers."""


def method(seed: int, sizes: tuple[int, ...] = (12, 12)) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    names = [f"task{i}" for i in range(len(sizes))]  # coarse steps, so that runs tie
    return {name: generator.normal(size=n).round(1) for name, n in zip(names, sizes, strict=True)}


def share(a: np.ndarray, b: np.ndarray) -> float:
    return float(scipy.stats.mannwhitneyu(a, b).statistic / (len(a) * len(b)))


@pytest.mark.parametrize("sizes", [((12, 12), (12, 12)), ((12, 8), (8, 8)), ((1, 5), (12, 5))])
def test_improvement_is_mann_whitneys_share_and_its_plain_bootstrap(
    sizes: tuple[tuple[int, ...], tuple[int, ...]],
) -> None:
    a, b = method(0, sizes[0]), method(1, sizes[1])
    found, interval = profiles.improvements([a, b], SMALL)[0, 1]
    assert found == pytest.approx(np.mean([share(a[task], b[task]) for task in a]))
    draws = []
    for draw in range(60):
        shares = []
        for task in a:
            left, right = (
                x[task][resamples(SMALL.seed_root, task, len(x[task]), 60)[:, draw]] for x in (a, b)
            )
            shares.append(share(left, right))
        draws.append(np.mean(shares))
    expected = np.quantile(draws, [0.025, 0.975])
    assert interval is not None
    assert (interval.low, interval.high) == pytest.approx(tuple(expected))


def test_improvement_of_many_pairs_is_that_of_each() -> None:
    sizes = [(12, 12), (12, 8), (8, 12), (12, 12)]
    methods = [method(seed, size) for seed, size in enumerate(sizes)]
    together = profiles.improvements(methods, SMALL)
    assert sorted(together) == [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
    for (i, j), found in together.items():
        assert found == profiles.improvements([methods[i], methods[j]], SMALL)[0, 1]


def test_improvement_of_single_runs_has_no_interval() -> None:
    a, b = (
        {"t": np.array([1.0]), "u": np.array([1.0])},
        {"t": np.array([0.0]), "u": np.array([1.0])},
    )
    assert profiles.improvements([a, b], SMALL) == {(0, 1): (0.75, None)}
    assert profiles.improvements([], SMALL) == {}


@given(st.integers(0, 50))
def test_the_profile_is_the_share_of_runs_above(seed: int) -> None:
    scores = method(seed, (12, 5, 1))
    found = profiles.performance_profile(scores)
    assert [tau for tau, _ in found] == pytest.approx(np.linspace(-0.25, 1.5, 71))
    for tau, above in found:
        expected = np.mean([np.mean(values > tau) for values in scores.values()])
        assert above == pytest.approx(expected, abs=1e-12)
    assert all(a >= b for (_, a), (_, b) in pairwise(found))


@pytest.mark.parametrize("seed", range(5))
def test_friedman_is_scipys_with_ties(seed: int) -> None:
    scores = np.random.default_rng(seed).integers(0, 4, (9, 5)).astype(float)
    ranks, p = profiles.mean_ranks(scores)
    assert p == pytest.approx(scipy.stats.friedmanchisquare(*scores.T).pvalue)
    assert ranks == pytest.approx(scipy.stats.rankdata(-scores, axis=1).mean(axis=0))


def test_methods_that_always_tie_are_not_told_apart() -> None:
    ranks, p = profiles.mean_ranks(np.ones((4, 3)))
    assert (ranks.tolist(), p) == ([2.0, 2.0, 2.0], 1.0)


@pytest.mark.parametrize(("m", "q"), [*enumerate(DEMSAR, start=2)])
def test_critical_values_are_those_published(m: int, q: float) -> None:
    scale = math.sqrt(m * (m + 1) / (6 * 14))
    assert profiles.critical_difference(m, 14, 0.05) / scale == pytest.approx(q, abs=1e-3)


@pytest.mark.parametrize(("m", "alpha"), [(3, 0.1), (20, 0.05), (100, 0.01)])
def test_critical_values_are_scipys(m: int, alpha: float) -> None:
    expected = scipy.stats.studentized_range.ppf(1 - alpha, m, np.inf) / math.sqrt(2)
    found = profiles.critical_difference(m, 1, alpha) / math.sqrt(m * (m + 1) / 6)
    assert found == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_the_critical_difference_separates_whom_nemenyi_separates(seed: int) -> None:
    import scikit_posthocs  # with matplotlib and seaborn: 2 s for every process that collects

    generator = np.random.default_rng(seed)
    scores = generator.normal(size=(15, 6)) + np.linspace(0, 2, 6)
    p = scikit_posthocs.posthoc_nemenyi_friedman(scores).to_numpy()
    ranks, _ = profiles.mean_ranks(scores)
    apart = np.abs(ranks[:, np.newaxis] - ranks) >= profiles.critical_difference(6, 15, 0.05)
    assert (apart == (p < 0.05)).all()
    assert apart.any() and not apart[~np.eye(6, dtype=bool)].all()


@given(st.lists(st.integers(0, 20), min_size=1, max_size=8), st.integers(1, 8))
def test_cliques_are_the_maximal_groups_within_the_difference(
    steps: list[int], difference: int
) -> None:
    ranks = sorted(steps)
    alike = [
        (i, j)
        for i in range(len(ranks))
        for j in range(i + 2, len(ranks) + 1)
        if ranks[j - 1] - ranks[i] < difference
    ]
    maximal = [
        (i, j)
        for i, j in alike
        if not any((a, b) != (i, j) and a <= i and j <= b for a, b in alike)
    ]
    assert list(profiles.cliques(ranks, difference)) == maximal
