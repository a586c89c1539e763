"""Lee et al. (2024), Algorithm 1: Grokfast-MA.

The step is that of the reference optimizer of classification tasks at its defaults: SGD with
Nesterov momentum (Sutskever et al., 2013, in the form of torch).
"""

from __future__ import annotations

from collections import deque

import numpy as np

LR, MU, DECAY = 0.1, 0.9, 5e-4


def nesterov(w, g, v):
    """One step: v <- mu v + g + decay w; w <- w - lr (g + decay w + mu v)."""
    g = [a + DECAY * b for a, b in zip(g, w, strict=True)]
    v = [MU * a + b for a, b in zip(v, g, strict=True)]
    return [a - LR * (b + MU * c) for a, b, c in zip(w, g, v, strict=True)], v


def steps(problem, w, h):
    """Each step: g <- g + lam (mean of the last w gradients), once there are as many."""
    v = [np.zeros_like(a) for a in w]
    window = deque(maxlen=h.w)
    while True:
        g = problem.gradient(w)
        window.append(g)
        if len(window) == h.w:
            means = [sum(column) / h.w for column in zip(*window, strict=True)]
            g = [a + h.lam * b for a, b in zip(g, means, strict=True)]
        w, v = nesterov(w, g, v)
        yield w
