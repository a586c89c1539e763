"""The digits that numbers of a record keep."""

from __future__ import annotations

from itertools import combinations

import pytest
from assay.records.rounding import rounded, significant
from assay.records.schema import Checks, CurvePoint, Result, RunRecord, Usage
from hypothesis import given
from hypothesis import strategies as st

from tests.assay.conftest import make_record

NUMBERS = st.floats(-1e12, 1e12)
SHARES = st.integers(0, 1797).map(lambda k: k / 1797)


def made(family: str, score: float, other: float, seconds: float) -> RunRecord:
    point = CurvePoint(
        batch=1,
        passes=1,
        seconds=seconds,
        train_loss=other,
        val=score,
        test=other,
        start=0,
        x=other,
    )
    scores = {"val": score, "test": other, "test_last": score, "test_oracle": other}
    return make_record(
        family=family,
        result=Result(**scores, selected=0, secondary={"log_loss": other}),
        curve=[point],
        usage=Usage(train_seconds=seconds, wall_seconds=seconds, peak_bytes=123_456_789),
        checks=Checks(first_losses=[other, None], weight_distances=[score]),
    )


@given(st.sampled_from(["classification", "functions"]), NUMBERS, NUMBERS, st.floats(0, 1e5))
def test_rounding_again_changes_nothing(
    family: str, score: float, other: float, seconds: float
) -> None:
    once = rounded(made(family, score, other, seconds))
    assert rounded(once) == once
    assert once.id == once.spec.id
    assert once.result is not None
    assert once.result.val == pytest.approx(score, rel=1e-5)
    assert once.usage.train_seconds == pytest.approx(seconds, rel=5e-3)
    assert once.usage.peak_bytes == 123_000_000
    assert RunRecord.model_validate_json(once.model_dump_json()) == once


def test_a_run_without_result_or_checks_is_rounded_too() -> None:
    record = make_record(status="failed", result=None, curve=[], checks=None)
    assert rounded(record) == record


@given(st.lists(SHARES, min_size=4, max_size=4))
def test_equal_differences_of_shares_stay_equal(shares: list[float]) -> None:
    """The sign-flip test counts ties: rounding may not break them by more than a sum does."""
    for (a, b), (c, d) in combinations(combinations(shares, 2), 2):
        if round(1797 * (a - b)) == round(1797 * (c - d)):
            short = [significant(value, 12) for value in (a, b, c, d)]
            assert (short[0] - short[1]) - (short[2] - short[3]) == pytest.approx(0, abs=1e-11)


@given(st.lists(st.integers(0, 10_000), min_size=2, max_size=9, unique=True))
def test_the_best_share_stays_the_only_best(counts: list[int]) -> None:
    scores = [significant(count / 10_000, 12) for count in counts]
    assert scores.index(max(scores)) == counts.index(max(counts))
    assert len(set(scores)) == len(counts)
