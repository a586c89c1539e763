"""Polyak and Juditsky (1992): the mean of the iterates; yields the mean.

The step is that of plain SGD, whose learning rate is `problem.reference_lr`.
"""

from __future__ import annotations

import itertools


def descend(problem, w, g, factor=1.0):
    """One step of the reference optimizer."""
    return [a - factor * problem.reference_lr * b for a, b in zip(w, g, strict=True)]


def steps(problem, w, h):
    """Each step: X_t = x_{t-1} - lr t^-alpha g_t; the mean begins after the share `begin` of T."""
    x, n = w, 0
    mean = w
    for t in itertools.count(1):
        x = descend(problem, x, problem.gradient(x), t**-h.alpha)
        if (t - 1) / problem.total_steps >= h.begin:
            n += 1
            mean = [a + (b - a) / n for a, b in zip(mean, x, strict=True)]
        yield mean if n else x
