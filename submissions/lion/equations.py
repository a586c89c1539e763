"""Lion: Chen et al., arXiv:2302.06675, Algorithm 2."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np


def steps(problem: Any, w: list[np.ndarray], h: Any) -> Iterator[list[np.ndarray]]:
    """The weights after each step, endlessly."""
    w = [x.copy() for x in w]
    m = [np.zeros_like(x) for x in w]
    while True:
        for i, g in enumerate(problem.gradient(w)):
            c = h.beta1 * m[i] + (1 - h.beta1) * g
            w[i] -= h.lr * (np.sign(c) + h.weight_decay * w[i])
            m[i] = h.beta2 * m[i] + (1 - h.beta2) * g
        yield [x.copy() for x in w]
