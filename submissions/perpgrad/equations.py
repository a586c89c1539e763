"""Prieto et al. (2025): perpendicular gradients.

The step is that of plain SGD, whose learning rate is `problem.reference_lr`.
"""

from __future__ import annotations

import numpy as np


def descend(problem, w, g):
    """One step of the reference optimizer."""
    return [a - problem.reference_lr * b for a, b in zip(w, g, strict=True)]


def steps(problem, w, h):
    """Per tensor: g_perp = g - (w . g / w . w) w; g <- g_perp |g| / |g_perp|."""
    while True:
        g = []
        for a, b in zip(w, problem.gradient(w), strict=True):
            perpendicular = b - (a * b).sum() / (a * a).sum() * a
            g.append(perpendicular * np.linalg.norm(b) / np.linalg.norm(perpendicular))
        w = descend(problem, w, g)
        yield w
