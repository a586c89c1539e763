"""AdamW: Loshchilov and Hutter (2019), algorithm 2, with torch's lr on the weight decay too.

The paper's step is w <- w - eta_t (alpha m_hat / (sqrt(v_hat) + eps) + lambda w), whose lambda is
lr * weight_decay here.
"""

from __future__ import annotations

import numpy as np


def steps(problem, w, h):
    """The weights after each step."""
    m = [np.zeros_like(part) for part in w]
    v = [np.zeros_like(part) for part in w]
    t = 0
    while True:
        t += 1
        for i, g in enumerate(problem.gradient(w)):
            m[i] = h.beta1 * m[i] + (1 - h.beta1) * g
            v[i] = h.beta2 * v[i] + (1 - h.beta2) * g**2
            m_hat = m[i] / (1 - h.beta1**t)
            v_hat = v[i] / (1 - h.beta2**t)
            step = m_hat / (np.sqrt(v_hat) + h.eps) + h.weight_decay * w[i]
            w[i] = w[i] - h.lr * step
        yield w
