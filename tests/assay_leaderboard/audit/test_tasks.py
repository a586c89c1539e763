"""The audit of tasks, the A/A control and the calibration of tiers, on made-up records."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from assay.records.schema import RunSpec
from assay.records.store import Store
from assay.ruleset import RULESET
from assay_leaderboard.audit.false_positives import SPLITS, control, control_runs
from assay_leaderboard.audit.tasks import Audit, TaskAudit, audit
from assay_leaderboard.audit.tiers import calibrate, kendall
from assay_leaderboard.boards.task_comparisons import all_comparisons
from assay_leaderboard.schema.task_details import TargetReached
from assay_leaderboard.schema.values import Interval
from assay_leaderboard.statistics.bootstrap import resamples
from scipy.stats import kendalltau
from statsmodels.stats.proportion import proportion_confint

Scores = Callable[..., list[float]]
FAST = RULESET.model_copy(update={"bootstrap_draws": 200})
FIRST = RULESET.control_repetition


def audited(records: Any, targets: Any = None) -> Audit:
    work, problems = all_comparisons(records.evidence, records.catalogue, FAST)
    return audit(work, records.cards.values(), targets or {}, None, FAST, problems)


def only(found: Audit) -> TaskAudit:
    assert len(found.tasks) == 1
    return found.tasks[0]


def target(name: Any, reached: int) -> TargetReached:
    span = Interval(low=0.0, high=1.0)
    return TargetReached(
        name=name, value=0.5, n=12, reached=reached, rate=span, passes=None, seconds=None,
        survival=[],
    )  # fmt: skip


class TestTasks:
    def test_a_sound_task_separates_methods(self, records: Any, scores: Scores) -> None:
        records.task("digits")
        for i, (method, mean) in enumerate({"sgd": 0.9, "adam": 0.9, "good": 0.97}.items()):
            records.add("digits", method, scores(mean, i))
        found = only(audited(records, {"digits": [target("easy", 12), target("stretch", 0)]}))
        assert (found.verdict, found.problems) == ("sound", [])
        assert (found.n_methods, found.n_pairs, found.n_separated) == (3, 3, 2)
        assert found.widest is not None and found.widest.best == "good"
        assert found.widest.comparison.verdict == "better"
        assert found.above_chance is not None and found.above_chance.verdict == "better"
        assert [check.reached for check in found.targets] == [12, 0]

    def test_a_reference_at_chance_is_a_problem(self, records: Any, scores: Scores) -> None:
        records.task("digits")
        records.add("digits", "sgd", scores(0.1, 1, sd=0.05))
        records.add("digits", "good", scores(0.97, 2))
        found = only(audited(records))
        assert found.verdict == "problem"
        assert "not shown to be better than chance" in found.problems[0]

    def test_less_is_better_where_the_card_says_so(self, records: Any, scores: Scores) -> None:
        records.task("loss", metric={"direction": "minimize", "chance": 2.3, "unit": "nats"})
        records.add("loss", "sgd", scores(0.4, 1))
        records.add("loss", "good", scores(0.2, 2))
        found = only(audited(records))
        assert found.above_chance is not None and found.above_chance.difference > 1.8
        assert found.widest is not None and found.widest.best == "good"
        assert found.ceiling is None

    def test_methods_that_are_all_alike_say_nothing(self, records: Any, scores: Scores) -> None:
        records.task("digits")
        for i, method in enumerate(("sgd", "adam", "nadam")):
            records.add("digits", method, scores(0.9, i, sd=0.05))
        found = only(audited(records))
        assert (found.verdict, found.n_separated) == ("problem", 0)
        assert "no pair of the 3 methods is separated" in found.problems[0]

    def test_a_task_that_most_solve_is_at_its_ceiling(self, records: Any, scores: Scores) -> None:
        records.task("digits")
        for i, (method, mean) in enumerate({"sgd": 0.999, "adam": 0.998, "bad": 0.5}.items()):
            records.add("digits", method, scores(mean, i, sd=0.0))
        found = only(audited(records))
        assert found.ceiling == pytest.approx(2 / 3)
        assert "67% of the methods" in found.problems[0]

    def test_a_target_that_the_reference_misses(self, records: Any, scores: Scores) -> None:
        records.task("digits")
        records.add("digits", "sgd", scores(0.9, 1))
        records.add("digits", "good", scores(0.97, 2))
        found = only(audited(records, {"digits": [target("easy", 12), target("reference", 6)]}))
        assert found.problems == [
            "the reference reaches the reference target in 6 of 12 repetitions: "
            "lower the target in the next version"
        ]

    def test_without_a_reference_nothing_is_measured(self, records: Any, scores: Scores) -> None:
        records.task("digits")
        records.add("digits", "good", scores(0.97, 2))
        found = only(audited(records))
        assert (found.verdict, found.above_chance) == ("not measured", None)
        assert "assay run sgd --task digits" in found.problems[0]


@pytest.fixture
def report(records: Any) -> Callable[..., Any]:
    """The control of tasks whose runs have these scores."""

    def made(*scores: Sequence[float]) -> Any:
        names = [f"task{i}" for i in range(len(scores))]
        for name in names:
            records.task(name)
        return control(dict(zip(names, scores, strict=True)), records.cards, FAST)

    return made


class TestControl:
    def test_seeds_alone_are_rejected_as_often_as_allowed(self, report: Callable[..., Any]) -> None:
        generator = np.random.default_rng(1)
        found = report(*generator.normal(0.9, 0.01, (6, 48)).tolist())
        # Given the runs, random sides make the test exact: three standard errors of 6,000 splits.
        assert found.rejected == pytest.approx(0.05, abs=3 * (0.05 * 0.95 / 6 / SPLITS) ** 0.5)
        assert found.judged <= found.rejected
        assert 0.85 < found.covered < 1.0
        assert (found.n_independent, found.n_runs, found.n_splits) == (12, 288, 6 * SPLITS)

    def test_runs_that_drift_are_found_out_by_the_disjoint_splits(
        self, report: Callable[..., Any]
    ) -> None:
        generator = np.random.default_rng(2)
        early, late = generator.normal(0.9, 0.01, 12), generator.normal(0.8, 0.01, 12)
        steady = generator.normal(0.9, 0.01, 24)
        found = report([*early, *late], steady)
        assert [task.rejected_disjoint for task in found.tasks] == [1, 0]
        low, high = proportion_confint(1, 2, method="wilson")
        assert (found.interval.low, found.interval.high) == pytest.approx((low, high))

    def test_runs_that_are_all_alike_are_equivalent(self, report: Callable[..., Any]) -> None:
        found = report([0.9] * 24)
        assert (found.rejected, found.judged, found.equivalent, found.covered) == (0, 0, 1, 1)

    def test_too_few_runs_are_no_control(self, report: Callable[..., Any]) -> None:
        assert report([0.9] * 23) is None
        assert report() is None

    def test_twice_the_same(self, report: Callable[..., Any]) -> None:
        scores = np.random.default_rng(3).normal(0.9, 0.01, 30).tolist()
        assert report(scores) == report(scores)

    def test_its_runs_are_those_of_the_reference_as_it_is_now(
        self, records: Any, scores: Scores, tmp_path: Path
    ) -> None:
        records.task("digits")
        records.add("digits", "sgd", scores(0.9, 0))
        store = Store(tmp_path)
        records.write(store)

        def keep(repetition: int, score: float | str, code: str = "now", lr: float = 0.1) -> Path:
            spec = RunSpec(
                ruleset=1,
                task=records.task_ref("digits", "now"),
                method=records.method_ref("sgd", code),
                hyperparameters={"lr": lr},
                purpose="repetition",
                repetition=repetition,
            )
            run = records.run_record(spec, score)
            store.write(run)
            return store.path_of(run)

        for repetition, score in ((FIRST + 1, 0.5), (FIRST, 0.4), (FIRST + 2, "diverged")):
            keep(repetition, score)
        keep(FIRST - 1, 0.9)
        keep(FIRST, 0.9, code="before")
        keep(FIRST, 0.9, lr=0.2)
        keep(FIRST + 3, 0.9).write_text("{")
        problems: list[str] = []
        found = control_runs(store, records.catalogue, FAST, problems)
        assert found == {"digits": [0.4, 0.5, 0.1]}
        assert len(problems) == 1 and "not valid JSON" in problems[0]


class TestCalibration:
    def test_tau_is_scipys_and_the_interval_holds_it(self) -> None:
        generator = np.random.default_rng(4)
        x = generator.normal(size=12)
        y = x + generator.normal(0, 0.5, 12)
        tau, interval = kendall(x, y, "classification", FAST)
        assert tau == pytest.approx(kendalltau(x, y).statistic)
        assert interval is not None and tau is not None
        assert interval.low < tau < interval.high

    def test_tau_by_counting_pairs(self) -> None:
        x, y = np.array([1.0, 2, 3, 4]), np.array([1.0, 3, 2, 4])
        agree = [np.sign(x[i] - x[j]) * np.sign(y[i] - y[j]) for i, j in combinations(range(4), 2)]
        assert kendall(x, y, "", FAST)[0] == pytest.approx(np.mean(agree))

    def test_the_interval_is_of_scipys_tau_of_each_resample(self) -> None:
        generator = np.random.default_rng(5)
        x, y = generator.integers(0, 4, (2, 9)).astype(float)
        rows = resamples(FAST.seed_root, "tiers quantization", 9, FAST.bootstrap_draws).T
        taus = [kendalltau(x[row], y[row]).statistic for row in rows]
        tau, interval = kendall(x, y, "quantization", FAST)
        assert tau == pytest.approx(kendalltau(x, y).statistic)
        assert interval is not None
        expected = np.nanquantile(taus, [0.025, 0.975])
        assert (interval.low, interval.high) == pytest.approx(tuple(expected))

    def test_all_methods_alike_have_no_tau(self) -> None:
        assert kendall(np.ones(5), np.arange(5.0), "", FAST) == (None, None)

    def test_two_tiers_that_agree(self, records: Any, scores: Scores) -> None:
        records.task("digits").task("cifar", tier="standard")
        for i, method in enumerate(("sgd", "adam", "nadam", "adamw", "rmsprop")):
            for task in ("digits", "cifar"):
                records.add(task, method, scores(0.9 + 0.01 * i, 0))
        records.add("digits", "lite_only", scores(0.5, 0))
        (found,) = calibrate(all_comparisons(records.evidence, records.catalogue, FAST)[0], FAST)
        assert found.methods == ["adam", "adamw", "nadam", "rmsprop", "sgd"]
        assert (found.note, found.n_lite, found.n_standard) == ("", 1, 1)
        assert found.tau == pytest.approx(1.0)

    def test_what_cannot_be_measured_says_why(self, records: Any, scores: Scores) -> None:
        records.task("digits").task("cifar", tier="standard")
        records.add("digits", "sgd", scores(0.9, 0))
        (found,) = audited(records).calibration
        assert (found.tau, found.note) == (None, "not measurable: no standard results")
        records.add("cifar", "sgd", scores(0.9, 0))
        (found,) = audited(records).calibration
        assert "1 methods have both, expected 4 or more" in found.note
