"""Rates, running times and survival against statsmodels, by hand and by brute force."""

from __future__ import annotations

import numpy as np
import pytest
from assay_leaderboard.statistics.time_to_target import (
    Attempt,
    ecdf,
    expected_running_time,
    kaplan_meier,
    wilson,
)
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.duration.survfunc import SurvfuncRight
from statsmodels.stats.proportion import proportion_confint

attempts = st.lists(
    st.builds(Attempt, st.integers(1, 8).map(float), st.booleans()), min_size=1, max_size=14
)


@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_wilson_agrees_with_statsmodels(confidence: float) -> None:
    for n in (1, 2, 5, 12, 40):
        for successes in range(n + 1):
            found = wilson(successes, n, confidence)
            expected = proportion_confint(successes, n, alpha=1 - confidence, method="wilson")
            assert (found.low, found.high) == pytest.approx(expected, abs=1e-12)


def test_wilson_ends_are_exact() -> None:
    assert (wilson(0, 12, 0.95).low, wilson(12, 12, 0.95).high) == (0.0, 1.0)


def test_running_time_counts_what_failures_cost() -> None:
    tries = [Attempt(100, True), Attempt(300, False), Attempt(200, True)]
    assert expected_running_time(tries) == 300.0
    assert expected_running_time([Attempt(300, False)] * 3) is None


def test_running_time_is_the_mean_cost_until_a_success() -> None:
    """Attempts drawn at random until one succeeds cost so much on average."""
    tries = [Attempt(10, True), Attempt(50, False), Attempt(30, True), Attempt(70, False)]
    generator = np.random.default_rng(0)
    totals = []
    for _ in range(20_000):
        total, reached = 0.0, False
        while not reached:
            drawn = tries[generator.integers(len(tries))]
            total, reached = total + drawn.cost, drawn.reached
        totals.append(total)
    error = np.std(totals) / np.sqrt(len(totals))
    assert abs(np.mean(totals) - expected_running_time(tries)) < 4 * error  # type: ignore[operator]


def test_kaplan_meier_by_hand() -> None:
    """Five at risk: one event at 2; one censored at 3; two events at 4 among three; one left."""
    tries = [
        Attempt(2, True),
        Attempt(3, False),
        Attempt(4, True),
        Attempt(4, True),
        Attempt(9, False),
    ]
    assert kaplan_meier(tries) == [(0, 1), (2, pytest.approx(4 / 5)), (4, pytest.approx(4 / 15))]


@given(attempts)
def test_kaplan_meier_agrees_with_statsmodels(tries: list[Attempt]) -> None:
    found = kaplan_meier(tries)
    events = [a for a in tries if a.reached]
    if not events:
        assert found == [(0.0, 1.0)]
        return
    reference = SurvfuncRight([a.cost for a in tries], [a.reached for a in tries])
    known = dict(zip(reference.surv_times, reference.surv_prob, strict=True))
    assert [cost for cost, _ in found[1:]] == sorted({a.cost for a in events})
    for cost, share in found[1:]:
        assert share == pytest.approx(known[cost], abs=1e-12)


@given(attempts)
def test_what_is_censored_never_counts_as_reached(tries: list[Attempt]) -> None:
    steps = ecdf(tries)
    for cost, share in steps:
        assert share == sum(a.reached and a.cost <= cost for a in tries) / len(tries)
    assert steps[-1][1] == sum(a.reached for a in tries) / len(tries)
    if not all(a.reached for a in tries):
        assert steps[-1][1] < 1
        more = [Attempt(1e9, False) if not a.reached else a for a in tries]
        assert ecdf(more) == steps


@given(attempts)
def test_without_censoring_both_curves_are_the_same(tries: list[Attempt]) -> None:
    done = [Attempt(a.cost, True) for a in tries]
    mirrored = [(cost, 1 - share) for cost, share in ecdf(done)]
    assert [cost for cost, _ in kaplan_meier(done)] == [cost for cost, _ in mirrored]
    for (_, left), (_, right) in zip(kaplan_meier(done), mirrored, strict=True):
        assert left == pytest.approx(right, abs=1e-12)
