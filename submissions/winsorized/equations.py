"""Chatterjee (2020): winsorised mean of the gradients of h.k equal parts of the batch.

The step is that of plain SGD, whose learning rate is `problem.reference_lr`.
"""

from __future__ import annotations

import numpy as np


def descend(problem, w, g):
    """One step of the reference optimizer."""
    return [a - problem.reference_lr * b for a, b in zip(w, g, strict=True)]


def winsorized(parts, c):
    """The mean of parts (k, ...) whose c smallest and c largest are set to their neighbours."""
    k = len(parts)
    c = min(c, (k - 1) // 2)
    ordered = np.sort(parts, axis=0)
    ordered[:c], ordered[k - c :] = ordered[c], ordered[k - 1 - c]
    return ordered.mean(axis=0)


def steps(problem, w, h):
    """Each step: the parts' gradients, winsorised element by element."""
    while True:
        parts = [
            g.reshape(h.k, -1, *g.shape[1:]).mean(axis=1) for g in problem.example_gradients(w)
        ]
        w = descend(problem, w, [winsorized(part, h.c) for part in parts])
        yield w
