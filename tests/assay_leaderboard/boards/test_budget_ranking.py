"""The rankings at every budget: the same numbers as the board at that budget."""

from __future__ import annotations

import pytest
from assay.ruleset import RULESET
from assay_leaderboard.boards.board import build, groups
from assay_leaderboard.boards.budget_ranking import budget_tables
from assay_leaderboard.boards.task_comparisons import TaskComparisons
from assay_leaderboard.evidence.cells import cells
from assay_leaderboard.schema.board import BudgetTable
from assay_leaderboard.statistics.result_cache import ResultCache

from tests.assay_leaderboard.making import UNTUNED, K, R, Records, grid

SMALL = RULESET.model_copy(update={"bootstrap_draws": 300})


@pytest.fixture(scope="module")
def two() -> Records:
    """Two families; one method cannot enter a task, one has nothing to tune, one is preliminary,
    one could enter more tasks."""
    records = Records(needs={"part": ["class_counts"]}).task("b")
    records.task("a", access=["class_counts"]).task(
        "f", family="functions", access=["class_counts"]
    )
    records.cell("a", "chosen", *grid(0.95, 50))
    for i, slug in enumerate("abf"):
        records.cell(slug, "sgd", *grid(0.85, i))
        records.cell(slug, "tuned", *grid(0.9, i + 10, gain=0.2))
        records.add(slug, "fixed", [0.8] * R, k=1, space=UNTUNED)
        if slug != "b":
            records.cell(slug, "part", *grid(0.87, i + 20))
        records.cell(slug, "quick", *grid(0.9, i + 30, r=6, k=4))
    return records


def tables(records: Records, cache: ResultCache | None = None) -> list[BudgetTable]:
    work = []
    for card in records.cards.values():
        found, _ = cells(card, records.evidence, records.catalogue, SMALL)
        work.append(TaskComparisons(card, found, SMALL))
    return budget_tables([*groups(work, lambda task: task.card).items()], records.catalogue, cache)


def test_every_budget_is_the_board_at_that_budget(two: Records) -> None:
    found = {(table.name, table.k): table.rows for table in tables(two)}
    names = ("classification", "functions", "overall")
    assert list(found) == [(name, k) for name in names for k in range(1, K + 1)]
    for k in (1, 3, K):
        board = build(two.evidence, two.catalogue, list(two.cards), SMALL, None if k == K else k)
        for summary in (*board.families, board.overall):
            assert summary is not None
            expected = [
                (r.method, r.n_tasks, r.score, r.interval, r.rank)
                for r in summary.rows
                if r.rank is not None
            ]
            rows = found[summary.name, k]
            assert [(r.method, r.n_tasks, r.score, r.interval, r.rank) for r in rows] == expected


def test_tuning_helps_who_has_something_to_tune(two: Records) -> None:
    found = {(table.name, table.k): table.rows for table in tables(two)}
    scores = {
        method: [
            row.score
            for k in range(1, K + 1)
            for row in found["overall", k]
            if row.method == method
        ]
        for method in ("tuned", "fixed")
    }
    assert scores["tuned"] == sorted(scores["tuned"])
    assert len(set(scores["fixed"])) == 1 and len(scores["fixed"]) == K
    ranked = {row.method for rows in found.values() for row in rows}
    assert ranked == {"sgd", "tuned", "fixed", "part"}


def test_kept_bootstraps_change_nothing(two: Records) -> None:
    cache = ResultCache()
    assert tables(two, cache) == tables(two)


def test_without_an_anchor_the_tables_are_empty() -> None:
    records = Records().task("t", anchor=None)
    records.cell("t", "sgd", *grid(0.9, 0))
    assert [table.rows for table in tables(records)] == [[]] * K
