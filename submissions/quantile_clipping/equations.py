"""Pan and Li (2023): coordinate-wise clipping of a fixed share of coordinates.

The step is that of plain SGD, whose learning rate is `problem.reference_lr`.
"""

from __future__ import annotations

import numpy as np


def descend(problem, w, g):
    """One step of the reference optimizer."""
    return [a - problem.reference_lr * b for a, b in zip(w, g, strict=True)]


def steps(problem, w, h):
    """Tau is the largest |g_i| after the floor(share n) largest; g_i <- clip(g_i, -tau, tau)."""
    while True:
        g = problem.gradient(w)
        sizes = np.sort(np.concatenate([np.abs(a).ravel() for a in g]))[::-1]
        tau = sizes[int(h.share * len(sizes))]
        w = descend(problem, w, [np.clip(a, -tau, tau) for a in g])
        yield w
