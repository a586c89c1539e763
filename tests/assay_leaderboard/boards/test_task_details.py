"""The details of a task: every number of schema.task_details against one worked out here."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.stats
from assay.records.schema import (
    MAX_COUNT,
    MAX_NUMBER,
    MAX_SECONDS,
    Compute,
    CurvePoint,
    Result,
    Usage,
)
from assay.ruleset import RULESET
from assay.space import ChoiceRange, FloatRange, IntRange, Range, Space
from assay_leaderboard.boards.board import build, table
from assay_leaderboard.boards.search_spaces import end_of
from assay_leaderboard.boards.task_details import detail
from assay_leaderboard.schema.task_details import Detail, TaskDetail

from tests.assay_leaderboard.making import UNTUNED, K, R, Records, grid

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
def made() -> Records:
    """A reference and a method of four repetitions with one point, the last of which diverged."""
    records = Records().task("digits", targets=TARGETS, evaluation={"points": 2})
    records.add("digits", "sgd", [0.8] * 4, k=1, space=UNTUNED)
    records.add("digits", "adam", [0.7, 0.8, 0.95, "diverged"], k=1, space=UNTUNED)
    usage = Usage(
        example_passes=40,
        passes=20,
        examples=200,
        train_seconds=2.0,
        cpu_seconds=3.0,
        peak_bytes=7,
        optimizer_state_bytes=8,
    )
    vals = [(0.4, 0.7), (0.5, 0.8), (0.6, 0.95)]
    *good, bad = ids(records, "adam")
    for run_id, drawn in zip(good, vals, strict=True):
        records.change(run_id, curve=curve(*drawn), usage=usage)
    records.change(bad, usage=Usage(passes=6, train_seconds=0.5))
    for run_id in ids(records, "sgd"):
        usage = Usage(train_seconds=1.0, cpu_seconds=1.5)
        records.change(run_id, curve=curve(0.6, 0.8), usage=usage)
    return records


def ids(records: Records, method: str) -> list[str]:
    return [run.id for run in records.of(method)]


def depth(records: Records) -> TaskDetail:
    evidence = records.task_evidence("digits")
    shown = table(evidence.comparisons())
    found = detail(evidence)
    assert [item.method for item in found.details] == [row.method for row in shown.rows]
    return TaskDetail.model_validate_json(found.model_dump_json())


def of(records: Records, method: str) -> Detail:
    return next(item for item in depth(records).details if item.method == method)


def one_repetition(**task: Any) -> tuple[Records, str]:
    records = Records().task("digits", targets=TARGETS, evaluation={"points": 2}, **task)
    ((run,),) = records.add("digits", "sgd", [0.8], k=1, space=UNTUNED)
    assert run is not None
    return records, run


def test_the_curve_is_the_mean_of_what_completed(made: Records) -> None:
    first, last = of(made, "adam").curve
    assert (first.batch, first.passes, first.seconds, first.n) == (5, 10.0, 0.5, 3)
    assert (first.val, last.val) == pytest.approx((0.5, 2.45 / 3))
    values = [0.69, 0.79, 0.94]
    low, high = scipy.stats.t.interval(0.95, 2, loc=np.mean(values), scale=scipy.stats.sem(values))
    assert last.interval is not None
    assert (last.interval.low, last.interval.high) == pytest.approx((low, high))


def test_one_repetition_has_no_interval() -> None:
    records, run = one_repetition(deterministic=True)
    records.change(run, curve=curve(0.4, 0.8))
    assert [(p.n, p.interval) for p in of(records, "sgd").curve] == [(1, None), (1, None)]


def test_curves_costs_and_targets_are_of_the_selected_runs() -> None:
    records = Records().task("digits", targets=TARGETS, evaluation={"points": 2})
    vals = [[0.5, 0.9, 0.6], [0.8, 0.7, 0.6]]
    for row in records.cell("digits", "sgd", vals):
        for place, run in enumerate(row):
            assert run is not None
            made = curve(0.1 * place, 0.1 * place + 0.4)
            records.change(run, curve=made, usage=Usage(passes=place, example_passes=1))
    found = of(records, "sgd")
    assert [p.val for p in found.curve] == pytest.approx([0.05, 0.45])
    assert found.cost is not None and found.cost.passes == 0.5
    assert found.targets[0].reached == 1
    assert found.selection is not None and found.selection.selected == pytest.approx(0.85)


def test_targets_are_reached_on_validation_at_an_evaluation_point(made: Records) -> None:
    """Three reach 0.5, at 20, 10 and 10 passes; the one that diverged spent 6, and never will."""
    easy, stretch = of(made, "adam").targets
    assert (easy.name, easy.split, easy.n, easy.reached) == ("easy", "val", 4, 3)
    assert easy.passes == pytest.approx((20 + 10 + 10 + 6) / 3)
    assert easy.seconds == pytest.approx((1.0 + 0.5 + 0.5 + 0.5) / 3)
    assert easy.survival == [(0, 1), (10, 0.5), (20, 0.25)]
    assert (stretch.reached, stretch.passes) == (1, 20 + 20 + 20 + 6)
    assert depth(made).ecdf["adam"] == [(0, 0), (10, 0.25), (20, 0.5)]


def test_noisy_labels_are_judged_by_the_clean_ones() -> None:
    """0.5 on noisy validation labels is not 0.5; the curve's test scores are 0.01 lower here."""
    records, run = one_repetition(family="noisy_labels")
    records.change(run, curve=curve(0.5, 0.92))
    found = of(records, "sgd").targets
    assert [(target.passes, target.split) for target in found] == [(20, "test")] * 2


def test_a_target_that_is_never_reached_has_no_time(made: Records) -> None:
    stretch = of(made, "sgd").targets[1]
    assert (stretch.reached, stretch.passes, stretch.seconds) == (0, None, None)
    assert stretch.survival == [(0, 1)]


def test_a_missing_repetition_is_in_no_count(made: Records) -> None:
    del made.runs[ids(made, "adam")[0]]
    found = of(made, "adam")
    assert [target.n for target in found.targets] == [3, 3]
    assert found.curve[0].n == 2


def test_a_completed_run_without_a_curve_says_nothing_of_targets(made: Records) -> None:
    made.change(ids(made, "adam")[0], curve=[])
    found = of(made, "adam")
    assert [target.n for target in found.targets] == [3, 3]
    assert found.selection is not None and found.selection.selected == pytest.approx(2.45 / 3)


def test_smaller_is_better_where_the_card_says_so() -> None:
    records, run = one_repetition(metric={"direction": "minimize", "chance": 2.0})
    records.change(run, curve=curve(0.9, 0.4))
    easy, stretch = of(records, "sgd").targets
    assert (easy.passes, stretch.passes) == (20, 10)


def test_a_method_of_two_passes_a_batch_is_drawn_at_the_same_points(made: Records) -> None:
    twice = [
        point(batch, passes=2 * batch, example_passes=4 * batch, val=val, test=val)
        for batch, val in ((3, 0.6), (5, 0.8))
    ]
    for run_id in ids(made, "sgd"):
        made.change(run_id, curve=twice)
    drawn = of(made, "sgd").curve
    assert [(p.batch, p.passes, p.val) for p in drawn] == [
        (5, 6.0, pytest.approx(0.6)),
        (10, 10.0, pytest.approx(0.8)),
    ]


def test_starts_are_averaged_within_a_repetition() -> None:
    """A start whose passes were spent early stays where it ended."""
    records = Records().task(
        "digits", targets=TARGETS, evaluation={"points": 2}, recipe={"n_starts": 2}
    )
    records.add("digits", "sgd", [0.4, "failed"], k=1, space=UNTUNED)
    early = [point(5, passes=20, seconds=1.0, val=0.8, test=0.8, start=1)]
    first, second = ids(records, "sgd")
    records.change(first, curve=[*early, *curve(0.0, 0.4)])
    records.change(second, usage=Usage(passes=30, train_seconds=4.0))
    found = of(records, "sgd")
    assert [(p.batch, p.passes, p.val) for p in found.curve] == [
        (5, 15.0, 0.4),
        (10, 20.0, pytest.approx(0.6)),
    ]
    assert found.targets[0].passes == 20 + 30 / 2
    assert found.targets[0].seconds == 1.0 + 4.0 / 2


def test_budgets_have_the_numbers_of_their_boards() -> None:
    records = Records().task("digits")
    records.cell("digits", "sgd", *grid(0.9, 0))
    records.cell("digits", "adam", *grid(0.93, 1))
    records.add("digits", "fixed", [0.8] * R, k=1, space=UNTUNED)
    records.cell("digits", "quick", *grid(0.9, 2, r=6, k=4))
    records.cell("digits", "begun", *grid(0.9, 2, r=2))
    found = depth(records)
    details = {item.method: item for item in found.details}
    lengths = {name: len(item.budget) for name, item in details.items()}
    assert lengths == {"sgd": 8, "adam": 8, "fixed": 8, "quick": 4, "begun": 0}
    for k in range(1, K + 1):
        (shown,) = build(records.evidence, records.catalogue, ["digits"], RULESET, k).tasks
        assert found.families[k - 1] == shown.pairs
        for row in shown.rows:
            if row.state == "ranked":
                own = details[row.method].budget[k - 1]
                expected = k, row.tuned.mean, row.tuned.interval
                assert (own.k, own.expected, own.interval) == expected
                assert (own.rank, own.versus_reference) == (row.rank, row.versus_reference)
    assert found.pairs == records.task_evidence("digits").comparisons().pairs
    quick = details["quick"].budget[-1]
    assert (quick.k, quick.rank, quick.versus_reference) == (4, None, None)


def test_sensitivity_comes_from_all_runs() -> None:
    space = Space(
        ranges={
            "lr": FloatRange(low=1e-3, high=1, log=True),
            "width": IntRange(low=0, high=10),
            "b": ChoiceRange(options=(1, 2)),
        },
        defaults={"lr": 0.03, "width": 5, "b": 1},
    )
    records = Records().task("digits", metric={"margin": 0.05})
    vals: list[list[Any]] = [[0.3, 0.76, 0.8, "diverged"], [0.5, 0.4, 0.45, 0.46]]
    pairs = (0.03, 5), (0.01, 6), (1.0, 3), (0.1, 1)
    points = [{"lr": lr, "width": width, "b": 1} for lr, width in pairs]
    found_ids = records.cell("digits", "sgd", vals, space=space)
    for row in found_ids:
        for run_id, values in zip(row, points, strict=True):
            assert run_id is not None
            spec = records.runs[run_id].spec.model_copy(update={"hyperparameters": values})
            records.change(run_id, spec=spec)
    found = of(records, "sgd").sensitivity
    assert found.n == 8
    assert found.default_gap == pytest.approx((0.5 + 0.0) / 2)
    assert found.near_best == pytest.approx(5 / 8), "0.76 and 0.8; 0.5, 0.45 and 0.46"
    assert found.lr_decades == pytest.approx(2.0)
    assert found.diverged == 1 / 8
    assert {name: use.at_edge for name, use in found.ranges.items()} == {"lr": 0.5, "width": 0.0}
    assert (found.ranges["lr"].at_low, found.ranges["lr"].at_high) == (0, 1)
    assert [t.selected for t in found.trials] == [
        False, False, True, False, True, False, False, False
    ]  # fmt: skip
    last = found.trials[3]
    assert (last.repetition, last.point, last.status) == (0, 3, "diverged")
    assert (last.val, last.test, last.run) == (0.1, 0.1, found_ids[0][3])


def test_runs_that_failed_are_near_no_best_and_at_no_end() -> None:
    """They all stand at chance: in the second repetition none is better than another."""
    records = Records().task("digits", metric={"margin": 0.05})
    records.cell("digits", "sgd", [[0.12, "diverged", "failed"], ["diverged", "failed", "failed"]])
    found = of(records, "sgd").sensitivity
    assert (found.n, found.near_best) == (6, 1 / 6)
    assert found.ranges["lr"].n == 1
    records.cell("digits", "adam", [["failed"] * 3] * 2)
    broken = of(records, "adam").sensitivity
    assert (broken.near_best, broken.lr_decades, broken.ranges) == (0.0, None, {})


def test_where_the_defaults_alone_were_tried_no_rate_is_best() -> None:
    records = Records().task("digits", tier="paper", deterministic=True)
    records.add("digits", "sgd", [0.5])
    found = of(records, "sgd").sensitivity
    assert (found.n, found.lr_decades, found.ranges) == (1, None, {})


@pytest.mark.parametrize(
    ("known", "value", "expected"),
    [
        (FloatRange(low=0, high=1), 0.1, "low"),
        (FloatRange(low=0, high=1), 0.11, None),
        (FloatRange(low=0, high=1), 0.95, "high"),
        (FloatRange(low=1e-4, high=1, log=True), 2e-4, "low"),
        (FloatRange(low=1e-4, high=1, log=True), 3e-4, None),
        (FloatRange(low=1e-4, high=1, log=True), 0.5, "high"),
        (FloatRange(low=1e-4, high=1, log=True), -1.0, None),
        (FloatRange(low=1, high=1), 1.0, None),
        (IntRange(low=1, high=11), 2, "low"),
        (IntRange(low=1, high=11), 3, None),
        (FloatRange(low=0, high=1), None, None),
        (FloatRange(low=0, high=1), "red", None),
        (FloatRange(low=0, high=1), 10**400, "high"),
        (ChoiceRange(options=(1, 2)), 1, None),
    ],
)
def test_the_end_is_the_outer_tenth(known: Range, value: Any, expected: str | None) -> None:
    assert end_of(value, known) == expected


def test_cost_is_the_median_of_what_completed(made: Records) -> None:
    cost = of(made, "adam").cost
    assert cost is not None
    assert (cost.passes, cost.examples, cost.seconds, cost.ratio) == (20, 200, 2.0, 2.0)
    assert (cost.peak_bytes, cost.optimizer_state_bytes) == (7, 8)
    assert cost.example_passes == 40


@pytest.mark.parametrize("what", ["cpu", "threads"])
def test_cpu_time_is_compared_on_one_machine_alone(made: Records, what: str) -> None:
    for run in made.of("adam"):
        if what == "cpu":
            environment = run.environment.model_copy(update={"cpu": "another"})
            made.change(run.id, environment=environment)
        else:
            spec = run.spec.model_copy(update={"compute": Compute(threads=2)})
            made.change(run.id, spec=spec)
    cost = of(made, "adam").cost
    assert cost is not None and cost.ratio is None and cost.seconds == 2.0


def test_nothing_completed_means_no_cost_and_no_curve() -> None:
    records = Records().task("digits", targets=TARGETS)
    records.add("digits", "sgd", ["diverged", "failed"])
    found = of(records, "sgd")
    assert (found.cost, found.selection, found.curve, found.paths) == (None, None, [], [])
    assert [(target.n, target.reached) for target in found.targets] == [(2, 0), (2, 0)]


def test_which_snapshot_is_scored(made: Records) -> None:
    for run_id in ids(made, "adam")[:3]:
        result = Result(val=0.5, test=0.7, test_last=0.6, test_oracle=0.8, selected=0)
        made.change(run_id, result=result)
    found = of(made, "adam").selection
    assert found is not None
    assert (found.selected, found.last, found.oracle) == pytest.approx((0.7, 0.6, 0.8))


def test_paths_of_the_first_repetitions(made: Records) -> None:
    runs = ids(made, "adam")
    for run_id in runs[:3]:
        made.change(run_id, curve=curve(0.1, 0.2, starts=2, x=1.0, y=2.0))
    made.change(runs[1], curve=curve(0.1, 0.2))
    found = of(made, "adam").paths
    assert [(path.repetition, path.start) for path in found] == [(0, 0), (0, 1), (2, 0), (2, 1)]
    assert found[0].points == [(1.0, 2.0)] * 2


def test_the_order_of_records_does_not_matter(made: Records) -> None:
    expected = depth(made)
    made.runs = dict(reversed(made.runs.items()))
    assert depth(made) == expected


def test_stale_methods_are_described_too(made: Records) -> None:
    ((run, *_), *_) = made.add("digits", "old", [0.9] * 2, method_code="before")
    assert run is not None
    made.change(run, curve=curve(0.4, 0.9))
    found = of(made, "old")
    assert found.cost is not None
    assert found.budget == []


HUGE, MOST = MAX_COUNT, MAX_NUMBER


@pytest.mark.parametrize(
    "point",
    [
        {"passes": HUGE, "seconds": MAX_SECONDS, "val": MOST, "test": -MOST},
        {"passes": 0, "seconds": 0.0, "val": -MOST, "test": MOST},
        {"x": MOST, "y": -MOST},
        {"batch": HUGE},
        {"batch": 0, "start": 0},
    ],
)
def test_hostile_numbers_stay_finite(made: Records, point: dict[str, Any]) -> None:
    """The largest numbers that a record may hold."""
    usage = Usage.model_construct(
        example_passes=HUGE, passes=HUGE, examples=HUGE, train_seconds=MAX_SECONDS, peak_bytes=HUGE
    )
    space = Space(ranges={"lr": FloatRange(low=0, high=1)}, defaults={"lr": 1.0})
    for run, sign, lr in zip(made.of("adam")[:3], (1, -1, 1), (2**62, 1e-300, 1.0), strict=True):
        points = [replace(p, **point) for p in curve(0.2, 0.8)]
        assert run.result
        changes = {"test_last": MOST * sign, "test_oracle": MOST, "val": MOST * sign}
        result = run.result.model_copy(update=changes)
        spec = run.spec.model_copy(update={"hyperparameters": {"lr": lr}})
        made.change(run.id, curve=points, usage=usage, result=result, spec=spec)
    for run in made.of("adam"):
        made.change(run.id, space=space)
    found = of(made, "adam")
    for target in found.targets:
        assert target.passes is None or math.isfinite(target.passes)
    assert found.cost is not None and found.cost.passes <= 1e100


def test_a_curve_with_more_points_than_the_task_has_is_read_at_those(made: Records) -> None:
    points = [point(b % 11, passes=b, seconds=0.1, val=0.5, test=0.5) for b in range(5000)]
    for run_id in ids(made, "adam")[:3]:
        made.change(run_id, curve=points)
    assert [point.batch for point in of(made, "adam").curve] == list(GRID)
