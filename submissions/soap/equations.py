"""SOAP: Vyas et al., arXiv:2409.11321, Algorithms 3 and 4. The first step begins the statistics."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np


def steps(problem: Any, w: list[np.ndarray], h: Any) -> Iterator[list[np.ndarray]]:
    """The weights after each step, endlessly."""
    w = [x.copy() for x in w]
    m = [np.zeros_like(x) for x in w]
    v = [np.zeros_like(x) for x in w]
    statistics = [[np.zeros((n, n)) for n in x.shape] for x in w]
    bases: list[list[np.ndarray]] = [[] for _ in w]
    turned = [x.ndim > 1 for x in w]
    t = 0
    while True:
        t += 1
        for i, g in enumerate(problem.gradient(w)):
            if t > 1:
                m[i] = h.beta1 * m[i] + (1 - h.beta1) * g
                v[i] = h.beta2 * v[i] + (1 - h.beta2) * turn(g, bases[i]) ** 2
                update = turn(m[i], bases[i]) / (np.sqrt(v[i]) + h.eps)
                correction = np.sqrt(1 - h.beta2 ** (t - 1)) / (1 - h.beta1 ** (t - 1))
                w[i] -= h.lr * correction * turn(update, [q.T for q in bases[i]])
                w[i] -= h.lr * h.weight_decay * w[i]
            if turned[i]:
                for k, matrix in enumerate(statistics[i]):
                    rows = np.moveaxis(g, k, 0).reshape(g.shape[k], -1)
                    matrix += (1 - h.beta2) * (rows @ rows.T - matrix)
                if t == 1:
                    bases[i] = [np.linalg.eigh(matrix)[1][:, ::-1] for matrix in statistics[i]]
                elif (t - 1) % h.refresh == 0:
                    v[i] = refreshed(bases[i], statistics[i], v[i])
        yield [x.copy() for x in w]


def turn(x: np.ndarray, bases: list[np.ndarray]) -> np.ndarray:
    """`x` with each dimension in the coordinates of its basis, whose columns are the axes."""
    for k, basis in enumerate(bases):
        x = np.moveaxis(np.tensordot(basis, x, (0, k)), 0, k)
    return x


def refreshed(bases: list[np.ndarray], statistics: list[np.ndarray], v: np.ndarray) -> np.ndarray:
    """Bring `bases` up to date by one power iteration; return `v` with its axes in their order."""
    for k, matrix in enumerate(statistics):
        product = matrix @ bases[k]
        order = np.argsort(-(bases[k] * product).sum(axis=0))
        v = np.take(v, order, axis=k)
        bases[k] = np.linalg.qr(product[:, order])[0]
    return v
