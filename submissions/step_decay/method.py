"""Step decay: a tenth at half and at three quarters (He et al., 2016, section 4.2)."""

from __future__ import annotations

from assay import Method


class StepDecay(Method):
    """lr_t = lr, lr / 10 from T / 2 on, lr / 100 from 3 T / 4 on (32k and 48k of 64k steps)."""

    def lr_factor(self, elapsed: float) -> float:
        """Three plateaus."""
        return 1.0 if elapsed < 0.5 else 0.1 if elapsed < 0.75 else 0.01
