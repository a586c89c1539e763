"""Smith and Topin (2017), Smith (2018): the 1cycle policy.

The step is that of plain SGD, whose learning rate is `problem.reference_lr`.
"""

from __future__ import annotations

import itertools

import numpy as np


def descend(problem, w, g, factor=1.0):
    """One step of the reference optimizer."""
    return [a - factor * problem.reference_lr * b for a, b in zip(w, g, strict=True)]


def steps(problem, w, h):
    """Linear in three phases, up, down, final drop: lr, and momentum the other way round.

    v <- mu v + g; w <- w - lr v, as momentum turns plain SGD into that.
    """
    v = [np.zeros_like(a) for a in w]
    ends = [0, h.rise * problem.total_steps, 2 * h.rise * problem.total_steps, problem.total_steps]
    for t in itertools.count():
        factor = np.interp(t, ends, [h.start, 1, h.start, h.end])
        mu = np.interp(t, ends, [h.high_momentum, h.low_momentum, *[h.high_momentum] * 2])
        v = [mu * a + b for a, b in zip(v, problem.gradient(w), strict=True)]
        w = descend(problem, w, v, factor)
        yield w
