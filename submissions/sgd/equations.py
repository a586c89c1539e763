"""SGD with Nesterov momentum: Sutskever et al. (2013), eqs. 3 and 4, as torch writes them.

The paper's parameters are those that this form looks ahead to, theta + mu v; the weights here are
these. Weight decay is L2, added to the gradient.
"""

from __future__ import annotations

import numpy as np


def steps(problem, w, h):
    """The weights after each step."""
    mu = h.momentum
    v = [np.zeros_like(part) for part in w]
    while True:
        for i, g in enumerate(problem.gradient(w)):
            g = g + h.weight_decay * w[i]
            v[i] = mu * v[i] + g
            w[i] = w[i] - h.lr * (g + mu * v[i])
        yield w
