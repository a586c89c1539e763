"""Rastrigin's function in ten dimensions: a bowl full of dents, shifted and rotated."""

from __future__ import annotations

import math

import torch
from assay.families.functions import PointFunctions
from torch import Tensor


class Rastrigin(PointFunctions):
    """Minimum 0 at z = 0; the next best minima, one coordinate near 1 or -1, lie at 0.99496."""

    def formula(self, z: Tensor) -> Tensor:
        """f(z) = 10 d + sum(z^2 - 10 cos(2 pi z))."""
        return 10 * len(z) + (z * z - 10 * torch.cos(2 * math.pi * z)).sum()
