"""Gravity: Bahrami and Pouriyan Zadeh, arXiv:2101.09192, Algorithm 1.

Draws the first velocities, tensor by tensor, from a normal distribution of deviation alpha / lr.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np


def steps(problem: Any, w: list[np.ndarray], h: Any) -> Iterator[list[np.ndarray]]:
    """The weights after each step, endlessly."""
    w = [x.copy() for x in w]
    velocity = [problem.draw() for _ in w]
    t = 0
    while True:
        t += 1
        beta = (h.beta * t + 1) / (t + 2)
        for i, g in enumerate(problem.gradient(w)):
            largest = np.abs(g).max()  # 1 / m of the paper
            zeta = g / (1 + (g * largest) ** 2)
            velocity[i] = beta * velocity[i] + (1 - beta) * zeta
            w[i] -= h.lr * velocity[i]
        yield [x.copy() for x in w]
