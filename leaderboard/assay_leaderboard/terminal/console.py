"""Tables and lines for a terminal: at most 120 columns, no control characters."""

from __future__ import annotations

import shutil
from collections.abc import Iterable

from rich.console import Console
from rich.table import Table
from rich.text import Text

from assay_leaderboard.format import plain

MAX_WIDTH = 120


def console() -> Console:
    """The standard output, at most 120 columns wide; plain text when piped."""
    width = min(MAX_WIDTH, shutil.get_terminal_size((MAX_WIDTH, 24)).columns)
    return Console(width=width, highlight=False, markup=False, emoji=False)


def new_table(*columns: str) -> Table:
    """A table without lines; a column whose name starts with ">" is aligned to the right."""
    made = Table(box=None, padding=(0, 1), pad_edge=False, header_style="underline")
    for column in columns:
        right = column.startswith(">")
        made.add_column(
            Text(column.removeprefix(">")), justify="right" if right else "left", overflow="fold"
        )
    return made


def show_lines(lines: Iterable[str], out: Console) -> None:
    """Print `lines` dimmed: notes under a table."""
    for line in lines:
        out.print(plain(line), style="dim")
