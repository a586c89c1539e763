"""Shampoo: Gupta, Koren and Singer, arXiv:1802.09568, Algorithm 2 (1 of matrices)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np


def steps(problem: Any, w: list[np.ndarray], h: Any) -> Iterator[list[np.ndarray]]:
    """The weights after each step, endlessly."""
    w = [x.copy() for x in w]
    statistics = [[h.matrix_eps * np.eye(n) for n in x.shape] for x in w]
    while True:
        for i, g in enumerate(problem.gradient(w)):
            g = g + h.weight_decay * w[i]
            direction = g
            for k, statistic in enumerate(statistics[i]):
                rows = np.moveaxis(g, k, 0).reshape(g.shape[k], -1)
                statistic += rows @ rows.T
                root = inverse_root(statistic, 2 * g.ndim)
                direction = np.moveaxis(np.tensordot(root, direction, (1, k)), 0, k)
            w[i] -= h.lr * direction
        yield [x.copy() for x in w]


def inverse_root(matrix: np.ndarray, power: int) -> np.ndarray:
    """matrix^(-1 / power) of a symmetric positive definite (n, n)."""
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * values ** (-1 / power)) @ vectors.T
