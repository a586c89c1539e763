"""PSGD with Kronecker factors: Li, arXiv:2402.04553, Section 4, and psgd_torch's whitening.

Draws one normal probe a step of each tensor. The share of steps that change Q (all of the first
500) and the clipping are those of the library.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np


def steps(problem: Any, w: list[np.ndarray], h: Any) -> Iterator[list[np.ndarray]]:
    """The weights after each step, endlessly."""
    w = [x.copy() for x in w]
    m = [np.zeros_like(x) for x in w]
    q = [[np.eye(n) for n in x.shape] for x in w]
    for i, x in enumerate(w):
        if x.ndim < h.smallest_triangular:
            q[i] = [np.ones(n) for n in x.shape]
    waited = 0
    t = 0
    while True:
        t += 1
        share = min(max(np.exp(-0.001 * (t - 1 - 500)), 0.03), 1.0)
        waited += 1
        learns = waited >= 1 / share
        waited = 0 if learns else waited
        for i, g in enumerate(problem.gradient(w)):
            m[i] = h.momentum * m[i] + (1 - h.momentum) * g
            m_hat = m[i] / (1 - h.momentum**t)
            if learns:
                learn(q[i], m_hat, problem.draw())
            step = m_hat
            for k, factor in enumerate(q[i]):
                step = applied(gram(factor), step, k)
            step = step * min(1.1 / (np.sqrt((step**2).mean()) + 1e-6), 1.0)
            decay = h.weight_decay if w[i].ndim >= 2 else 0.0
            w[i] -= h.lr * (step + decay * w[i])
        yield [x.copy() for x in w]


def gram(factor: np.ndarray) -> np.ndarray:
    """Q^T Q of a triangular (n, n), or of a diagonal (n,)."""
    return factor**2 if factor.ndim == 1 else factor.T @ factor


def applied(factor: np.ndarray, x: np.ndarray, k: int) -> np.ndarray:
    """`x` with its dimension `k` multiplied by a matrix (n, n) or a diagonal (n,)."""
    matrix = np.diag(factor) if factor.ndim == 1 else factor
    return np.moveaxis(np.tensordot(matrix, x, (1, k)), 0, k)


def learn(factors: list[np.ndarray], m: np.ndarray, v: np.ndarray) -> None:
    """One step of every factor down the whitening criterion, along its group, of length 0.1."""
    a, b = m, v
    for k, factor in enumerate(factors):
        inverse = 1 / factor if factor.ndim == 1 else np.linalg.inv(factor).T
        a, b = applied(factor, a, k), applied(inverse, b, k)
    tiny = 2.0**-126
    for k, factor in enumerate(factors):
        rows_a = np.moveaxis(a, k, 0).reshape(a.shape[k], -1)
        rows_b = np.moveaxis(b, k, 0).reshape(b.shape[k], -1)
        if factor.ndim == 1:
            one, two = (rows_a**2).sum(axis=1), (rows_b**2).sum(axis=1)
            factors[k] = factor - 0.1 * (one - two) / (np.abs(one + two).max() + tiny) * factor
        else:
            one, two = rows_a @ rows_a.T, rows_b @ rows_b.T
            slope = np.triu(one - two) / (norm_bound(one + two) + tiny)
            factors[k] = factor - 0.1 * slope @ factor


def norm_bound(matrix: np.ndarray) -> float:
    """A lower bound of the spectral norm: one power iteration from the longest row."""
    row = matrix[np.argmax((matrix**2).sum(axis=1))]
    x = matrix @ row
    return float(np.linalg.norm(matrix @ (x / np.linalg.norm(x))))
