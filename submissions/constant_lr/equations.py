"""A constant learning rate.

The step is that of plain SGD, whose learning rate is `problem.reference_lr`.
"""

from __future__ import annotations


def descend(problem, w, g):
    """One step of the reference optimizer."""
    return [a - problem.reference_lr * b for a, b in zip(w, g, strict=True)]


def steps(problem, w, h):
    """Each step: lr_t = lr."""
    while True:
        w = descend(problem, w, problem.gradient(w))
        yield w
