"""Loshchilov and Hutter (2017), equation 5: warm restarts.

The step is that of plain SGD, whose learning rate is `problem.reference_lr`.
"""

from __future__ import annotations

import itertools

import numpy as np


def descend(problem, w, g, factor=1.0):
    """One step of the reference optimizer."""
    return [a - factor * problem.reference_lr * b for a, b in zip(w, g, strict=True)]


def steps(problem, w, h):
    """Each step: lr_t = lr (1 + cos(pi T_cur / T_i)) / 2, T_{i+1} = t_mult T_i; they fill T."""
    lengths = np.cumprod([1.0] + [h.t_mult] * (h.n_cycles - 1))
    ends = np.cumsum(lengths) / lengths.sum() * problem.total_steps
    for t in itertools.count():
        i = min(np.searchsorted(ends, t + 1e-6, side="right"), h.n_cycles - 1)
        t_i = ends[i] - (ends[i - 1] if i else 0)
        factor = (1 + np.cos(np.pi * (1 - (ends[i] - t) / t_i))) / 2
        w = descend(problem, w, problem.gradient(w), factor)
        yield w
