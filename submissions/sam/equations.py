"""Foret et al. (2021), Algorithm 1: sharpness-aware minimisation.

The step is that of plain SGD, whose learning rate is `problem.reference_lr`.
"""

from __future__ import annotations

import numpy as np


def descend(problem, w, g):
    """One step of the reference optimizer."""
    return [a - problem.reference_lr * b for a, b in zip(w, g, strict=True)]


def steps(problem, w, h):
    """Each step: e = rho g / |g|; the step from w takes the gradient at w + e."""
    while True:
        g = problem.gradient(w)
        size = np.sqrt(sum((a**2).sum() for a in g))
        ahead = [a + h.rho * b / size for a, b in zip(w, g, strict=True)]
        w = descend(problem, w, problem.gradient(ahead))
        yield w
