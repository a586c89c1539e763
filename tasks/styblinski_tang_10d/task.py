"""Styblinski and Tang's function in ten dimensions, shifted and rotated."""

from __future__ import annotations

from assay.families.functions import PointFunctions
from torch import Tensor


class StyblinskiTang(PointFunctions):
    """Minimum -391.66 at z = -2.9035 / 4 in every coordinate; 2^10 minima, the next 14.137 up.

    The unit is a quarter of the usual one: with wells 5.65 apart no method escapes a well at any
    usual learning rate, and all of them end alike.
    """

    def formula(self, z: Tensor) -> Tensor:
        """f(z) = sum(y^4 - 16 y^2 + 5 y) / 2, y = 4 z."""
        square = (4 * z) ** 2
        return (square * (square - 16) + 20 * z).sum() / 2
