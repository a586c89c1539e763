"""Exponentiated gradient: Pogodin et al. (ICLR 2024), negative entropy, heavy-ball momentum."""

import numpy as np


def steps(problem, w, h):
    """Yield the weights after each step."""
    v = [np.zeros_like(part) for part in w]
    while True:
        v = [h.momentum * a + b for a, b in zip(v, problem.gradient(w))]
        w = [x * np.exp(-h.lr * np.sign(x) * part) for x, part in zip(w, v)]
        yield w
