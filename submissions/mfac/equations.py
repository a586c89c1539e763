"""M-FAC: Frantar, Kurtic and Alistarh (NeurIPS 2021), the dynamic algorithm, by a dense inverse."""

import numpy as np


def steps(problem, w, h):
    """Yield the weights after each step."""
    sizes = np.cumsum([part.size for part in w])[:-1]
    x = np.concatenate([part.ravel() for part in w])
    window = np.zeros((h.m, len(x)))
    v = np.zeros_like(x)
    t = 0
    while True:
        parts = [p.reshape(old.shape) for p, old in zip(np.split(x, sizes), w)]
        g = np.concatenate([part.ravel() for part in problem.gradient(parts)])
        g = g + h.weight_decay * x
        window[t % h.m] = g
        t += 1
        fisher = h.damp * np.eye(len(x)) + window.T @ window / h.m
        v = h.momentum * v + (1 - h.momentum) * np.linalg.solve(fisher, g)
        x = x - h.lr * v
        yield [p.reshape(old.shape) for p, old in zip(np.split(x, sizes), w)]
