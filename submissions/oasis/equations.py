"""OASIS: Jahani et al. (ICLR 2022), Algorithm 1 with the adaptive learning rate.

Draws z, tensor by tensor, as integers 0 and 1, of which it makes -1 and 1: `h.n_probes` times in
the first step, once in each later one.
"""

import numpy as np


def steps(problem, w, h):
    """Yield the weights after each step."""
    diagonal, before = None, None
    lr, theta = h.first_lr, np.inf
    while True:
        g = problem.gradient(w)
        if before is None:
            probes = [probe(problem, w) for _ in range(h.n_probes)]
            diagonal = [np.mean(parts, axis=0) for parts in zip(*probes)]
            dhat = bounded(diagonal, h)
        else:
            estimate = probe(problem, w)
            diagonal = [h.beta2 * d + (1 - h.beta2) * e for d, e in zip(diagonal, estimate)]
            dhat = bounded(diagonal, h)
            earlier = problem.gradient(before)  # of this step's batch
            moved = sum((d * (a - b) ** 2).sum() for d, a, b in zip(dhat, w, before))
            turned = sum(((a - b) ** 2 / d).sum() for d, a, b in zip(dhat, g, earlier))
            new = min(np.sqrt(1 + theta) * lr, 0.5 * np.sqrt(moved / turned))
            theta, lr = new / lr, new
        before, w = w, [part - lr * a / d for part, a, d in zip(w, g, dhat)]
        yield w


def bounded(diagonal, h):
    """Dhat: absolute values, at least alpha."""
    return [np.maximum(np.abs(part), h.alpha) for part in diagonal]


def probe(problem, w):
    """One estimate z * (H z)."""
    z = [2 * problem.draw() - 1 for _ in w]
    return [sign * product for sign, product in zip(z, problem.hessian_product(w, z))]
