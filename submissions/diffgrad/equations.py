"""diffGrad: Dubey et al. (2020), eqs. 5 to 9, with eps where diffGrad_v2.py adds it.

The paper divides by sqrt(v_hat) + eps; the official code adds eps to sqrt(v), before the correction
for bias. pytorch_optimizer adds a second one, inside the root. Weight decay is L2, added to the
gradient.
"""

from __future__ import annotations

import numpy as np

INNER_EPS = 1e-15
"""`exp_avg_sq_eps` of pytorch_optimizer 4.1; its root is 3.2e-8, more than eps."""


def steps(problem, w, h):
    """The weights after each step."""
    m = [np.zeros_like(part) for part in w]
    v = [np.zeros_like(part) for part in w]
    previous = [np.zeros_like(part) for part in w]
    t = 0
    while True:
        t += 1
        for i, g in enumerate(problem.gradient(w)):
            g = g + h.weight_decay * w[i]
            m[i] = h.beta1 * m[i] + (1 - h.beta1) * g
            v[i] = h.beta2 * v[i] + (1 - h.beta2) * g**2
            xi = 1 / (1 + np.exp(-np.abs(previous[i] - g)))
            previous[i] = g
            m_hat = m[i] / (1 - h.beta1**t)
            corrected = (np.sqrt(v[i] + INNER_EPS) + h.eps) / np.sqrt(1 - h.beta2**t)
            w[i] = w[i] - h.lr * xi * m_hat / corrected
        yield w
