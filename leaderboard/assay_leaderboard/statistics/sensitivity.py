"""The learning rate among the hyperparameters, and how wide a set of good ones is."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

from assay.space import Value


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
