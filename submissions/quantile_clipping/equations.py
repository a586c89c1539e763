"""Pan and Li (2023): coordinate-wise clipping of a fixed share of coordinates.

The step is that of the reference optimizer of classification tasks at its defaults: SGD with
Nesterov momentum (Sutskever et al., 2013, in the form of torch).
"""

from __future__ import annotations

import numpy as np

LR, MU, DECAY = 0.1, 0.9, 5e-4


def nesterov(w, g, v):
    """One step: v <- mu v + g + decay w; w <- w - lr (g + decay w + mu v)."""
    g = [a + DECAY * b for a, b in zip(g, w, strict=True)]
    v = [MU * a + b for a, b in zip(v, g, strict=True)]
    return [a - LR * (b + MU * c) for a, b, c in zip(w, g, v, strict=True)], v


def steps(problem, w, h):
    """Tau is the largest |g_i| after the floor(share n) largest; g_i <- clip(g_i, -tau, tau)."""
    v = [np.zeros_like(a) for a in w]
    while True:
        g = problem.gradient(w)
        sizes = np.sort(np.concatenate([np.abs(a).ravel() for a in g]))[::-1]
        tau = sizes[int(h.share * len(sizes))]
        w, v = nesterov(w, [np.clip(a, -tau, tau) for a in g], v)
        yield w
