"""OASIS: Jahani et al. (ICLR 2022), Algorithm 1 with the adaptive learning rate.

Both gradients of a step are of the same function here, so the one of the step before is reused.
Draws as the method does, from a torch generator seeded like its own: `problem.rng`.
"""

import numpy as np


def steps(problem, w, h):
    """Yield the weights after each step."""
    diagonal = [
        np.mean(parts, axis=0) for parts in zip(*(probe(problem, w) for _ in range(h.n_probes)))
    ]
    lr, theta = h.first_lr, np.inf
    g = problem.gradient(w)
    before = w
    w = [part - lr * a / d for part, a, d in zip(w, g, bounded(diagonal, h))]
    yield w
    while True:
        earlier, g = g, problem.gradient(w)
        estimate = probe(problem, w)
        diagonal = [h.beta2 * d + (1 - h.beta2) * e for d, e in zip(diagonal, estimate)]
        dhat = bounded(diagonal, h)
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
    z = [2.0 * problem.rng.integers(0, 2, part.shape) - 1 for part in w]
    return [sign * product for sign, product in zip(z, problem.hessian_product(w, z))]
