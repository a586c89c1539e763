"""Scores, ranks, p values and verdicts in words: the same in a terminal and on a page."""

from __future__ import annotations

import math
from collections.abc import Iterator

from assay_leaderboard.schema.board import Row, Sample
from assay_leaderboard.schema.values import Interval

NONE = "-"
"""Stands where there is nothing to show."""


class Format:
    """The scores of one task: shares as percent, with as many digits as the margin needs."""

    def __init__(self, unit: str, margin: float) -> None:
        self.scale = 100.0 if unit == "share" else 1.0
        self.unit = "%" if unit == "share" else unit
        self.digits = max(0, 1 - math.floor(math.log10(margin * self.scale)))
        self._narrow = {sign: f"%{sign}.{self.digits}f" for sign in ("", "+")}

    def number(self, value: float | None, sign: str = "") -> str:
        """`value` in the printed unit, "-" if there is none; with `sign` "+", a plus sign too."""
        if value is None:
            return NONE
        scaled = value * self.scale
        if abs(scaled) >= 1e5:
            return f"{scaled:{sign}.4g}"
        return self._narrow[sign] % scaled

    def span(self, value: float | None, interval: Interval | None, sign: str = "") -> str:
        """`value [low, high]`."""
        if interval is None:
            return self.number(value, sign)
        return f"{self.number(value, sign)} {self.ends(interval, sign)}"

    def ends(self, interval: Interval | None, sign: str = "") -> str:
        """`[low, high]`, "-" if there is none."""
        if interval is None:
            return NONE
        return f"[{self.number(interval.low, sign)}, {self.number(interval.high, sign)}]"


NORMALISED = Format("", 0.01)
"""Normalised scores: three digits."""


def rank_text(rank: tuple[int, int] | None) -> str:
    """A rank interval: one number if both ends are equal, else "1-3"; "-" if there is none."""
    if rank is None:
        return NONE
    return str(rank[0]) if rank[0] == rank[1] else f"{rank[0]}-{rank[1]}"


def p_text(p: float | None, none: str = NONE) -> str:
    """A p value with four digits, "<0.0001" where they show nothing; `none` without a test."""
    if p is None:
        return none
    return "<0.0001" if p < 0.0001 else f"{p:.4f}"


def verdict_word(row: Row) -> str:
    """The verdict on a row against the reference, or why it has none."""
    if row.state != "ranked":
        return row.state
    if row.is_reference:
        return "reference"
    return row.versus_reference.verdict if row.versus_reference else NONE


def lost(sample: Sample) -> Iterator[tuple[int, str]]:
    """How many repetitions did not complete, by what became of them."""
    for name in ("diverged", "out_of_budget", "failed", "missing"):
        if count := getattr(sample, name):
            yield count, name


def plain(text: str) -> str:
    """`text` with "?" for control characters, which could steer a terminal or a page."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else "?" for c in text)
