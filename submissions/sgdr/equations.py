"""Loshchilov and Hutter (2017), equation 5: warm restarts.

The step is that of the reference optimizer of classification tasks at its defaults: SGD with
Nesterov momentum (Sutskever et al., 2013, in the form of torch).
"""

from __future__ import annotations

import itertools

import numpy as np

LR, MU, DECAY = 0.1, 0.9, 5e-4


def nesterov(w, g, v, factor=1.0):
    """One step: v <- mu v + g + decay w; w <- w - factor lr (g + decay w + mu v)."""
    g = [a + DECAY * b for a, b in zip(g, w, strict=True)]
    v = [MU * a + b for a, b in zip(v, g, strict=True)]
    return [a - factor * LR * (b + MU * c) for a, b, c in zip(w, g, v, strict=True)], v


def steps(problem, w, h):
    """Each step: lr_t = lr (1 + cos(pi T_cur / T_i)) / 2, T_{i+1} = t_mult T_i; they fill T."""
    v = [np.zeros_like(a) for a in w]
    lengths = np.cumprod([1.0] + [h.t_mult] * (h.n_cycles - 1))
    ends = np.cumsum(lengths) / lengths.sum() * problem.total_steps
    for t in itertools.count():
        i = min(np.searchsorted(ends, t + 1e-6, side="right"), h.n_cycles - 1)
        t_i = ends[i] - (ends[i - 1] if i else 0)
        factor = (1 + np.cos(np.pi * (1 - (ends[i] - t) / t_i))) / 2
        w, v = nesterov(w, problem.gradient(w), v, factor)
        yield w
