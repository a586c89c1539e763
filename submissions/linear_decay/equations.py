"""Defazio et al. (2023): linear decay.

The step is that of plain SGD, whose learning rate is `problem.reference_lr`.
"""

from __future__ import annotations

import itertools


def descend(problem, w, g, factor=1.0):
    """One step of the reference optimizer."""
    return [a - factor * problem.reference_lr * b for a, b in zip(w, g, strict=True)]


def steps(problem, w, h):
    """Each step: lr_t = lr (1 - t / T), t = 0, 1, ..."""
    for t in itertools.count():
        factor = 1 - t / problem.total_steps
        w = descend(problem, w, problem.gradient(w), factor)
        yield w
