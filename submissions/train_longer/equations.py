"""Hoffer et al. (2017), Algorithm 1 and the official main_gbn.py: ghost batches.

The step is that of plain SGD, whose learning rate is `problem.reference_lr`.
"""

from __future__ import annotations

import itertools

import numpy as np


def descend(problem, w, g, factor=1.0):
    """One step of the reference optimizer."""
    return [a - factor * problem.reference_lr * b for a, b in zip(w, g, strict=True)]


def steps(problem, w, h):
    """After m small batches a step along their mean gradient, clipped; lr times sqrt(m)."""
    total = [np.zeros_like(a) for a in w]
    for n_passed in itertools.count(1):
        total = [a + b / h.m for a, b in zip(total, problem.gradient(w), strict=True)]
        if n_passed % h.m == 0:
            size = np.sqrt(sum((a**2).sum() for a in total))
            factor = np.sqrt(h.m) * min(1, h.max_norm / size)
            w = descend(problem, w, total, factor)
            total = [np.zeros_like(a) for a in w]
        yield w
