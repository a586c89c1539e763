"""Smith and Topin (2017), Smith (2018): the 1cycle policy.

The step is that of the reference optimizer of classification tasks at its defaults: SGD with
Nesterov momentum (Sutskever et al., 2013, in the form of torch).
"""

from __future__ import annotations

import itertools

import numpy as np

LR, DECAY = 0.1, 5e-4


def nesterov(w, g, v, factor, mu):
    """One step: v <- mu v + g + decay w; w <- w - factor lr (g + decay w + mu v)."""
    g = [a + DECAY * b for a, b in zip(g, w, strict=True)]
    v = [mu * a + b for a, b in zip(v, g, strict=True)]
    return [a - factor * LR * (b + mu * c) for a, b, c in zip(w, g, v, strict=True)], v


def steps(problem, w, h):
    """Each step: lr and momentum are linear in three phases: up, down, final drop."""
    v = [np.zeros_like(a) for a in w]
    ends = [0, h.rise * problem.total_steps, 2 * h.rise * problem.total_steps, problem.total_steps]
    for t in itertools.count():
        factor = np.interp(t, ends, [h.start, 1, h.start, h.end])
        mu = np.interp(t, ends, [h.high_momentum, h.low_momentum, *[h.high_momentum] * 2])
        w, v = nesterov(w, problem.gradient(w), v, factor, mu)
        yield w
