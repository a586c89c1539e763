"""Two parabolas: a local minimum at 0.2 behind the global one at -0.3 (diffGrad, eq. 24)."""

from __future__ import annotations

import torch
from assay.families.functions import PointFunctions
from torch import Tensor


class DiffGradF1(PointFunctions):
    """diffGrad's F1, started left of both minima as in Fig. 4 of the paper."""

    def formula(self, z: Tensor) -> Tensor:
        """F1(x) = (x + 0.3)^2 for x <= 0, (x - 0.2)^2 + 0.05 beyond."""
        x = z[0]
        return torch.where(x <= 0, (x + 0.3) ** 2, (x - 0.2) ** 2 + 0.05)
