"""Rosenbrock's curved valley in two dimensions."""

from __future__ import annotations

from assay.families.functions import PointFunctions
from torch import Tensor


class Rosenbrock(PointFunctions):
    """Minimum 0 at (1, 1), no other; the Hessian there has condition number 2508."""

    def formula(self, z: Tensor) -> Tensor:
        """f(x, y) = (1 - x)^2 + 100 (y - x^2)^2."""
        x, y = z.unbind()
        return (1 - x) ** 2 + 100 * (y - x * x) ** 2
