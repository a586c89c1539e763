"""Polyak and Juditsky (1992): the mean of the iterates; yields the mean.

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
    """Each step: X_t = x_{t-1} - lr t^-alpha g_t; the mean begins after the share `begin` of T."""
    v = [np.zeros_like(a) for a in w]
    x, n = w, 0
    mean = w
    for t in itertools.count(1):
        x, v = nesterov(x, problem.gradient(x), v, t**-h.alpha)
        if (t - 1) / problem.total_steps >= h.begin:
            n += 1
            mean = [a + (b - a) / n for a, b in zip(mean, x, strict=True)]
        yield mean if n else x
