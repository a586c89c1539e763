"""The notes under a task's table in a terminal."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO

from assay_leaderboard.schema.board import Replay
from assay_leaderboard.schema.values import Interval
from assay_leaderboard.terminal.board import show_board
from assay_leaderboard.terminal.brief import show_brief
from rich.console import Console

from tests.assay_leaderboard.worlds import SEEDS, show

REPLAYS = [
    Replay(16, identical=16, within_tolerance=0, chaotic=0, mean_difference=None, allowed=None),
    Replay(18, identical=0, within_tolerance=16, chaotic=2, mean_difference=-0.002, allowed=0.008),
    Replay(16, identical=0, within_tolerance=16, chaotic=0, mean_difference=0.001, allowed=0.006),
]


def test_runs_are_told_by_what_became_of_them_and_methods_share_a_line() -> None:
    board = show(SEEDS[0]).board
    task = max(board.tasks, key=lambda task: len(task.rows))
    rows = [replace(row, runs=replace(row.runs, diverged=0)) for row in task.rows]
    for i, made in enumerate(REPLAYS):
        rows[i] = replace(rows[i], replay=made, runs=replace(rows[i].runs, diverged=i))
    rows[2] = replace(rows[2], tries=3, refused=1)
    tasks = [task.model_copy(update={"rows": rows, "unit": "share", "margin": 0.01})]
    out = StringIO()
    shown = board.model_copy(update={"tasks": tasks, "families": [], "overall": None})
    show_board(shown, Console(file=out, width=300))
    a, b, c = (row.method for row in rows[:3])
    lines = {line.strip() for line in out.getvalue().splitlines()}
    assert lines >= {
        f"runs diverged: {b} 1, {c} 2",
        f"runs repeated by others, bit for bit: {a} 16",
        f"runs repeated by others, within the tolerance of another machine: {b} 16, {c} 16",
        f"runs repeated by others, but chaotic, so that they show nothing: {b} 2",
        f"recorded minus repeated on average in %: {b} -0.2 (at most 0.8), {c} +0.1 (at most 0.6)",
        f"submitted more than once: {c} 3 tries, 1 of them refused",
    }


def test_a_pair_that_is_not_judged_different_lies_on_no_side_of_the_reference() -> None:
    """Where no pair of a task passed, an interval may exclude 0 and the verdict is undecided."""
    board = show(SEEDS[0]).board
    task = next(task for task in board.tasks if any(r.is_reference for r in task.rows))
    other = next(r for r in task.rows if r.versus_reference and r.versus_reference.verdict)
    for verdict, words in (("undecided", "not told apart"), ("better", "above it")):
        versus = replace(other.versus_reference, verdict=verdict, interval=Interval(0.1, 0.2))
        rows = [r for r in task.rows if r.is_reference]
        rows.append(replace(other, versus_reference=versus))
        out = StringIO()
        only = board.model_copy(update={"tasks": [task.model_copy(update={"rows": rows})]})
        show_brief(only, Console(file=out, width=300))
        assert f"{words}  " in out.getvalue() and other.method in out.getvalue()
