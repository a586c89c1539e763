"""Several tasks: scores, partial coverage, ranks on common tasks, families weighing the same."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from assay.ruleset import RULESET
from assay_leaderboard.boards.board import build
from assay_leaderboard.schema.board import Board, FamilySummary, SummaryRow
from assay_leaderboard.statistics.aggregate import Aggregates, interquartile_mean

from tests.assay_leaderboard.making import R, Records, grid, noisy

SMALL = RULESET.model_copy(update={"bootstrap_draws": 500})


def made(records: Records, budget: int | None = None) -> Board:
    return build(records.evidence, records.catalogue, list(records.cards), SMALL, budget)


def rows(summary: FamilySummary | None) -> dict[str, SummaryRow]:
    assert summary is not None
    return {row.method: row for row in summary.rows}


@pytest.fixture(scope="module")
def two() -> Records:
    """Three tasks of classification and one of functions; `part` cannot enter one of the three.

    `alone` could enter all and was run on one; `quick` is preliminary.
    """
    records = Records(needs={"part": ["class_counts"]})
    for slug in "ab":
        records.task(slug, access=["class_counts"])
    records.task("c")
    records.task("f", family="functions", access=["class_counts"], metric={"margin": 0.02})
    for i, slug in enumerate("abcf"):
        records.cell(slug, "sgd", *grid(0.8 + 0.02 * i, i))
        records.cell(slug, "good", *grid(0.9, i + 10))
        if slug != "c":
            records.cell(slug, "part", *grid(0.86, i + 20))
    records.cell("a", "alone", *grid(0.85, 40))
    records.cell("b", "quick", *grid(0.99, 50, r=6, k=4))
    return records


def scores_of(records: Records, method: str, budget: int | None = None) -> dict[str, Any]:
    found = {}
    for slug in records.cards:
        task = records.task_evidence(slug).comparisons()
        if method in task.by_method:
            found[slug] = task.normalised(task.by_method[method].values(budget))
    return found


@pytest.mark.parametrize("budget", [None, 1, 3])
def test_a_family_is_the_middle_half_of_all_repetitions(two: Records, budget: int | None) -> None:
    family = made(two, budget).families[0]
    assert (family.name, family.tasks) == ("classification", ["a", "b", "c"])
    found = rows(family)
    for method, n_tasks in {"sgd": 3, "good": 3, "part": 2}.items():
        own = {t: v for t, v in scores_of(two, method, budget).items() if t in "abc"}
        row = found[method]
        assert row.score == pytest.approx(interquartile_mean(list(own.values())))
        assert (row.n_tasks, row.of_tasks, row.n) == (n_tasks, 3, n_tasks * R)
        means = [float(values.mean()) for values in own.values()]
        assert row.mean == pytest.approx(np.mean(means))
        assert row.range_tasks == pytest.approx((min(means), max(means)))
        assert row.interval is not None and row.interval_tasks is None
        assert row.interval.low < row.score < row.interval.high  # type: ignore[operator]
        first = {t: v for t, v in scores_of(two, method, 1).items() if t in "abc"}
        assert row.defaults == pytest.approx(interquartile_mean(list(first.values())))
    assert [row.method for row in family.rows][:2] == ["good", "part"]


def test_overall_is_the_mean_of_the_families(two: Records) -> None:
    board = made(two)
    first, second = (rows(family) for family in board.families)
    overall = rows(board.overall)
    for method in ("sgd", "good", "part"):
        parts = [first[method].score, second[method].score]
        assert overall[method].score == pytest.approx(np.mean(parts))  # type: ignore[arg-type]
        assert overall[method].range_tasks == pytest.approx((min(parts), max(parts)))  # type: ignore[type-var]
        assert overall[method].of_tasks == 4
    assert overall["alone"].score is None and overall["alone"].n_tasks == 1
    assert board.overall is not None
    margins = 0.005 / 0.8, 0.02 / 0.8
    assert board.overall.margin == pytest.approx(np.mean(margins))
    assert board.overall.families == ["classification", "functions"]


def test_a_method_that_could_enter_more_tasks_is_not_ranked(two: Records) -> None:
    """Else a submitter could choose the tasks; it does not count among the pairs either."""
    board = made(two)
    found = rows(board.families[0])
    for method, n_tasks, lacks in (("alone", 1, ["b", "c"]), ("quick", 0, ["a", "b", "c"])):
        row = found[method]
        assert (row.score, row.mean, row.rank) == (None, None, None)
        assert (row.n_tasks, row.lacks, row.n) == (n_tasks, lacks, n_tasks * R)
    assert all(found[method].lacks == [] for method in ("sgd", "good", "part"))
    assert rows(board.overall)["alone"].lacks == ["b", "c", "f"]
    without = replace(
        two, runs={i: r for i, r in two.runs.items() if r.spec.method.slug != "alone"}
    )
    fewer = made(without)
    for own, other in zip(board.families, fewer.families, strict=True):
        assert [row for row in own.rows if row.method != "alone"] == other.rows


def test_a_method_without_a_card_is_asked_for_every_task(two: Records) -> None:
    local = replace(two, local={"part"})
    assert (rows(made(local).families[0])["part"].lacks) == ["c"]


def test_a_method_that_cannot_enter_a_task_is_ranked_on_the_others(two: Records) -> None:
    """Its pairs are compared on the tasks that both have."""
    family = made(two).families[0]
    found = rows(family)
    assert found["part"].rank is not None
    assert found["good"].rank == (1, 1)
    methods = [row.method for row in family.rows if row.rank]
    values = [{t: v for t, v in scores_of(two, method).items() if t in "abc"} for method in methods]
    contrasts = Aggregates(values, SMALL).over([["a", "b", "c"]]).contrasts
    beats = contrasts.beats(family.margin or 0.0, SMALL.false_discovery_rate)
    for i, method in enumerate(methods):
        lost, won = int(beats[:, i].sum()), int(beats[i].sum())
        assert found[method].rank == (1 + lost, len(methods) - won)


def test_views_are_of_methods_with_all_tasks(two: Records) -> None:
    family = made(two).families[0]
    assert set(family.profile) == {"sgd", "good"}
    assert [(x.a, x.b) for x in family.improvements] == [("good", "sgd")]
    assert family.critical is None, "three tasks are too few"


def test_ten_tasks_make_a_diagram_of_mean_ranks() -> None:
    records = Records()
    for i in range(10):
        records.task(f"t{i}")
        for j, method in enumerate(("sgd", "adam", "lion")):
            scores = noisy(0.8 + 0.05 * j, 3 * i + j)
            records.add(f"t{i}", method, scores, k=1)
            for run in records.of(method, f"t{i}"):
                records.change(run.id, space=run.space.model_copy(update={"ranges": {}}))
    family = made(records).families[0]
    assert family.critical is not None
    assert list(family.critical.mean_ranks) == ["lion", "adam", "sgd"]
    assert rows(family)["lion"].interval_tasks is not None, "8 tasks or more"


def test_small_differences_are_ties_however_certain() -> None:
    records = Records().task("t", metric={"margin": 0.02})
    scores = noisy(0.9, 0)
    records.add("t", "sgd", scores)
    records.add("t", "hair", [score + 0.001 for score in scores])
    assert [row.rank for row in made(records).families[0].rows] == [(1, 2), (1, 2)]


def test_over_one_task_ranks_are_those_of_the_task() -> None:
    """Without its one lost repetition `risky` is better, and on its mean it is not shown to be.

    The middle half decides over several tasks; over one a pair has the verdict of the task.
    """
    ranks = {}
    for tasks in ("a", "ab"):
        records = Records()
        for task in tasks:
            scores = noisy(0.9, ord(task))
            risky = [0.0, *(score + 0.03 for score in scores[1:])]
            records.task(task).add(task, "sgd", scores)
            records.add(task, "risky", risky)
        board = made(records)
        ranks[tasks] = [(row.method, row.rank) for row in board.families[0].rows]
        assert board.tasks[0].rows[0].rank == (1, 2)
    assert ranks["ab"] == [("risky", (1, 1)), ("sgd", (2, 2))]
    assert ranks["a"] == [("risky", (1, 2)), ("sgd", (1, 2))]


def test_the_paper_tier_has_scores_and_no_ranks() -> None:
    records = Records().task("p", tier="paper")
    for method in ("sgd", "adam"):
        records.add("p", method, noisy(0.9, 0, n=RULESET.r("paper")))
    (family,) = made(records).families
    assert family.name == "classification_paper"
    assert all(row.score is not None and row.rank is None for row in family.rows)


def test_tiers_are_never_mixed() -> None:
    records = Records().task("l").task("s", tier="standard")
    records.add("l", "sgd", noisy(0.9, 0))
    records.add("s", "sgd", noisy(0.7, 0, n=RULESET.r("standard")))
    board = made(records)
    assert [(f.name, f.tasks) for f in board.families] == [
        ("classification", ["l"]),
        ("classification_standard", ["s"]),
    ]
    assert board.overall is None
