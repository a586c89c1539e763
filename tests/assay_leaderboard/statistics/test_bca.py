"""BCa intervals against every resample, scipy's draws, closed forms and algebra."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
import scipy.stats
from assay_leaderboard.statistics import bca
from hypothesis import given
from hypothesis import strategies as st

SAMPLES: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "normal": lambda rng, n: rng.normal(size=n),
    "skewed": lambda rng, n: rng.gamma(1.0, size=n) - 0.7,
    "heavy": lambda rng, n: rng.standard_t(3, size=n),
    "lattice": lambda rng, n: np.round(2 * rng.normal(size=n)) / 2,
    "one far": lambda rng, n: np.append(rng.normal(size=n - 1) / 20, -1),
}
SMOOTH = ["normal", "skewed", "heavy"]
values = st.lists(
    st.floats(-1e6, 1e6, allow_nan=False).map(lambda x: round(x, 3)), min_size=2, max_size=14
)


def sample(kind: str, seed: int, n: int = 12) -> np.ndarray:
    return np.asarray(SAMPLES[kind](np.random.default_rng(seed), n))


def interval(row: np.ndarray, confidence: float = 0.95) -> tuple[float, float]:
    low, high = bca.intervals(row[np.newaxis], confidence)[0].tolist()
    return low, high


def by_definition(row: np.ndarray, means: np.ndarray, shares: np.ndarray) -> list[float]:
    """Efron's equations 2.3 and 6.6 on a distribution of resampled means."""
    normal = scipy.stats.norm
    centre = row.mean()
    left_out = np.array([np.delete(row, i).mean() for i in range(len(row))])
    influence = left_out.mean() - left_out
    acceleration = (influence**3).sum() / (6 * (influence**2).sum() ** 1.5)
    equal = np.isclose(means, centre, rtol=0, atol=1e-9)
    bias = normal.ppf(shares[(means < centre) & ~equal].sum() + shares[equal].sum() / 2)
    ends = []
    order = np.argsort(means)
    for tail in (0.025, 0.975):
        shifted = bias + normal.ppf(tail)
        level = normal.cdf(bias + shifted / (1 - acceleration * shifted))
        place = np.searchsorted(np.cumsum(shares[order]), level)
        ends.append(float(means[order][min(place, len(means) - 1)]))
    return ends


@pytest.mark.parametrize("kind", SAMPLES)
@pytest.mark.parametrize("n", [2, 3, 4, 5, 6])
def test_few_values_are_counted_out(kind: str, n: int) -> None:
    for seed in range(4):
        row = sample(kind, seed, n)
        if np.ptp(row) == 0:
            continue
        means = np.array([np.mean(drawn) for drawn in itertools.product(row, repeat=n)])
        expected = by_definition(row, means, np.full(len(means), 1 / len(means)))
        assert interval(row) == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize("hits", [1, 3, 6, 11])
def test_two_different_values_are_binomial(hits: int) -> None:
    row = np.array([0.9] * hits + [0.1] * (12 - hits))
    counts = np.arange(13)
    shares = scipy.stats.binom.pmf(counts, 12, hits / 12)
    expected = by_definition(row, 0.1 + 0.8 * counts / 12, shares)
    assert interval(row) == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize("kind", SAMPLES)
def test_the_approximation_is_closer_than_ten_thousand_draws(kind: str) -> None:
    def drawn(row: np.ndarray, draws: int, seed: int) -> np.ndarray:
        generator = np.random.default_rng(seed)
        found = scipy.stats.bootstrap(
            (row,), np.mean, method="BCa", n_resamples=draws, batch=20_000, rng=generator
        ).confidence_interval
        return np.array([found.low, found.high])

    ours, theirs = [], []
    for seed in range(12):
        row = sample(kind, seed)
        exact = drawn(row, 200_000, 1)
        width = exact[1] - exact[0]
        ours.append((interval(row) - exact) / width)
        theirs.append((drawn(row, 10_000, 2) - exact) / width)
    off, scipys = (np.sqrt(np.mean(np.square(errors))) for errors in (ours, theirs))
    assert off < (scipys if kind in SMOOTH else 0.02)


@pytest.mark.parametrize("kind", SMOOTH)
def test_the_approximation_is_close_to_the_count(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = np.stack([sample(kind, seed, 9) for seed in range(20)])
    approximated = bca.intervals(rows, 0.95)
    monkeypatch.setattr(bca, "MAX_COUNTED", 30_000)
    counted = bca.intervals(rows, 0.95)
    assert not np.array_equal(counted, approximated)
    width = counted[:, 1:] - counted[:, :1]
    assert np.median(np.abs((approximated - counted) / width)) < 0.004


def test_levels_and_their_slopes_agree() -> None:
    columns = np.stack([sample("skewed", seed) for seed in range(5)], axis=1)
    columns -= columns.mean(axis=0)
    tilt = np.stack((np.linspace(-2, -0.3, 5), np.linspace(0.3, 2, 5)))
    step = 1e-5
    _, slope, mean = bca._tilted(columns, tilt)
    higher, lower = bca._tilted(columns, tilt + step), bca._tilted(columns, tilt - step)
    assert slope == pytest.approx((higher[0] - lower[0]) / (2 * step), rel=1e-6)
    weights = np.exp(tilt[0] * columns)
    assert mean[0] == pytest.approx((weights * columns).sum(axis=0) / weights.sum(axis=0))


def test_a_tail_that_ends_before_its_level_ends_at_the_extreme(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bca, "MAX_COUNTED", 0)
    row = np.array([0.0] * 11 + [-1.0])
    assert interval(row)[1] == 0.0  # a third of the resamples hold nothing but zeros
    assert interval(-row)[0] == 0.0


def test_many_rows_are_each_on_its_own() -> None:
    kinds = [sample(kind, seed) for kind in SAMPLES for seed in range(100)]
    rows = np.stack([*kinds, np.full(12, 0.3), np.repeat([0.1, 0.2, 0.4], 4)])
    found = bca.intervals(rows, 0.9)
    assert found.tolist() == [list(interval(row, 0.9)) for row in rows]


@pytest.mark.parametrize("n", [5, 12])
def test_intervals_go_with_scale_place_and_sign(n: int) -> None:
    row = sample("skewed", 1, n)
    low, high = interval(row)
    assert interval(1e200 * row) == pytest.approx((1e200 * low, 1e200 * high), rel=1e-7)
    assert interval(1e-200 * row) == pytest.approx((1e-200 * low, 1e-200 * high), rel=1e-7)
    assert interval(row + 50) == pytest.approx((low + 50, high + 50), abs=1e-8)
    assert interval(-row) == pytest.approx((-high, -low), abs=1e-8)
    assert interval(row[::-1]) == pytest.approx((low, high), abs=1e-8)


def test_intervals_widen_with_their_level() -> None:
    row = sample("skewed", 2)
    ends = [interval(row, confidence) for confidence in (0.5, 0.8, 0.95, 0.999)]
    for (inner_low, inner_high), (low, high) in itertools.pairwise(ends):
        assert low < inner_low < inner_high < high


def test_the_interval_is_not_the_percentile_interval() -> None:
    row = sample("skewed", 3)
    means = np.random.default_rng(0).choice(row, (20_000, 12)).mean(axis=1)
    assert abs(interval(row)[0] - np.quantile(means, 0.025)) > 0.005


def test_equal_values_have_a_point() -> None:
    assert interval(np.full(3, 0.1)) == (0.1, 0.1)
    assert interval(np.full(12, 0.1)) == (0.1, 0.1)
    assert interval(np.zeros(12)) == (0.0, 0.0)


def test_intervals_cover_the_mean_about_as_often_as_they_say() -> None:
    found = bca.intervals(np.random.default_rng(0).normal(size=(2_000, 12)), 0.95)
    share = np.mean((found[:, 0] <= 0) & (found[:, 1] >= 0))
    assert 0.88 < share < 0.94  # n = 12: bootstrap intervals are a little short


@given(values)
def test_any_values_have_an_interval_among_them(found: list[float]) -> None:
    row = np.array(found)
    low, high = interval(row)
    assert math.isfinite(low) and math.isfinite(high)
    assert row.min() <= low <= high <= row.max()
