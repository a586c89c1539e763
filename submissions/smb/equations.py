"""SMB: Birbil, Martin, Onay and Oztoprak (2024), Algorithm 1, one model per tensor."""

import numpy as np


def steps(problem, w, h):
    """Yield the weights after each step."""
    while True:
        f, g = problem.value(w), problem.gradient(w)
        trial = [part - h.lr * a for part, a in zip(w, g)]
        if problem.value(trial) <= f - h.c * h.lr * sum((a**2).sum() for a in g):
            w = trial
        else:
            g_trial = problem.gradient(trial)
            w = [part + model(a, b, -h.lr * a, h.eta) for part, a, b in zip(w, g, g_trial)]
        yield w


def model(g, g_trial, s, eta):
    """The minimiser of the model with sigma(eta)."""
    y = g_trial - g
    size = np.linalg.norm
    sigma = (size(s) * (size(y) + size(g) / eta) - (y * s).sum()) / 2
    slope = (y * s).sum() + 2 * sigma
    theta = slope**2 - size(s) ** 2 * size(y) ** 2
    c_g = -(size(s) ** 2) / (2 * sigma)
    c_s = c_g / theta * (size(y) ** 2 * (s * g).sum() - slope * (y * g).sum())
    c_y = c_g / theta * (size(s) ** 2 * (y * g).sum() - slope * (s * g).sum())
    return c_g * g + c_s * s + c_y * y
