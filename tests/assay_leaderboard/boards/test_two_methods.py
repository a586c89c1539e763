"""Two methods against each other."""

from __future__ import annotations

import numpy as np
import pytest
from assay.ruleset import RULESET
from assay_leaderboard.boards.board import build
from assay_leaderboard.boards.two_methods import ComparisonReport, compare
from assay_leaderboard.statistics import sign_flips, subset_means

from tests.assay_leaderboard.making import R, Records, grid, noisy


def report(records: Records, a: str, b: str, budget: int | None = None) -> ComparisonReport:
    tasks = list(records.cards)
    return compare(records.evidence, records.catalogue, (a, b), tasks, RULESET, budget)


@pytest.mark.parametrize("budget", [None, 1])
def test_the_verdicts_are_those_of_the_board(demo_records: Records, budget: int | None) -> None:
    tasks = list(demo_records.cards)
    board = build(demo_records.evidence, demo_records.catalogue, tasks, RULESET, budget)
    for method in ("better", "same", "noisy", "quick"):
        found = report(demo_records, method, "sgd", budget)
        assert found.budget == budget
        for duel in found.tasks:
            table = next(table for table in board.tasks if table.task == duel.task)
            rows = {row.method: row for row in table.rows}
            expected = rows[method].versus_reference if method in rows else None
            assert duel.comparison == expected
            if duel.comparison and duel.comparison.verdict:
                assert duel.pairs == table.pairs


def test_counts_and_pooled_difference(demo_records: Records) -> None:
    found = report(demo_records, "better", "sgd")
    assert [duel.task for duel in found.tasks] == ["digits", "letters", "valley", "fixed"]
    assert found.counts == {
        "better": 3,
        "worse": 0,
        "equivalent": 0,
        "better, negligible": 0,
        "worse, negligible": 0,
        "undecided": 0,
        "neither completed": 0,
    }
    (overall,) = found.overall
    assert (overall.tier, overall.tasks) == ("lite", ["digits", "letters", "valley"])
    parts = []
    for duel, gap in zip(found.tasks, (0.8, 0.8, 3.0), strict=False):
        assert duel.comparison is not None
        parts.append(duel.comparison.difference / gap)
    assert overall.difference == pytest.approx(np.mean(parts))
    assert overall.n == R


def test_the_pooled_interval_is_of_means_over_tasks() -> None:
    records = Records().task("t").task("u")
    for seed, task in enumerate("tu"):
        records.cell(task, "sgd", *grid(0.9, seed))
        records.cell(task, "adam", *grid(0.91, seed + 10))
    found = report(records, "adam", "sgd")
    rows = []
    for task in "tu":
        evidence = records.task_evidence(task)
        sgd, adam = (evidence.comparisons().by_method[name] for name in ("sgd", "adam"))
        rows.append((adam.scores() - sgd.scores()) / 0.8)
    pooled = np.mean(rows, axis=0)[np.newaxis]
    (overall,) = found.overall
    ends = overall.interval.low, overall.interval.high
    assert ends == pytest.approx(subset_means.intervals(pooled, 0.05)[0])
    assert overall.p == sign_flips.p_values(pooled)[0]


def test_the_other_way_round_is_the_mirror_image(demo_records: Records) -> None:
    forth, back = report(demo_records, "better", "noisy"), report(demo_records, "noisy", "better")
    (there,), (and_back,) = forth.overall, back.overall
    assert there.difference == pytest.approx(-and_back.difference)
    assert there.interval.low == pytest.approx(-and_back.interval.high)
    assert forth.counts["better"] == back.counts["worse"] > 0
    assert [duel.mean_a for duel in forth.tasks] == [duel.mean_b for duel in back.tasks]


@pytest.mark.parametrize(
    ("method", "note"),
    [
        ("old", "old is stale: the method has changed since"),
        ("nobody", "nobody has no record here"),
        ("unfinished", "unfinished is incomplete: fewer runs than --quick makes have a record"),
        ("sgd", "the same method"),
    ],
)
def test_why_there_is_no_comparison(demo_records: Records, method: str, note: str) -> None:
    duel = report(demo_records, "sgd", method).tasks[0]
    assert (duel.comparison, duel.mean_a, duel.note) == (None, None, note)


def test_deterministic_tasks_are_not_compared(demo_records: Records) -> None:
    duel = report(demo_records, "better", "sgd").tasks[3]
    assert duel.comparison is None and "nothing to test" in duel.note


def test_quick_results_are_preliminary(demo_records: Records) -> None:
    found = report(demo_records, "quick", "better")
    duel = found.tasks[0]
    assert duel.comparison is not None and duel.comparison.verdict is None
    assert (duel.preliminary, duel.comparison.n, duel.pairs) == (True, 6, None)
    assert sum(found.counts.values()) == 0
    assert duel.mean_a is not None and duel.mean_b is not None
    assert duel.mean_a - duel.mean_b == pytest.approx(duel.comparison.difference)
    assert not report(demo_records, "better", "sgd").tasks[0].preliminary


def test_without_an_anchor_there_is_no_overall() -> None:
    records = Records().task("t", anchor=None)
    records.cell("t", "a", *grid(0.9, 0))
    records.cell("t", "b", *grid(0.8, 0))
    found = report(records, "a", "b")
    assert found.overall == []
    assert found.counts["better"] == 1


def test_tiers_are_pooled_apart_and_preliminary_or_failed_pairs_not_at_all() -> None:
    records = Records().task("quick").task("lite").task("failed").task("large", tier="standard")
    for task, mean in (("lite", 0.8), ("large", 0.99)):
        n = RULESET.r("standard" if task == "large" else "lite")
        records.add(task, "a", noisy(mean, 0, n=n))
        records.add(task, "b", noisy(0.9, 1, n=n))
    for method in "ab":
        records.cell("quick", method, *grid(0.9, 0, r=6, k=4))
        records.cell("failed", method, [["failed"] * 8] * R)
    found = report(records, "a", "b")
    lite, standard = found.overall
    assert (lite.tier, lite.tasks, lite.n) == ("lite", ["lite"], R)
    assert (standard.tier, standard.tasks, standard.n) == ("standard", ["large"], 10)
    assert lite.difference < 0 < standard.difference
    assert [duel.preliminary for duel in found.tasks] == [True, False, False, False]
