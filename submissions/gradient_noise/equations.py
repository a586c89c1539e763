"""Neelakantan et al. (2015): annealed Gaussian noise on gradients.

The step is that of the reference optimizer of classification tasks at its defaults: SGD with
Nesterov momentum (Sutskever et al., 2013, in the form of torch).
"""

from __future__ import annotations

import itertools

import numpy as np

LR, MU, DECAY = 0.1, 0.9, 5e-4


def nesterov(w, g, v):
    """One step: v <- mu v + g + decay w; w <- w - lr (g + decay w + mu v)."""
    g = [a + DECAY * b for a, b in zip(g, w, strict=True)]
    v = [MU * a + b for a, b in zip(v, g, strict=True)]
    return [a - LR * (b + MU * c) for a, b, c in zip(w, g, v, strict=True)], v


def steps(problem, w, h):
    """Each step: g_t <- g_t + N(0, eta / (1 + t)^gamma), t = 0, 1, ..."""
    v = [np.zeros_like(a) for a in w]
    for t in itertools.count():
        sigma = np.sqrt(h.eta / (1 + t) ** h.gamma)
        g = [a + sigma * problem.rng.standard_normal(a.shape) for a in problem.gradient(w)]
        w, v = nesterov(w, g, v)
        yield w
