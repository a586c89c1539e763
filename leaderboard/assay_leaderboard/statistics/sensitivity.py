"""The learning rate among the hyperparameters, how wide good ones lie, and ends of ranges that win.

A range is too narrow where points near its ends are selected more often than chance would.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import numpy as np
from assay.space import Value

EXCESS = 0.2
"""Share of the repetitions beyond chance from which on a range is flagged."""
_LEARNING_RATES = ("lr", "learning_rate")


def learning_rate(names: Collection[str]) -> str | None:
    """Which of the hyperparameters is the learning rate, by its name; None if none is.

    "lr" or "learning_rate", else a name that ends so after a point (such as `reference.lr`, of the
    reference optimizer): the one with the fewest points, then the first in the alphabet. One that
    ends in "_lr" may be that of a part, or a multiple.
    """
    found = sorted(
        (name.count("."), name) for name in names if name.rsplit(".", 1)[-1] in _LEARNING_RATES
    )
    return found[0][1] if found else None


def decades(rates: Sequence[Value]) -> float | None:
    """Width of the positive numbers among `rates` in factors of ten; None if there is none."""
    logs = [
        math.log10(rate)
        for rate in rates
        if isinstance(rate, (int, float)) and not isinstance(rate, bool) and rate > 0
    ]
    return max(logs) - min(logs) if logs else None


def exceeds(n_at_ends: int, chances: Sequence[float]) -> bool:
    """Whether points near the ends of a range are selected too often.

    Args:
        n_at_ends: repetitions whose selected point lies near an end.
        chances: by repetition, the share of the points that could have been selected that lies
            there.
    """
    # 0.4 - 0.2 is more than 0.2 in floating point.
    return n_at_ends - sum(chances) > (EXCESS + 1e-9) * len(chances)


def exceeded_by_chance(chances: Sequence[float]) -> float:
    """Probability of `exceeds` if each repetition selected one of its points at random.

    The number of repetitions with a point near an end is then Poisson-binomial.
    """
    probabilities = np.ones(1)
    for chance in chances:
        probabilities = np.convolve(probabilities, [1 - chance, chance])
    counts = [n for n in range(len(probabilities)) if exceeds(n, chances)]
    return min(1.0, float(probabilities[counts].sum()))
