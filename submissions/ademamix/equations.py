"""AdEMAMix: Pagliardini et al., arXiv:2409.03137, Algorithm 1 and Section 3 (schedulers)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np


def steps(problem: Any, w: list[np.ndarray], h: Any) -> Iterator[list[np.ndarray]]:
    """The weights after each step, endlessly."""
    w = [x.copy() for x in w]
    m1 = [np.zeros_like(x) for x in w]
    m2 = [np.zeros_like(x) for x in w]
    v = [np.zeros_like(x) for x in w]
    log1, log3 = np.log(h.beta1), np.log(h.beta3)
    t = 0
    while True:
        t += 1
        share = min(t / problem.total_steps, 1.0)
        alpha = share * h.alpha
        beta3 = min(np.exp(log1 * log3 / ((1 - share) * log3 + share * log1)), h.beta3)
        for i, g in enumerate(problem.gradient(w)):
            m1[i] = h.beta1 * m1[i] + (1 - h.beta1) * g
            m2[i] = beta3 * m2[i] + (1 - beta3) * g
            v[i] = h.beta2 * v[i] + (1 - h.beta2) * g**2
            m_hat, v_hat = m1[i] / (1 - h.beta1**t), v[i] / (1 - h.beta2**t)
            update = (m_hat + alpha * m2[i]) / (np.sqrt(v_hat) + h.eps)
            w[i] -= h.lr * (update + h.weight_decay * w[i])
        yield [x.copy() for x in w]
