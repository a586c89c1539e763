"""MADGRAD: Defazio and Jelassi, arXiv:2101.11075, Algorithm 1.

The authors' code adds eps to the learning rate, and so do these equations.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np


def steps(problem: Any, w: list[np.ndarray], h: Any) -> Iterator[list[np.ndarray]]:
    """The weights after each step, endlessly."""
    w = [x.copy() for x in w]
    start = [x.copy() for x in w]
    s = [np.zeros_like(x) for x in w]
    nu = [np.zeros_like(x) for x in w]
    t = 0
    while True:
        t += 1
        lam = (h.lr + h.eps) * np.sqrt(t)
        for i, g in enumerate(problem.gradient(w)):
            g = g + h.weight_decay * w[i]
            s[i] += lam * g
            nu[i] += lam * g**2
            z = start[i] - s[i] / (np.cbrt(nu[i]) + h.eps)
            w[i] = h.momentum * w[i] + (1 - h.momentum) * z
        yield [x.copy() for x in w]
