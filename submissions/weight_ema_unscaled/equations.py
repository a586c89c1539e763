"""The control of the EMA scaling rule, kappa = 4; yields the average.

The step is that of plain SGD, whose learning rate is `problem.reference_lr`.
"""

from __future__ import annotations


def descend(problem, w, g, factor=1.0):
    """One step of the reference optimizer."""
    return [a - factor * problem.reference_lr * b for a, b in zip(w, g, strict=True)]


def steps(problem, w, h):
    """A step of 4 lr (SGD), then zeta <- h.rho zeta + (1 - h.rho) theta."""
    zeta = w
    while True:
        w = descend(problem, w, problem.gradient(w), factor=4)
        zeta = [h.rho * a + (1 - h.rho) * b for a, b in zip(zeta, w, strict=True)]
        yield zeta
