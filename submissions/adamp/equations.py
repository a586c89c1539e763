"""AdamP: Heo et al., arXiv:2006.08217, Algorithm 2.

The library adds eps before it corrects the bias of v, and so do these equations.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np


def steps(problem: Any, w: list[np.ndarray], h: Any) -> Iterator[list[np.ndarray]]:
    """The weights after each step, endlessly."""
    w = [x.copy() for x in w]
    m = [np.zeros_like(x) for x in w]
    v = [np.zeros_like(x) for x in w]
    t = 0
    while True:
        t += 1
        for i, g in enumerate(problem.gradient(w)):
            m[i] = h.beta1 * m[i] + (1 - h.beta1) * g
            v[i] = h.beta2 * v[i] + (1 - h.beta2) * g**2
            denominator = (np.sqrt(v[i]) + h.eps) / np.sqrt(1 - h.beta2**t)
            p = m[i] / (1 - h.beta1**t) / denominator
            p, ratio = projected(w[i], g, p, h)
            w[i] -= h.lr * (p + h.weight_decay * ratio * w[i])
        yield [x.copy() for x in w]


def projected(w: np.ndarray, g: np.ndarray, p: np.ndarray, h: Any) -> tuple[np.ndarray, float]:
    """The step `p` without its part along `w`, and the factor of the weight decay: Equation 12.

    By rows (output channels) if all of them are nearly at right angles to their gradients, else as
    a whole if that is; vectors are left as they are.
    """
    if w.ndim < 2:
        return p, 1.0
    for rows in (w.shape[0], 1):
        ws, gs, ps = w.reshape(rows, -1), g.reshape(rows, -1), p.reshape(rows, -1)
        length = np.linalg.norm(ws, axis=1)
        cosine = np.abs((ws * gs).sum(axis=1)) / (length * np.linalg.norm(gs, axis=1))
        if cosine.max() < h.delta / np.sqrt(ws.shape[1]):
            unit = ws / (length + h.eps)[:, None]
            return (ps - unit * (unit * ps).sum(axis=1)[:, None]).reshape(w.shape), h.wd_ratio
    return p, 1.0
