"""Families of pairs: one verdict each, and intervals that say the same."""

from __future__ import annotations

import time
from fractions import Fraction

import numpy as np
import pytest
import scipy.stats
from assay_leaderboard.schema.values import Comparison
from assay_leaderboard.statistics import pair_family, sign_flips, subset_means, verdicts
from hypothesis import given, settings
from hypothesis import strategies as st

MARGIN = 0.1


def pairs(seed: int, m: int, n: int = 12, shift: float = 0.5) -> list[np.ndarray]:
    generator = np.random.default_rng(seed)
    centres = shift * generator.normal(size=(m, 1))
    return list(centres + generator.normal(size=(m, n)) * generator.gamma(1.0, size=(m, 1)))


def excludes_zero(comparison: Comparison) -> bool:
    return comparison.interval.low > 0 or comparison.interval.high < 0


@pytest.mark.parametrize("seed", range(6))
def test_those_pass_whom_scipy_lets_pass(seed: int) -> None:
    rows = pairs(seed, 40, shift=seed / 2)
    family, compared = pair_family.judge(rows, MARGIN, 0.05)
    p = sign_flips.p_values(np.array(rows))
    passed = scipy.stats.false_discovery_control(p) <= 0.05
    assert (family.pairs, family.passed, family.rate) == (40, passed.sum(), 0.05)
    assert family.level == pytest.approx(1 - max(passed.sum(), 1) * 0.05 / 40)
    assert [c.p for c in compared] == p.tolist()
    if passed.any():
        assert [excludes_zero(c) for c in compared] == passed.tolist()


def test_a_comparison_says_what_its_row_says() -> None:
    rows = pairs(1, 3)
    family, compared = pair_family.judge(rows, MARGIN, 0.05)
    error = max(family.passed, 1) * Fraction("0.05") / 3
    for row, found in zip(rows, compared, strict=True):
        low, high = subset_means.intervals(row[np.newaxis], error)[0]
        assert (found.n, found.difference) == (12, pytest.approx(row.mean()))
        assert (found.interval.low, found.interval.high) == (low, high)
        assert found.detectable == pytest.approx((high - low) / 2)
        assert found.superiority == (row > 0).mean()


STEPS = st.lists(
    st.tuples(st.integers(-2, 4), st.lists(st.integers(-3, 3), min_size=1, max_size=9)),
    min_size=1,
    max_size=8,
)


@given(STEPS, st.sampled_from([0.1, 1e-200, 1e90]), st.sampled_from([0.05, 0.2, 0.5]))
@settings(max_examples=200)
def test_the_verdict_can_be_derived_from_what_stands_beside_it(
    steps: list[tuple[int, list[int]]], scale: float, rate: float
) -> None:
    rows = [scale * (shift + np.array(row, dtype=float)) for shift, row in steps]
    family, compared = pair_family.judge(rows, scale, rate)
    error = max(family.passed, 1) * Fraction(str(rate)) / len(rows)
    assert family.passed == sum(Fraction(c.p) <= error for c in compared)
    for found in compared:
        passed = Fraction(found.p) <= error
        assert found.verdict == verdicts.verdict(found.interval, scale, passed=passed)
        if Fraction(2, 2**found.n) <= error:  # there are repetitions enough for the level
            assert excludes_zero(found) == passed
        assert passed <= excludes_zero(found)
        assert (found.repetitions_needed is None) or found.verdict == "undecided"
        assert found.repetitions_needed is None or found.repetitions_needed > found.n


@given(STEPS)
def test_swapped_methods_have_the_mirrored_comparison(steps: list[tuple[int, list[int]]]) -> None:
    rows = [shift + np.array(row, dtype=float) for shift, row in steps]
    family, forth = pair_family.judge(rows, MARGIN, 0.3)
    mirrored, back = pair_family.judge([-row for row in rows], MARGIN, 0.3)
    assert mirrored == family
    for a, b in zip(forth, back, strict=True):
        assert (a.p, a.difference, a.repetitions_needed) == (
            b.p,
            -b.difference,
            b.repetitions_needed,
        )
        assert (a.interval.low, a.interval.high) == (-b.interval.high, -b.interval.low)
        assert a.superiority == pytest.approx(1 - b.superiority)


def test_a_pair_that_is_at_its_threshold_passes() -> None:
    # 5 of 8 pairs at q = 0.05: the threshold 5 / 160 is 1 / 32, which 6 repetitions can have.
    rows = [np.ones(6)] * 5 + [np.array([1.0, -1.0, 1.0, -1.0, 0.5, -0.5])] * 3
    family, compared = pair_family.judge(rows, MARGIN, 0.05)
    assert (family.passed, family.level) == (5, 1 - 1 / 32)
    assert [c.verdict for c in compared] == ["better"] * 5 + ["undecided"] * 3


def test_too_few_repetitions_for_many_pairs_are_undecided() -> None:
    rows = [np.array([0.9, 1.0, 1.1, 1.2, 1.3, 1.4])] * 2
    family, compared = pair_family.judge(rows, MARGIN, 0.05)
    assert family.passed == 2  # 2 / 64 is below 0.05
    rows += [np.array([1.0, -1.0, 1.0, -1.0, 0.5, -0.5])] * 8
    family, compared = pair_family.judge(rows, MARGIN, 0.05)
    assert (family.passed, family.level) == (0, 1 - 0.05 / 10)
    assert excludes_zero(compared[0])
    assert compared[0].verdict == "undecided"
    assert compared[0].repetitions_needed == 9  # 2 / 2^9 is below 0.005


def test_fewer_repetitions_than_others_have() -> None:
    rows = [np.ones(12) + np.arange(12) / 10, np.ones(5) + np.arange(5) / 10]
    family, compared = pair_family.judge(rows, MARGIN, 0.05)
    assert family.passed == 1
    assert [c.verdict for c in compared] == ["better", "undecided"]
    assert [c.n for c in compared] == [12, 5]


def test_equal_methods_are_equivalent() -> None:
    _, compared = pair_family.judge([np.zeros(12)], MARGIN, 0.05)
    assert (compared[0].verdict, compared[0].p, compared[0].superiority) == ("equivalent", 1.0, 0.5)
    assert (compared[0].interval.low, compared[0].interval.high) == (0.0, 0.0)


def test_no_pairs() -> None:
    family, compared = pair_family.judge([], MARGIN, 0.05)
    assert (family.pairs, family.passed, family.level, compared) == (0, 0, 0.95, [])


def test_preliminary_pairs_have_no_verdict() -> None:
    rows = pairs(0, 3, n=6)
    found = pair_family.unjudged(rows, 0.05)
    assert [c.verdict for c in found] == [None] * 3
    ends = subset_means.intervals(np.array(rows), 0.05).tolist()
    assert [[c.interval.low, c.interval.high] for c in found] == ends


def test_absurd_numbers() -> None:
    rows = [np.array([1e100, -1e100, 1e100] * 4), np.full(12, 1e-300), np.full(12, -1e100)]
    _, compared = pair_family.judge(rows, MARGIN, 0.05)
    assert [c.verdict for c in compared] == ["undecided", "better, negligible", "worse"]


def test_all_pairs_of_a_hundred_methods_take_a_moment() -> None:
    rows = pairs(0, 4_950)
    start = time.process_time()
    pair_family.judge(rows, MARGIN, 0.05)
    assert time.process_time() - start < 10  # 1 s on an idle core; others run beside the tests


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.2, 1.0, 5.0]), st.booleans())
@settings(max_examples=40)
def test_winners_are_the_verdicts_without_their_intervals(
    seed: int, margin: float, ragged: bool
) -> None:
    draw = np.random.default_rng(seed)
    rows = [
        np.round(draw.normal(draw.choice([-2, 0, 0.3, 2]), 1.0, 10 - ragged * (i % 3)), 1)
        for i in range(12)
    ]
    rows += [np.full(10, 0.3), np.zeros(10)]
    found = pair_family.Judgement.of(rows, margin, 0.05)
    family, expected = pair_family.judge(rows, margin, 0.05)
    worth = {"better": 1, "worse": -1}
    assert found.family == family
    assert found.winners().tolist() == [worth.get(str(c.verdict), 0) for c in expected]
    assert found.comparisons([3, 13, 0]) == [expected[3], expected[13], expected[0]]
