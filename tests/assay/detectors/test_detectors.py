"""Each detector: a planted cheat is flagged, honest records are not."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from statistics import mean, stdev
from typing import Any

import pytest
from assay.cards import Metric, TaskCard
from assay.detectors import Flag, detect
from assay.detectors.baselines import Baselines
from assay.identity import sha256
from assay.records.schema import (
    Checks,
    Compute,
    CurvePoint,
    Isolation,
    MethodRef,
    Result,
    RunRecord,
    RunSpec,
    TaskRef,
    Usage,
)
from assay.space import Space

from tests.assay.conftest import ENVIRONMENT

TASK = TaskRef(slug="digits", version=1, code_hash=sha256("task"))
BATCHES = (20, 40, 60, 80, 100)
LIFT = (0.5, 0.8, 0.92, 0.98, 1.0)
"""Share of the final score that a curve has at BATCHES."""
OPTIMIZER = b"from assay import Method\nclass A(Method):\n    def configure_optimizer(s): ...\n"


def card_of(**changes: Any) -> TaskCard:
    values: dict[str, Any] = {
        "slug": "digits",
        "version": 1,
        "title": "Digits",
        "summary": "Made up.",
        "family": "classification",
        "tier": "lite",
        "dataset": {"name": "none", "source": "none", "licence": "none"},
        "n_classes": 10,
        "split": {"train": 800, "val": 300, "test": 700},
        "model": {"name": "mlp"},
        "metric": {"name": "accuracy", "direction": "maximize", "chance": 0.1, "margin": 0.01},
        "budget": {"batches": 100, "batch_size": 2, "seconds": 10},
        "evaluation": {"points": 5},
        "reference": "sgd",
    }
    return TaskCard.model_validate(values | changes)


def method_of(slug: str) -> MethodRef:
    return MethodRef(slug=slug, version=1, code_hash=sha256(slug))


def run_of(
    method: str,
    repetition: int,
    *,
    val: float,
    test: float,
    lift: Sequence[float] = LIFT,
    weights: str | None = None,
    cpu: float = 0.5,
    train: float = 0.5,
    wall: float = 0.6,
    checks: Checks | None = None,
    point: int | None = 0,
    **result: Any,
) -> RunRecord:
    spec = RunSpec(
        ruleset=2,
        task=TASK,
        method=method_of(method),
        hyperparameters={"lr": 0.1},
        repetition=repetition,
        point=point,
        compute=Compute(),
    )
    scores = {"val": val, "test": test, "test_last": test, "test_oracle": test, "selected": 4}
    return RunRecord(
        id=spec.id,
        spec=spec,
        space=Space(),
        family="classification",
        tier="lite",
        status="completed",
        result=Result(**(scores | result)),
        curve=[
            CurvePoint(
                batch=b,
                passes=b,
                example_passes=2 * b,
                seconds=0.1,
                train_loss=1.0,
                val=val * s,
                test=test * s,
                start=0,
            )
            for b, s in zip(BATCHES, lift, strict=True)
        ],
        usage=Usage(
            batches=100,
            passes=100,
            examples=200,
            example_passes=200,
            train_seconds=train,
            wall_seconds=wall,
            cpu_seconds=cpu,
        ),
        environment=ENVIRONMENT,
        isolation=Isolation(level="L2"),
        scorer_version=1,
        weights_sha256=sha256(weights or spec.id),
        checks=checks
        or Checks(first_losses=[2.3], reference_first_losses=[2.3], weight_distances=[1.5]),
        reproduce="assay run",
        created_at="2026-01-01T00:00:00Z",
    )


def runs_of(
    method: str,
    level: float = 0.95,
    *,
    gap: float = 0.0,
    seed: int = 0,
    n: int = 8,
    **changes: Any,
) -> list[RunRecord]:
    """Repetitions around a test score of `level`, with the sampling noise of real splits."""
    draw = random.Random(f"{method}/{seed}")
    made, shares = [], changes.pop("lift", LIFT)
    for repetition in range(n):
        test = round(700 * min(0.995, draw.gauss(level, 0.008))) / 700
        val = round(300 * min(0.995, test + gap + draw.gauss(0, 0.01))) / 300
        lift = [share * draw.gauss(1, 0.01) for share in shares]
        made.append(run_of(method, repetition, val=val, test=test, lift=lift, **changes))
    return made


@pytest.fixture
def baseline() -> list[RunRecord]:
    """Three honest methods on one task."""
    return [*runs_of("sgd", 0.95), *runs_of("adam", 0.94), *runs_of("adamw", 0.93)]


def codes(flags: Sequence[Flag]) -> list[str]:
    return [flag.code for flag in flags]


def found(
    runs: Sequence[RunRecord], baseline: Sequence[RunRecord], card: TaskCard | None = None
) -> list[Flag]:
    return detect(runs, {"method.py": OPTIMIZER}, card or card_of(), baseline)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("level", [0.6, 0.9, 0.95, 0.965])
def test_honest_records_are_not_flagged(level: float, seed: int, baseline: list[RunRecord]) -> None:
    assert found(runs_of("mine", level, seed=seed), baseline) == []


def test_nothing_is_said_without_runs_or_baselines() -> None:
    assert detect([], {}, card_of(), []) == []
    assert detect(runs_of("mine"), {}, card_of(), []) == []


def test_records_of_another_task_version_are_no_baseline(baseline: list[RunRecord]) -> None:
    other = TaskRef(slug="digits", version=2, code_hash=sha256("other"))
    moved = [
        run.model_copy(update={"spec": run.spec.model_copy(update={"task": other})})
        for run in baseline
    ]
    cheat = runs_of("mine", 0.95, cpu=5.0, train=5.0, wall=6.0)
    assert codes(found(cheat, baseline)) == ["cost"]
    assert found(cheat, moved) == []


def test_a_first_loss_of_other_weights_is_flagged(baseline: list[RunRecord]) -> None:
    checks = Checks(first_losses=[0.02], reference_first_losses=[2.31], weight_distances=[1.5])
    (flag,) = found(runs_of("mine", checks=checks), baseline)
    assert flag.code == "first_loss" and "0.02 instead of 2.31" in flag.message
    assert len(flag.runs) == 8


def test_a_missing_first_loss_is_flagged(baseline: list[RunRecord]) -> None:
    checks = Checks(first_losses=[None], reference_first_losses=[2.31], weight_distances=[1.5])
    (flag,) = found(runs_of("mine", checks=checks), baseline)
    assert flag.code == "first_loss" and "reported no first loss" in flag.message


def test_a_method_with_its_own_loss_may_begin_anywhere(baseline: list[RunRecord]) -> None:
    checks = Checks(first_losses=[0.02], reference_first_losses=[2.31], weight_distances=[1.5])
    source = {"method.py": OPTIMIZER.replace(b"configure_optimizer", b"compute_loss")}
    assert detect(runs_of("mine", checks=checks), source, card_of(), baseline) == []


def test_runs_that_end_alike_are_not_flagged_for_it(baseline: list[RunRecord]) -> None:
    first, *others = runs_of("mine")
    end = first.curve[-1]
    last = replace(others[-1].curve[-1], val=end.val, test=end.test)
    alike = others[-1].model_copy(update={"curve": [*others[-1].curve[:-1], last]})
    assert found([first, *others[:-1], alike], baseline) == []
    same = alike.model_copy(update={"curve": first.curve})
    assert codes(found([first, *others[:-1], same], baseline)) == ["repeated_result"]
    assert found([first, first, *others], baseline) == []


def test_a_result_is_the_selected_run_of_each_repetition(baseline: list[RunRecord]) -> None:
    """Other points of the same repetitions are neither examined nor compared with."""
    checks = Checks(first_losses=[0.02], reference_first_losses=[2.31], weight_distances=[90.0])
    others = [run_of("mine", r, val=0.5, test=0.5, point=1, checks=checks) for r in range(8)]
    by_hand = [run_of("mine", r, val=0.99, test=1.2, point=None, cpu=9.0) for r in range(8)]
    control = [run_of("mine", 100 + r, val=0.99, test=1.2, cpu=9.0) for r in range(8)]
    honest = runs_of("mine")
    assert found([*honest, *others, *by_hand, *control], baseline) == []
    selected = [run_of("mine", r, val=0.999, test=0.95, point=1, checks=checks) for r in range(8)]
    assert "first_loss" in codes(found([*honest, *selected], baseline))
    worse = [run_of("sgd", r, val=0.2, test=0.2, point=1) for r in range(8)]
    known = Baselines([*worse, *baseline, *others]).beside(TASK, method_of("mine"), card_of())
    assert sorted(map(len, known.groups)) == [8, 8, 8]
    assert {run.spec.point for run in known.runs} == {0}


def test_a_repetition_without_a_completed_run_counts_in_no_spread(
    baseline: list[RunRecord],
) -> None:
    failed = [
        run.model_copy(update={"status": "failed", "result": None, "curve": []})
        for run in runs_of("mine")[:3]
    ]
    assert found([*failed, *runs_of("mine")[3:]], baseline) == []
    assert found(failed, baseline) == []


def test_records_without_checks_are_not_flagged(baseline: list[RunRecord]) -> None:
    old = [run.model_copy(update={"checks": None}) for run in runs_of("mine")]
    assert found(old, baseline) == []


def test_the_same_weights_for_other_seeds_are_flagged(baseline: list[RunRecord]) -> None:
    runs = runs_of("mine")
    twice = runs[3].model_copy(update={"weights_sha256": runs[5].weights_sha256})
    (flag,) = found([*runs[:3], twice, *runs[4:]], baseline)
    assert flag.code == "repeated_result" and flag.runs == sorted([twice.id, runs[5].id])


def test_the_same_curve_for_other_seeds_is_flagged(baseline: list[RunRecord]) -> None:
    runs = [run_of("mine", r, val=0.95, test=0.95) for r in range(8)]
    assert "curve" in found(runs, baseline)[0].message
    assert found(runs, baseline, card_of(deterministic=True)) == []


def test_networks_that_predict_one_class_are_not_copies(baseline: list[RunRecord]) -> None:
    collapsed = [run_of("mine", r, val=0.1, test=0.1, lift=(1, 1, 1, 1, 1)) for r in range(8)]
    assert found(collapsed, baseline) == []


NOISY = card_of(family="noisy_labels", recipe={"noise": "symmetric", "noise_rate": 0.4})


def noisy(method: str, level: float, above: float = 0.0) -> list[RunRecord]:
    """Validation labels of which 40 % are wrong: acc 0.6 + (1 - acc) 0.4 / 9 of them agree."""
    draw = random.Random(method)
    runs = []
    for repetition in range(8):
        test = draw.gauss(level, 0.01)
        val = 0.6 * test + (1 - test) * 0.4 / 9 + above + draw.gauss(0, 0.015)
        runs.append(run_of(method, repetition, val=val, test=test))
    return runs


def test_more_agreement_with_noisy_labels_than_the_truth_has_is_flagged() -> None:
    others = [*noisy("sgd", 0.9), *noisy("adam", 0.92), *noisy("elr", 0.7)]
    assert found(noisy("mine", 0.96), others, NOISY) == []
    flags = found(noisy("mine", 0.96, above=0.15), others, NOISY)
    assert {"above_ceiling", "val_test_gap"} <= set(codes(flags))
    assert "have 0.6000" in flags[0].message


def test_a_perfect_score_where_the_best_make_errors_is_flagged(baseline: list[RunRecord]) -> None:
    runs = [
        run_of("mine", r, val=0.98 + r / 1000, test=1.0, lift=(0.5, 0.8, 0.9, 0.97 + r / 999, 1))
        for r in range(8)
    ]
    assert "above_ceiling" in codes(found(runs, baseline))
    near = [*runs_of("sgd", 0.9985), *runs_of("adam", 0.9985)]
    assert "above_ceiling" not in codes(found(runs, near))


FUNCTION = card_of(
    family="functions",
    split={},
    recipe={"minimum": 0.0, "gap_floor": 1e-8},
    budget={"batches": 100, "batch_size": 1, "seconds": 10},
)


def test_more_area_than_an_oracle_has_is_flagged() -> None:
    honest = [run_of("mine", r, val=v, test=v) for r, v in enumerate((0.3, 0.5, 0.89))]
    assert found(honest, [], FUNCTION) == []
    assert codes(found([run_of("mine", 0, val=0.91, test=0.91)], [], FUNCTION)) == ["above_ceiling"]
    below = run_of("mine", 0, val=0.5, test=0.5, secondary={"log10_gap": -9.0})
    assert codes(found([below], [], FUNCTION)) == ["above_ceiling"]
    unequal = run_of("mine", 0, val=0.5, test=0.6)
    assert codes(found([unequal], [], FUNCTION)) == ["val_test_gap"]


def test_a_score_outside_its_range_is_flagged() -> None:
    assert codes(found([run_of("mine", 0, val=0.9, test=1.2)], [])) == ["above_ceiling"]


def test_a_network_that_begins_trained_is_flagged(baseline: list[RunRecord]) -> None:
    (flag,) = found(runs_of("mine", 0.95, lift=(0.98, 0.985, 0.99, 0.995, 1.0)), baseline)
    assert flag.code == "fast_convergence" and "after 20 batches" in flag.message
    assert len(flag.runs) == 8


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("sigmas", [6.0, 9.0, 14.0, 40.0])
def test_a_lead_is_measured_by_the_largest_spread(
    sigmas: float, seed: int, baseline: list[RunRecord]
) -> None:
    """Beside the definition, computed point by point with the exact standard library."""
    draw, card = random.Random(seed), card_of()
    noise = draw.choice([0.0, 0.004, 0.02])
    lift = [share + draw.choice([0.0, sigmas * max(0.011, noise)]) for share in LIFT]
    runs = [
        run_of("mine", n, val=0.9, test=0.9, lift=[share + draw.gauss(0, noise) for share in lift])
        for n in range(8)
    ]
    methods = [baseline[start : start + 8] for start in range(0, len(baseline), 8)]
    leads = []
    for point in range(len(BATCHES)):
        columns = [[run.curve[point].val for run in same] for same in (runs, *methods)]
        best = max(mean(column) for column in columns[1:])
        spread = max(card.metric.margin, *(stdev(column) for column in columns))
        leads.append(((mean(columns[0]) - best) / spread, BATCHES[point]))
    said = [flag.message for flag in found(runs, baseline) if flag.code == "fast_convergence"]
    most, batch = max(leads)
    assert bool(said) == (most > 6)
    for message in said:
        assert message.startswith(f"after {batch} batches") and f": {most:.1f} stand" in message


def test_faster_is_faster_in_a_metric_to_minimise(baseline: list[RunRecord]) -> None:
    metric = Metric(name="error", direction="minimize", chance=1.0, margin=0.01)
    card, falling = card_of(metric=metric), {"lift": (3, 2, 1.5, 1.2, 1)}
    others = [*runs_of("sgd", 0.3, **falling), *runs_of("adam", 0.31, **falling)]
    assert found(runs_of("mine", 0.3, **falling), others, card) == []
    flags = found(runs_of("mine", 0.3, lift=(1.1, 1.1, 1, 1, 1)), others, card)
    assert codes(flags) == ["fast_convergence"]


@pytest.mark.parametrize(
    ("spent", "said"),
    [
        ({"cpu": 2.0, "wall": 0.6}, "more CPU time than their threads have"),
        ({"cpu": 2.3, "train": 0.5, "wall": 2.4}, "their training time explains"),
        ({"cpu": 1.8, "train": 1.8, "wall": 2.0}, "ratio 3.60"),
        ({"cpu": 0.15, "train": 0.15, "wall": 0.3}, "ratio 0.30"),
    ],
)
def test_odd_costs_are_flagged(
    spent: dict[str, float], said: str, baseline: list[RunRecord]
) -> None:
    flags = found(runs_of("mine", **spent), baseline)
    assert set(codes(flags)) == {"cost"}
    assert any(said in flag.message for flag in flags)


def test_costs_on_another_machine_are_not_compared(baseline: list[RunRecord]) -> None:
    slow = [
        run.model_copy(update={"environment": ENVIRONMENT.model_copy(update={"cpu": "old"})})
        for run in runs_of("mine", cpu=5.0, train=5.0, wall=6.0)
    ]
    assert found(slow, baseline) == []


@pytest.mark.parametrize(("distance", "said"), [(40.0, "the largest"), (0.0, "a hundredth")])
def test_odd_weight_distances_are_flagged(
    distance: float, said: str, baseline: list[RunRecord]
) -> None:
    checks = Checks(first_losses=[2.3], reference_first_losses=[2.3], weight_distances=[distance])
    (flag,) = found(runs_of("mine", checks=checks), baseline)
    assert flag.code == "weight_distance" and said in flag.message


def test_weights_that_never_moved_and_score_by_chance_are_honest(
    baseline: list[RunRecord],
) -> None:
    checks = Checks(first_losses=[2.3], reference_first_losses=[2.3], weight_distances=[0.0])
    assert found(runs_of("mine", 0.15, checks=checks), baseline) == []


@pytest.mark.parametrize("gap", [0.06, -0.06])
def test_a_gap_that_no_baseline_has_is_flagged(gap: float, baseline: list[RunRecord]) -> None:
    (flag,) = found(runs_of("mine", 0.93, gap=gap), baseline)
    assert flag.code == "val_test_gap" and f"is {gap:+f}"[:4] in flag.message


def test_detectors_import_no_torch() -> None:
    code = "import sys, assay.detectors; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
