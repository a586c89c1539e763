"""Lee et al. (2024), Algorithm 2: Grokfast-EMA.

The step is that of plain SGD, whose learning rate is `problem.reference_lr`.
"""

from __future__ import annotations


def descend(problem, w, g):
    """One step of the reference optimizer."""
    return [a - problem.reference_lr * b for a, b in zip(w, g, strict=True)]


def steps(problem, w, h):
    """Each step: mu <- alpha mu + (1 - alpha) g with mu_0 = g_1; g <- g + lam mu."""
    mu = problem.gradient(w)
    while True:
        g = problem.gradient(w)
        mu = [h.alpha * a + (1 - h.alpha) * b for a, b in zip(mu, g, strict=True)]
        w = descend(problem, w, [a + h.lam * b for a, b in zip(g, mu, strict=True)])
        yield w
