"""Beale's function: flat around the minimum, steep in the corners."""

from __future__ import annotations

from assay.families.functions import PointFunctions
from torch import Tensor


class Beale(PointFunctions):
    """Minimum 0 at (3, 0.5)."""

    def formula(self, z: Tensor) -> Tensor:
        """f(x, y) = (1.5 - x + xy)^2 + (2.25 - x + xy^2)^2 + (2.625 - x + xy^3)^2."""
        x, y = z.unbind()
        return (
            (1.5 - x * (1 - y)) ** 2 + (2.25 - x * (1 - y**2)) ** 2 + (2.625 - x * (1 - y**3)) ** 2
        )
