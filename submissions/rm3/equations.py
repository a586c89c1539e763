"""Zielinski, Krishnan and Chatterjee (2020): RM3, the rolling median of three.

The step is that of plain SGD, whose learning rate is `problem.reference_lr`.
"""

from __future__ import annotations

import numpy as np


def descend(problem, w, g):
    """One step of the reference optimizer."""
    return [a - problem.reference_lr * b for a, b in zip(w, g, strict=True)]


def steps(problem, w, h):
    """Each element's median of this step's gradient and the two before; the first one thrice."""
    window = []
    while True:
        g = problem.gradient(w)
        window = [*window[-2:], g] if window else [g, g, g]
        w = descend(problem, w, [np.median(parts, axis=0) for parts in zip(*window, strict=True)])
        yield w
