"""How numbers and names are printed, in a terminal and on a page alike."""

from __future__ import annotations

import math

from assay_leaderboard.schema.values import Interval


class Format:
    """How the scores of one task are printed: shares as percent, digits from the margin."""

    def __init__(self, unit: str, margin: float) -> None:
        self.scale = 100.0 if unit == "share" else 1.0
        self.unit = "%" if unit == "share" else unit
        self.digits = max(0, 1 - math.floor(math.log10(margin * self.scale)))
        self._narrow = {sign: f"%{sign}.{self.digits}f" for sign in ("", "+")}

    def number(self, value: float | None, sign: str = "") -> str:
        """`value` in the printed unit, "-" if there is none; `sign`: "+" to show it always."""
        if value is None:
            return "-"
        scaled = value * self.scale
        if abs(scaled) >= 1e5:
            return f"{scaled:{sign}.4g}"
        return self._narrow[sign] % scaled

    def span(self, value: float | None, interval: Interval | None, sign: str = "") -> str:
        """`value [low, high]`."""
        if interval is None:
            return self.number(value, sign)
        low, high = self.number(interval.low, sign), self.number(interval.high, sign)
        return f"{self.number(value, sign)} [{low}, {high}]"


NORMALISED = Format("", 0.01)
"""Normalised scores: three digits."""


def plain(text: str) -> str:
    """`text` without characters that could steer a terminal or the text around it on a page."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else "?" for c in text)
