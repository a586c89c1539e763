"""Seetharaman et al. (2020), Algorithm 1: AutoClip.

The step is that of plain SGD, whose learning rate is `problem.reference_lr`.
"""

from __future__ import annotations

import numpy as np


def descend(problem, w, g):
    """One step of the reference optimizer."""
    return [a - problem.reference_lr * b for a, b in zip(w, g, strict=True)]


def steps(problem, w, h):
    """Clip |g_t| to the p-th percentile of |g_1|, ..., |g_t|."""
    history = []
    while True:
        g = problem.gradient(w)
        size = np.sqrt(sum((a**2).sum() for a in g))
        history.append(size)
        eta = np.percentile(history, h.p)
        if size > eta:
            g = [eta / size * a for a in g]
        w = descend(problem, w, g)
        yield w
