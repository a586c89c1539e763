"""Tables with a caption, header scopes, and the attributes that static/assay.js sorts by.

Rendered here and not by a template: a template takes many times as long, and a large board has a
hundred thousand cells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from markupsafe import Markup, escape

from assay_leaderboard.site.html.text import breakable


@dataclass(frozen=True)
class Column:
    """One column; the cells of the first column are the headers of their rows."""

    key: str
    """Its name in addresses ("#sort=tuned.gain"): short and stable."""
    title: str
    unit: str = ""
    """Unit and direction, or another short explanation, in small print."""
    text: bool = False
    """Aligned to the left, and sorted as text unless a cell has a key."""
    low: bool = False
    """The first click sorts ascending: small numbers are the interesting ones."""


@dataclass(frozen=True)
class TableCell:
    """One cell."""

    content: str | Markup
    key: float | None = None
    """Sort key where numbers are sorted; None sorts last in both directions."""
    css: str = ""


@dataclass(frozen=True)
class TableRow:
    """One row."""

    cells: Sequence[TableCell]
    facets: Mapping[str, str] = field(default_factory=dict)
    """Filter values by name: family, tier, track, trust, access (several separated by spaces)."""
    css: str = ""


@dataclass(frozen=True)
class Table:
    """One table; it renders itself in a template."""

    id: str
    caption: str | Markup
    columns: Sequence[Column]
    rows: Sequence[TableRow]
    live: bool = True
    """The script may sort it, filter it and hide columns."""
    sorted_by: str = ""
    """Key of the column by which `rows` are sorted."""
    order: str = "ascending"
    csv: str = ""
    """Address of the same table as CSV, if there is one."""

    def __html__(self) -> Markup:
        """The table in a box that scrolls by itself."""
        name = escape(self.id)
        live = f' data-live data-csv="{escape(self.csv)}"' if self.live else ""
        head = "".join(
            _header(column, self.order if column.key == self.sorted_by else "")
            for column in self.columns
        )
        rows = "".join(_row(row, self.columns) for row in self.rows)
        return Markup(
            '<div class="scroll" role="region" tabindex="0" '
            f'aria-labelledby="{name}-caption"><table id="{name}"{live}>'
            f'<caption id="{name}-caption">{escape(self.caption)}</caption>\n<thead><tr>'
            f"{head}</tr></thead>\n<tbody>\n{rows}</tbody></table></div>\n"
        )


def _header(column: Column, order: str) -> str:
    """The header of a column; `order` if the table is sorted by it."""
    css = "" if column.text else ' class="n"'
    low = " data-low" if column.low else ""
    sort = f' aria-sort="{escape(order)}"' if order else ""
    unit = f"<small>{escape(column.unit)}</small>" if column.unit else ""
    return (
        f'<th scope="col" data-c="{escape(column.key)}"{css}{low}'
        f"{sort}><span>{breakable(escape(column.title))}</span>{unit}</th>"
    )


def _row(row: TableRow, columns: Sequence[Column]) -> str:
    facets = "".join(f' data-{escape(k)}="{escape(v)}"' for k, v in row.facets.items())
    cells = "".join(
        _cell(cell, column, number == 0)
        for number, (cell, column) in enumerate(zip(row.cells, columns, strict=True))
    )
    return f"<tr{_class(row.css)}{facets}>{cells}</tr>\n"


def _cell(cell: TableCell, column: Column, is_header: bool) -> str:
    css = cell.css if column.text else f"n {cell.css}".rstrip()
    key = "" if cell.key is None else f' data-k="{cell.key:.10g}"'
    start, end = ('<th scope="row"', "</th>") if is_header else ("<td", "</td>")
    return f"{start}{_class(css)}{key}>{escape(cell.content)}{end}"


def _class(names: str) -> str:
    return f' class="{escape(names)}"' if names else ""
