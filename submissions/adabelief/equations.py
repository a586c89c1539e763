"""AdaBelief: Zhuang et al., arXiv:2010.07468, Algorithm 2, with decoupled weight decay."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np


def steps(problem: Any, w: list[np.ndarray], h: Any) -> Iterator[list[np.ndarray]]:
    """The weights after each step, endlessly."""
    w = [x.copy() for x in w]
    m = [np.zeros_like(x) for x in w]
    s = [np.zeros_like(x) for x in w]
    t = 0
    while True:
        t += 1
        for i, g in enumerate(problem.gradient(w)):
            m[i] = h.beta1 * m[i] + (1 - h.beta1) * g
            s[i] = h.beta2 * s[i] + (1 - h.beta2) * (g - m[i]) ** 2 + h.eps
            m_hat, s_hat = m[i] / (1 - h.beta1**t), s[i] / (1 - h.beta2**t)
            w[i] -= h.lr * (m_hat / (np.sqrt(s_hat) + h.eps) + h.weight_decay * w[i])
        yield [x.copy() for x in w]
