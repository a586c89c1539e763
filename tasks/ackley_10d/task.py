"""Ackley's function in ten dimensions: a rippled funnel, shifted and rotated."""

from __future__ import annotations

import math

import torch
from assay.families.functions import PointFunctions
from torch import Tensor


class Ackley(PointFunctions):
    """Minimum 0 at z = 0, a kink; the next best minima lie at 1.1551."""

    def formula(self, z: Tensor) -> Tensor:
        """f(z) = 20 (1 - exp(-0.2 |z| / sqrt(d))) + e - exp(mean(cos(2 pi z)))."""
        # The norm's gradient is 0 where the square root of the mean square would give NaN.
        distance = torch.linalg.vector_norm(z) / math.sqrt(len(z))
        ripples = torch.exp(torch.cos(2 * math.pi * z).mean())
        return 20 * (1 - torch.exp(-0.2 * distance)) + math.e - ripples
