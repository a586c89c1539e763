"""Gradient-normalised smoothness: Semenov, Jaggi and Doikov (2025), Algorithm 1."""

import numpy as np


def steps(problem, w, h):
    """Yield the weights after each step."""
    sizes = np.cumsum([part.size for part in w])[:-1]

    def flat(parts):
        return np.concatenate([part.ravel() for part in parts])

    def parts(x):
        return [p.reshape(old.shape) for p, old in zip(np.split(x, sizes), w)]

    x, gamma = flat(w), h.gamma
    while True:
        f, g = problem.value(parts(x)), flat(problem.gradient(parts(x)))
        hessian = [flat(problem.hessian_product(parts(x), parts(e))) for e in np.eye(len(x))]
        for _ in range(h.tries):
            lam = np.linalg.norm(g) / gamma
            shifted = np.array(hessian) + lam * np.eye(len(x))
            if np.linalg.eigvalsh(shifted)[0] > 0:
                trial = x - np.linalg.solve(shifted, g)
                size = (flat(problem.gradient(parts(trial))) ** 2).sum()
                if f - problem.value(parts(trial)) >= size / (8 * lam):
                    x, gamma = trial, 2 * gamma
                    break
            gamma = gamma / 2
        yield parts(x)
