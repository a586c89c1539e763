"""AMSGrad: Reddi, Kale and Kumar (2018), algorithm 2, with the bias corrections of Adam.

The paper has none; torch divides m and the largest v so far by Adam's. Weight decay is L2, added to
the gradient.
"""

from __future__ import annotations

import numpy as np


def steps(problem, w, h):
    """The weights after each step."""
    m = [np.zeros_like(part) for part in w]
    v = [np.zeros_like(part) for part in w]
    largest = [np.zeros_like(part) for part in w]
    t = 0
    while True:
        t += 1
        for i, g in enumerate(problem.gradient(w)):
            g = g + h.weight_decay * w[i]
            m[i] = h.beta1 * m[i] + (1 - h.beta1) * g
            v[i] = h.beta2 * v[i] + (1 - h.beta2) * g**2
            largest[i] = np.maximum(largest[i], v[i])
            m_hat = m[i] / (1 - h.beta1**t)
            v_hat = largest[i] / (1 - h.beta2**t)
            w[i] = w[i] - h.lr * m_hat / (np.sqrt(v_hat) + h.eps)
        yield w
