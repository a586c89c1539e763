"""How often and how soon a target is reached: rates, running times, survival curves.

A repetition that never reached a target is censored at what it spent; that is not averaged as if it
were the time of a success. In a survival curve one that broke off is never censored: it would not
have reached the target later.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

from scipy.special import ndtri

from assay_leaderboard.schema.values import Interval

Steps = list[tuple[float, float]]
"""(cost, share from there on), by increasing cost."""


class Attempt(NamedTuple):
    """What one repetition spent on the way to a target."""

    cost: float
    """Until it reached the target, or in all if it never did.

    Infinite: more would not have helped.
    """
    reached: bool


@functools.lru_cache(maxsize=1024)
def wilson(successes: int, n: int, confidence: float) -> Interval:
    """Score interval of a share, n > 0.

    Source: Wilson, "Probable inference, the law of succession, and statistical inference",
    J. Am. Stat. Assoc. 1927.
    """
    z = float(ndtri((1 + confidence) / 2))
    share = successes / n
    centre = share + z * z / (2 * n)
    spread = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    # At 0 and n one end is exactly 0 or 1, which rounding would miss.
    low = 0.0 if successes == 0 else (centre - spread) / scale
    high = 1.0 if successes == n else (centre + spread) / scale
    return Interval(low, high)


def expected_running_time(attempts: Sequence[Attempt]) -> float | None:
    """Cost of all attempts over the number that reached the target; None if none did.

    The expected cost until a first success, where failed attempts are followed by others.
    Source: Hansen, Auger, Brockhoff, Tusar and Tusar, "COCO: Performance Assessment", 2016.
    """
    reached = sum(attempt.reached for attempt in attempts)
    return math.fsum(attempt.cost for attempt in attempts) / reached if reached else None


def kaplan_meier(attempts: Sequence[Attempt]) -> Steps:
    """Share that has not reached the target yet, from (0, 1), a step at each event.

    Attempts censored at the cost of an event are still at risk there.
    Source: Kaplan and Meier, "Nonparametric estimation from incomplete observations", J. Am. Stat.
    Assoc. 1958.
    """
    share = 1.0
    steps = [(0.0, share)]
    for cost in sorted({attempt.cost for attempt in attempts if attempt.reached}):
        at_risk = sum(attempt.cost >= cost for attempt in attempts)
        events = sum(attempt.reached and attempt.cost == cost for attempt in attempts)
        share *= (at_risk - events) / at_risk
        steps.append((cost, share))
    return steps


def ecdf(attempts: Sequence[Attempt]) -> Steps:
    """Share of the attempts that reached their target, from (0, 0), a step at each event.

    Attempts at several targets count alike; those that never reach theirs keep it below 1.
    Source: Hansen et al. 2016 (see expected_running_time).
    """
    steps = [(0.0, 0.0)]
    for cost in sorted({attempt.cost for attempt in attempts if attempt.reached}):
        events = sum(attempt.reached and attempt.cost <= cost for attempt in attempts)
        steps.append((cost, events / len(attempts)))
    return steps
