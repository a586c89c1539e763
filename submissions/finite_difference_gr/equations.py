"""Karakida et al. (2023): gradient regularisation by forward differences.

The step is that of the reference optimizer of classification tasks at its defaults: SGD with
Nesterov momentum (Sutskever et al., 2013, in the form of torch).
"""

from __future__ import annotations

import numpy as np

LR, MU, DECAY = 0.1, 0.9, 5e-4


def nesterov(w, g, v):
    """One step: v <- mu v + g + decay w; w <- w - lr (g + decay w + mu v)."""
    g = [a + DECAY * b for a, b in zip(g, w, strict=True)]
    v = [MU * a + b for a, b in zip(v, g, strict=True)]
    return [a - LR * (b + MU * c) for a, b, c in zip(w, g, v, strict=True)], v


def steps(problem, w, h):
    """Each step: g <- g + (gamma / eps) (grad L(w + eps g) - g)."""
    v = [np.zeros_like(a) for a in w]
    while True:
        g = problem.gradient(w)
        ahead = problem.gradient([a + h.eps * b for a, b in zip(w, g, strict=True)])
        total = [a + h.gamma / h.eps * (b - a) for a, b in zip(g, ahead, strict=True)]
        w, v = nesterov(w, total, v)
        yield w
