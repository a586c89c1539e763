"""A bowl whose minimum lies at a drawn place, for the attacks."""

from __future__ import annotations

import torch
from assay.families.functions import PointFunctions
from torch import Tensor


class AttackBowl(PointFunctions):
    """Minimum 0 at the shift, no other."""

    def formula(self, z: Tensor) -> Tensor:
        """Curvatures 1 to 10."""
        return (torch.linspace(1, 10, len(z), dtype=z.dtype) * z * z).sum() / 2
