"""Answers of the API: data, with the same tables on a terminal and in a notebook."""

from __future__ import annotations

import html
from collections.abc import Callable
from io import StringIO
from typing import Any, Generic, TypeVar

from pydantic import BaseModel
from rich.console import Console
from rich.table import Table
from rich.text import Text

WIDTH = 100
"""Columns of the tables in `repr`."""
Data = TypeVar("Data", bound=BaseModel)


class Answer(Generic[Data]):
    """A board, a comparison or a ledger of claims.

    `data` holds the numbers, with the keys of the commands' `--json`; `repr` and notebooks show the
    tables that the commands print.
    """

    def __init__(self, data: Data, show: Callable[[Data, Console], None]) -> None:
        self.data = data
        self._show = show

    def __repr__(self) -> str:
        out = StringIO()
        console = Console(
            file=out, width=WIDTH, highlight=False, markup=False, emoji=False, no_color=True
        )
        self._show(self.data, console)
        return out.getvalue().rstrip("\n")

    def _repr_html_(self) -> str:
        page = _Page()
        self._show(self.data, page)
        return "".join(page.parts)


class _Page(Console):
    """Takes what would be printed and keeps it as HTML."""

    def __init__(self) -> None:
        super().__init__(file=StringIO())
        self.parts: list[str] = []

    def print(self, *objects: Any, **options: Any) -> None:
        for shown in objects:
            if isinstance(shown, Table):
                self.parts.append(_table(shown))
            elif text := _plain(shown).strip():
                tag = {"bold": "h4", "dim": "small"}.get(str(options.get("style")), "span")
                self.parts.append(f"<div><{tag}>{html.escape(text)}</{tag}></div>")


def _table(table: Table) -> str:
    aligns = ["right" if column.justify == "right" else "left" for column in table.columns]
    head = "".join(
        f'<th style="text-align:{align}">{html.escape(_plain(column.header))}</th>'
        for column, align in zip(table.columns, aligns, strict=True)
    )
    rows = [
        "".join(
            f'<td style="text-align:{align}">{html.escape(_plain(cell))}</td>'
            for cell, align in zip(cells, aligns, strict=True)
        )
        for cells in zip(*(column.cells for column in table.columns), strict=True)
    ]
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _plain(shown: Any) -> str:
    return shown.plain if isinstance(shown, Text) else str(shown)
