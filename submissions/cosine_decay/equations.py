"""Loshchilov and Hutter (2017), equation 5 with a single cycle.

The step is that of plain SGD, whose learning rate is `problem.reference_lr`.
"""

from __future__ import annotations

import itertools

import numpy as np


def descend(problem, w, g, factor=1.0):
    """One step of the reference optimizer."""
    return [a - factor * problem.reference_lr * b for a, b in zip(w, g, strict=True)]


def steps(problem, w, h):
    """Each step: lr_t = lr (1 + cos(pi t / T)) / 2, t = 0, 1, ..."""
    for t in itertools.count():
        factor = (1 + np.cos(np.pi * t / problem.total_steps)) / 2
        w = descend(problem, w, problem.gradient(w), factor)
        yield w
