"""The A/A control: the reference against itself, on made-up records."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from assay.ruleset import RULESET
from assay_leaderboard.audit import false_positives
from assay_leaderboard.audit.false_positives import (
    SPLITS,
    Arms,
    ControlReport,
    control,
    control_scores,
)
from assay_leaderboard.statistics import subset_means
from scipy.stats import permutation_test
from statsmodels.stats.proportion import proportion_confint

from tests.assay_leaderboard.making import UNTUNED, Records, grid, task_card

FIRST = RULESET.control_repetition
K = RULESET.k("lite")


def report(*arms: tuple[Any, Any]) -> ControlReport:
    """The control of tasks with these arms."""
    made = {(f"task{i}", "sgd"): Arms(np.array(a), np.array(b)) for i, (a, b) in enumerate(arms)}
    found = control(made, {slug: task_card(slug) for slug, _ in made}, RULESET)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def normal() -> ControlReport:
    """Six tasks whose repetitions are alike."""
    generator = np.random.default_rng(1)
    return report(*generator.normal(0.9, 0.01, (6, 2, 12)))


def test_splits_are_rejected_as_often_as_allowed(normal: ControlReport) -> None:
    splits = normal.splits
    # Given the scores, random sides make the test exact: three standard errors.
    assert splits.rejected == pytest.approx(0.05, abs=3 * (0.05 * 0.95 / 6 / SPLITS) ** 0.5)
    assert splits.covered == pytest.approx(1 - splits.rejected)
    assert splits.n == 6 * SPLITS
    words = splits.verdicts
    assert words["better"] + words["worse"] == pytest.approx(splits.rejected)
    assert sum(words.values()) == pytest.approx(1.0)


def test_the_pair_of_each_task_is_scipys(normal: ControlReport) -> None:
    arms = np.random.default_rng(1).normal(0.9, 0.01, (6, 2, 12))
    for task, (first, second) in zip(normal.cells, arms, strict=True):
        row = first - second
        test = permutation_test((row,), np.mean, permutation_type="samples", n_resamples=np.inf)
        assert task.comparison.p == pytest.approx(test.pvalue)
        low, high = subset_means.intervals(row[np.newaxis], 0.05)[0]
        assert (task.comparison.interval.low, task.comparison.interval.high) == (low, high)
        halves = [arm[:6] - arm[6:] for arm in (first, second)]
        assert [half.difference for half in task.halves] == pytest.approx(
            [half.mean() for half in halves]
        )
        assert (task.mean, task.mean_control) == pytest.approx((first.mean(), second.mean()))


def test_rates_are_counts_with_wilson_intervals(normal: ControlReport) -> None:
    for pairs, n, size in ((normal.pairs, 6, 12), (normal.halves, 12, 6)):
        found = [task.comparison for task in normal.cells]
        if n == 12:
            found = list(itertools.chain.from_iterable(task.halves for task in normal.cells))
        rejected = sum(comparison.p <= 0.05 for comparison in found)
        assert (pairs.rejected.count, pairs.rejected.n, pairs.n_repetitions) == (rejected, n, size)
        wilson = proportion_confint(rejected, n, method="wilson")
        interval = pairs.rejected.interval
        assert (interval.low, interval.high) == pytest.approx(wilson, abs=1e-12)
        # The test is inverted exactly: an interval misses 0 where the test rejects.
        assert pairs.covered.count == n - rejected
        assert sum(pairs.verdicts.values()) == n


def test_an_arm_that_drifts_is_found_out_by_the_pair(normal: ControlReport) -> None:
    generator = np.random.default_rng(2)
    early, late = generator.normal(0.9, 0.01, 12), generator.normal(0.8, 0.01, 12)
    found = report((early, late), generator.normal(0.9, 0.01, (2, 12)))
    assert found.pairs.rejected.count == 1
    assert found.cells[0].comparison.verdict == "better"
    assert (
        not found.cells[0].comparison.interval.low <= 0 <= found.cells[0].comparison.interval.high
    )


def test_less_is_better_where_the_card_says_so() -> None:
    card = task_card("loss", metric={"direction": "minimize"})
    arms = {("loss", "sgd"): Arms(np.full(12, 0.2), np.full(12, 0.3))}
    found = control(arms, {"loss": card}, RULESET)
    assert found is not None and found.cells[0].comparison.verdict == "better"


def test_repetitions_that_are_all_alike_are_equivalent() -> None:
    found = report(([0.9] * 12, [0.9] * 12))
    assert found.splits.verdicts["equivalent"] == 1
    assert (found.splits.rejected, found.splits.covered) == (0, 1)
    assert found.pairs.verdicts["equivalent"] == 1


def test_few_repetitions_have_no_halves_and_one_is_no_control() -> None:
    found = report(([0.9, 0.8, 0.7], [0.9, 0.7, 0.8]))
    assert found.cells[0].halves == []
    assert (found.halves.rejected.n, found.halves.rejected.interval.high) == (0, 1.0)
    assert (
        control({("a", "sgd"): Arms(np.ones(1), np.ones(1))}, {"a": task_card("a")}, RULESET)
        is None
    )
    assert control({}, {}, RULESET) is None


def test_twice_the_same() -> None:
    arms = np.random.default_rng(3).normal(0.9, 0.01, (1, 2, 10))
    assert report(*arms) == report(*arms)


@pytest.mark.parametrize("r", [10, 12])
def test_the_false_positive_rate_of_many_tasks_is_compatible_with_alpha(
    r: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(false_positives, "SPLITS", 10)
    generator = np.random.default_rng(r)
    found = report(*generator.exponential(1.0, (60, 2, r)))
    assert found.pairs.rejected.interval.low <= 0.05 <= found.pairs.rejected.interval.high
    assert found.pairs.covered.interval.low <= 0.95 <= found.pairs.covered.interval.high


class TestScores:
    def scores(self, made: Records) -> dict[int, float]:
        return control_scores(made.of("sgd"), made.cards["digits"], RULESET)

    def test_they_are_those_of_the_selected_points(self, records: Records) -> None:
        made = records.task("digits")
        val, test = grid(0.9, 1)
        made.cell("digits", "sgd", val, test, first=FIRST)
        made.cell("digits", "sgd", *grid(0.5, 2))  # the ordinary cell
        best = [row[int(np.argmax(vals))] for vals, row in zip(val, test, strict=True)]
        assert self.scores(made) == dict(enumerate(best))

    def test_a_run_that_did_not_complete_counts_as_chance(self, records: Records) -> None:
        records.task("digits")
        records.cell(
            "digits", "sgd", [["diverged"] * K, [0.05, *["failed"] * (K - 1)]], first=FIRST
        )
        assert self.scores(records) == {0: 0.1, 1: 0.1}

    def test_repetitions_that_lack_a_point_are_left_out(self, records: Records) -> None:
        records.task("digits")
        records.cell("digits", "sgd", [[0.5] * K, [0.6] * (K - 1) + [None], [0.7] * K], first=FIRST)
        assert self.scores(records) == {0: 0.5, 2: 0.7}

    def test_a_method_without_anything_to_tune_has_one_point(self, records: Records) -> None:
        records.task("digits")
        records.add("digits", "sgd", [0.5, 0.6], k=1, space=UNTUNED, first=FIRST)
        assert self.scores(records) == {0: 0.5, 1: 0.6}
