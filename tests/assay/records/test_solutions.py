"""Networks are compared at the lowest training loss that all methods reach."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from assay.cards import Metric
from assay.errors import RecordError
from assay.records import diagnosis
from assay.records.solutions import QUANTITIES, Spread, compared

from tests.assay.conftest import make_diagnosis, make_point

ACCURACY = Metric(name="accuracy", direction="maximize", chance=0.1, margin=0.01)


def test_each_method_is_taken_where_its_loss_is_nearest_to_what_all_reach() -> None:
    fast = [
        make_point(1, 1.0),
        make_point(2, 0.19),
        make_point(3, 0.04),
        make_point(4, 1e-6),
        make_point(5, 0.0),
    ]
    slow = [
        make_point(1, 2.0),
        make_point(2, 0.9),
        make_point(3, 0.2),
        make_point(4, 0.3),
        make_point(5, 0.01),
    ]
    found = compared([make_diagnosis("fast", 0, fast), make_diagnosis("slow", 0, slow)], ACCURACY)
    assert found and (found.task, found.metric, found.repetitions) == ("toy", "accuracy", [0])
    losses = {s.method: s.measures["train_loss"].mean for s in found.matched}
    assert losses == {"fast": 0.19, "slow": 0.2}  # the end, 0.01, is no level to match
    ends = {s.method: s.measures["train_loss"].mean for s in found.end}
    assert ends == {"fast": 0.0, "slow": 0.01}


def test_measures_are_told_with_their_lowest_and_highest_value() -> None:
    one = make_diagnosis("a", 0, [make_point(1, 1.0), make_point(2, 0.5)])
    two = make_diagnosis(
        "a", 1, [make_point(3, 1.0, noise_scale=None), make_point(4, 0.5)], same_weights=False
    )
    found = compared([one, two], ACCURACY)
    assert found and (found.n_runs, found.n_other_weights) == (2, 1)
    (row,) = found.matched
    assert row.measures["norm_growth"] == Spread(mean=3.0, low=2.0, high=4.0, n=2)
    assert row.measures["noise_scale"] == Spread(mean=10.0, low=10.0, high=10.0, n=1)
    assert [row.measures[name].ends(2) for name in ("norm_growth", "noise_scale")] == [
        "[2, 4]", "n=1"
    ]  # fmt: skip
    assert Spread(mean=3.0, low=2.0, high=4.0, n=2).ends(3) == "[2, 4] n=2"
    assert row.measures["loss_gap"].mean == 0.5
    assert row.measures["score_gap"].mean == pytest.approx(0.1)
    assert row.measures["stability"].mean == 0.5
    lacking = {"update_sharpness", "disagreement"}
    assert set(row.measures) == set(QUANTITIES) - lacking
    assert row.disagreement == {}


def test_a_score_to_be_minimised_has_its_gap_the_other_way() -> None:
    lower = ACCURACY.model_copy(update={"direction": "minimize"})
    found = compared([make_diagnosis("a", 0, [make_point(1, 1.0)])], lower)
    assert found and found.matched[0].measures["score_gap"].mean == pytest.approx(-0.1)


def test_disagreement_is_the_share_of_examples_of_another_class() -> None:
    classes = {"a": [0, 1, 2, 3], "b": [0, 1, 2, 0], "c": [1, 0, 2, 3]}
    found = compared(
        [make_diagnosis(m, 0, [make_point(1, 1.0, predictions=p)]) for m, p in classes.items()],
        ACCURACY,
    )
    assert found
    pairs = {
        (row.method, other): spread.mean
        for row in found.matched
        for other, spread in row.disagreement.items()
    }
    expected = {("a", "b"): 0.25, ("a", "c"): 0.5, ("b", "c"): 0.75}
    assert pairs == expected | {(b, a): share for (a, b), share in expected.items()}
    means = {row.method: row.measures["disagreement"].mean for row in found.matched}
    assert means == {"a": 0.375, "b": 0.5, "c": 0.625}


def test_repetitions_that_one_method_lacks_are_left_out() -> None:
    runs = [
        make_diagnosis(m, r, [make_point(1, 1.0)])
        for m, r in (("a", 0), ("a", 1), ("b", 1), ("b", 2))
    ]
    found = compared(runs, ACCURACY)
    assert found and found.repetitions == [1]
    assert compared(runs[:1] + runs[2:], ACCURACY) is None
    assert compared([], ACCURACY) is None


def test_the_latest_diagnosis_of_a_repetition_counts() -> None:
    old = make_diagnosis("a", 0, [make_point(1, 1.0)])
    new = make_diagnosis("a", 0, [make_point(1, 0.5)], created_at="2026-02-01T00:00:00+00:00")
    for order in ([old, new], [new, old]):
        found = compared(order, ACCURACY)
        assert found and found.matched[0].measures["train_loss"].mean == 0.5


def test_a_diagnosis_is_written_once_and_read_again(tmp_path: Path) -> None:
    own = make_diagnosis("a", 0, [make_point(1, 1.0)])
    diagnosis.write(tmp_path, own)
    path = diagnosis.path_of(tmp_path, own.spec)
    assert diagnosis.read(path) == own
    diagnosis.write(tmp_path, own.model_copy(update={"same_weights": False}))
    assert diagnosis.read(path) == own
    assert [p.relative_to(tmp_path).parts[:3] for p in tmp_path.rglob("*.json")] == [
        ("diagnostics", "toy", "a")
    ]


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda text: text[:-9], "it is not JSON"),
        (lambda text: text.replace('"batch":1', '"batch":-1'), "points.0.batch: expected a number"),
        (lambda text: text.replace('"points":[{', '"points":[{"x":1,'), "points.0.x: is not known"),
        (lambda text: text.replace('"repetition":0', '"repetition":1'), "expected"),
    ],
)
def test_a_damaged_diagnosis_is_named_and_hides_no_other(
    damage: Any, says: str, tmp_path: Path
) -> None:
    runs = [make_diagnosis("a", r, [make_point(1, 1.0)]) for r in (0, 1)]
    for own in runs:
        diagnosis.write(tmp_path, own)
    path = diagnosis.path_of(tmp_path, runs[0].spec)
    path.write_text(damage(path.read_text()))
    with pytest.raises(RecordError, match=says):
        diagnosis.read(path)
    problems: list[str] = []
    assert list(diagnosis.of_task(tmp_path, "toy", problems)) == runs[1:]
    assert len(problems) == 1 and str(path) in problems[0] and says in problems[0]
