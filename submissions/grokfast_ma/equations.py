"""Lee et al. (2024), Algorithm 1: Grokfast-MA.

The step is that of plain SGD, whose learning rate is `problem.reference_lr`.
"""

from __future__ import annotations

from collections import deque


def descend(problem, w, g):
    """One step of the reference optimizer."""
    return [a - problem.reference_lr * b for a, b in zip(w, g, strict=True)]


def steps(problem, w, h):
    """Each step: g <- g + lam (mean of the last w gradients), once there are as many."""
    window = deque(maxlen=h.w)
    while True:
        g = problem.gradient(w)
        window.append(g)
        if len(window) == h.w:
            means = [sum(column) / h.w for column in zip(*window, strict=True)]
            g = [a + h.lam * b for a, b in zip(g, means, strict=True)]
        w = descend(problem, w, g)
        yield w
