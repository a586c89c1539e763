"""AdaDelta: Zeiler (2012), algorithm 1, with a learning rate that the paper has not (it is 1).

Weight decay is L2, added to the gradient.
"""

from __future__ import annotations

import numpy as np


def steps(problem, w, h):
    """The weights after each step."""
    v = [np.zeros_like(part) for part in w]  # E[g^2]
    u = [np.zeros_like(part) for part in w]  # E[dx^2]
    while True:
        for i, g in enumerate(problem.gradient(w)):
            g = g + h.weight_decay * w[i]
            v[i] = h.rho * v[i] + (1 - h.rho) * g**2
            dx = np.sqrt(u[i] + h.eps) / np.sqrt(v[i] + h.eps) * g
            u[i] = h.rho * u[i] + (1 - h.rho) * dx**2
            w[i] = w[i] - h.lr * dx
        yield w
