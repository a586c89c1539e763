"""Defazio et al. (2023), Algorithm 1: schedule refinement, two runs of T / 2 steps each.

The step is that of plain SGD, whose learning rate is `problem.reference_lr`.
"""

from __future__ import annotations

import itertools

import numpy as np


def descend(problem, w, g, factor=1.0):
    """One step of the reference optimizer."""
    return [a - factor * problem.reference_lr * b for a, b in zip(w, g, strict=True)]


def refined(norms, tau):
    """w_t = (median of the norms around t)^-2; lr_t ~ w_t sum_{p > t} w_p, the largest 1.

    Before the first norm there is the first one again, after the last one the norms reflected.
    """
    n = len(norms)
    half = int(tau * n) // 2
    place = np.arange(n)[:, None] + np.arange(-half, half + 1)
    period = 2 * max(n - 1, 1)
    place = np.maximum(place, 0) % period
    place = np.where(place < n, place, period - place)
    weights = np.median(np.array(norms)[place], axis=1) ** -2.0
    schedule = np.array([weights[t] * weights[t + 1 :].sum() for t in range(n)])
    return schedule / schedule.max()


def steps(problem, w, h):
    """Each step: in the first half linear decay, in the second the refined schedule."""
    start, norms = w, []
    for t in itertools.count():
        share = t / problem.total_steps
        if share >= 0.5 and len(norms) == t:
            w = start
        g = problem.gradient(w)
        if share < 0.5:
            factor = 1 - 2 * share
            norms.append(np.sqrt(sum((a**2).sum() for a in g)))
        else:
            schedule = refined(norms, h.tau)
            factor = schedule[t - len(norms)]
        w = descend(problem, w, g, factor)
        yield w
