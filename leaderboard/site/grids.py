"""Tables of the site: real ones, with a caption, scopes, and what the script sorts and filters by.

Written by hand rather than by template: a board has a hundred thousand cells.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

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


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell."""

    content: str | Markup
    key: float | None = None
    """What a column of numbers is sorted by; None sorts last, both ways."""
    css: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """One row."""

    cells: Sequence[Cell]
    facets: Mapping[str, str] = field(default_factory=dict)
    """What can be filtered by: family, tier, track, trust, access (several: with spaces)."""
    css: str = ""

    def html(self, columns: Sequence[Column]) -> Markup:
        """The row in a table of these columns."""
        css = f' class="{escape(self.css)}"' if self.css else ""
        parts = [f"<tr{css}{_attributes(tuple(self.facets.items()))}>"]
        start, end = '<th scope="row"', "</th>"
        for column, cell in zip(columns, self.cells, strict=True):
            css = _classes(column.text, cell.css) if cell.css or not column.text else ""
            key = "" if cell.key is None else f' data-k="{cell.key:.10g}"'
            content = cell.content
            if not isinstance(content, Markup):
                content = escape(content)
            parts += (start, css, key, ">", content, end)
            start, end = "<td", "</td>"
        parts.append("</tr>\n")
        return Markup("".join(parts))


@functools.lru_cache(maxsize=256)
def _classes(text: bool, css: str) -> str:
    """The attribute of a cell in a column of text or of numbers."""
    return f' class="{escape(css if text else f"n {css}".strip())}"'


@functools.lru_cache(maxsize=1024)
def _attributes(facets: tuple[tuple[str, str], ...]) -> str:
    """What a row can be filtered by; most rows have the same as many others."""
    return "".join([f' data-{escape(name)}="{escape(value)}"' for name, value in facets])


@dataclass(frozen=True)
class Grid:
    """One table."""

    id: str
    caption: str | Markup
    columns: Sequence[Column]
    lines: Sequence[Line | Markup]
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
        live = Markup(' data-live data-csv="{}"').format(self.csv) if self.live else ""
        return Markup("").join(
            [
                Markup('<div class="scroll" role="region" tabindex="0" '),
                Markup('aria-labelledby="{0}-caption"><table id="{0}"{1}>').format(name, live),
                Markup('<caption id="{}-caption">{}</caption>\n<thead><tr>').format(
                    name, self.caption
                ),
                *(self._head(column) for column in self.columns),
                Markup("</tr></thead>\n<tbody>\n"),
                *(
                    line if isinstance(line, Markup) else line.html(self.columns)
                    for line in self.lines
                ),
                Markup("</tbody></table></div>\n"),
            ]
        )

    def _head(self, column: Column) -> Markup:
        css = "" if column.text else Markup(' class="n"')
        low = Markup(" data-low") if column.low else ""
        order = Markup(' aria-sort="{}"').format(self.order) if column.key == self.by else ""
        unit = Markup("<small>{}</small>").format(column.unit) if column.unit else ""
        return Markup('<th scope="col" data-c="{}"{}{}{}><span>{}</span>{}</th>').format(
            column.key, css, low, order, column.title, unit
        )
