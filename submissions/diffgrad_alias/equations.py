"""diffGrad as its first published code computed it: diffGrad.py on one gradient buffer.

`previous` is a second name of the buffer that every backward pass refills, so from the second step
on it holds the present gradient, and xi is 0.5. For the rest see the equations of diffgrad.
"""

from __future__ import annotations

import numpy as np


def steps(problem, w, h):
    """The weights after each step."""
    m = [np.zeros_like(part) for part in w]
    v = [np.zeros_like(part) for part in w]
    buffers = [np.zeros_like(part) for part in w]
    previous = [np.zeros_like(part) for part in w]
    t = 0
    while True:
        t += 1
        for i, gradient in enumerate(problem.gradient(w)):
            g = buffers[i]
            g[:] = gradient + h.weight_decay * w[i]
            m[i] = h.beta1 * m[i] + (1 - h.beta1) * g
            v[i] = h.beta2 * v[i] + (1 - h.beta2) * g**2
            xi = 1 / (1 + np.exp(-np.abs(previous[i] - g)))
            previous[i] = g
            m_hat = m[i] / (1 - h.beta1**t)
            corrected = (np.sqrt(v[i]) + h.eps) / np.sqrt(1 - h.beta2**t)
            w[i] = w[i] - h.lr * xi * m_hat / corrected
        yield w
