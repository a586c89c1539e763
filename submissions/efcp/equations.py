"""EFCP: Modoranu et al. (ICML 2024), Algorithm 1 with M-FAC, by a dense inverse."""

import numpy as np


def steps(problem, w, h):
    """Yield the weights after each step."""
    sizes = np.cumsum([part.size for part in w])[:-1]
    x = np.concatenate([part.ravel() for part in w])
    k = int(np.ceil(h.density * len(x)))
    window = np.zeros((h.m, len(x)))
    xi = np.zeros_like(x)
    t = 0
    while True:
        parts = [p.reshape(old.shape) for p, old in zip(np.split(x, sizes), w)]
        a = xi + np.concatenate([part.ravel() for part in problem.gradient(parts)])
        largest = np.argsort(-np.abs(a))[:k]
        c = np.zeros_like(a)
        c[largest] = a[largest]
        xi = a - c
        window[t % h.m] = c
        t += 1
        fisher = h.damp * np.eye(len(x)) + window.T @ window / h.m
        x = (1 - h.weight_decay) * x - h.lr * np.linalg.solve(fisher, c)
        yield [p.reshape(old.shape) for p, old in zip(np.split(x, sizes), w)]
