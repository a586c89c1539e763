"""Optimistic gradient: Hsieh, Iutzeler, Malick and Mertikopoulos (NeurIPS 2019).

Past extra-gradient (their equation of PEG): X_{t+1/2} = X_t - lr V_{t-1/2} and
X_{t+1} = X_t - lr V_{t+1/2}, written for y_t = X_{t+1/2}, which is what is trained and scored.
"""

import numpy as np


def steps(problem, w, h):
    """Yield the weights after each step."""
    x, v = w, [np.zeros_like(part) for part in w]  # y_1 = X_1, as V_{1/2} = 0
    y = w
    while True:
        v = [g + h.weight_decay * part for g, part in zip(problem.gradient(y), y)]
        x = [a - h.lr * b for a, b in zip(x, v)]
        y = [a - h.lr * b for a, b in zip(x, v)]
        yield y
