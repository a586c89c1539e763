"""Two methods against each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from assay.ruleset import RULESET
from assay_leaderboard.boards.two_methods import ComparisonReport, compare

SMALL = RULESET.model_copy(update={"bootstrap_draws": 500})


def report(records: Any, a: str, b: str, **options: Any) -> ComparisonReport:
    tasks = list(records.cards)
    return compare(records.evidence, records.catalogue, (a, b), tasks, SMALL, **options)


def test_better_on_every_task(demo_records: Any) -> None:
    found = report(demo_records, "better", "sgd")
    assert [duel.task for duel in found.tasks] == ["digits", "letters", "valley"]
    assert found.counts == {"better": 3, "worse": 0, "equivalent": 0, "undecided": 0}
    first = found.tasks[0].comparison
    assert first is not None and first.p is not None and first.p_adjusted is not None
    assert first.n == 12
    assert first.difference == pytest.approx(0.05)
    assert first.p_adjusted == pytest.approx(2 * first.p)  # two tests; valley has none
    assert first.superiority == 1.0
    assert found.overall is not None
    assert found.overall.tasks == ["digits", "letters", "valley"]
    parts = [0.05 / (0.9 - 0.1), 0.05 / (0.9 - 0.1), 2 / 3]
    assert found.overall.difference == pytest.approx(sum(parts) / 3, abs=2e-3)


def test_the_other_way_round_is_the_mirror_image(demo_records: Any) -> None:
    forth, back = report(demo_records, "better", "noisy"), report(demo_records, "noisy", "better")
    assert forth.overall is not None and back.overall is not None
    assert forth.overall.difference == pytest.approx(-back.overall.difference)
    assert forth.overall.interval.low == pytest.approx(-back.overall.interval.high)
    assert forth.counts["better"] == back.counts["worse"]


def test_a_method_with_itself_is_equivalent(demo_records: Any) -> None:
    found = report(demo_records, "sgd", "sgd")
    assert found.counts["equivalent"] == 3
    assert {duel.comparison.superiority for duel in found.tasks if duel.comparison} == {0.5}


@pytest.mark.parametrize(
    ("method", "note"),
    [
        ("old", "old is stale: the method has changed since"),
        ("nobody", "nobody has no record here"),
    ],
)
def test_why_there_is_no_comparison(demo_records: Any, method: str, note: str) -> None:
    duel = report(demo_records, "sgd", method).tasks[0]
    assert duel.comparison is None
    assert duel.note == note


def test_incomplete_and_quick_results_are_preliminary(demo_records: Any) -> None:
    unfinished = report(demo_records, "unfinished", "sgd").tasks[0]
    assert unfinished.comparison is not None
    assert (unfinished.preliminary, unfinished.comparison.n) == (True, 9)
    quick = report(demo_records, "quick", "better").tasks[0]
    assert quick.comparison is not None
    assert (quick.preliminary, quick.comparison.n) == (True, 8)
    assert not report(demo_records, "better", "sgd").tasks[0].preliminary


def test_without_a_reference_there_is_no_overall(
    records: Any, scores: Callable[..., list[float]]
) -> None:
    records.task("t")
    records.add("t", "a", scores(0.9, 0))
    records.add("t", "b", scores(0.8, 1))
    found = report(records, "a", "b")
    assert found.overall is None
    assert found.counts["better"] == 1


def test_defaults_can_be_compared(demo_records: Any) -> None:
    found = report(demo_records, "better", "same", basis="defaults").tasks[0]
    assert found.note == "same: the defaults were not repeated (--quick leaves them out)"
    assert report(demo_records, "better", "sgd", basis="defaults").tasks[0].comparison
