"""Scalable Shampoo: Anil et al., arXiv:2002.09018, Sections 3 to 5, with Adagrad's grafting.

The ridge is that of the authors' code: matrix_eps times the largest eigenvalue.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np


def steps(problem: Any, w: list[np.ndarray], h: Any) -> Iterator[list[np.ndarray]]:
    """The weights after each step, endlessly."""
    w = [x.copy() for x in w]
    left, right = {}, {}
    roots = {}
    for i, x in enumerate(w):
        if x.ndim == 2:
            left[i], right[i] = (h.matrix_eps * np.eye(n) for n in x.shape)
            roots[i] = [np.eye(n) for n in x.shape]
    squares = [np.zeros_like(x) for x in w]
    m = [np.zeros_like(x) for x in w]
    m_graft = [np.zeros_like(x) for x in w]
    t = 0
    while True:
        t += 1
        for i, g in enumerate(problem.gradient(w)):
            squares[i] += g**2
            graft = g / (np.sqrt(squares[i]) + 1e-10)
            direction = graft
            if i in left:
                left[i] = h.beta2 * left[i] + (1 - h.beta2) * g @ g.T
                right[i] = h.beta2 * right[i] + (1 - h.beta2) * g.T @ g
                if t % h.refresh == 0:
                    roots[i] = [inverse_root(x, 4, h.matrix_eps) for x in (left[i], right[i])]
                direction = roots[i][0] @ g @ roots[i][1]
                direction = direction * np.linalg.norm(graft) / np.linalg.norm(direction)
            direction = direction + h.weight_decay * w[i]
            graft = graft + h.weight_decay * w[i]
            m[i] = h.beta1 * m[i] + direction
            m_graft[i] = h.beta1 * m_graft[i] + graft
            if t >= h.start:
                w[i] -= h.lr * (h.beta1 * m[i] + direction)
            else:
                w[i] -= h.lr * (h.beta1 * m_graft[i] + graft)
        yield [x.copy() for x in w]


def inverse_root(matrix: np.ndarray, power: int, eps: float) -> np.ndarray:
    """(matrix + ridge I)^(-1 / power) of a symmetric (n, n) without negative eigenvalues."""
    ridge = eps * max(np.linalg.norm(matrix, 2), 1e-6)
    values, vectors = np.linalg.eigh(matrix + ridge * np.eye(len(matrix)))
    return (vectors * np.maximum(values, ridge) ** (-1 / power)) @ vectors.T
