"""SVG elements as text: coordinates to a tenth of a unit, styles by class only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from itertools import chain
from typing import Literal

from assay_leaderboard.format import plain

Point = tuple[float, float]
Anchor = Literal["start", "middle", "end"]

N_STYLES = 8
"""Number of series styles (colour, dashes, marker) in pictures.css."""
_FAR = 2000.0
"""Coordinates are clipped here: some renderers calculate in single precision."""
_ARM = 0.38
_AT = 'x="%.1f" y="%.1f"'
_BOX = f'{_AT} width="%.1f" height="%.1f"'


def coordinate(value: float) -> str:
    """A coordinate or size to a tenth of a unit, as short as possible."""
    return _placed("%.1f", (value,))


def pairs(points: Iterable[Point]) -> str:
    """Points as "x,y x,y"."""
    values = tuple(chain.from_iterable(points))
    return _placed(_pairs(len(values) // 2), values)


def _pairs(n: int) -> str:
    """The format string of `n` points."""
    return " ".join(["%.1f,%.1f"] * n)


def _placed(form: str, values: tuple[float, ...]) -> str:
    """Fill a format string with coordinates, each as short as possible.

    All at once, as a large board has millions of them.

    Args:
        form: holds one "%.1f" per coordinate and no other numbers.
        values: the coordinates.
    """
    text = form % values
    if "nan" in text or (values and not -_FAR <= min(values) <= max(values) <= _FAR):
        text = form % tuple(min(_FAR, max(-_FAR, value)) for value in values)
    return text.replace("-0.0", "0").replace(".0", "")


def polyline(points: Iterable[Point], style: str) -> str:
    """An open line through `points`."""
    return f'<polyline class="{style}" points="{pairs(points)}"/>'


def polygon(points: Iterable[Point], style: str) -> str:
    """A filled area."""
    return f'<polygon class="{style}" points="{pairs(points)}"/>'


def line(start: Point, end: Point, style: str) -> str:
    """A straight line."""
    ends = _placed('x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f"', (*start, *end))
    return f'<line class="{style}" {ends}/>'


def squares(corners: Iterable[Point], size: float, style: str) -> str:
    """Equal squares, each with its upper left corner at one of `corners`."""
    side = coordinate(size)
    values = tuple(chain.from_iterable(corners))
    moves = _placed(f"M%.1f,%.1fh{side}v{side}h-{side}z" * (len(values) // 2), values)
    return f'<path class="{style}" d="{moves}"/>' if moves else ""


def rules(heights: Iterable[float], left: float, right: float, style: str) -> str:
    """Level lines from `left` to `right`, one at each of `heights`."""
    values = [end for y in heights for end in (left, y, right)]
    moves = _placed("M%.1f,%.1fH%.1f" * (len(values) // 3), tuple(values))
    return f'<path class="{style}" d="{moves}"/>' if moves else ""


def ticks(places: Iterable[float], y: float, half: float, style: str) -> str:
    """Short upright lines through height `y`, `half` up and down."""
    values = tuple(places)
    form = f"M%.1f,{coordinate(y - half)}v{coordinate(2 * half)}"
    moves = _placed(form * len(values), values)
    return f'<path class="{style}" d="{moves}"/>' if moves else ""


def rectangle(x: float, y: float, width: float, height: float, style: str) -> str:
    """A filled rectangle with its corner at (x, y)."""
    return f'<rect class="{style}" {_placed(_BOX, (x, y, width, height))}/>'


def steps(points: Sequence[Point], style: str) -> str:
    """A line that keeps its height up to the next point."""
    form = "M%.1f,%.1f" + "H%.1fV%.1f" * (len(points) - 1)
    return f'<path class="{style}" d="{_placed(form, tuple(chain.from_iterable(points)))}"/>'


def text(at: Point, words: str, style: str = "", anchor: Anchor = "start") -> str:
    """Words at a point, escaped."""
    return texts((at,), (words,), style, anchor)


def texts(
    points: Sequence[Point], words: Iterable[str], style: str = "", anchor: Anchor = "start"
) -> str:
    """One of `words` at each of `points`, all in one style."""
    names = style if anchor == "start" else f"{style} {anchor}".lstrip()
    attribute = f' class="{names}"' if names else ""
    form = f"<text {_AT}{attribute}>%%s</text>" * len(points)
    return _placed(form, tuple(chain.from_iterable(points))) % tuple(map(safe, words))


def name(at: Point, words: str, limit: int, style: str = "", anchor: Anchor = "start") -> str:
    """A name cut to `limit` characters; the whole name is its tooltip."""
    short = shortened(words, limit)
    drawn = text(at, short, style, anchor)
    return drawn if short == words else f"<g>{hint(words)}{drawn}</g>"


def hint(words: str) -> str:
    """The tooltip of the group that holds it."""
    return f"<title>{safe(words)}</title>"


def safe(words: str) -> str:
    """`words` escaped, without characters that control the text around them."""
    return escape(plain(words))


def shortened(words: str, limit: int) -> str:
    """`words` cut to `limit` characters in the middle, as names differ at their ends."""
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
    drawn = _circles(points, size) if shape is None else _outlines(points, [shape], size)
    return f'<path class="{style} {series(index)}" d="{drawn}"/>' if drawn else ""


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
    return dots((at,), size, style)


def dots(points: Sequence[Point], size: float, style: str) -> str:
    """A filled circle around each of `points`."""
    form = f'<circle class="{style}" cx="%.1f" cy="%.1f" r="{coordinate(size)}"/>'
    return _placed(form * len(points), tuple(chain.from_iterable(points)))


def clipped(body: str, left: float, top: float, right: float, bottom: float) -> str:
    """`body` cut off outside a rectangle, in the same coordinates."""
    box = left, top, right - left, bottom - top
    view = _placed('viewBox="%.1f %.1f %.1f %.1f"', box)
    return f'<svg class="clip" {_placed(_BOX, box)} {view}>{body}</svg>'


def glyphs(
    points: Iterable[Point], shape: Iterable[Sequence[Point]], size: float, style: str
) -> str:
    """The same shape, of one or several outlines, around each of `points`."""
    drawn = _outlines(points, list(shape), size)
    return f'<path class="{style}" d="{drawn}"/>' if drawn else ""


def _outlines(points: Iterable[Point], shape: Sequence[Sequence[Point]], size: float) -> str:
    """The outlines of a shape around each of `points`."""
    at = list(points)
    around = [(size * dx, size * dy) for own in shape for dx, dy in own]
    values = [place for x, y in at for dx, dy in around for place in (x + dx, y + dy)]
    form = "".join([f"M{_pairs(len(own))}z" for own in shape])
    return _placed(form * len(at), tuple(values))


def _circles(points: Iterable[Point], size: float) -> str:
    r, d = coordinate(size), coordinate(2 * size)
    arc = f"a{r},{r} 0 1,0 "
    values = [place for x, y in points for place in (x - size, y)]
    return _placed(f"M%.1f,%.1f{arc}{d},0{arc}-{d},0z" * (len(values) // 2), tuple(values))


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
