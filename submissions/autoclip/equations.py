"""Seetharaman et al. (2020), Algorithm 1: AutoClip.

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
    """Clip |g_t| to the p-th percentile of |g_1|, ..., |g_t|."""
    v = [np.zeros_like(a) for a in w]
    history = []
    while True:
        g = problem.gradient(w)
        size = np.sqrt(sum((a**2).sum() for a in g))
        history.append(size)
        eta = np.percentile(history, h.p)
        if size > eta:
            g = [eta / size * a for a in g]
        w, v = nesterov(w, g, v)
        yield w
