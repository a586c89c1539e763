"""SGDR: cosine decay with warm restarts (Loshchilov and Hutter, 2017, equation 5)."""

from __future__ import annotations

import math
from typing import Annotated

from assay import IntUniform, Method


class SGDR(Method):
    """lr_t = lr (1 + cos(pi T_cur / T_i)) / 2; at T_cur = T_i a restart, T_{i+1} = T_mult T_i.

    T_0 is such that the last cycle ends with the budget: restarts after 1/15, 3/15 and 7/15 of it
    at the defaults, as after epochs 10, 30 and 70 of 150 in the paper (T_0 = 10, T_mult = 2).
    """

    class Hyperparameters(Method.Hyperparameters):
        """Tunable values."""

        n_cycles: Annotated[int, IntUniform(1, 6)] = 4
        t_mult: Annotated[int, IntUniform(1, 3)] = 2

    def lr_factor(self, elapsed: float) -> float:
        """From 1 down to 0 in every cycle."""
        h = self.hyperparameters
        t_i, t_cur = 1, elapsed * sum(h.t_mult**i for i in range(h.n_cycles))
        for _ in range(h.n_cycles - 1):
            if t_cur < t_i - 1e-9:  # a share of the budget is rounded
                break
            t_cur -= t_i
            t_i *= h.t_mult
        return (1 + math.cos(math.pi * t_cur / t_i)) / 2
