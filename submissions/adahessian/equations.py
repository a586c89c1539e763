"""AdaHessian: Yao et al., arXiv:2006.00719, Algorithm 1, with |z * (H z)| as in the authors' code.

Draws z, tensor by tensor, as integers 0 and 1, of which it makes -1 and 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np


def steps(problem: Any, w: list[np.ndarray], h: Any) -> Iterator[list[np.ndarray]]:
    """The weights after each step, endlessly."""
    w = [x.copy() for x in w]
    m = [np.zeros_like(x) for x in w]
    v = [np.zeros_like(x) for x in w]
    t = 0
    while True:
        t += 1
        grads = problem.gradient(w)
        z = [2 * problem.draw() - 1 for _ in w]
        products = problem.hessian_product(w, z)
        for i, g in enumerate(grads):
            d = np.abs(z[i] * products[i])
            if d.ndim == 4:
                d = np.broadcast_to(d.mean(axis=(2, 3), keepdims=True), d.shape)
            m[i] = h.beta1 * m[i] + (1 - h.beta1) * g
            v[i] = h.beta2 * v[i] + (1 - h.beta2) * d**2
            m_hat, v_hat = m[i] / (1 - h.beta1**t), v[i] / (1 - h.beta2**t)
            step = m_hat / (v_hat ** (h.hessian_power / 2) + h.eps)
            w[i] -= h.lr * (step + h.weight_decay * w[i])
        yield [x.copy() for x in w]
