"""Jiang et al. (2023): the gradient times its clipped signal-to-noise ratio (VR-SGD).

The step is that of plain SGD, whose learning rate is `problem.reference_lr`.
"""

from __future__ import annotations


def descend(problem, w, g):
    """One step of the reference optimizer."""
    return [a - problem.reference_lr * b for a, b in zip(w, g, strict=True)]


def weighted(parts, gamma):
    """R E[g], r = E[g]^2 / Var[g] over its mean, in [gamma, 1]; parts are (k, ...)."""
    mean, variance = parts.mean(axis=0), parts.var(axis=0)
    r = mean**2 / variance
    return (r / r.mean()).clip(gamma, 1) * mean


def steps(problem, w, h):
    """Each step: gradients of h.k equal parts of the batch, or of single examples."""
    while True:
        examples = problem.example_gradients(w)
        k = min(h.k, len(examples[0]))
        parts = [g.reshape(k, -1, *g.shape[1:]).mean(axis=1) for g in examples]
        w = descend(problem, w, [weighted(part, h.gamma) for part in parts])
        yield w
