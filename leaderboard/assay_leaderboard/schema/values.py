"""Values that boards, claims and details share: intervals, comparisons, verdicts, limits."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from assay.untrusted.text import plain_text
from numpy.typing import NDArray
from pydantic import BaseModel, BeforeValidator, ConfigDict
from pydantic.dataclasses import dataclass

Floats = NDArray[np.float64]
Verdict = Literal[
    "better", "worse", "equivalent", "better, negligible", "worse, negligible", "undecided",
    "neither completed",
]  # fmt: skip
"""Read off the interval (statistics.verdicts): wholly above 0, wholly below, wholly within +-margin
(negligible: and it excludes 0), anything else. Where no run of either method completed, both stand
at chance, and that says nothing of how they compare."""
MAX_REPETITIONS = 16
"""Repetitions up to which all 2^R sign flips are enumerated."""
MAX_SCORE = 1e100
"""Larger numbers would overflow in sums of squares; no metric comes near."""


def _plain(problems: object) -> object:
    """Each problem as one line without control characters: it may quote the name of a file."""
    if not isinstance(problems, list):
        return problems
    return [plain_text(item)[:MAX_PROBLEM] if isinstance(item, str) else item for item in problems]


MAX_PROBLEM = 2000
Problems = Annotated[list[str], BeforeValidator(_plain)]
"""What could not be read or does not count, one line each."""


class Part(BaseModel):
    """Base of the models that are written out: frozen, no unknown keys, finite numbers only."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


SLOTTED = ConfigDict(extra="forbid", allow_inf_nan=False)
"""The same for dataclasses with slots, which take a tenth of the memory of a model."""


@dataclass(frozen=True, slots=True, config=SLOTTED)
class Interval:
    """A confidence interval; the level is said beside it."""

    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True, config=SLOTTED)
class Comparison:
    """A method compared with another on one task; positive differences mean that it is better."""

    n: int
    """Paired repetitions."""
    difference: float
    """Mean paired difference, in the metric's unit."""
    interval: Interval
    """Of the mean difference, from the means of all subsets of the paired differences, at the level
    of its family of pairs."""
    p: float
    """Exact two-sided sign-flip test, not corrected."""
    superiority: float
    """Share of the paired repetitions in which the method is better, ties counted half."""
    verdict: Verdict | None
    """None where one of the two is preliminary."""
    detectable: float
    """The difference that could have been shown: half the interval's width."""
    repetitions_needed: int | None = None
    """About how many repetitions would decide, at the observed spread; None unless undecided, or
    where more than 1,000 would not."""


class PairFamily(Part):
    """All pairs of a task, judged together (Benjamini-Hochberg; false-coverage-rate intervals)."""

    pairs: int
    """m."""
    passed: int
    """k*: pairs whose p passed."""
    rate: float
    """q, the false-discovery rate."""
    level: float
    """Level of every pair's interval: 1 - max(k*, 1) q / m. Where n repetitions are too few for it,
    the interval is the range of the differences, whose level is 1 - 2 / 2^n."""
