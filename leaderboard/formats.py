"""How numbers, tables and lines are printed: at most 100 columns, no steering of the terminal."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterable

from rich.console import Console
from rich.table import Table
from rich.text import Text

from leaderboard.paired import Interval

MAX_WIDTH = 100


def console() -> Console:
    """Standard output: as wide as the terminal, at most 100 columns; plain text when piped."""
    width = min(MAX_WIDTH, shutil.get_terminal_size((MAX_WIDTH, 24)).columns)
    return Console(width=width, highlight=False, markup=False, emoji=False)


def plain(text: str) -> str:
    """`text` without characters that could steer a terminal."""
    return "".join(c if c.isprintable() else "?" for c in text)


class Format:
    """How the scores of one task are printed: shares as percent, digits from the margin."""

    def __init__(self, unit: str, margin: float) -> None:
        self.scale = 100.0 if unit == "share" else 1.0
        self.unit = "%" if unit == "share" else unit
        self.digits = max(0, 1 - math.floor(math.log10(margin * self.scale)))

    def number(self, value: float | None, sign: str = "") -> str:
        if value is None:
            return "-"
        scaled = value * self.scale
        wide = abs(scaled) >= 1e5
        return f"{scaled:{sign}.4g}" if wide else f"{scaled:{sign}.{self.digits}f}"

    def span(self, value: float | None, interval: Interval | None, sign: str = "") -> str:
        if interval is None:
            return self.number(value, sign)
        low, high = self.number(interval.low, sign), self.number(interval.high, sign)
        return f"{self.number(value, sign)} [{low}, {high}]"


SCORE = Format("", 0.01)
"""Normalised scores: three digits."""


def table(*columns: str) -> Table:
    """A table without lines; a column whose name starts with ">" is aligned to the right."""
    made = Table(box=None, padding=(0, 1), pad_edge=False, header_style="underline")
    for column in columns:
        right = column.startswith(">")
        made.add_column(
            Text(column.removeprefix(">")), justify="right" if right else "left", overflow="fold"
        )
    return made


def show_lines(lines: Iterable[str], out: Console) -> None:
    """Print `lines` in the background of a table."""
    for line in lines:
        out.print(plain(line), style="dim")


def p_value(p: float | None) -> str:
    """Four digits; empty where there was no test."""
    return "" if p is None else f"{p:.4f}"
