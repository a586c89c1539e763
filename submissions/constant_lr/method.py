"""A constant learning rate: the control of every schedule."""

from __future__ import annotations

from assay import Method


class ConstantLR(Method):
    """lr_t = lr."""

    def lr_factor(self, elapsed: float) -> float:
        """The same throughout."""
        return 1.0
