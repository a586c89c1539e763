"""Foret et al. (2021), Algorithm 1: sharpness-aware minimisation.

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
    """Each step: e = rho g / |g|; the step from w takes the gradient at w + e."""
    v = [np.zeros_like(a) for a in w]
    while True:
        g = problem.gradient(w)
        size = np.sqrt(sum((a**2).sum() for a in g))
        ahead = [a + h.rho * b / size for a, b in zip(w, g, strict=True)]
        w, v = nesterov(w, problem.gradient(ahead), v)
        yield w
