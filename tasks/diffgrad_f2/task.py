"""A steep slope into a wavy cubic with minima at -0.64, 0 and 0.59 (diffGrad, eq. 25)."""

from __future__ import annotations

import torch
from assay.families.functions import PointFunctions
from torch import Tensor


class DiffGradF2(PointFunctions):
    """diffGrad's F2, started on its slope as in Fig. 4 of the paper.

    The gradient is that of the formula, whose term x sin(8x) contributes sin(8x) + 8x cos(8x); the
    authors' notebook has x cos(8x) in its place, which the paper's figure was not made with.
    """

    def formula(self, z: Tensor) -> Tensor:
        """F2(x) = -40x - 35.15 for x <= -0.9, x^3 + x sin(8x) + 0.85 beyond."""
        x = z[0]
        return torch.where(x <= -0.9, -40 * x - 35.15, x**3 + x * torch.sin(8 * x) + 0.85)
