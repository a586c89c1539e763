"""Whether records are better, on average, than replays of them on another kind of machine.

One run may differ by REPLAY_MARGINS margins there, since rounding grows while training. Records
that are all a little better would pass run by run. But rounding takes no side: over n replayed runs
the mean of the signed differences is within Z * SPREAD / sqrt(n) margins.

SPREAD is wider than what was measured with AVX2 against AVX-512 on one CPU (Adam and SGD, 8 lite
tasks, all points of --quick, 310 pairs): 86 % of the pairs are the same bit for bit, the others
have a root mean square of 0.3 to 0.4 margins over all cells and of 0.70 in the widest one (SGD on
digits_cnn), without those beyond REPLAY_MARGINS, which no bundle may have. Samples of 10 drawn from
these cells are called false in 0.01 % of the cases, in 0.1 % for the widest.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from assay.records.log import MeanDifference

SPREAD = 1.0
"""Standard deviation, in margins, that honest differences between machines stay below."""
Z = 3.29
"""Two-sided 0.1 % of a normal distribution."""
FALSE_ALARMS = 0.001
"""At most this share of honest replays is called false."""


def allowed(n: int) -> float:
    """The largest size of a mean of `n` signed differences, in margins."""
    return Z * SPREAD / math.sqrt(n)


def mean_difference(margins: Sequence[float], unit: float = 1.0) -> MeanDifference | None:
    """The mean of signed differences, and what is allowed; None if there are none.

    Args:
        margins: recorded minus replayed scores, positive where the record is better, in margins.
        unit: the margin, for an answer in the metric's unit; 1: in margins.
    """
    if not margins:
        return None
    n = len(margins)
    mean = math.fsum(margins) / n
    return MeanDifference(n=n, mean=_short(mean * unit), allowed=_short(allowed(n) * unit))


def rule() -> str:
    """The rule in words."""
    return (
        f"over n runs replayed on another kind of machine the mean signed difference is at most "
        f"{Z} * {SPREAD} / sqrt(n) margins (false alarms: at most {FALSE_ALARMS:.1%})"
    )


def _short(value: float) -> float:
    """With the digits that mean something."""
    return float(f"{value:.6g}")
