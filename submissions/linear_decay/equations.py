"""Defazio et al. (2023): linear decay.

The step is that of the reference optimizer of classification tasks at its defaults: SGD with
Nesterov momentum (Sutskever et al., 2013, in the form of torch).
"""

from __future__ import annotations

import itertools

import numpy as np

LR, MU, DECAY = 0.1, 0.9, 5e-4


def nesterov(w, g, v, factor=1.0):
    """One step: v <- mu v + g + decay w; w <- w - factor lr (g + decay w + mu v)."""
    g = [a + DECAY * b for a, b in zip(g, w, strict=True)]
    v = [MU * a + b for a, b in zip(v, g, strict=True)]
    return [a - factor * LR * (b + MU * c) for a, b, c in zip(w, g, v, strict=True)], v


def steps(problem, w, h):
    """Each step: lr_t = lr (1 - t / T), t = 0, 1, ..."""
    v = [np.zeros_like(a) for a in w]
    for t in itertools.count():
        factor = 1 - t / problem.total_steps
        w, v = nesterov(w, problem.gradient(w), v, factor)
        yield w
