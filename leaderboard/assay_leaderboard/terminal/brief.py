"""A board in a few lines a task: what lies above the reference, below it, or cannot be told."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from assay_leaderboard.format import OTHER_DRAWS, Format, level_text, plain
from assay_leaderboard.schema.board import Board, TaskTable
from assay_leaderboard.schema.values import Comparison
from assay_leaderboard.terminal.console import show_lines


def show_brief(board: Board, out: Console) -> None:
    """Print for each task which methods differ from its reference, by how much.

    A method lies above or below the reference where its interval excludes 0, as everywhere.
    """
    for task in board.tasks:
        _show_task(task, out)
    show_lines(_footer(board), out)


def _show_task(task: TaskTable, out: Console) -> None:
    form = Format(task.unit, task.margin)
    reference = next((row for row in task.rows if row.is_reference), None)
    out.print(plain(f"{task.task}: {task.title}"), style="bold")
    if reference is None or reference.tuned.mean is None:
        show_lines([f"  {task.reference}, the reference, has no result here"], out)
        out.print()
        return
    unit = f" {form.unit}" if form.unit else ""
    lines = Table.grid(padding=(0, 2, 0, 0))
    lines.add_row(
        "  reference",
        f"{task.reference}, {task.metric} "
        f"{form.span(reference.tuned.mean, reference.tuned.interval)}{unit}, n={reference.tuned.n}",
    )
    beside = [(row.method, row.versus_reference) for row in task.rows if row.versus_reference]
    for words, side in (("above it", 1), ("below it", -1), ("not told apart", 0)):
        found = [
            f"{method} {form.span(versus.difference, versus.interval, '+')}"
            for method, versus in beside
            if _side(versus) == side
        ]
        if found:
            lines.add_row(f"  {words}", "; ".join(found))
    out.print(lines)
    out.print()


def _side(versus: Comparison) -> int:
    """1: the interval lies above 0; -1: below; 0: it holds 0, or no pair of the task passed."""
    if versus.verdict == "undecided":
        return 0
    return (versus.interval.low > 0) - (versus.interval.high < 0)


def _footer(board: Board) -> list[str]:
    rows = [row for task in board.tasks for row in task.rows]
    if not rows:
        return ["Nothing is current here. Next: assay run METHOD --tier lite"]
    lines = [
        "Numbers: mean test score, and mean gain on the reference over the same repetitions, with "
        f"intervals. {OTHER_DRAWS}"
    ]
    if any(row.state == "preliminary" for row in rows):
        lines.append(
            "Preliminary: too few repetitions or points for ranks and verdicts. Each interval is "
            f"{level_text(board.confidence)} on its own: about one in "
            f"{round(1 / (1 - board.confidence))} excludes 0 where no method differs."
        )
    return [*lines, "The whole board, with ranks where there are enough runs: assay board"]
