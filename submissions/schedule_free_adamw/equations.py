"""Schedule-Free AdamW: Defazio et al., arXiv:2405.15682, Algorithm 1."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np


def steps(problem: Any, w: list[np.ndarray], h: Any) -> Iterator[list[np.ndarray]]:
    """The points of the gradients (y of the paper), which the weights hold, endlessly."""
    w = [x.copy() for x in w]
    x = [value.copy() for value in w]
    z = [value.copy() for value in w]
    v = [np.zeros_like(value) for value in w]
    warm_up = int(h.warmup * problem.total_steps)
    lr_max = total = 0.0
    t = 0
    while True:
        t += 1
        lr = h.lr * min(1.0, t / warm_up) if warm_up else h.lr
        lr_max = max(lr_max, lr)
        total += lr_max**2
        c = lr_max**2 / total
        for i, g in enumerate(problem.gradient(w)):
            v[i] = h.beta2 * v[i] + (1 - h.beta2) * g**2
            scaled = g / (np.sqrt(v[i] / (1 - h.beta2**t)) + h.eps)
            z[i] = z[i] - lr * (scaled + h.weight_decay * w[i])
            x[i] = (1 - c) * x[i] + c * z[i]
            w[i] = (1 - h.beta1) * z[i] + h.beta1 * x[i]
        yield [x.copy() for x in w]
