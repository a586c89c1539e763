"""How much hyperparameters matter, from the stored trials of a study."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

from assay.cards import Direction
from assay.space import Value


def shortfalls(vals: Sequence[float], direction: Direction) -> list[float]:
    """The distance of each validation score from the best, at least 0."""
    sign = 1.0 if direction == "maximize" else -1.0
    best = max(sign * val for val in vals)
    return [best - sign * val for val in vals]


def near_best(shortfalls: Sequence[float], margin: float) -> list[bool]:
    """Which scores lie within `margin` of the best."""
    return [shortfall <= margin * (1 + 1e-9) for shortfall in shortfalls]  # 0.95 - 0.94 > 0.01


def learning_rate(names: Collection[str]) -> str | None:
    """Which of the tuned hyperparameters is the learning rate, by its name; None if none is.

    "lr", else a name that ends in ".lr" (such as `reference.lr`, of the reference optimizer), else
    one that ends in "_lr"; the first in the alphabet.
    """
    for ending in (".lr", "_lr"):
        found = sorted(name for name in names if name == "lr" or name.endswith(ending))
        if found:
            return "lr" if "lr" in found else found[0]
    return None


def decades(rates: Sequence[Value]) -> float | None:
    """Width of the positive numbers among `rates` in factors of ten; None if there is none."""
    logs = [
        math.log10(rate)
        for rate in rates
        if isinstance(rate, (int, float)) and not isinstance(rate, bool) and rate > 0
    ]
    return max(logs) - min(logs) if logs else None
