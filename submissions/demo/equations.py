"""Peng et al. (2024), Algorithm 1: DeMo, with as many workers as h.workers on parts of the batch.

A coefficient's mean is over the workers that sent it, as in the official code.
"""

from __future__ import annotations

import numpy as np
from scipy.fft import dctn, idctn


def steps(problem, w, h):
    """Each step: every worker sends its largest frequencies; all take the sign of their mean."""
    w = [x.copy() for x in w]
    deltas = [np.zeros((h.workers, *as_matrix(x).shape)) for x in w]
    while True:
        for i, g in enumerate(problem.example_gradients(w)):
            matrix = as_matrix(w[i])
            parts = g.reshape(h.workers, -1, *matrix.shape).mean(axis=1)
            deltas[i] = h.beta * deltas[i] + h.lr * parts
            update = np.zeros_like(matrix)
            for block in blocks(matrix.shape, h.chunk):
                spectra = [dctn(delta[block], norm="ortho") for delta in deltas[i]]
                sent = [largest(spectrum, h.top_k) for spectrum in spectra]
                for delta, q in zip(deltas[i], sent, strict=True):
                    delta[block] -= idctn(q, norm="ortho")
                n = np.maximum(sum(q != 0 for q in sent), 1)
                update[block] = idctn(sum(sent) / n, norm="ortho")
            w[i] = (1 - h.lr * h.weight_decay) * w[i] - h.lr * np.sign(update).reshape(w[i].shape)
        yield [x.copy() for x in w]


def as_matrix(x):
    """A tensor as a matrix: its first dimension by all others."""
    return x.reshape(x.shape[0], -1)


def blocks(shape, chunk):
    """Slices of the blocks, of the largest sizes up to `chunk` that divide both sides."""
    sizes = [max(b for b in range(1, chunk + 1) if n % b == 0) for n in shape]
    for row in range(0, shape[0], sizes[0]):
        for column in range(0, shape[1], sizes[1]):
            yield slice(row, row + sizes[0]), slice(column, column + sizes[1])


def largest(spectrum, top_k):
    """The coefficients with the `top_k` largest absolute values, zeros elsewhere."""
    bound = np.sort(np.abs(spectrum).ravel())[-min(top_k, spectrum.size)]
    return np.where(np.abs(spectrum) >= bound, spectrum, 0.0)
