"""Schedule-Free AdamW: Defazio et al., arXiv:2405.15682, as in the authors' code since 1.3.

Algorithm 1 has the bias correction sqrt(1 - b2^t) in lr_t, and so in the averages' weights c and in
the weight decay; the authors moved it to v, because theirs "can cause instability".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

INNER_EPS = 1e-15
"""What the library adds to v inside the root; the paper adds nothing there."""


def steps(problem: Any, w: list[np.ndarray], h: Any) -> Iterator[list[np.ndarray]]:
    """The averages x, which are scored, endlessly; `w` is y, where gradients are taken."""
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
            v_hat = v[i] / (1 - h.beta2**t)
            scaled = g / (np.sqrt(v_hat + INNER_EPS) + h.eps)
            z[i] = z[i] - lr * (scaled + h.weight_decay * w[i])
            x[i] = (1 - c) * x[i] + c * z[i]
            w[i] = (1 - h.beta1) * z[i] + h.beta1 * x[i]
        yield [value.copy() for value in x]
