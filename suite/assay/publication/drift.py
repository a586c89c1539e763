"""Whether records are better, on average, than replays of them on another kind of machine.

One run may differ by REPLAY_MARGINS margins there, since rounding grows while training. Records
that are all a little better would pass run by run. But rounding takes no side: over n confirmed
runs the mean of the signed differences is within Z * SPREAD / sqrt(n) margins. Chaotic runs
(publication/replay.py) are left out: those that were selected had luck that a replay does not have
(Adam on digits_binary: +1.3 margins over 16 runs).

SPREAD is wider than what was measured with AVX2 against AVX-512 on one CPU (Adam and SGD, 8 lite
tasks, all points of --quick, 362 pairs in 16 cells): 88 % of the pairs are the same bit for bit.
4 % (of selected runs 2 %) differ by more than REPLAY_MARGINS, at points where training is chaotic.
The root mean square of the rest is 0.3 margins (of selected runs 0.4), 0.7 in the widest cell (SGD
on digits_cnn). Samples of 10 from these are called false in fewer than 0.1 % of the cases, in the
widest cells too (4,000 samples each).

An AMD EPYC against Intel Xeons: of 347 runs of 12 cells of 11 lite tasks 104 differ by more than
REPLAY_MARGINS, 93 of them of networks of one to three bits, of which two cells have fewer than 10
others. Of 1,356 runs of 86 more cells (Adam and its like, all lite tasks but those of few bits, and
the functions of diffGrad's paper) 70 do, 29 of them on modular addition. All of these are chaotic,
and no cell is called false. Of 28 of these records (AdamW on digits_mlp and digits_cnn) 25 would be
found false were both scores raised by 3 margins; the other 3, on digits_mlp with learning rates of
0.03 and more, are chaotic.
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
