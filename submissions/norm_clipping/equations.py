"""Pascanu, Mikolov and Bengio (2013), Algorithm 1: norm clipping.

The step is that of plain SGD, whose learning rate is `problem.reference_lr`.
"""

from __future__ import annotations

import numpy as np


def descend(problem, w, g):
    """One step of the reference optimizer."""
    return [a - problem.reference_lr * b for a, b in zip(w, g, strict=True)]


def steps(problem, w, h):
    """If |g| >= theta: g <- theta g / |g|."""
    while True:
        g = problem.gradient(w)
        size = np.sqrt(sum((a**2).sum() for a in g))
        if size >= h.theta:
            g = [h.theta / size * a for a in g]
        w = descend(problem, w, g)
        yield w
