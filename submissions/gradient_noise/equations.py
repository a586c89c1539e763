"""Neelakantan et al. (2015): annealed Gaussian noise on gradients.

The step is that of plain SGD, whose learning rate is `problem.reference_lr`.
"""

from __future__ import annotations

import itertools

import numpy as np


def descend(problem, w, g):
    """One step of the reference optimizer."""
    return [a - problem.reference_lr * b for a, b in zip(w, g, strict=True)]


def steps(problem, w, h):
    """Each step: g_t <- g_t + N(0, eta / (1 + t)^gamma), t = 0, 1, ..."""
    for t in itertools.count():
        sigma = np.sqrt(h.eta / (1 + t) ** h.gamma)
        g = [a + sigma * problem.draw() for a in problem.gradient(w)]
        w = descend(problem, w, g)
        yield w
