"""Karakida et al. (2023): gradient regularisation by forward differences.

The step is that of plain SGD, whose learning rate is `problem.reference_lr`.
"""

from __future__ import annotations


def descend(problem, w, g):
    """One step of the reference optimizer."""
    return [a - problem.reference_lr * b for a, b in zip(w, g, strict=True)]


def steps(problem, w, h):
    """Each step: g <- g + (gamma / eps) (grad L(w + eps g) - g)."""
    while True:
        g = problem.gradient(w)
        ahead = problem.gradient([a + h.eps * b for a, b in zip(w, g, strict=True)])
        total = [a + h.gamma / h.eps * (b - a) for a, b in zip(g, ahead, strict=True)]
        w = descend(problem, w, total)
        yield w
