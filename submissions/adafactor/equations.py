"""Adafactor: Shazeer and Stern, arXiv:1804.04235, Algorithms 4 (matrices) and 5 (vectors).

Weight decay is torch's; the paper has none. eps1^2 is the paper's eps1, as torch has it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np


def steps(problem: Any, w: list[np.ndarray], h: Any) -> Iterator[list[np.ndarray]]:
    """The weights after each step, endlessly."""
    w = [x.copy() for x in w]
    rows = [np.zeros((*x.shape[:-1], 1)) if x.ndim > 1 else np.zeros_like(x) for x in w]
    columns = [np.zeros((*x.shape[:-2], 1, x.shape[-1])) if x.ndim > 1 else None for x in w]
    t = 0
    while True:
        t += 1
        rho = min(h.lr, 1 / np.sqrt(t))
        for i, g in enumerate(problem.gradient(w)):
            alpha = max(h.eps2, rms(w[i])) * rho
            w[i] -= h.lr * h.weight_decay * w[i]
            square = g**2 + h.eps1**2
            if columns[i] is None:
                rows[i] += (square - rows[i]) * t**-h.decay
                v = rows[i]
            else:
                rows[i] += (square.mean(axis=-1, keepdims=True) - rows[i]) * t**-h.decay
                columns[i] += (square.mean(axis=-2, keepdims=True) - columns[i]) * t**-h.decay
                v = rows[i] * columns[i] / rows[i].mean(axis=-2, keepdims=True)
            u = g / np.sqrt(v)
            w[i] -= alpha * u / max(1.0, rms(u) / h.clip)
        yield [x.copy() for x in w]


def rms(x: np.ndarray) -> float:
    """Root of the mean square."""
    return float(np.sqrt((x**2).mean()))
