"""Linear decay to zero (Defazio et al., 2023)."""

from __future__ import annotations

from assay import Method


class LinearDecay(Method):
    """lr_t = lr (1 - t / T): optimal for the last iterate if gradient norms stay constant."""

    def lr_factor(self, elapsed: float) -> float:
        """From 1 down to 0."""
        return 1.0 - elapsed
