"""iRprop-: Igel and Huesken, Improving the Rprop Learning Algorithm, 2000, Section 2.

Of Riedmiller and Braun (1993) it lacks the step back after a change of sign.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np


def steps(problem: Any, w: list[np.ndarray], h: Any) -> Iterator[list[np.ndarray]]:
    """The weights after each step, endlessly."""
    w = [x.copy() for x in w]
    before = [np.zeros_like(x) for x in w]
    delta = [np.full_like(x, h.lr) for x in w]
    while True:
        for i, g in enumerate(problem.gradient(w)):
            product = g * before[i]
            factor = np.where(product > 0, h.eta_plus, np.where(product < 0, h.eta_minus, 1.0))
            delta[i] = np.clip(delta[i] * factor, 1e-6, h.largest)
            before[i] = np.where(product < 0, 0.0, g)
            w[i] -= delta[i] * np.sign(before[i])
        yield [x.copy() for x in w]
