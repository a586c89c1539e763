"""What every picture has: axes, a title, a caption, and its numbers as a table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from typing import Literal

from markupsafe import Markup

from assay_leaderboard.format import Format, level_text, split_words
from assay_leaderboard.schema.board import TaskTable
from assay_leaderboard.site.pictures import axes, svg
from assay_leaderboard.site.pictures.axes import Axis

WIDTH = 440.0
"""Units. On a phone a unit is 0.75 pixels, on a wide page 1.5: pictures.css sets the letters' size
by the width of the figure, and nothing has to scroll."""
LETTER = 6.9
"""Width to keep free for a character at the largest size of letters (13 units)."""
_WIDER = 6.0
"""What the widest letters take beyond that."""
SAMPLE = 32.0
"""Width to keep free for the sample of a line before its name, and around it."""
LINE = 15.0
"""Height of a line of text at that size."""


@dataclass(frozen=True)
class Measure:
    """What the scores of a picture are."""

    name: str
    unit: str
    """ "share" is printed as percent."""
    direction: Literal["maximize", "minimize"]
    margin: float
    """Sets the digits; differences within it are equivalent in practice."""
    confidence: float = 0.95
    """Of the intervals."""
    test: str = "test"
    """What the scores that are ranked are called, in front of the name."""
    validation: str = "validation"
    """What the scores that select are called."""
    targets: str = "validation"
    """Where targets are measured."""

    @classmethod
    def of(cls, table: TaskTable, confidence: float) -> Measure:
        """The scores of a task."""
        words = split_words(table.family)
        return cls(
            table.metric.replace("_", " "), table.unit, table.direction, table.margin, confidence,
            *words,
        )  # fmt: skip

    @cached_property
    def format(self) -> Format:
        """How its values are printed."""
        return Format(self.unit, self.margin)

    @property
    def title(self) -> str:
        """For an axis, with unit and direction."""
        unit = f" ({self.format.unit})" if self.format.unit else ""
        better = "higher" if self.direction == "maximize" else "lower"
        return f"{self.name}{unit}, {better} is better"

    @property
    def scored(self) -> str:
        """The name of the scores that are ranked, for a sentence: "test accuracy"."""
        return f"{self.test} {self.name}".strip()

    @property
    def column(self) -> str:
        """The head of a column of ranked scores with their intervals."""
        return f"{self.test} {self.title} [{self.percent}]".strip()

    @property
    def percent(self) -> str:
        """The level of the intervals."""
        return level_text(self.confidence)

    def axis(self, values: Iterable[float], prefix: str | None = None, n: int = 5) -> Axis:
        """An axis that holds `values`."""
        title = f"{self.test if prefix is None else prefix} {self.title}".strip()
        title = title[:1].upper() + title[1:]
        return axes.fitting(title, values, factor=self.format.scale, n=n)


@dataclass(frozen=True)
class Plot:
    """A rectangle with two axes, in a picture of WIDTH units."""

    x: Axis
    y: Axis
    left: float
    right: float
    top: float
    bottom: float

    @classmethod
    def fit(cls, x: Axis, y: Axis, *, aside: float = 12.0, height: float = 190.0) -> Plot:
        """The largest plot that leaves room for the labels, and `aside` units to the right."""
        left = max(24.0, 8 + LETTER * max((len(words) for words in y.texts), default=1))
        return cls(x, y, left, WIDTH - aside, 24.0, 24.0 + height)

    @property
    def height(self) -> float:
        """Of the whole picture, axis titles included."""
        return self.bottom + 40.0

    def at(self, x: float, y: float) -> svg.Point:
        """The point of the picture for two numbers."""
        return self.across(x), self.up(y)

    def points(self, pairs: Sequence[svg.Point]) -> list[svg.Point]:
        """The points of the picture for pairs of numbers."""
        across = self.x.places([x for x, _ in pairs], self.left, self.right)
        up = self.y.places([y for _, y in pairs], self.bottom, self.top)
        return [*zip(across, up, strict=True)]

    def across(self, x: float) -> float:
        """The horizontal place of a number."""
        return self.x.places((x,), self.left, self.right)[0]

    def up(self, y: float) -> float:
        """The vertical place of a number."""
        return self.y.places((y,), self.bottom, self.top)[0]

    def drawn(self) -> str:
        """The axes."""
        return self.drawn_vertically() + horizontal(self, self.bottom)

    def drawn_vertically(self) -> str:
        """The vertical axis, its title above."""
        heights = self.y.places(self.y.ticks, self.bottom, self.top)
        return (
            svg.text((0, 12), svg.shortened(self.y.title, 60), "axis")
            + svg.rules(heights, self.left, self.right, "grid")
            + svg.texts([(self.left - 5, y + 4) for y in heights], self.y.texts, "tick", "end")
        )


def names_width(names: Iterable[str], limit: int) -> float:
    """Width to keep free for any of `names`, each cut to `limit` characters, in a wide font."""
    short = [svg.shortened(name, limit) for name in names]
    return max(LETTER * len(n) + _WIDER * sum(n.count(wide) for wide in "mwMW…") for n in short)


def horizontal(plot: Plot, y: float) -> str:
    """The horizontal axis of `plot` at height `y`, its title below."""
    axis = plot.x
    places = axis.places(axis.ticks, plot.left, plot.right)
    spots, shown, taken = [], [], -WIDTH
    for x, words in zip(places, axis.texts, strict=True):
        half = LETTER * len(words) / 2
        if x - half > taken:
            spots.append((x, y + 16))
            shown.append(words)
            taken = x + half + 4
    middle = (plot.left + plot.right) / 2
    half = LETTER * min(60, len(axis.title)) / 2
    middle = min(max(middle, half), WIDTH - half)
    return (
        svg.rules([y], plot.left, plot.right, "base")
        + svg.ticks(places, y + 2, 2, "base")
        + svg.texts(spots, shown, "tick", "middle")
        + svg.text((middle, y + 33), svg.shortened(axis.title, 60), "axis", "middle")
    )


@dataclass(frozen=True)
class PictureTable:
    """The numbers of a picture."""

    columns: Sequence[str]
    rows: Iterable[Sequence[str]]
    """The first cell of each is its header; at least one follows."""

    def html(self, caption: str) -> str:
        """A table with a caption and scopes."""
        head = "".join(f'<th scope="col">{svg.safe(column)}</th>' for column in self.columns)
        body = "".join(
            f'<tr><th scope="row">{svg.safe(first)}</th>'
            + "".join(f"<td>{svg.safe(cell)}</td>" for cell in rest)
            + "</tr>"
            for first, *rest in self.rows
        )
        return (
            f"<table><caption>{svg.safe(caption)}</caption>"
            f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        )


@dataclass(frozen=True)
class Words:
    """The texts of a picture."""

    title: str
    description: str
    """What is to be seen, for screen readers."""
    caption: str
    """What is drawn and how it was computed, with n."""


def figure(
    key: str, kind: str, words: Words, height: float, body: str, table: PictureTable
) -> Markup:
    """A picture with its caption and numbers.

    Args:
        key: root of the ids, once on a page.
        kind: names its class.
        words: title, description, caption.
        height: in units; the width is WIDTH.
        body: the elements of the picture.
        table: every number that is drawn.
    """
    root, title = svg.safe(key), svg.safe(words.title)
    return Markup(
        f'<figure class="picture picture-{kind}" id="{root}">'
        f'<svg viewBox="0 0 {WIDTH:g} {svg.coordinate(height)}" role="img" '
        f'aria-labelledby="{root}-title {root}-desc">'
        f'<title id="{root}-title">{title}</title>'
        f'<desc id="{root}-desc">{svg.safe(words.description)}</desc>'
        f"{body}</svg><details><summary>Numbers behind this picture</summary>"
        f'<div class="picture-numbers" tabindex="0" role="group" aria-label="Numbers: {title}">'
        f"{table.html(words.title)}</div></details>"
        # In a figure nothing may stand on both sides of the caption.
        f"<figcaption>{svg.safe(words.caption)}</figcaption></figure>"
    )


def standalone(picture: Markup) -> str:
    """The drawing of a figure as an SVG file of its own, styles included; "" if it has none."""
    start, end = picture.find("<svg "), picture.find("</svg><details>")
    if start < 0:
        return ""
    styles = (
        resources.files("assay_leaderboard.site").joinpath("static/pictures.css").read_text("utf-8")
    )
    head = '<svg xmlns="http://www.w3.org/2000/svg" class="picture" '
    head += f'font-family="sans-serif" width="{WIDTH * 1.5:g}" '
    drawing = head + str(picture[start + len("<svg ") : end]) + "</svg>\n"
    return drawing.replace("<title ", f"<style>{styles}</style><title ", 1)


def absent(reason: str) -> Markup:
    """What stands where there is nothing to draw."""
    return Markup(f'<p class="no-picture">{svg.safe(reason)}</p>')


def repetitions(counts: Iterable[int]) -> str:
    """For example "n = 12", or "n = 10 to 12"."""
    found = sorted(set(counts))
    if len(found) < 2:
        return f"n = {found[0] if found else 0}"
    return f"n = {found[0]} to {found[-1]}"
