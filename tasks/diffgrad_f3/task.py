"""A sharp valley at 0 between two shallow dents at -0.5 and 0.5 (diffGrad, eq. 26)."""

from __future__ import annotations

import torch
from assay.families.functions import PointFunctions
from torch import Tensor


class DiffGradF3(PointFunctions):
    """diffGrad's F3, started left of all minima as in Fig. 4 of the paper; even in x."""

    def formula(self, z: Tensor) -> Tensor:
        """F3(x) = 7|x|/8 for |x| <= 0.4, 0.75 - |x| for 0.4 < |x| <= 0.5, x^2 beyond."""
        distance = z[0].abs()
        rise = torch.where(distance <= 0.4, 7 * distance / 8, 0.75 - distance)
        return torch.where(distance <= 0.5, rise, distance**2)
