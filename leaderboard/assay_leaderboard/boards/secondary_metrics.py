"""The secondary metrics: direction, unit, margin, and the value of a run that was not scored.

The families define them (assay.families); a claim may name one instead of the task's own metric.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from assay.cards import Direction, Metric, TaskCard


@dataclass(frozen=True)
class Meaning:
    """One secondary metric."""

    direction: Direction
    unit: str
    margin: float
    """Smaller differences have no practical meaning; a claim may set its own margin."""
    worst: Callable[[TaskCard], float] | None
    """Value of a run that was not scored; None where there is no sensible one."""

    def metric(self, name: str, card: TaskCard) -> Metric:
        """The metric as a card would declare it."""
        chance = self.worst(card) if self.worst else 0.0
        return Metric(
            name=name,
            direction=self.direction,
            chance=chance,
            margin=self.margin,
            unit=self.unit,
        )


_SHARE = Meaning("maximize", "share", 0.01, lambda _: 0.0)
_BITS = Meaning("minimize", "bits", 1.0, None)

MEANINGS: Final[dict[str, Meaning]] = {
    # functions
    "global_basin": _SHARE,
    "basin_ever": _SHARE,
    "passes_to_basin": Meaning(
        "minimize", "passes", 1.0, lambda card: float(card.budget.passes or card.budget.batches)
    ),
    "log10_gap": Meaning("minimize", "log10", 0.1, None),
    # classification, and what is built on it
    "log_loss": Meaning(
        "minimize", "nats", 0.01, lambda card: math.log(card.n_classes) if card.n_classes else 0.0
    ),
    "memorisation": Meaning("minimize", "share", 0.01, lambda _: 1.0),
    "macro_f1": _SHARE,
    "worst_class": _SHARE,
    "many": _SHARE,
    "medium": _SHARE,
    "few": _SHARE,
    "total_bits": _BITS,
    "average_weight_bits": Meaning("minimize", "bits", 0.01, None),
    "bit_operations": Meaning("minimize", "operations", 1.0, None),
}
