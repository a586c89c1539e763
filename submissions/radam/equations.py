"""RAdam: Liu et al., arXiv:1908.03265, Algorithm 2, with 5 (authors' code) for the threshold 4."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np


def steps(problem: Any, w: list[np.ndarray], h: Any) -> Iterator[list[np.ndarray]]:
    """The weights after each step, endlessly."""
    w = [x.copy() for x in w]
    m = [np.zeros_like(x) for x in w]
    v = [np.zeros_like(x) for x in w]
    rho_inf = 2 / (1 - h.beta2) - 1
    t = 0
    while True:
        t += 1
        rho = rho_inf - 2 * t * h.beta2**t / (1 - h.beta2**t)
        for i, g in enumerate(problem.gradient(w)):
            m[i] = h.beta1 * m[i] + (1 - h.beta1) * g
            v[i] = h.beta2 * v[i] + (1 - h.beta2) * g**2
            m_hat = m[i] / (1 - h.beta1**t)
            if rho >= 5 or h.momentum_first:
                w[i] -= h.lr * h.weight_decay * w[i]
            if rho >= 5:
                r = (rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho)
                adaptive = np.sqrt(1 - h.beta2**t) / (np.sqrt(v[i]) + h.eps)
                w[i] -= h.lr * np.sqrt(r) * m_hat * adaptive
            elif h.momentum_first:
                w[i] -= h.lr * m_hat
        yield [x.copy() for x in w]
