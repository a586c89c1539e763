"""Axes: from numbers to places between 0 and 1, with ticks at round numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_PREFIXES = [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k")]
"""Size from which ticks get a prefix; thousands only from five digits on."""
_TINY = 1e-250
"""Smaller numbers and differences are drawn as this, as their ratios would overflow."""
_LOG_RATIO = 1000.0
"""Positive numbers spread further than this get a logarithmic axis where one is allowed."""


@dataclass(frozen=True)
class Axis:
    """A range of numbers with its title and ticks."""

    title: str
    low: float
    high: float
    ticks: Sequence[float]
    texts: Sequence[str]
    """One per tick."""
    log: bool = False

    def at(self, value: float) -> float:
        """Where `value` lies: 0 at the low end, 1 at the high one; beyond for what is outside."""
        return self.places((value,), 0.0, 1.0)[0]

    def places(self, values: Iterable[float], start: float, end: float) -> list[float]:
        """Where each of `values` lies, with the low end at `start` and the high one at `end`."""
        low, high = self.low, self.high
        if self.log:
            low, high = math.log(low), math.log(high)
            values = [math.log(max(value, _TINY)) for value in values]
        length, room = high - low, end - start
        return [start + room * ((value - low) / length) for value in values]


def linear(
    title: str, values: Iterable[float], *, factor: float = 1.0, n: int = 5, pad: float = 0.04
) -> Axis:
    """An axis that holds `values`.

    Args:
        title: what it measures, with unit and direction.
        values: what it must hold, at least one.
        factor: ticks are written in units of 1 / factor (100 for percent).
        n: about how many ticks.
        pad: share of the range left free at each end.
    """
    found = [float(value) for value in values]
    low, high = min(found), max(found)
    if high - low <= max(1e-9 * max(abs(low), abs(high)), _TINY):
        half = abs(high) * 0.05 if abs(high) > _TINY else 0.5
        low, high = low - half, high + half
    low, high = low - pad * (high - low), high + pad * (high - low)
    ticks = [tick / factor for tick in nice_ticks(low * factor, high * factor, n)]
    return Axis(title, low, high, ticks, tick_texts([tick * factor for tick in ticks]))


def logarithmic(title: str, values: Iterable[float], *, n: int = 5) -> Axis:
    """A logarithmic axis that holds the positive `values`, at least one."""
    found = [min(1 / _TINY, max(_TINY, float(value))) for value in values]
    low, high = math.log10(min(found)), math.log10(max(found))
    if high - low < 0.1:
        low, high = low - 0.5, high + 0.5
    low, high = low - 0.04 * (high - low), high + 0.04 * (high - low)
    first, last = math.ceil(low), math.floor(high)
    step = max(1, math.ceil((last - first + 1) / n))
    ticks = [10.0**power for power in range(first, last + 1, step)]
    if len(ticks) < 3:
        every = [m * 10.0**power for power in range(first - 1, last + 1) for m in (1, 2, 5)]
        ticks = [tick for tick in every if low <= math.log10(tick) <= high]
    return Axis(title, 10**low, 10**high, ticks, [power_text(tick) for tick in ticks], log=True)


def fitting(title: str, values: Iterable[float], *, factor: float = 1.0, n: int = 5) -> Axis:
    """A linear axis, or a logarithmic one for positive values over several orders of magnitude."""
    found = [float(value) for value in values]
    if factor == 1 and min(found) > _TINY and max(found) > _LOG_RATIO * min(found):
        return logarithmic(title, found, n=n)
    return linear(title, found, factor=factor, n=n)


def share(title: str) -> Axis:
    """From 0 to 100 %."""
    ticks = [0.0, 0.25, 0.5, 0.75, 1.0]
    return Axis(title, 0.0, 1.0, ticks, ["0", "25", "50", "75", "100"])


def nice_ticks(low: float, high: float, n: int) -> list[float]:
    """About `n` multiples of 1, 2 or 5 times a power of ten in [low, high], low < high."""
    rough = (high - low) / max(1, n)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    # Divided where the step is below 1: 3 * 0.1 is not 0.3.
    if step < 1:
        return [index / round(1 / step) for index in range(first, last + 1)]
    return [index * step for index in range(first, last + 1)]


def tick_texts(ticks: Sequence[float]) -> Sequence[str]:
    """Labels of evenly spaced ticks: as many digits as they need, the same for all."""
    largest = max((abs(tick) for tick in ticks), default=0.0)
    if largest >= 1e15 or 0 < largest < 1e-3:
        return [_scientific(tick) for tick in ticks]
    size, prefix = next(((s, p) for s, p in _PREFIXES if largest >= s), (1.0, ""))
    size = 1e3 if prefix == "k" else size
    step = (ticks[1] - ticks[0] if len(ticks) > 1 else largest or 1.0) / size
    digits = min(9, max(0, -math.floor(math.log10(step) + 1e-9)))
    return [minus(f"{tick / size:.{digits}f}") + prefix if tick else "0" for tick in ticks]


def number_text(value: float) -> str:
    """A number without a format of its own: whole ones in full, others to four digits."""
    whole = value == round(value) and abs(value) < 1e7
    return minus(f"{value:.0f}" if whole else f"{value:.4g}")


def minus(text: str) -> str:
    """`text` of a number with a real minus sign, and none before a zero."""
    if text.startswith("-") and not text.strip("-0."):
        return text[1:]
    return text.replace("-", "\N{MINUS SIGN}")


def power_text(value: float) -> str:
    """A power of ten, or 2 or 5 times one, as a tick's label."""
    return f"{value:g}" if 1e-3 <= value < 1e4 else _scientific(value)


def _scientific(value: float) -> str:
    """For example 2·10⁻⁵, or 10⁶."""
    if value == 0:
        return "0"
    mantissa, exponent = f"{value:.3g}".split("e") if "e" in f"{value:.3g}" else _split(value)
    power = f"10{str(int(exponent)).translate(_SUPERSCRIPTS)}"
    return power if mantissa == "1" else minus(f"{mantissa}·") + power


def _split(value: float) -> tuple[str, str]:
    mantissa, exponent = f"{value:.2e}".split("e")
    return f"{float(mantissa):g}", exponent
