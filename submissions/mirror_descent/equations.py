"""Mirror descent with a p-norm potential: Pogodin et al. (ICLR 2024), with heavy-ball momentum."""

import numpy as np


def steps(problem, w, h):
    """Yield the weights after each step."""
    v = [np.zeros_like(part) for part in w]
    while True:
        g = [part + h.weight_decay * x for part, x in zip(problem.gradient(w), w)]
        v = [h.momentum * a + b for a, b in zip(v, g)]
        y = [np.sign(x) * np.abs(x) ** (h.p - 1) - h.lr * part for x, part in zip(w, v)]
        w = [np.sign(x) * np.abs(x) ** (1 / (h.p - 1)) for x in y]
        yield w
