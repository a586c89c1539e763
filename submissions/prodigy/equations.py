"""Prodigy: Mishchenko and Defazio, arXiv:2306.06101, Algorithm 4, with decoupled weight decay.

As in the authors' code, the new d is the factor of eps.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np


def steps(problem: Any, w: list[np.ndarray], h: Any) -> Iterator[list[np.ndarray]]:
    """The weights after each step, endlessly."""
    w = [x.copy() for x in w]
    start = [x.copy() for x in w]
    m = [np.zeros_like(x) for x in w]
    v = [np.zeros_like(x) for x in w]
    s = [np.zeros_like(x) for x in w]
    r, d = 0.0, h.d0
    b3 = np.sqrt(h.beta2)
    t = 0
    while True:
        t += 1
        grads = problem.gradient(w)
        along = sum((g * (x0 - x)).sum() for g, x0, x in zip(grads, start, w, strict=True))
        r = b3 * r + (1 - b3) * h.lr * d**2 * along
        for i, g in enumerate(grads):
            s[i] = b3 * s[i] + (1 - b3) * h.lr * d**2 * g
            m[i] = h.beta1 * m[i] + (1 - h.beta1) * d * g
            v[i] = h.beta2 * v[i] + (1 - h.beta2) * d**2 * g**2
        new_d = max(d, h.d_coef * r / sum(np.abs(x).sum() for x in s))
        for i in range(len(w)):
            w[i] -= h.lr * d * h.weight_decay * w[i]
            w[i] -= h.lr * d * m[i] / (np.sqrt(v[i]) + new_d * h.eps)
        d = new_d
        yield [x.copy() for x in w]
