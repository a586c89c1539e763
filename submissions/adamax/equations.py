"""AdaMax: Kingma and Ba, arXiv:1412.6980, Algorithm 2. It has no eps, which torch adds to |g|."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np


def steps(problem: Any, w: list[np.ndarray], h: Any) -> Iterator[list[np.ndarray]]:
    """The weights after each step, endlessly."""
    w = [x.copy() for x in w]
    m = [np.zeros_like(x) for x in w]
    u = [np.zeros_like(x) for x in w]
    t = 0
    while True:
        t += 1
        for i, g in enumerate(problem.gradient(w)):
            g = g + h.weight_decay * w[i]
            m[i] = h.beta1 * m[i] + (1 - h.beta1) * g
            u[i] = np.maximum(h.beta2 * u[i], np.abs(g) + h.eps)
            w[i] -= h.lr / (1 - h.beta1**t) * m[i] / u[i]
        yield [x.copy() for x in w]
