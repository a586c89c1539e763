"""Grams: Cao, Li and Song, arXiv:2412.17107, Algorithm 1."""

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
        for i, g in enumerate(problem.gradient(w)):
            m[i] = h.beta1 * m[i] + (1 - h.beta1) * g
            v[i] = h.beta2 * v[i] + (1 - h.beta2) * g**2
            m_hat, v_hat = m[i] / (1 - h.beta1**t), v[i] / (1 - h.beta2**t)
            update = np.sign(g) * np.abs(m_hat / (np.sqrt(v_hat) + h.eps))
            w[i] -= h.lr * (update + h.weight_decay * w[i])
        yield [x.copy() for x in w]
