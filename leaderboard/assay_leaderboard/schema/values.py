"""Values that boards, claims and details share: intervals, comparisons, verdicts, limits."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from pydantic.dataclasses import dataclass

Floats = NDArray[np.float64]
Verdict = Literal["better", "worse", "equivalent", "undecided"]
MAX_REPETITIONS = 16
"""Repetitions up to which all 2^R sign flips are enumerated."""
MAX_SCORE = 1e100
"""Larger numbers would overflow in sums of squares; no metric comes near."""


class Part(BaseModel):
    """Base of the models that are written out: frozen, no unknown keys, finite numbers only."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


SLOTTED = ConfigDict(extra="forbid", allow_inf_nan=False)
"""The same for dataclasses with slots, which take a tenth of the memory of a model."""


@dataclass(frozen=True, slots=True, config=SLOTTED)
class Interval:
    """A confidence interval at the ruleset's level."""

    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True, config=SLOTTED)
class Comparison:
    """A method compared with another on one task; positive differences mean that it is better."""

    n: int
    """Paired repetitions."""
    difference: float
    """Mean paired difference, in the metric's unit."""
    interval: Interval | None = None
    """BCa bootstrap interval of the mean difference; none where n < 2."""
    p: float | None = None
    """Exact two-sided sign-flip test; none on a deterministic task."""
    p_adjusted: float | None = None
    """p corrected for the other comparisons made at the same time."""
    p_equivalence: float | None = None
    """Two one-sided t tests against the task's margin; none where n < 2."""
    superiority: float
    """Share of the paired repetitions in which the method is better, ties counted half."""
    verdict: Verdict
