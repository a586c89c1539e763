"""The details of a task: every number of schema.task_details against one worked out here."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.stats
from assay.records.schema import Compute, CurvePoint, Result, Usage
from assay.ruleset import RULESET
from assay.space import ChoiceRange, FloatRange, Space
from assay_leaderboard.boards.board import build
from assay_leaderboard.boards.task_details import detail
from assay_leaderboard.schema.task_details import Detail, TaskDetail

TARGETS = [{"name": "easy", "value": 0.5}, {"name": "stretch", "value": 0.9}]
GRID = (5, 10)


def point(batch: int, **changes: Any) -> CurvePoint:
    values = {"passes": 2 * batch, "seconds": batch / 10, "train_loss": None, "start": 0}
    return CurvePoint(batch=batch, **values | changes)


def curve(*vals: float, starts: int = 1, **changes: Any) -> list[CurvePoint]:
    return [
        point(b, val=v, test=v - 0.01, start=s, **changes)
        for s in range(starts)
        for b, v in zip(GRID, vals, strict=True)
    ]


@pytest.fixture
def made(new_records: Any) -> Any:
    """A reference and a method of four repetitions, the last of which diverged."""
    records = new_records().task("digits", targets=TARGETS, evaluation={"points": 2})
    records.add("digits", "sgd", [0.8] * 4)
    study = records.add("digits", "adam", [0.7, 0.8, 0.95, "diverged"])
    usage = Usage(
        example_passes=40,
        passes=20,
        examples=200,
        train_seconds=2.0,
        cpu_seconds=3.0,
        peak_bytes=7,
        optimizer_state_bytes=8,
    )
    for run_id, vals in zip(
        study.selected_runs, [(0.4, 0.7), (0.5, 0.8), (0.6, 0.95)], strict=False
    ):
        records.change(run_id, curve=curve(*vals), usage=usage)
    records.change(study.selected_runs[3], usage=Usage(passes=6, train_seconds=0.5))
    for run_id in records.studies[0].selected_runs:
        records.change(
            run_id, curve=curve(0.6, 0.8), usage=Usage(train_seconds=1.0, cpu_seconds=1.5)
        )
    return records


def depth(records: Any) -> TaskDetail:
    evidence = records.task_evidence("digits")
    (table,) = build(evidence.evidence, records.catalogue, ["digits"], RULESET).tasks
    found = detail(evidence, table)
    assert [item.method for item in found.details] == [row.method for row in table.rows]
    return TaskDetail.model_validate_json(found.model_dump_json())


def of(records: Any, method: str) -> Detail:
    return next(item for item in depth(records).details if item.method == method)


def test_the_curve_is_the_mean_of_what_completed(made: Any) -> None:
    first, last = of(made, "adam").curve
    assert (first.batch, first.passes, first.seconds, first.n) == (5, 10.0, 0.5, 3)
    assert (first.val, last.val) == pytest.approx((0.5, 2.45 / 3))
    values = [0.69, 0.79, 0.94]
    low, high = scipy.stats.t.interval(0.95, 2, loc=np.mean(values), scale=scipy.stats.sem(values))
    assert last.interval is not None
    assert (last.interval.low, last.interval.high) == pytest.approx((low, high))


def test_one_repetition_has_no_interval(new_records: Any) -> None:
    records = new_records().task("digits", deterministic=True, evaluation={"points": 2})
    study = records.add("digits", "sgd", [0.8])
    records.change(study.selected_runs[0], curve=curve(0.4, 0.8))
    assert [(p.n, p.interval) for p in of(records, "sgd").curve] == [(1, None), (1, None)]


def test_targets_are_reached_on_validation_at_an_evaluation_point(made: Any) -> None:
    """Three reach 0.5, at 20, 10 and 10 passes; the one that diverged spent 6."""
    easy, stretch = of(made, "adam").targets
    assert (easy.name, easy.n, easy.reached) == ("easy", 4, 3)
    assert easy.passes == pytest.approx((20 + 10 + 10 + 6) / 3)
    assert easy.seconds == pytest.approx((1.0 + 0.5 + 0.5 + 0.5) / 3)
    assert easy.survival == [(0, 1), (10, pytest.approx(1 / 3)), (20, 0)]
    assert (stretch.reached, stretch.passes) == (1, 20 + 20 + 20 + 6)
    assert depth(made).ecdf["adam"] == [(0, 0), (10, 0.25), (20, 0.5)]


def test_noisy_labels_are_judged_by_the_clean_ones(new_records: Any) -> None:
    """0.5 on noisy validation labels is not 0.5; the curve's test scores are 0.01 lower here."""
    records = new_records().task(
        "digits", family="noisy_labels", targets=TARGETS, evaluation={"points": 2}
    )
    study = records.add("digits", "sgd", [0.9])
    records.change(study.selected_runs[0], curve=curve(0.5, 0.92))
    assert [target.passes for target in of(records, "sgd").targets] == [20, 20]


def test_a_target_that_is_never_reached_has_no_time(made: Any) -> None:
    stretch = of(made, "sgd").targets[1]
    assert (stretch.reached, stretch.passes, stretch.seconds) == (0, None, None)
    assert stretch.survival == [(0, 1)]


def test_a_missing_repetition_is_in_no_count(made: Any) -> None:
    del made.runs[made.studies[1].selected_runs[0]]
    found = of(made, "adam")
    assert [target.n for target in found.targets] == [3, 3]
    assert found.curve[0].n == 2


def test_a_completed_run_without_a_curve_says_nothing_of_targets(made: Any) -> None:
    made.change(made.studies[1].selected_runs[0], curve=[])
    found = of(made, "adam")
    assert [target.n for target in found.targets] == [3, 3]
    assert found.selection is not None and found.selection.selected == pytest.approx(2.45 / 3)


def test_smaller_is_better_where_the_card_says_so(new_records: Any) -> None:
    records = new_records().task(
        "digits",
        targets=TARGETS,
        evaluation={"points": 2},
        metric={"direction": "minimize", "chance": 2.0},
    )
    study = records.add("digits", "sgd", [0.4])
    records.change(study.selected_runs[0], curve=curve(0.9, 0.4))
    easy, stretch = of(records, "sgd").targets
    assert (easy.passes, stretch.passes) == (20, 10)


def test_a_method_of_two_passes_a_batch_is_drawn_at_the_same_points(made: Any) -> None:
    study = made.studies[0]
    twice = [
        point(batch, passes=2 * batch, example_passes=4 * batch, val=val, test=val)
        for batch, val in ((3, 0.6), (5, 0.8))
    ]
    for run_id in study.selected_runs:
        made.change(run_id, curve=twice)
    drawn = of(made, "sgd").curve
    assert [(p.batch, p.passes, p.val) for p in drawn] == [
        (5, 6.0, pytest.approx(0.6)),
        (10, 10.0, pytest.approx(0.8)),
    ]


def test_starts_are_averaged_within_a_repetition(new_records: Any) -> None:
    """A start whose passes were spent early stays where it ended."""
    records = new_records().task(
        "digits", targets=TARGETS, evaluation={"points": 2}, recipe={"n_starts": 2}
    )
    study = records.add("digits", "sgd", [0.4, "failed"])
    early = [point(5, passes=20, seconds=1.0, val=0.8, test=0.8, start=1)]
    records.change(study.selected_runs[0], curve=[*early, *curve(0.0, 0.4)])
    records.change(study.selected_runs[1], usage=Usage(passes=30, train_seconds=4.0))
    found = of(records, "sgd")
    assert [(p.batch, p.passes, p.val) for p in found.curve] == [
        (5, 15.0, 0.4),
        (10, 20.0, pytest.approx(0.6)),
    ]
    assert found.targets[0].passes == 20 + 30 / 2
    assert found.targets[0].seconds == 1.0 + 4.0 / 2


def test_budget_and_sensitivity_come_from_the_trials(made: Any) -> None:
    lr = [0.001, 0.01, 0.1, 1.0]
    space = Space(
        ranges={"lr": FloatRange(low=1e-3, high=1, log=True), "b": ChoiceRange(options=(1,))}
    )
    made.tune(
        made.studies[1],
        [0.3, 0.796, 0.8, 0.1],
        [0.31, 0.75, 0.81, "diverged"],
        [{"lr": rate, "b": 1} for rate in lr],
        space,
    )
    found = of(made, "adam")
    assert [point.k for point in found.budget] == [1, 2, 4]
    assert [point.expected for point in found.budget] == pytest.approx(
        [(0.31 + 0.75 + 0.81 + 0.1) / 4, (3 * 0.81 + 2 * 0.75 + 0.31) / 6, 0.81]
    )
    sensitivity = found.sensitivity
    assert sensitivity.default_gap == pytest.approx(0.5)
    assert (sensitivity.near_best, sensitivity.diverged) == (0.5, 0.25)
    assert sensitivity.lr_decades == pytest.approx(1.0)
    assert [t.test for t in sensitivity.trials] == [0.31, 0.75, 0.81, 0.1]
    assert [t.selected for t in sensitivity.trials] == [False, False, True, False]


def test_trials_without_records_are_listed_without_a_test_score(made: Any) -> None:
    found = of(made, "adam")
    assert found.budget == []
    assert {trial.test for trial in found.sensitivity.trials} == {None}
    assert found.sensitivity.lr_decades is None


def test_cost_is_the_median_of_what_completed(made: Any) -> None:
    cost = of(made, "adam").cost
    assert cost is not None
    assert (cost.passes, cost.examples, cost.seconds, cost.ratio) == (20, 200, 2.0, 2.0)
    assert (cost.peak_bytes, cost.optimizer_state_bytes) == (7, 8)
    assert cost.example_passes == 40
    old = of(made, "sgd").cost  # its records do not say
    assert old is not None and old.example_passes is None


@pytest.mark.parametrize("what", ["cpu", "threads"])
def test_cpu_time_is_compared_on_one_machine_alone(made: Any, what: str) -> None:
    for run_id in made.studies[1].selected_runs:
        run = made.runs[run_id]
        if what == "cpu":
            changed = {"environment": run.environment.model_copy(update={"cpu": "another"})}
        else:
            changed = {"spec": run.spec.model_copy(update={"compute": Compute(threads=2)})}
        made.change(run_id, **changed)
    cost = of(made, "adam").cost
    assert cost is not None and cost.ratio is None and cost.seconds == 2.0


def test_nothing_completed_means_no_cost_and_no_curve(new_records: Any) -> None:
    records = new_records().task("digits", targets=TARGETS)
    records.add("digits", "sgd", ["diverged", "failed"])
    found = of(records, "sgd")
    assert (found.cost, found.selection, found.curve, found.paths) == (None, None, [], [])
    assert [(target.n, target.reached) for target in found.targets] == [(2, 0), (2, 0)]


def test_which_snapshot_is_scored(made: Any) -> None:
    for run_id in made.studies[1].selected_runs[:3]:
        result = Result(val=0.5, test=0.7, test_last=0.6, test_oracle=0.8, selected=0)
        made.change(run_id, result=result)
    found = of(made, "adam").selection
    assert found is not None
    assert (found.selected, found.last, found.oracle) == pytest.approx((0.7, 0.6, 0.8))


def test_paths_of_the_first_repetitions(made: Any) -> None:
    study = made.studies[1]
    for run_id in study.selected_runs[:3]:
        made.change(run_id, curve=curve(0.1, 0.2, starts=2, x=1.0, y=2.0))
    made.change(study.selected_runs[1], curve=curve(0.1, 0.2, x=1e200))
    found = of(made, "adam").paths
    assert [(path.repetition, path.start) for path in found] == [(0, 0), (0, 1), (2, 0), (2, 1)]
    assert found[0].points == [(1.0, 2.0)] * 2


def test_the_order_of_records_does_not_matter(made: Any) -> None:
    expected = depth(made)
    made.studies.reverse()
    made.runs = dict(reversed(made.runs.items()))
    assert depth(made) == expected


def test_stale_methods_are_described_too(made: Any) -> None:
    old = made.add("digits", "old", [0.9] * 2, method_code="before")
    made.add("digits", "old", [None], method_code="now")
    made.studies = made.studies[:-1]
    made.change(old.selected_runs[0], curve=curve(0.4, 0.9))
    found = of(made, "old")
    assert found.curve[0].n == 1
    assert found.cost is not None


HUGE = 10**400


@pytest.mark.parametrize(
    "point",
    [
        {"passes": HUGE, "seconds": 1e308, "val": 1e308, "test": -1e308},
        {"passes": -HUGE, "seconds": -1e308, "val": -1e308, "test": 1e308},
        {"x": 1.7e308, "y": -1.7e308},
        {"batch": HUGE},
        {"batch": -HUGE, "start": -HUGE},
    ],
)
def test_hostile_numbers_stay_finite(made: Any, point: dict[str, Any]) -> None:
    """Records may hold any number that JSON can; a page may not."""
    study = made.studies[1]
    usage = Usage(
        example_passes=HUGE, passes=HUGE, examples=HUGE, train_seconds=1e308, peak_bytes=HUGE
    )
    for run_id, sign in zip(study.selected_runs[:3], (1, -1, 1), strict=True):
        points = [replace(p, **point) for p in curve(0.2, 0.8)]
        run = made.runs[run_id]
        result = run.result.model_copy(update={"test_last": 1e308 * sign, "test_oracle": 1e308})
        made.change(run_id, curve=points, usage=usage, result=result)
    made.tune(
        study,
        [1e308, -1e308, 0.5],
        [1e99, -1e99, 0.5],
        [{"lr": HUGE}, {"lr": 1e-300}, {"lr": 1.0}],
        Space(ranges={"lr": FloatRange(low=0, high=1)}),
    )
    found = of(made, "adam")
    for target in found.targets:
        assert target.passes is None or math.isfinite(target.passes)
    assert found.cost is not None and found.cost.passes <= 1e100


def test_a_curve_with_more_points_than_the_task_has_is_read_at_those(made: Any) -> None:
    points = [point(b % 11, passes=b, seconds=0.1, val=0.5, test=0.5) for b in range(5000)]
    for run_id in made.studies[1].selected_runs[:3]:
        made.change(run_id, curve=points)
    assert [point.batch for point in of(made, "adam").curve] == list(GRID)
