"""FOSI: Sivan, Gabel and Schuster (ICLR 2024), Algorithms 1 and 2 with Adam as base.

The eigenpairs are exact here: with at most 4 k unknowns Lanczos finds them too.
"""

import numpy as np


def steps(problem, w, h):
    """Yield the weights after each step."""
    sizes = np.cumsum([part.size for part in w])[:-1]

    def flat(parts):
        return np.concatenate([part.ravel() for part in parts])

    def parts(x):
        return [p.reshape(old.shape) for p, old in zip(np.split(x, sizes), w)]

    x = flat(w)
    v = mean = square = np.zeros_like(x)
    V, lam = np.zeros((0, len(x))), np.ones(0)
    t = 0
    while True:
        t += 1
        if t % h.period == 0:
            rows = [flat(problem.hessian_product(parts(x), parts(e))) for e in np.eye(len(x))]
            lam, vectors = np.linalg.eigh(np.array(rows))
            lam, V = lam[-h.k :], vectors.T[-h.k :]
        g = flat(problem.gradient(parts(x)))
        g1 = V.T @ (V @ g)
        g2 = g - g1
        v = h.beta1 * v + (1 - h.beta1) * g1
        newton = V.T @ ((V @ v) / np.abs(lam))
        mean = h.beta1 * mean + (1 - h.beta1) * g2
        square = h.beta2 * square + (1 - h.beta2) * g2**2
        base = mean / (1 - h.beta1**t) / (np.sqrt(square / (1 - h.beta2**t)) + h.eps)
        base = base - V.T @ (V @ base)
        x = x - h.lr * base - h.alpha * newton
        yield parts(x)
