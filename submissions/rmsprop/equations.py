"""RMSprop: Hinton's lecture 6e (2012), slide 29; weight decay is L2, added to the gradient."""

from __future__ import annotations

import numpy as np


def steps(problem, w, h):
    """The weights after each step."""
    v = [np.zeros_like(part) for part in w]
    while True:
        for i, g in enumerate(problem.gradient(w)):
            g = g + h.weight_decay * w[i]
            v[i] = h.alpha * v[i] + (1 - h.alpha) * g**2
            w[i] = w[i] - h.lr * g / (np.sqrt(v[i]) + h.eps)
        yield w
