"""Busbridge et al. (2023): exponential moving average; yields the average.

The step is that of plain SGD, whose learning rate is `problem.reference_lr`.
"""

from __future__ import annotations


def descend(problem, w, g):
    """One step of the reference optimizer."""
    return [a - problem.reference_lr * b for a, b in zip(w, g, strict=True)]


def steps(problem, w, h):
    """Each step: zeta <- rho zeta + (1 - rho) theta after every step, zeta_0 = theta_0."""
    zeta = w
    while True:
        w = descend(problem, w, problem.gradient(w))
        zeta = [h.rho * a + (1 - h.rho) * b for a, b in zip(zeta, w, strict=True)]
        yield zeta
