"""Shapes as text: coordinates rounded to a tenth of a unit, styles by class alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Literal

from leaderboard.format import plain

Point = tuple[float, float]
Anchor = Literal["start", "middle", "end"]

N_STYLES = 8
"""Series that are told apart by colour, dashes and marker; see pictures.css."""
_FAR = 2000.0
"""Coordinates beyond the picture are cut here: some renderers calculate in single precision."""
_ARM = 0.38


def coordinate(value: float) -> str:
    """`value` to a tenth of a unit, as short as possible."""
    if not -_FAR <= value <= _FAR:
        value = min(_FAR, max(-_FAR, value))
    text = f"{value:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text


def pairs(points: Iterable[Point]) -> str:
    """Points as "x,y x,y"."""
    return " ".join(f"{coordinate(x)},{coordinate(y)}" for x, y in points)


def polyline(points: Iterable[Point], style: str) -> str:
    """An open line through `points`."""
    return f'<polyline class="{style}" points="{pairs(points)}"/>'


def polygon(points: Iterable[Point], style: str) -> str:
    """A filled area."""
    return f'<polygon class="{style}" points="{pairs(points)}"/>'


def line(start: Point, end: Point, style: str) -> str:
    """A straight line."""
    (x1, y1), (x2, y2) = start, end
    return (
        f'<line class="{style}" x1="{coordinate(x1)}" y1="{coordinate(y1)}" '
        f'x2="{coordinate(x2)}" y2="{coordinate(y2)}"/>'
    )


def squares(corners: Iterable[Point], size: float, style: str) -> str:
    """Equal squares, each with its upper left corner at one of `corners`."""
    side = coordinate(size)
    moves = [f"M{pairs([corner])}h{side}v{side}h-{side}z" for corner in corners]
    return f'<path class="{style}" d="{"".join(moves)}"/>' if moves else ""


def ticks(places: Iterable[float], y: float, half: float, style: str) -> str:
    """Short upright lines through height `y`, `half` up and down."""
    moves = [f"M{coordinate(x)},{coordinate(y - half)}v{coordinate(2 * half)}" for x in places]
    return f'<path class="{style}" d="{"".join(moves)}"/>' if moves else ""


def rectangle(x: float, y: float, width: float, height: float, style: str) -> str:
    """A filled rectangle with its corner at (x, y)."""
    return (
        f'<rect class="{style}" x="{coordinate(x)}" y="{coordinate(y)}" '
        f'width="{coordinate(width)}" height="{coordinate(height)}"/>'
    )


def steps(points: Sequence[Point], style: str) -> str:
    """A line that keeps its height up to the next point."""
    (x, y), *rest = points
    moves = "".join(f"H{coordinate(x)}V{coordinate(y)}" for x, y in rest)
    return f'<path class="{style}" d="M{coordinate(x)},{coordinate(y)}{moves}"/>'


def text(at: Point, words: str, style: str = "", anchor: Anchor = "start") -> str:
    """Words; what is not plain text is escaped."""
    names = " ".join(part for part in (style, "" if anchor == "start" else anchor) if part)
    attribute = f' class="{names}"' if names else ""
    x, y = at
    return f'<text x="{coordinate(x)}" y="{coordinate(y)}"{attribute}>{safe(words)}</text>'


def name(at: Point, words: str, limit: int, style: str = "", anchor: Anchor = "start") -> str:
    """A name of at most `limit` characters; the whole name shows where the pointer rests."""
    short = shortened(words, limit)
    drawn = text(at, short, style, anchor)
    return drawn if short == words else f"<g>{hint(words)}{drawn}</g>"


def hint(words: str) -> str:
    """What shows where the pointer rests on the group that holds it."""
    return f"<title>{safe(words)}</title>"


def safe(words: str) -> str:
    """`words` as text of a page."""
    return escape(plain(words))


def shortened(words: str, limit: int) -> str:
    """`words` in at most `limit` characters: the middle is left out, names differ at their ends."""
    if len(words) <= limit:
        return words
    tail = (limit - 1) * 2 // 5
    return f"{words[: limit - 1 - tail]}…{words[len(words) - tail :]}"


def series(index: int) -> str:
    """The class of series `index`: colour and dashes."""
    return f"s{index % N_STYLES}"


def markers(points: Iterable[Point], index: int, size: float = 3.2, style: str = "mark") -> str:
    """The marker of series `index` at each of `points`."""
    shape = _SHAPES[index % N_STYLES]
    parts = [_outline(shape, x, y, size) for x, y in points]
    return f'<path class="{style} {series(index)}" d="{"".join(parts)}"/>' if parts else ""


def sample(at: Point, index: int, words: str, limit: int) -> str:
    """A piece of the line of series `index` with its marker, and its name to the right."""
    x, y = at
    return (
        line((x, y), (x + 16, y), f"line {series(index)}")
        + markers([(x + 8, y)], index)
        + name((x + 20, y + 4), words, limit)
    )


def dot(at: Point, size: float, style: str) -> str:
    """A filled circle."""
    x, y = at
    centre = f'cx="{coordinate(x)}" cy="{coordinate(y)}"'
    return f'<circle class="{style}" {centre} r="{coordinate(size)}"/>'


def clipped(body: str, left: float, top: float, right: float, bottom: float) -> str:
    """`body` cut off outside a rectangle, in the same coordinates."""
    box = [coordinate(value) for value in (left, top, right - left, bottom - top)]
    place = f'x="{box[0]}" y="{box[1]}" width="{box[2]}" height="{box[3]}"'
    return f'<svg class="clip" {place} viewBox="{" ".join(box)}">{body}</svg>'


def glyphs(
    points: Iterable[Point], shape: Iterable[Sequence[Point]], size: float, style: str
) -> str:
    """The same shape, of one or several outlines, around each of `points`."""
    outlines = list(shape)
    parts = [_outline(own, x, y, size) for x, y in points for own in outlines]
    return f'<path class="{style}" d="{"".join(parts)}"/>' if parts else ""


def _outline(shape: Sequence[Point] | None, x: float, y: float, size: float) -> str:
    if shape is None:
        r = coordinate(size)
        arc = f"a{r},{r} 0 1,0 "
        d = coordinate(2 * size)
        return f"M{coordinate(x - size)},{coordinate(y)}{arc}{d},0{arc}-{d},0z"
    return f"M{pairs((x + size * dx, y + size * dy) for dx, dy in shape)}z"


_PLUS: list[Point] = [
    (-_ARM, -1.2), (_ARM, -1.2), (_ARM, -_ARM), (1.2, -_ARM), (1.2, _ARM), (_ARM, _ARM),
    (_ARM, 1.2), (-_ARM, 1.2), (-_ARM, _ARM), (-1.2, _ARM), (-1.2, -_ARM), (-_ARM, -_ARM),
]  # fmt: skip
_SHAPES: list[Sequence[Point] | None] = [
    None,  # a circle
    [(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
    [(0, -1.2), (1.15, 0.85), (-1.15, 0.85)],
    [(0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0)],
    [(0, 1.2), (1.15, -0.85), (-1.15, -0.85)],
    _PLUS,
    [((x - y) * 0.75, (x + y) * 0.75) for x, y in _PLUS],
    [(-1.3, -0.55), (1.3, -0.55), (1.3, 0.55), (-1.3, 0.55)],
]
