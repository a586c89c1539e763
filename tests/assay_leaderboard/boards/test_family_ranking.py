"""Several tasks: what leaving something out does to the ranks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from assay.ruleset import RULESET
from assay_leaderboard.boards.board import build
from assay_leaderboard.schema.board import Board

Scores = Callable[..., list[float]]


def made(records: Any) -> Board:
    return build(records.evidence, records.catalogue, list(records.cards), RULESET)


def test_ranks_without_a_task_are_those_of_the_board_without_it(demo_records: Any) -> None:
    board = made(demo_records)
    assert board.overall is not None
    first: dict[str, list[int]] = {}
    for left_out in demo_records.cards:
        tasks = [slug for slug in demo_records.cards if slug != left_out]
        small = build(demo_records.evidence, demo_records.catalogue, tasks, RULESET)
        summary = small.overall or small.families[0]
        for r in summary.rows:
            if r.rank and r.method in {"better", "same", "sgd", "noisy"}:
                first.setdefault(r.method, []).append(r.rank[0])
    found = {r.method: r.rank_without_task for r in board.overall.rows if r.rank}
    assert found == {method: (min(ranks), max(ranks)) for method, ranks in first.items()}
    assert found["noisy"] == (2, 4)  # without the task on which it is so much worse
    assert all(r.rank_without_task is None for r in board.families[1].rows)


def test_leaving_a_method_out_changes_the_correction_alone(records: Any, scores: Scores) -> None:
    records.task("t").task("u")
    for task in "tu":
        records.add(task, "sgd", scores(0.9, 0))
        records.add(task, "adam", scores(0.95, 1))
    rows = made(records).families[0].rows
    assert [r.rank for r in rows] == [(1, 1), (2, 2)]
    assert [r.rank_without_method for r in rows] == [(1, 1), (2, 2)]
    records.studies = [study for study in records.studies if study.method.slug == "sgd"]
    assert made(records).families[0].rows[0].rank_without_method is None
