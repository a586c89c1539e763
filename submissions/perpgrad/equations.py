"""Prieto et al. (2025): perpendicular gradients.

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
    """Per tensor: g_perp = g - (w . g / w . w) w; g <- g_perp |g| / |g_perp|."""
    v = [np.zeros_like(a) for a in w]
    while True:
        g = []
        for a, b in zip(w, problem.gradient(w), strict=True):
            perpendicular = b - (a * b).sum() / (a * a).sum() * a
            g.append(perpendicular * np.linalg.norm(b) / np.linalg.norm(perpendicular))
        w, v = nesterov(w, g, v)
        yield w
