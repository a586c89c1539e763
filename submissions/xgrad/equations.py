"""XGrad: Guan, Li, Shi and Meng (2023), Algorithm 1 with Adam's line of Table 1."""

import numpy as np


def steps(problem, w, h):
    """Yield the weights after each step."""
    m = [np.zeros_like(part) for part in w]
    v = [np.zeros_like(part) for part in w]
    t = 0
    while True:
        ahead = [0.0 * part for part in w]
        if t:
            ahead = [h.s * h.lr * part for part in direction(m, v, t, h)]
        g = problem.gradient([part - more for part, more in zip(w, ahead)])
        g = [part + h.weight_decay * weights for part, weights in zip(g, w)]
        t += 1
        m = [h.beta1 * a + (1 - h.beta1) * b for a, b in zip(m, g)]
        v = [h.beta2 * a + (1 - h.beta2) * b**2 for a, b in zip(v, g)]
        w = [part - h.lr * d for part, d in zip(w, direction(m, v, t, h))]
        yield w


def direction(m, v, t, h):
    """Adam's bias-corrected direction."""
    mhat = [part / (1 - h.beta1**t) for part in m]
    vhat = [part / (1 - h.beta2**t) for part in v]
    return [a / (np.sqrt(b) + h.eps) for a, b in zip(mhat, vhat)]
