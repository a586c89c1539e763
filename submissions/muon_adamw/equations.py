"""Muon: Jordan et al., https://kellerjordan.github.io/posts/muon/, for every matrix.

AdamW (arXiv:1711.05101, Algorithm 2) for every vector.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np


def steps(problem: Any, w: list[np.ndarray], h: Any) -> Iterator[list[np.ndarray]]:
    """The weights after each step, endlessly."""
    w = [x.copy() for x in w]
    momentum = [np.zeros_like(x) for x in w]
    m = [np.zeros_like(x) for x in w]
    v = [np.zeros_like(x) for x in w]
    t = 0
    while True:
        t += 1
        for i, g in enumerate(problem.gradient(w)):
            if w[i].ndim >= 2:
                momentum[i] = h.momentum * momentum[i] + g
                matrix = (g + h.momentum * momentum[i]).reshape(len(g), -1)
                scale = np.sqrt(max(1.0, matrix.shape[0] / matrix.shape[1]))
                update = newton_schulz(matrix).reshape(g.shape)
                w[i] -= h.lr * (scale * update + h.weight_decay * w[i])
                continue
            m[i] = h.beta1 * m[i] + (1 - h.beta1) * g
            v[i] = h.beta2 * v[i] + (1 - h.beta2) * g**2
            update = m[i] / (1 - h.beta1**t) / (np.sqrt(v[i] / (1 - h.beta2**t)) + h.eps)
            w[i] -= h.adamw_lr * (update + h.weight_decay * w[i])
        yield [x.copy() for x in w]


def newton_schulz(matrix: np.ndarray) -> np.ndarray:
    """Five steps of x <- a x + (b A + c A A) x with A = x x^T, from the matrix over its norm."""
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / max(np.linalg.norm(x), 1e-7)
    for _ in range(5):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if tall else x
