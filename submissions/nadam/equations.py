"""NAdam: Dozat (2016), algorithm 2, with his schedule of mu and torch's momentum_decay of 0.004.

Weight decay is L2, added to the gradient.
"""

from __future__ import annotations

import numpy as np

MOMENTUM_DECAY = 0.004


def steps(problem, w, h):
    """The weights after each step."""

    def mu(t):
        return h.beta1 * (1 - 0.5 * 0.96 ** (t * MOMENTUM_DECAY))

    m = [np.zeros_like(part) for part in w]
    v = [np.zeros_like(part) for part in w]
    t, product = 0, 1.0
    while True:
        t += 1
        product *= mu(t)
        for i, g in enumerate(problem.gradient(w)):
            g = g + h.weight_decay * w[i]
            m[i] = h.beta1 * m[i] + (1 - h.beta1) * g
            v[i] = h.beta2 * v[i] + (1 - h.beta2) * g**2
            ahead = mu(t + 1) * m[i] / (1 - product * mu(t + 1))
            m_hat = ahead + (1 - mu(t)) * g / (1 - product)
            v_hat = v[i] / (1 - h.beta2**t)
            w[i] = w[i] - h.lr * m_hat / (np.sqrt(v_hat) + h.eps)
        yield w
