"""Lee et al. (2024), Algorithm 2: Grokfast-EMA.

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
    """Each step: mu <- alpha mu + (1 - alpha) g with mu_0 = g_1; g <- g + lam mu."""
    v = [np.zeros_like(a) for a in w]
    mu = problem.gradient(w)
    while True:
        g = problem.gradient(w)
        mu = [h.alpha * a + (1 - h.alpha) * b for a, b in zip(mu, g, strict=True)]
        w, v = nesterov(w, [a + h.lam * b for a, b in zip(g, mu, strict=True)], v)
        yield w
