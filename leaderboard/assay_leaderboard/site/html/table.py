"""Tables of the site: real ones, with a caption, scopes, and what the script sorts and filters by.

Written by hand rather than by template: a board has a hundred thousand cells.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from markupsafe import Markup, escape


@dataclass(frozen=True, slots=True)
class Column:
    """One column; the first of a table is the header of its rows."""

    key: str
    """Its name in addresses: short and stable."""
    title: str
    unit: str = ""
    """Unit and direction, or what else explains it."""
    text: bool = False
    """Aligned to the left and sorted as text."""
    low: bool = False
    """Small numbers first is how one wants them sorted."""

    def html(self, cell: TableCell, head: bool = False) -> str:
        """A cell of this column as HTML; `head`: it is the header of its row."""
        css = _class(cell.css if self.text else f"n {cell.css}" if cell.css else "n")
        key = "" if cell.key is None else f' data-k="{cell.key:.10g}"'
        start, end = ('<th scope="row"', "</th>") if head else ("<td", "</td>")
        return f"{start}{css}{key}>{_html(cell.content)}{end}"

    def header(self, order: str) -> str:
        """Its head; `order`: how the table is sorted by it, if it is."""
        css = "" if self.text else ' class="n"'
        low = " data-low" if self.low else ""
        by = f' aria-sort="{escape(order)}"' if order else ""
        unit = f"<small>{escape(self.unit)}</small>" if self.unit else ""
        return (
            f'<th scope="col" data-c="{escape(self.key)}"{css}{low}'
            f"{by}><span>{escape(self.title)}</span>{unit}</th>"
        )


class TableCell(NamedTuple):
    """One cell."""

    content: str | Markup
    key: float | None = None
    """What a column of numbers is sorted by; None sorts last, both ways."""
    css: str = ""


@dataclass(frozen=True, slots=True)
class TableRow:
    """One row."""

    cells: Sequence[TableCell | Markup]
    """Some may be written already (`Column.html`): those that many tables share."""
    facets: Mapping[str, str] = field(default_factory=dict)
    """What can be filtered by: family, tier, track, trust, access (several: with spaces)."""
    css: str = ""

    def html(self, columns: Sequence[Column]) -> Markup:
        """The row in a table of these columns."""
        parts = [f"<tr{_class(self.css)}{_facets(tuple(self.facets.items()))}>"]
        for number, (column, cell) in enumerate(zip(columns, self.cells, strict=True)):
            parts.append(cell if isinstance(cell, Markup) else column.html(cell, number == 0))
        parts.append("</tr>\n")
        return Markup("".join(parts))


@dataclass(frozen=True)
class Table:
    """One table."""

    id: str
    caption: str | Markup
    columns: Sequence[Column]
    lines: Sequence[TableRow | Markup]
    """Some may be written already (`Line.html`)."""
    live: bool = True
    """The script may sort, filter and cut it."""
    by: str = ""
    """Key of the column that it is sorted by as it comes."""
    order: str = "ascending"
    csv: str = ""
    """Address of its twin."""

    def __html__(self) -> Markup:
        return self.html

    @property
    def html(self) -> Markup:
        """The table in a box of its own that scrolls."""
        name = escape(self.id)
        live = f' data-live data-csv="{escape(self.csv)}"' if self.live else ""
        head = [
            column.header(self.order if column.key == self.by else "") for column in self.columns
        ]
        lines = [
            line if isinstance(line, Markup) else line.html(self.columns) for line in self.lines
        ]
        return Markup(
            '<div class="scroll" role="region" tabindex="0" '
            f'aria-labelledby="{name}-caption"><table id="{name}"{live}>'
            f'<caption id="{name}-caption">{_html(self.caption)}</caption>\n<thead><tr>'
            f"{''.join(head)}</tr></thead>\n<tbody>\n{''.join(lines)}</tbody></table></div>\n"
        )


def _html(content: str | Markup) -> str:
    """`content` for a page."""
    return content if isinstance(content, Markup) else escape(content)


@functools.lru_cache(maxsize=256)
def _class(names: str) -> str:
    return f' class="{escape(names)}"' if names else ""


@functools.lru_cache(maxsize=1024)
def _facets(facets: tuple[tuple[str, str], ...]) -> str:
    """What a row can be filtered by; most rows have the same as many others."""
    return "".join([f' data-{escape(name)}="{escape(value)}"' for name, value in facets])
