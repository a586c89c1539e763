"""Cosine decay to zero: SGDR with a single cycle (Loshchilov and Hutter, 2017, equation 5)."""

from __future__ import annotations

import math

from assay import Method


class CosineDecay(Method):
    """lr_t = lr (1 + cos(pi t / T)) / 2."""

    def lr_factor(self, elapsed: float) -> float:
        """From 1 down to 0."""
        return (1 + math.cos(math.pi * elapsed)) / 2
