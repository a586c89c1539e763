"""Sophia-H: Liu et al., arXiv:2305.14342 (2024), Algorithms 1 (Hutchinson) and 3.

Draws u, tensor by tensor, from a normal distribution.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np


def steps(problem: Any, w: list[np.ndarray], h: Any) -> Iterator[list[np.ndarray]]:
    """The weights after each step, endlessly."""
    w = [x.copy() for x in w]
    m = [np.zeros_like(x) for x in w]
    diagonal = [np.zeros_like(x) for x in w]
    t = 0
    while True:
        t += 1
        grads = problem.gradient(w)
        if (t - 1) % h.period == 0:
            u = [problem.draw() for _ in w]
            for i, product in enumerate(problem.hessian_product(w, u)):
                estimate = u[i] * product
                diagonal[i] = h.beta2 * diagonal[i] + (1 - h.beta2) * estimate
        for i, g in enumerate(grads):
            m[i] = h.beta1 * m[i] + (1 - h.beta1) * g
            step = np.clip(m[i] / np.maximum(h.gamma * diagonal[i], h.eps), -1, 1)
            w[i] -= h.lr * (step + h.weight_decay * w[i])
        yield [x.copy() for x in w]
