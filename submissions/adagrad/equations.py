"""AdaGrad with a diagonal matrix: Duchi, Hazan and Singer (2011), figure 1, H = eps + diag(s).

Weight decay is L2, added to the gradient.
"""

from __future__ import annotations

import numpy as np


def steps(problem, w, h):
    """The weights after each step."""
    s = [np.zeros_like(part) for part in w]
    while True:
        for i, g in enumerate(problem.gradient(w)):
            g = g + h.weight_decay * w[i]
            s[i] = s[i] + g**2
            w[i] = w[i] - h.lr * g / (np.sqrt(s[i]) + h.eps)
        yield w
