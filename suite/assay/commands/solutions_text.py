"""Tables of `assay diagnose`: quantities in rows, methods in columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from assay.records.solutions import QUANTITIES, Solution, Solutions, Spread, three_digits

if TYPE_CHECKING:
    from rich.console import Console

MAX_WIDTH, TITLE, CELL = 100, 20, 26
"""Columns of the terminal: at most, of the titles of rows, and of a method."""


def show_solutions(solutions: Solutions, out: Console) -> None:
    """Print how the networks differ, at the same training loss and at the end of training."""
    n = len(solutions.repetitions)
    for title, found in (
        ("at the same training loss", solutions.matched),
        ("at the end of training", solutions.end),
    ):
        out.print(f"{solutions.task}: networks {title}", style="bold")
        beside = max(1, (out.width - TITLE) // CELL)
        for first in range(0, len(found), beside):
            _show(found[first : first + beside], n, out)
        out.print()
    lines = [
        f"Mean [lowest, highest] of n={n} repetitions, or of those with a value where n stands "
        f"beside it; score: {solutions.metric}."
    ]
    lines += [f"{quantity.title}: {quantity.explanation}." for quantity in QUANTITIES.values()]
    if solutions.n_other_weights:
        lines.append(
            f"{solutions.n_other_weights} of {solutions.n_runs} runs ended with other weights than "
            "their records: on another kind of machine, or as taking weights rounds them."
        )
    for line in lines:
        out.print(line, style="dim")


def _show(found: Sequence[Solution], n: int, out: Console) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="underline")
    table.add_column(Text(""))
    for solution in found:
        table.add_column(Text(solution.method), justify="right", overflow="fold")
    for name, quantity in QUANTITIES.items():
        cells = [_text(solution.measures.get(name), n) for solution in found]
        table.add_row(Text(quantity.title), *map(Text, cells))
    out.print(table)


def _text(spread: Spread | None, n: int) -> str:
    return "-" if spread is None else f"{three_digits(spread.mean)} {spread.ends(n)}".rstrip()
