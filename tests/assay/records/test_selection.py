"""Which run of a repetition counts."""

from __future__ import annotations

from typing import Any

import pytest
from assay.cards import Metric
from assay.records.schema import Compute, Result, RunRecord
from assay.records.selection import counts, results, scores, selected

from tests.assay.conftest import make_record, make_spec


def metric(direction: str = "maximize") -> Metric:
    return Metric(name="accuracy", direction=direction, chance=0.1, margin=0.01)  # type: ignore[arg-type]


def run(point: int | None, val: float | None, repetition: int = 0, **spec: Any) -> RunRecord:
    own = make_spec(point=point, repetition=repetition, **spec)
    if val is None:
        return make_record(own, status="diverged", result=None, curve=[])
    result = Result(val=val, test=1 - val, test_last=0.5, test_oracle=0.5, selected=0)
    return make_record(own, result=result)


@pytest.mark.parametrize(
    ("direction", "vals", "point"),
    [
        ("maximize", [0.5, 0.9, 0.7], 1),
        ("minimize", [0.5, 0.9, 0.4], 2),
        ("maximize", [0.5, 0.9, 0.9], 1),
        ("maximize", [None, 0.05, 0.08], 0),  # chance is better than both
        ("maximize", [None, 0.05, 0.2], 2),
        ("minimize", [None, 0.05, 0.2], 1),
        ("maximize", [0.1, None, 0.1], 0),
        ("maximize", [None, None, None], 0),
    ],
)
def test_the_best_on_validation_counts(
    direction: str, vals: list[float | None], point: int
) -> None:
    runs = [run(number, val) for number, val in enumerate(vals)]
    for order in (runs, runs[::-1]):
        assert selected(order, metric(direction)).spec.point == point


def test_a_run_that_did_not_complete_scores_by_chance() -> None:
    assert scores(run(0, None), metric()) == (0.1, 0.1)
    assert scores(run(0, 0.75), metric()) == (0.75, 0.25)


def test_results_are_one_a_repetition_of_each_cell() -> None:
    gpu = Compute(accelerator="gpu")
    runs = [
        run(0, 0.5),
        run(1, 0.9),
        run(0, 0.6, repetition=1),
        run(None, 0.99),
        run(0, 0.99, repetition=100),
        run(0, 0.3, compute=gpu),
        run(0, 0.2, epoch="spring"),
    ]
    found = results(runs, metric())
    assert [scores(one, metric())[0] for one in found] == [0.9, 0.6, 0.3, 0.2]
    assert [counts(one.spec) for one in runs] == [True, True, True, False, False, True, True]
