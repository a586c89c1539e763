"""He et al. (2016), section 4.2: a tenth at half and at three quarters.

The step is that of plain SGD, whose learning rate is `problem.reference_lr`.
"""

from __future__ import annotations

import itertools


def descend(problem, w, g, factor=1.0):
    """One step of the reference optimizer."""
    return [a - factor * problem.reference_lr * b for a, b in zip(w, g, strict=True)]


def steps(problem, w, h):
    """Each step: lr_t = lr 10^-(how many of T / 2, 3 T / 4 are passed), t = 0, 1, ..."""
    for t in itertools.count():
        factor = 10.0 ** -sum(t >= share * problem.total_steps for share in (0.5, 0.75))
        w = descend(problem, w, problem.gradient(w), factor)
        yield w
